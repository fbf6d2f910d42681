"""The sound of a file as mono 16 kHz, cut into slices that do not depend on where decoding began.

What makes a resumed track equal, bit by bit, to one decoded in a single run:

- Every frame has a place on one grid of source samples, found from its PTS by a rule that looks back one anchor.
- The sample rate is converted slice by slice, from one second of source samples around it, with no state in between.
- Reading starts more than an anchor early, by which time a decoder has forgotten what it did not see.
- Decoders that add pseudo-random noise never forget, so at every anchor a fresh one takes over.
"""

import math
from fractions import Fraction
from pathlib import Path

import av.error
from av.audio.frame import AudioFrame

from clipstream.media.packets import can_seek, demux, discard_others, next_packet
from clipstream.media.probe import choose_audio, open_media
from clipstream.media.sound import ANCHOR_S, BLOCK_MARGIN_S, SETTLING_S, Samples, SoundDecoder
from clipstream.timing import SAMPLES_PER_SLICE, slice_start

__all__ = ["AudioReader"]


class AudioReader:
    """Reads the sound of consecutive slices.

    Args:
        path: The file.
        origin_s: The PTS, in seconds, of media time 0.
        lead_samples: How many samples before each slice come with it.
        start_slice: The first slice that will be read.

    Attributes:
        exhausted: Whether everything was read.
        problem: Why reading stopped early, if it did.
    """

    def __init__(self, path: Path, origin_s: Fraction, lead_samples: int, start_slice: int) -> None:
        self._path, self._origin_s, self._lead_samples = path, origin_s, lead_samples
        self._first = start_slice
        lead_slices = min(start_slice, -(-lead_samples // SAMPLES_PER_SLICE))
        self._start(start_slice - lead_slices)
        while self._sound.next < start_slice:
            self.read()

    @property
    def end_s(self) -> Fraction:
        """Media time at which the sound read so far ends."""
        return self._sound.end_s

    @property
    def any_decoded(self) -> bool:
        """Whether any sound came out of the decoder at all."""
        return self._sound.any_decoded

    @property
    def lost(self) -> int:
        """Frames whose PTS made no sense."""
        return self._sound.lost

    def read(self) -> tuple[Samples | None, int]:
        """Return the sound of the next slice with its lead, or `None` where it has none, and the errors in it."""
        while not self._sound.complete and not self.exhausted:
            self._pull()
        return self._sound.take()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _start(self, n: int) -> None:
        anchor = math.floor((slice_start(n) - BLOCK_MARGIN_S - SETTLING_S) / ANCHOR_S) - 1
        self._open(n)
        if anchor > 0 and not self._seek(n, anchor):
            self._container.close()
            self._open(n)

    def _open(self, n: int) -> None:
        self._container = open_media(self._path)
        stream = choose_audio(self._container)
        assert stream is not None
        discard_others(self._container, stream)
        self._stream = stream
        self._sound = self._decoder(n)
        self._packets = demux(self._container, stream)
        self.exhausted = False
        self.problem: str | None = None

    def _decoder(self, n: int, first_anchor: int | None = None) -> SoundDecoder:
        return SoundDecoder(
            self._stream,
            self._origin_s,
            self._lead_samples,
            first_slice=self._first,
            next_slice=n,
            first_anchor=first_anchor,
        )

    def _seek(self, n: int, anchor: int) -> bool:
        """Go to an anchor, and say whether what follows begins far enough before it."""
        settled = (anchor * ANCHOR_S - SETTLING_S) * self._stream.rate
        if not can_seek(self._container):
            return False
        try:
            target = self._sound.pts_at(settled - SETTLING_S * self._stream.rate)
            self._container.seek(target, stream=self._stream)
        except av.error.FFmpegError:
            return False
        self._packets = demux(self._container, self._stream)
        self._sound = self._decoder(n, anchor)
        while not self.exhausted:
            if frames := self._pull():
                return frames[0].pts is not None and self._sound.sample_at(frames[0].pts) < settled
        return False

    def _pull(self) -> list[AudioFrame]:
        try:
            packet = next_packet(self._packets)
        except av.error.FFmpegError as error:
            self.problem, packet = f"reading the sound stopped: {error.strerror}", None
        self.exhausted = packet is None
        return self._sound.feed(packet)
