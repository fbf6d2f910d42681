"""Sound, decoded, cut to the sample and encoded again."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeAlias

import av
import av.container
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from clipstream.media.cut.source import AnyPacket, Span
from clipstream.media.cut.tracks import Track, describe_track, undecodable

__all__ = ["EncodeAudio"]

_Samples: TypeAlias = NDArray[np.float32]

_RATES_HZ = {
    "aac": {96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350},
    "libopus": {48_000, 24_000, 16_000, 12_000, 8_000},
}
_LAYOUTS = frozenset({"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"})
_NAMES = {"aac": "AAC", "libopus": "Opus"}
_BITS_PER_CHANNEL = 96_000
_TOLERANCE_S = Fraction(1, 50)
"""Timestamps of a container may be rounded (Matroska: to 1 ms); only a larger step is a gap or an overlap."""


class EncodeAudio(Track):
    """A track of encoded sound, sample k of the clip at exactly k / rate seconds; gaps become silence.

    Attributes:
        codec_name: What it is encoded to, in words.
    """

    def __init__(
        self, container: av.container.OutputContainer, source: AudioStream, span: Span, encoder: str = "aac"
    ) -> None:
        super().__init__(source.index)
        self._span, self._errors = span, 0
        context = source.codec_context
        self._encoder = encoder
        self._rate_hz = context.sample_rate if context.sample_rate in _RATES_HZ[encoder] else 48_000
        layout = context.layout.name
        if layout not in _LAYOUTS:
            layout = "mono" if context.channels == 1 else "stereo"
        self._layout = layout
        self._resampler = self._new_resampler()
        stream = container.add_stream(encoder, rate=self._rate_hz)
        assert isinstance(stream, AudioStream)
        stream.codec_context.layout = layout
        self._channels = stream.codec_context.channels
        stream.codec_context.bit_rate = _BITS_PER_CHANNEL * self._channels
        stream.codec_context.time_base = Fraction(1, self._rate_hz)
        describe_track(stream, source)
        self._stream = stream
        self.codec_name = _NAMES[encoder]
        self._length = round((span.end_s - span.zero_s) * self._rate_hz)
        self._written = 0
        self._next: int | None = None

    @property
    def method(self) -> str:
        """The encoding."""
        return f"re-encoded ({_NAMES[self._encoder]})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be decoded."""
        return undecodable(self._errors, "audio")

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Take a packet of the source, and give what is ready for the clip."""
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self._errors += 1
            return
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            yield from self._take(frame)
            if self._written >= self._length:
                self.done = True
                return

    def follow(self, source: AudioStream, span: Span) -> None:
        """Go on with another source, whose sound follows in the same track."""
        self.index, self.done, self._span, self._next = source.index, False, span, None
        self._length = round((span.end_s - span.zero_s) * self._rate_hz)
        self._resampler = self._new_resampler()

    def finish(self) -> Iterator[AnyPacket]:
        """Give what is left, when the source has no more packets for the track."""
        if self._written:
            yield from self._stream.encode(None)

    def _take(self, frame: AudioFrame) -> Iterator[AnyPacket]:
        if frame.pts is not None and frame.time_base is not None:
            at = round((frame.pts * frame.time_base - self._span.zero_s) * self._rate_hz)
            if self._next is None or abs(at - self._next) > _TOLERANCE_S * self._rate_hz:
                self._next = at
                self._resampler = self._new_resampler()
        if self._next is None:
            return
        frame.pts = None
        try:
            pieces = self._resampler.resample(frame)
        except (av.error.FFmpegError, ValueError):
            # The layout or rate changed on the way.
            self._resampler = self._new_resampler()
            pieces = self._resampler.resample(frame)
        for piece in pieces:
            samples: _Samples = piece.to_ndarray().astype(np.float32, copy=False)
            yield from self._place(samples, self._next)
            self._next += samples.shape[1]

    def _place(self, samples: _Samples, at: int) -> Iterator[AnyPacket]:
        gap = at - self._written
        if gap > 0:
            gap = min(gap, self._length - self._written)
            yield from self._encode(np.zeros((self._channels, gap), np.float32))
        yield from self._encode(samples[:, max(0, self._written - at) : self._length - at])

    def _encode(self, samples: _Samples) -> Iterator[AnyPacket]:
        if not samples.shape[1]:
            return
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate, frame.time_base, frame.pts = self._rate_hz, Fraction(1, self._rate_hz), self._written
        self._written += samples.shape[1]
        self.start_s = self._span.start_s
        self.end_s = self._span.zero_s + Fraction(self._written, self._rate_hz)
        yield from self._stream.encode(frame)

    def _new_resampler(self) -> AudioResampler:
        return AudioResampler(format="fltp", layout=self._layout, rate=self._rate_hz)
