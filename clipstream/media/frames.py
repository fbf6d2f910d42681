"""The pictures of a file, chosen by PTS, reduced to what was asked, and cut into slices.

A slice depends on its number and the file alone. A resumed track is sought to a keyframe early enough that every frame
of the slice and of its lead is decoded and chosen as in a single run; where a keyframe turns out too late, an earlier
one is tried, and in the end the beginning of the file.
"""

from fractions import Fraction
from pathlib import Path

import av.error

from clipstream.media.packets import can_seek, demux, discard_others, next_packet
from clipstream.media.pictures import DecodeMode, PictureDecoder, SliceFrames
from clipstream.media.probe import choose_video, open_media, stores_no_pts
from clipstream.media.slices import FrameRequest
from clipstream.timing import slice_start

__all__ = ["FrameReader"]

_PREROLL_S = 1


class FrameReader:
    """Reads the pictures of consecutive slices.

    Args:
        path: The file.
        origin_s: The PTS, in seconds, of media time 0.
        requests: What is wanted of each slice.
        mode: Which frames are decoded.
        threads: Decoder threads to keep busy.
        start_slice: The first slice that will be read.

    Attributes:
        exhausted: Whether everything was read.
        problem: Why reading stopped early, if it did.
    """

    def __init__(
        self,
        path: Path,
        origin_s: Fraction,
        requests: tuple[FrameRequest, ...],
        *,
        mode: DecodeMode,
        threads: int,
        start_slice: int,
    ) -> None:
        self._path, self._origin_s, self._requests = path, origin_s, requests
        self._mode, self._threads, self._first = mode, threads, start_slice
        self._open()
        self._start()

    @property
    def end_s(self) -> Fraction:
        """Media time at which the last frame read so far stops being shown."""
        return self._pictures.end_s

    @property
    def decoded(self) -> int:
        """Frames decoded since the first slice."""
        return self._pictures.decoded

    @property
    def any_decoded(self) -> bool:
        """Whether any frame came out of the decoder at all."""
        return self._pictures.any_decoded

    @property
    def lost(self) -> int:
        """Frames left out because their PTS made no sense: backwards, or hours ahead."""
        return self._pictures.lost

    def read(self) -> SliceFrames:
        """Return the pictures of the next slice."""
        while self._pictures.reached <= self._pictures.next and not self.exhausted:
            self._pull()
        return self._pictures.take()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _start(self) -> None:
        n, preroll_s = self._first, _PREROLL_S
        while n and self._seek(slice_start(n) - preroll_s):
            self._pictures.next = n - 1
            self.read()
            # The first frame after a seek has no known predecessor, so it has to lie before the slice.
            if self._pictures.began < n and self._pictures.warm:
                return
            preroll_s *= 4
            self._container.close()
            self._open()
        while self._pictures.next < n:
            self.read()

    def _open(self) -> None:
        self._container = open_media(self._path)
        stream = choose_video(self._container)
        assert stream is not None
        discard_others(self._container, stream)
        self._stream = stream
        self._pictures = PictureDecoder(
            stream,
            self._origin_s,
            self._requests,
            mode=self._mode,
            threads=self._threads,
            first_slice=self._first,
            no_pts=stores_no_pts(self._container, stream),
        )
        self._packets = demux(self._container, stream)
        self.exhausted = False
        self.problem: str | None = None

    def _seek(self, time_s: Fraction) -> bool:
        if time_s <= 0 or not can_seek(self._container):
            return False
        try:
            self._container.seek(self._pictures.pts_at(time_s), stream=self._stream)
        except av.error.FFmpegError:
            return False
        self._packets = demux(self._container, self._stream)
        self._pictures.sought = True
        return True

    def _pull(self) -> None:
        try:
            packet = next_packet(self._packets)
        except av.error.FFmpegError as error:
            self.problem, packet = f"reading the pictures stopped: {error.strerror}", None
        self.exhausted = packet is None
        self._pictures.feed(packet)
