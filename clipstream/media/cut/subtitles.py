"""Subtitles that show inside a clip, their times cut to it, and converted where the container wants other text."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import av
import av.container
import av.error
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from clipstream.media.cut.copying import copy_packet
from clipstream.media.cut.source import AnyPacket, Source, Span, time_base
from clipstream.media.cut.tracks import Track, describe_track, undecodable

__all__ = ["ConvertSubtitles", "CopySubtitles", "early_subtitles"]

_LONGEST_S = 10
"""How long before the clip a text that still shows in it may have begun."""
_TEXT = frozenset({"ass", "mov_text", "srt", "ssa", "subrip", "text", "webvtt"})


def early_subtitles(source: Source, start_s: Fraction) -> Mapping[int, Sequence[AnyPacket]]:
    """Return, by number of the track, packets of subtitles that begin before an instant and still show at it."""
    streams = [stream for stream in source.container.streams.subtitles if stream.codec_context is not None]
    found: dict[int, list[AnyPacket]] = {stream.index: [] for stream in streams}
    if not streams:
        return found
    clock = [source.video] if source.video else []
    for packet in source.packets([*streams, *clock], start_s - _LONGEST_S):
        if (packet.dts if packet.dts is not None else packet.pts or 0) * packet.time_base >= start_s:
            break
        if packet.stream_index in found and packet.pts is not None:
            end_s = (packet.pts + (packet.duration or 0)) * packet.time_base
            if end_s > start_s > packet.pts * packet.time_base:
                found[packet.stream_index].append(packet)
    return found


class CopySubtitles(Track):
    """Subtitles, copied. `early` are those that begin before the clip and show in it."""

    def __init__(self, stream: Stream, source: Stream, span: Span, early: Sequence[AnyPacket] = ()) -> None:
        super().__init__(source.index)
        self._stream, self._early = stream, early
        self._base = time_base(source)
        self._start, self._end = round(span.start_s / self._base), round(span.end_s / self._base)

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Take a packet of the source, and give it if it shows in the clip."""
        yield from self._earlier()
        if packet.pts is None or packet.pts < self._start:
            return
        if packet.pts >= self._end:
            self.done = True
            return
        yield from self._placed(packet)

    def finish(self) -> Iterator[AnyPacket]:
        """Give those that began before the clip, if nothing came after them."""
        yield from self._earlier()

    def _earlier(self) -> Iterator[AnyPacket]:
        early, self._early = self._early, ()
        for packet in early:
            yield from self._placed(packet)

    def _placed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        assert packet.pts is not None
        copy = self._made(packet)
        if copy is None:
            return
        end = min(self._end, packet.pts + packet.duration) if packet.duration else self._end
        start = max(self._start, packet.pts)
        copy.pts = copy.dts = start - self._start
        copy.duration = end - start if packet.duration else 0
        copy.time_base, copy.stream = self._base, self._stream
        self.start_s = self.start_s if self.start_s is not None else start * self._base
        self.end_s = end * self._base
        yield copy

    def _made(self, packet: AnyPacket) -> AnyPacket | None:
        return copy_packet(packet)


class ConvertSubtitles(CopySubtitles):
    """Subtitles in text, written in the way that the container wants.

    Raises:
        ValueError: They are pictures, or nothing here decodes them.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        source: SubtitleStream,
        span: Span,
        early: Sequence[AnyPacket],
        *,
        encoder: str,
    ) -> None:
        self._decoder, self._encoder = source.codec_context, encoder
        if self._decoder is None or self._decoder.codec.canonical_name not in _TEXT:
            raise ValueError("only text is converted")
        stream = container.add_stream(encoder)
        assert isinstance(stream, SubtitleStream)
        self._decoder.open(strict=False)
        stream.codec_context.subtitle_header = self._decoder.subtitle_header
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.time_base = time_base(source)
        describe_track(stream, source)
        super().__init__(stream, source, span, early)
        self._writer = stream.codec_context
        self._errors = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """From what to what, and what could not be."""
        converted = f"track {self.index} (subtitle, {self._decoder.name}) converted to {self._encoder}"
        return (converted, *undecodable(self._errors, "subtitle"))

    def _made(self, packet: AnyPacket) -> AnyPacket | None:
        try:
            decoded = self._decoder.decode2(packet)
            return self._writer.encode_subtitle(decoded) if decoded is not None else None
        except av.error.FFmpegError:
            self._errors += 1
            return None
