"""Sound, copied packet by packet, and exact to the sample where the container can say so."""

import contextlib
import math
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import av.container
from av.audio.stream import AudioStream
from av.packet import PacketSideData

from clipstream.media.cut.containers import Carrier
from clipstream.media.cut.copying import add_copied_stream, copy_packet
from clipstream.media.cut.priming import primed
from clipstream.media.cut.source import AnyPacket, Source, Span, time_base
from clipstream.media.cut.tracks import Track, describe_track

__all__ = ["CopyAudio", "copy_audio", "first_packets"]

_PRE_ROLL_S = {"aac": Fraction(1, 20), "mp3": Fraction(1, 10), "mp2": Fraction(1, 20), "opus": Fraction(4, 25)}
"""How long a decoder has to run before its sound is right; other codecs: one packet. RFC 7845, 4.6 asks for 80 ms of
Opus at least; after twice that the rest of the wrong start is below what coding itself adds."""
_READ_BEFORE_S = Fraction(1, 4)
_READ_AFTER_S = 1
_ROUNDING_S = Fraction(1, 1000)


def copy_audio(
    container: av.container.OutputContainer, source: AudioStream, span: Span, kind: Carrier, first: AnyPacket | None
) -> "CopyAudio":
    """Add a track that copies a track of sound.

    Where the container can hide what comes before 0, it starts with the packet `first`, as `first_packets` finds it.

    Raises:
        ValueError: The container cannot carry it.
    """
    hides, discard, template = kind.edit_list and first is not None, None, None
    if kind.codec_delay and first is not None and not _pcm_bytes(source):
        with contextlib.suppress(ValueError):
            template = primed(source, _unheard(source, span, first), first)
    if template is not None:
        try:
            stream = add_copied_stream(container, template.stream, template.extradata)
        finally:
            template.close()
        stream.time_base = time_base(source)
        describe_track(stream, source)
        hides, discard = True, template.discard
    else:
        stream = add_copied_stream(container, source)
    return CopyAudio(stream, source, span, first=first.pts if hides and first is not None else None, discard=discard)


def first_packets(source: Source, streams: Iterable[AudioStream], start_s: Fraction) -> Mapping[int, AnyPacket]:
    """Return, by number of the track, the packet with which decoding starts for sound that is right at `start_s`.

    It is the first of what can be hidden before; tracks that have none there, or end before, are left out.
    """
    before: dict[int, deque[AnyPacket]] = {stream.index: deque() for stream in streams}
    bases = {stream.index: time_base(stream) for stream in source.audio}
    waiting = set(before)
    read = [source.container.streams[number] for number in before]
    for packet in source.packets([*read, *([source.video] if source.video else [])], start_s - _READ_BEFORE_S):
        number, base = packet.stream_index, time_base(packet.stream)
        if not waiting or (packet.dts or packet.pts or 0) * base > start_s + _READ_AFTER_S:
            break
        if packet.pts is None or number not in waiting:
            continue
        if packet.pts * base < start_s or not before[number]:
            before[number].append(packet)
        if (packet.pts + (packet.duration or 0)) * base > start_s:
            waiting.discard(number)
    found = {}
    for number, packets in before.items():
        if number in waiting and all(packet.duration for packet in packets):
            continue  # it ends before
        stream = source.container.streams[number]
        settles = start_s - _PRE_ROLL_S.get(stream.codec_context.codec.canonical_name, Fraction(0))
        while len(packets) > 1 and (packets[1].pts or 0) * bases[number] < settles:
            packets.popleft()
        if packets:
            found[number] = packets[0]
    return found


class CopyAudio(Track):
    """A track of sound, copied by packets.

    From the packet at PTS `first` on, where there is one: those before the clip are hidden by negative times, and the
    last packet is told shorter, so the sound is exact. Otherwise it starts with the first packet that begins inside the
    clip. `discard` is side data in which to say what of the last packet is not heard.

    Attributes:
        stream: The track of the clip.
    """

    def __init__(
        self,
        stream: AudioStream,
        source: AudioStream,
        span: Span,
        *,
        first: int | None = None,
        discard: PacketSideData | None = None,
    ) -> None:
        super().__init__(source.index)
        self.stream, self._discard = stream, discard
        self._base = time_base(source)
        self._rate_hz = source.codec_context.sample_rate
        self._start, self._end = (math.ceil(at_s / self._base) for at_s in (span.start_s, span.end_s))
        self._zero = round(span.zero_s / self._base)
        self._hides = first is not None
        self._from = self._start if first is None else first
        self._pcm_bytes = _pcm_bytes(source)
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
        elif self._pcm_bytes:
            if end > self._start:
                yield from self._cut_pcm(packet, end)
        elif packet.pts >= self._from:
            yield from self._placed(packet)

    def finish(self) -> Iterator[AnyPacket]:
        """Give nothing: every packet was given when it came."""
        if self._first is not None:
            self.start_s, self.end_s = max(self._first, self._start) * self._base, self._last_end * self._base
        yield from ()

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
        copy = copy_packet(packet, data)
        self.damaged += packet.is_corrupt
        if self._hides and pts + duration > self._end:
            if self._discard:
                unheard = round((pts + duration - self._end) * self._base * self._rate_hz)
                self._discard.update(struct.pack("<IIBB", 0, _skipped(packet)[1] + unheard, 0, 0))
                copy.set_sidedata(self._discard)
            duration = self._end - pts
        copy.pts = copy.dts = pts - self._zero
        copy.duration, copy.time_base, copy.stream = duration, self._base, self.stream
        self._first = pts if self._first is None else self._first
        self._last_end = pts + duration
        yield copy


def _unheard(source: AudioStream, span: Span, first: AnyPacket) -> int:
    """Return how many samples come before the clip, if it starts with a packet."""
    rate_hz = source.codec_context.sample_rate
    samples = max(0, round((span.start_s - (first.pts or 0) * time_base(source)) * rate_hz))
    skipped, _ = _skipped(first)
    # The source says it more exactly than its rounded times do.
    return skipped if abs(skipped - samples) <= _ROUNDING_S * rate_hz else samples


def _skipped(packet: AnyPacket) -> tuple[int, int]:
    """Return how many samples of a packet are not heard, at its start and at its end."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    start, end = struct.unpack("<II", bytes(packet.get_sidedata("skip_samples"))[:8])
    return start, end


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
