"""Pictures, copied where they can be, and encoded again from the cut to the next keyframe and at the very end."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import cast

import av
import av.error
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from clipstream.media.cut.copying import copy_packet
from clipstream.media.cut.damage import Damage
from clipstream.media.cut.edges import Edge, EdgeRun, Edges, UnfaithfulError
from clipstream.media.cut.source import AnyPacket, Span, drain, time_base
from clipstream.media.cut.survey import Survey, is_shown
from clipstream.media.cut.timeline import Dated, clean_break, decoding_times, settled
from clipstream.media.cut.tracks import Track, plural

__all__ = ["SmartVideo"]

_SKIPPING = frozenset({"h264", "mpeg2video", "mpeg4"})
"""Codecs whose frames before the cut are decoded only if others are decoded from them. In HEVC, what is no reference in
its own temporal layer may be one in the next."""


_MOST_PASSED = 2
_OPEN = "its keyframes are not such that copying could start with one: what follows may refer back past it"


class _Phase(Enum):
    BEFORE = auto()
    HEAD = auto()
    LEADING = auto()
    COPY = auto()


class SmartVideo(Track):
    """The video track: a head encoded again, the middle copied, a tail of the few frames that a copy cannot end with.

    `follows` says that other packets come before in the same stream, `copies` whether any may be copied at all.

    Raises:
        UnfaithfulError: From any method: the seam cannot be made; the clip has to be encoded whole.
    """

    def __init__(
        self,
        stream: VideoStream,
        source: VideoStream,
        span: Span,
        found: Survey,
        edges: Edges | None,
        *,
        edit_list: bool,
        follows: bool = False,
        copies: bool = True,
    ) -> None:
        super().__init__(source.index)
        self._edges, self._found, self._edit_list = edges, found, edit_list
        self._base = time_base(source)
        _, self._end, self._zero = span.ticks(source)
        self._phase = _Phase.BEFORE
        self._decoder = source.codec_context
        self._codec = source.codec_context.codec.canonical_name
        self._head: EdgeRun | None = None
        self._replaced: list[int] = []
        self._pending: list[Dated] = []
        self._groups: list[list[Dated]] = []
        self._last_dts: int | None = None
        self._seam_pts: int | None = None
        self._following: int | None = None
        self._encoded = self._unusable = 0
        self._damage = Damage(source)
        self._stream, self._follows, self._copies = stream, follows, copies

    @property
    def method(self) -> str:
        """How many frames were copied."""
        if not self._encoded:
            return "copied without loss"
        if not self.copied:
            return f"re-encoded at the edges' quality ({plural(self.frames, 'frame')} inside one group of pictures)"
        return f"copied without loss but for {self._encoded} of {self.frames} frames at the cuts"

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Take a packet of the source, and give what is ready for the clip."""
        assert packet.pts is not None
        assert packet.dts is not None
        yield from self._take(Dated(packet, packet.pts, packet.dts))

    def finish(self) -> Iterator[AnyPacket]:
        """Give the tail."""
        if self._phase is _Phase.HEAD:
            if self._unusable:
                raise UnfaithfulError(_OPEN)
            self._decode_head(None)
            yield from self._write_head()
        elif self._phase is _Phase.LEADING:
            yield from self._end_head()
        if self._phase is _Phase.COPY:
            yield from self._end_copy()
        if self._following is not None and self.end_s is not None:
            # Durations of packets are steps of decoding times: with uneven spacing the last frame's is another's.
            self.end_s = min(self._following, self._end) * self._base
            self.hidden_from_s = self.end_s if self._edit_list else None

    def _take(self, item: Dated) -> Iterator[AnyPacket]:
        if self.done:
            return
        if self._phase is _Phase.BEFORE:
            if not (item.packet.is_keyframe and item.pts == self._found.anchor):
                return
            self._phase = _Phase.HEAD
        if item.pts >= self._end:
            self._following = min(item.pts, self._following if self._following is not None else item.pts)
        if item.dts >= self._end:
            self.done = True
            return
        if self._phase is _Phase.HEAD:
            self._take_head(item)
        elif self._phase is _Phase.LEADING:
            yield from self._take_leading(item)
        else:
            yield from self._take_copy(item)

    def _take_head(self, item: Dated) -> None:
        is_key = item.packet.is_keyframe
        if is_key and self._edges:
            self._edges.learn(bytes(item.packet))
        seam = self._copies and is_key and self._found.first <= item.pts < self._end
        if seam and self._edges and not self._edges.is_seam(bytes(item.packet)):
            seam = False
            self._unusable += 1
            if self._unusable > _MOST_PASSED:
                raise UnfaithfulError(_OPEN)
        if seam and item.pts == self._found.first:
            self._start_copy(item, item.dts, after_edge=self._follows)
            return
        self._replaced.append(item.dts)
        if seam:
            self._seam_pts = item.pts
        self._decode_head(item.packet)
        if seam:
            self._phase = _Phase.LEADING
            self._pending = [item]

    def _take_leading(self, item: Dated) -> Iterator[AnyPacket]:
        if item.pts < self._pending[0].pts:
            self._replaced.append(item.dts)
            self._decode_head(item.packet)
            return
        yield from self._end_head()
        yield from self._take_copy(item)

    def _end_head(self) -> Iterator[AnyPacket]:
        seam = self._pending.pop()
        self._decode_head(None)
        yield from self._write_head()
        self._start_copy(seam, max(self._replaced), after_edge=True)

    def _decode_head(self, packet: AnyPacket | None) -> None:
        if packet is not None:
            assert isinstance(packet.stream, VideoStream)
            self._decoder = packet.stream.codec_context
        end = self._end if self._seam_pts is None else self._seam_pts
        for frame in self._decode(packet, self._found.first):
            if frame.pts is not None and self._found.first <= frame.pts < end:
                self._head = self._head or self._need_edges().start()
                self._head.add(frame)

    def _write_head(self) -> Iterator[AnyPacket]:
        """Write the head; its frames and the keyframe after them share out the decoding times they had."""
        if self._head is None:
            raise UnfaithfulError("its first frames cannot be decoded")
        edges = self._head.end()
        if edges[0].pts != self._found.first:
            raise UnfaithfulError("its first frame cannot be decoded")
        pts = [edge.pts for edge in edges]
        if self._phase is _Phase.LEADING:
            pts.append(cast("int", self._seam_pts))
        yield from self._write_edge(edges, decoding_times(self._replaced, pts))

    def _start_copy(self, seam: Dated, dts: int, *, after_edge: bool) -> None:
        packet = seam.packet
        if self._edges is not None:
            data = self._edges.at_seam(bytes(packet)) if after_edge else self._edges.at_start(bytes(packet))
            packet = copy_packet(packet, data)
        self._phase = _Phase.COPY
        self._seam_pts = seam.pts
        self._pending = [Dated(packet, seam.pts, dts)]
        self._groups = [[seam]]

    def _take_copy(self, item: Dated) -> Iterator[AnyPacket]:
        if self._seam_pts is not None and item.pts < self._seam_pts:
            return
        if item.packet.is_discard and item.pts < self._end:
            raise UnfaithfulError("the source hides some of its frames")
        if item.packet.is_keyframe:
            # Leading pictures of a keyframe are decoded from the one before.
            self._groups = [*self._groups[-1:], []]
        self._groups[-1].append(item)
        self._pending.append(item)
        ready = min(
            settled([waiting.pts for waiting in self._pending], item.dts),
            clean_break([waiting.pts for waiting in self._pending], self._end),
        )
        yield from self._copy(ready)

    def _end_copy(self) -> Iterator[AnyPacket]:
        yield from self._copy(clean_break([item.pts for item in self._pending], self._end))
        wanted = sorted(item.pts for item in self._pending if item.pts < self._end)
        if not wanted:
            return
        group = self._groups[-1]
        if wanted[0] < group[0].pts:
            group = [*self._groups[0], *group]
        if self._edges:
            self._edges.learn(bytes(group[0].packet))
        tail = self._need_edges().start()
        self._decoder.flush_buffers()
        for packet in [*(item.packet for item in group), None]:
            for frame in self._decode(packet, wanted[0]):
                if frame.pts is not None and wanted[0] <= frame.pts < self._end:
                    tail.add(frame)
        edges = tail.end()
        if [edge.pts for edge in edges] != wanted:
            raise UnfaithfulError("its last frames cannot be decoded by themselves")
        yield from self._write_edge(edges, sorted(item.dts for item in self._pending))

    def _copy(self, count: int) -> Iterator[AnyPacket]:
        for item in self._pending[:count]:
            self.damaged += self._damage.is_in(item.packet)
            if is_shown(self._codec, item.packet):
                self.copied += 1
                self.frames += 1
            yield self._placed(copy_packet(item.packet), item.pts, item.dts, item.packet.duration or 0)
        del self._pending[:count]

    def _decode(self, packet: AnyPacket | None, first: int) -> Iterable[VideoFrame]:
        if packet is None:
            return drain(self._decoder)
        if self._codec in _SKIPPING:
            early = packet.pts is not None and packet.pts < first
            self._decoder.skip_frame = "NONREF" if early else "DEFAULT"
        try:
            return cast("Iterable[VideoFrame]", packet.decode())
        except av.error.FFmpegError as error:
            raise UnfaithfulError("frames at the cut cannot be decoded") from error

    def _need_edges(self) -> Edges:
        if self._edges is None:
            raise UnfaithfulError(f"nothing here encodes {self._codec} again")
        return self._edges

    def _write_edge(self, edges: Sequence[Edge], times: Sequence[int]) -> Iterator[AnyPacket]:
        if len(times) < len(edges):
            raise UnfaithfulError("its frames are stored in an order that is not understood")
        for edge, dts in zip(edges, times, strict=False):
            self._encoded += 1
            self.frames += 1
            yield self._placed(_packet(edge), edge.pts, dts, edge.duration)

    def _placed(self, packet: AnyPacket, pts: int, dts: int, duration: int) -> AnyPacket:
        if dts > pts or (self._last_dts is not None and dts <= self._last_dts):
            raise UnfaithfulError("its decoding times are not in order")
        self._last_dts = dts
        self.start_s = self._found.first * self._base
        end_s = (pts + duration) * self._base
        self.end_s = max(end_s, self.end_s if self.end_s is not None else end_s)
        packet.pts, packet.dts, packet.duration = pts - self._zero, dts - self._zero, duration
        packet.time_base, packet.stream = self._base, self._stream
        return packet


def _packet(edge: Edge) -> AnyPacket:
    packet: AnyPacket = av.Packet(edge.data)
    packet.is_keyframe = edge.is_keyframe
    return packet
