"""Tracks whose packets are copied: sound, subtitles, covers."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TypeVar

import av
import av.container
from av.audio.stream import AudioStream
from av.stream import Stream

from clipstream.media.cut.source import AnyPacket, Span, time_base
from clipstream.media.cut.tracks import Track

__all__ = ["CopyAudio", "CopyOnce", "CopySubtitles", "add_copied_stream", "copy_packet"]

_StreamT = TypeVar("_StreamT", bound=Stream)

_PRE_ROLL_S = {"aac": Fraction(1, 20), "mp3": Fraction(1, 10), "mp2": Fraction(1, 20), "opus": Fraction(2, 25)}
"""How long a decoder has to run before its sound is right; other codecs: one packet (RFC 7845, 4.6: 80 ms for Opus)."""


def add_copied_stream(
    container: av.container.OutputContainer,
    source: _StreamT,
    extradata: bytes | None = None,
    hevc_tag: str | None = None,
) -> _StreamT:
    """Add a stream to a clip that takes packets of the source.

    `extradata` replaces the source's; `hevc_tag` is what the container calls HEVC.

    Raises:
        ValueError: The container cannot carry it.
    """
    stream = container.add_stream_from_template(source, opaque=True)
    if extradata is not None:
        stream.codec_context.extradata = extradata
    if hevc_tag is not None and source.codec_context.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = hevc_tag
    stream.time_base = time_base(source)
    stream.metadata.update(source.metadata)
    stream.disposition = source.disposition
    return stream


def copy_packet(packet: AnyPacket, data: bytes | None = None) -> AnyPacket:
    """Return a packet of its own with the same payload, or with `data`, and the same flags and side data."""
    copy: AnyPacket = av.Packet(bytes(packet) if data is None else data)
    copy.is_keyframe = packet.is_keyframe
    for item in packet.iter_sidedata():
        copy.set_sidedata(item)
    return copy


class CopyAudio(Track):
    """A track of sound, copied by packets.

    Where the container has edit lists, the packet that holds the cut and what its decoder needs before it come along,
    hidden by negative times, and the last packet is told shorter: the sound is exact. Elsewhere it starts with the
    first packet that begins inside the clip.
    """

    def __init__(self, stream: AudioStream, source: AudioStream, span: Span, *, edit_list: bool) -> None:
        super().__init__(source.index)
        self._edit_list = edit_list
        self._codec = source.codec_context.codec.canonical_name
        self._stream = stream
        self._base = time_base(source)
        self._start, self._end = (math.ceil(at_s / self._base) for at_s in (span.start_s, span.end_s))
        self._zero = round(span.zero_s / self._base)
        self._pre_roll = _PRE_ROLL_S.get(self._codec, Fraction(0)) / self._base
        self._pcm_bytes = _pcm_bytes(source)
        self._before: list[AnyPacket] = []
        self._last_dts: int | None = None
        self._first: int | None = None
        self._last_end = 0

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Take a packet of the source, and give what is ready for the clip."""
        if packet.pts is None:
            return
        end = packet.pts + (packet.duration or 0)
        if packet.pts >= self._end:
            self.done = True
        elif end <= self._start:
            self._keep_before(packet)
        elif self._pcm_bytes:
            yield from self._cut_pcm(packet, end)
        elif packet.pts >= self._start or self._edit_list:
            if self._edit_list:
                for earlier in self._before:
                    yield from self._placed(earlier)
            self._before.clear()
            yield from self._placed(packet)

    def finish(self) -> Iterator[AnyPacket]:
        """Give nothing: every packet was given when it came."""
        if self._first is not None:
            self.start_s, self.end_s = max(self._first, self._start) * self._base, self._last_end * self._base
        yield from ()

    def _keep_before(self, packet: AnyPacket) -> None:
        self._before.append(packet)
        while len(self._before) > 1 and (self._before[1].pts or 0) < self._start - self._pre_roll:
            del self._before[0]

    def _cut_pcm(self, packet: AnyPacket, end: int) -> Iterator[AnyPacket]:
        assert packet.pts is not None
        samples = packet.size // self._pcm_bytes
        rate = Fraction(samples, end - packet.pts)
        first = max(0, round((self._start - packet.pts) * rate))
        last = min(samples, round((self._end - packet.pts) * rate))
        if last > first:
            data = bytes(packet)[first * self._pcm_bytes : last * self._pcm_bytes]
            yield from self._placed(packet, data, packet.pts + round(first / rate), round((last - first) / rate))

    def _placed(
        self, packet: AnyPacket, data: bytes | None = None, at: int | None = None, length: int | None = None
    ) -> Iterator[AnyPacket]:
        pts = packet.pts if at is None else at
        assert pts is not None
        duration = (packet.duration or 0) if length is None else length
        if self._last_dts is not None and pts <= self._last_dts:
            return
        self._last_dts = pts
        if self._edit_list and pts + duration > self._end:
            duration = self._end - pts
        copy = copy_packet(packet, data)
        copy.pts = copy.dts = pts - self._zero
        copy.duration, copy.time_base, copy.stream = duration, self._base, self._stream
        self._first = pts if self._first is None else self._first
        self._last_end = pts + duration
        yield copy


class CopySubtitles(Track):
    """Subtitles that show inside the clip, their times cut to it."""

    def __init__(self, stream: Stream, source: Stream, span: Span) -> None:
        super().__init__(source.index)
        self._stream = stream
        self._base = time_base(source)
        self._start, self._end = round(span.start_s / self._base), round(span.end_s / self._base)

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Take a packet of the source, and give it if it shows in the clip."""
        if packet.pts is None:
            return
        if packet.pts >= self._end:
            self.done = True
            return
        end = min(self._end, packet.pts + (packet.duration or 0)) if packet.duration else self._end
        start = max(self._start, packet.pts)
        if end <= start or (not packet.duration and packet.pts < self._start):
            return
        copy = copy_packet(packet)
        copy.pts = copy.dts = start - self._start
        copy.duration = end - start if packet.duration else 0
        copy.time_base, copy.stream = self._base, self._stream
        self.start_s = self.start_s if self.start_s is not None else start * self._base
        self.end_s = end * self._base
        yield copy

    def finish(self) -> Iterator[AnyPacket]:
        """Give nothing: every packet was given when it came."""
        yield from ()


class CopyOnce(Track):
    """A cover: a picture without a time."""

    def __init__(self, stream: Stream, source: Stream) -> None:
        super().__init__(source.index)
        self._stream = stream

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Give the first packet."""
        copy = copy_packet(packet)
        copy.pts = copy.dts = 0
        copy.time_base, copy.stream = time_base(packet.stream), self._stream
        self.done = True
        yield copy

    def finish(self) -> Iterator[AnyPacket]:
        """Give nothing: there is one packet."""
        yield from ()


def _pcm_bytes(source: AudioStream) -> int:
    """Return the bytes of one sample of all channels, 0 where packets are no plain samples."""
    context = source.codec_context
    name = context.codec.canonical_name
    if not name.startswith("pcm_"):
        return 0
    if name in {"pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8"}:
        return context.channels
    bits = next((int(bits) for bits in ("16", "24", "32", "64") if bits in name), 0)
    return context.channels * bits // 8
