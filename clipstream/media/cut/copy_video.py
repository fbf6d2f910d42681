"""Pictures copied as they are, from the keyframe at or before the cut."""

from collections.abc import Iterator

from av.video.stream import VideoStream

from clipstream.media.cut.copying import copy_packet
from clipstream.media.cut.damage import Damage
from clipstream.media.cut.edges import UnfaithfulError
from clipstream.media.cut.source import AnyPacket, Span, time_base
from clipstream.media.cut.survey import Survey, is_shown
from clipstream.media.cut.timeline import Dated
from clipstream.media.cut.tracks import Track, plural

__all__ = ["CopyVideo"]


class CopyVideo(Track):
    """The video track, no frame of it encoded again.

    Frames before the cut come along because others are decoded from them, and so do a few after it. Where the container
    has edit lists they are hidden, for players that honour these; elsewhere the clip starts with the keyframe.
    """

    def __init__(
        self,
        stream: VideoStream,
        source: VideoStream,
        span: Span,
        found: Survey,
        *,
        edit_list: bool,
    ) -> None:
        super().__init__(source.index)
        self._edit_list, self._anchor = edit_list, found.anchor
        self._base = time_base(source)
        self._codec = source.codec_context.codec.canonical_name
        _, self._end, self._zero = span.ticks(source)
        self._next, self._asked_end = found.end, self._end if found.end is None else found.end
        self._stream = stream
        self._first = found.first
        self._pending: list[Dated] = []
        self._started = False
        self._damage = Damage(source)
        self._before = self._after = 0

    @property
    def method(self) -> str:
        """That nothing was encoded."""
        return "copied from the keyframe before the cut"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is in the file but not in the clip."""
        notes = []
        if self._before and not self._edit_list:
            notes.append(f"starts {plural(self._before, 'frame')} early, at a keyframe: its container cannot hide them")
        elif self._before:
            notes.append(f"{plural(self._before, 'frame')} before the cut hidden by an edit list")
        if self._after and not self._edit_list:
            notes.append(f"ends {plural(self._after, 'frame')} late: others are decoded from them")
        elif self._after:
            notes.append(f"{plural(self._after, 'frame')} after the cut hidden by an edit list")
        return tuple(notes)

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Take a packet of the source, and give what is ready for the clip."""
        assert packet.pts is not None
        assert packet.dts is not None
        yield from self._take(Dated(packet, packet.pts, packet.dts))

    def finish(self) -> Iterator[AnyPacket]:
        """Give nothing more: what is held comes after the cut, and nothing in the clip is decoded from it."""
        if self._next is not None and self.end_s is not None:
            self.end_s = self._end * self._base
        if self._after and self._edit_list:
            self.hidden_from_s = self.end_s
        yield from ()

    def _take(self, item: Dated) -> Iterator[AnyPacket]:
        self._started = self._started or (item.packet.is_keyframe and item.pts == self._anchor)
        if not self._started or item.pts < self._anchor or self.done:
            return
        if item.dts >= self._end:
            self.done = True
            return
        self._pending.append(item)
        if item.pts < self._end:
            for ready in self._pending:
                yield self._placed(ready)
            self._pending.clear()

    def _placed(self, item: Dated) -> AnyPacket:
        if item.dts > item.pts:
            raise UnfaithfulError("its decoding times are not in order")
        copy = copy_packet(item.packet)
        copy.pts, copy.dts, copy.duration = item.pts - self._zero, item.dts - self._zero, item.packet.duration or 0
        copy.time_base, copy.stream = self._base, self._stream
        self.damaged += self._damage.is_in(item.packet)
        if is_shown(self._codec, item.packet):
            self._count(item)
        return copy

    def _count(self, item: Dated) -> None:
        before, after = item.pts < self._first, item.pts >= self._asked_end
        self._before += before
        self._after += after
        if not (before or after) or not self._edit_list:
            self.copied = self.frames = self.frames + 1
            start_s, end_s = item.pts * self._base, (item.pts + (item.packet.duration or 0)) * self._base
            self.start_s = min(start_s, self.start_s if self.start_s is not None else start_s)
            self.end_s = max(end_s, self.end_s or end_s)
