"""Where a span begins in a video track, found by reading packets and decoding nothing."""

import math
from dataclasses import dataclass
from fractions import Fraction

from clipstream.media.cut.source import AnyPacket, Source, time_base

__all__ = ["Survey", "copied_end", "is_shown", "survey", "survey_end"]

_REORDERING_S = 1
"""A first keyframe is decoded this long before it is shown, at most: seeking still earlier finds nothing more."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies around the start of a span. PTS are in ticks of the video track.

    Attributes:
        first: PTS of the first frame at or after the start.
        anchor: PTS of the keyframe from which that frame can be decoded.
        read_from_s: Where to seek so that the anchor is read.
        end: PTS of the first frame after the span, if there is one soon.
    """

    first: int
    anchor: int
    read_from_s: Fraction
    end: int | None = None


def survey(source: Source, start_s: Fraction, end_s: Fraction) -> Survey | None:
    """Find the first frame in `[start_s, end_s)` and the keyframe before it; `None` where there is no frame.

    A seek may land after the keyframe that is needed (containers seek by DTS), or in the middle of a group of pictures
    (MPEG-TS), so it is repeated from further back until a keyframe at or before the start was read:
    only then can no frame have been missed.
    """
    stream = source.video
    assert stream is not None, "only video is surveyed"
    base = time_base(stream)
    start, end = math.ceil(start_s / base), math.ceil(end_s / base)
    back_s = Fraction(0)
    while True:
        read_from_s = start_s - back_s
        first, keyframes = _read(source, read_from_s, start, end)
        anchors = [pts for pts in keyframes if first is not None and pts <= first]
        if keyframes and keyframes[0] <= start:
            return None if first is None else Survey(first, anchors[-1], read_from_s)
        if read_from_s < source.origin_s - _REORDERING_S:
            if first is None or not keyframes:
                return None
            return Survey(first, [keyframes[0], *anchors][-1], read_from_s)
        back_s = max(2 * back_s, Fraction(1))


def survey_end(source: Source, end_s: Fraction) -> Survey | None:
    """Find the first frame at or after the end of a span, soon after it; `None` where there is none."""
    return survey(source, end_s, end_s + _REORDERING_S)


def copied_end(source: Source, after: Survey) -> int:
    """Return where a copy ends that has all frames before `after.first` and no gap: PTS of the first it does not need.

    Frames before the end may be decoded from others after it; a copy without a gap has all that are shown before those.
    """
    assert source.video is not None
    limit = after.first + round(_REORDERING_S / time_base(source.video))
    shown: list[int] = []
    for packet in source.packets([source.video], after.read_from_s):
        assert packet.pts is not None
        assert packet.dts is not None
        shown.append(packet.pts)
        if packet.dts > limit:
            break
    end = after.first
    while True:
        needed = max(number for number, pts in enumerate(shown) if pts < end) + 1 if min(shown) < end else 0
        latest = max(shown[:needed], default=end - 1)
        if latest < end:
            return end
        end = min((pts for pts in shown if pts > latest), default=latest + 1)


def is_shown(codec: str, packet: AnyPacket) -> bool:
    """Whether a packet holds a frame that is shown: VP8 stores its alternate reference frames as packets (RFC 6386)."""
    return not packet.is_discard and not (codec == "vp8" and packet.size and not bytes(packet)[0] & 0x10)


def _read(source: Source, from_s: Fraction, start: int, end: int) -> tuple[int | None, list[int]]:
    """Return the PTS of the first frame in `[start, end)`, and of the keyframes read up to it."""
    stream = source.video
    assert stream is not None
    codec = stream.codec_context.codec.canonical_name
    first: int | None = None
    keyframes: list[int] = []
    for packet in source.packets([stream], from_s):
        pts, dts = packet.pts, packet.dts
        assert pts is not None
        assert dts is not None
        # Decoding times rise, and no frame is shown before it is decoded: nothing earlier can follow.
        if dts >= end or (first is not None and dts > first):
            break
        if packet.is_keyframe:
            keyframes.append(pts)
        if start <= pts < end and (first is None or pts < first) and is_shown(codec, packet):
            first = pts
    return first, keyframes
