"""Decoding times and the order of frames: where copied packets can end without leaving one out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from clipstream.media.cut.source import AnyPacket

__all__ = ["Dated", "Dater", "clean_break", "decoding_times", "settled"]


@dataclass(frozen=True, slots=True)
class Dated:
    """A packet of the source with both its times, in ticks of its stream."""

    packet: AnyPacket
    pts: int
    dts: int


class Dater:
    """Gives decoding times to packets that lack them, as those after a seek in Matroska do.

    The first packets wait for the first time that is known, and are spaced evenly before it.
    """

    def __init__(self, frame_ticks: int) -> None:
        self._frame_ticks = max(1, frame_ticks)
        self._waiting: list[AnyPacket] = []
        self._last: int | None = None

    def date(self, packet: AnyPacket) -> list[Dated]:
        """Take a packet and give all whose times are known."""
        if packet.dts is None:
            if self._last is None:
                self._waiting.append(packet)
                return []
            return [self._dated(packet, self._last + 1)]
        count = len(self._waiting)
        early = [
            self._dated(waiting, packet.dts - (count - number) * self._frame_ticks)
            for number, waiting in enumerate(self._waiting)
        ]
        self._waiting.clear()
        return [*early, self._dated(packet, packet.dts)]

    def rest(self) -> list[Dated]:
        """Give the packets for which no time came: they are decoded in order of presentation."""
        rest = [self._dated(packet, packet.pts or 0) for packet in self._waiting]
        self._waiting.clear()
        return rest

    def _dated(self, packet: AnyPacket, dts: int) -> Dated:
        self._last = dts
        return Dated(packet, packet.pts if packet.pts is not None else dts, dts)


def clean_break(pts: Sequence[int], end: int) -> int:
    """Return how many packets, from the first in order of decoding, can be kept for a cut at `end`.

    It is the longest run in which all frames come before `end` and before every frame that is not in it.

    >>> clean_break([0, 4, 2, 1, 3, 8, 6, 5, 7], 8)
    5
    >>> clean_break([0, 4, 2, 1, 3, 8, 6, 5, 7], 4)
    1
    """
    latest = list(accumulate(pts, max))
    earliest_after = [*list(accumulate(reversed(pts), min))[-2::-1], end]
    return max((n + 1 for n in range(len(pts)) if latest[n] < min(end, earliest_after[n])), default=0)


def settled(pts: Sequence[int], dts: int) -> int:
    """Return how many packets form a run that no packet decoded at or after `dts` can come before.

    >>> settled([0, 4, 2, 1, 3], 1)
    1
    >>> settled([0, 4, 2, 1, 3], 4)
    5
    """
    return clean_break(pts, dts + 1)


def decoding_times(dts: Sequence[int], pts: Sequence[int]) -> list[int]:
    """Choose decoding times for frames coded in order of presentation, among those of the frames they replace.

    Each frame takes the latest that is left and not after its PTS, from the last frame to the first. There is always
    one: no frame is shown before it is decoded, so the i-th smallest decoding time of a set of frames never comes after
    its i-th smallest PTS. Fewer times are given only where frames are not of the set.

    >>> decoding_times([-2, -1, 0, 1], [0, 1, 2, 3])
    [-2, -1, 0, 1]
    """
    left, chosen = sorted(dts), list[int]()
    for shown in reversed(pts):
        while left and left[-1] > shown:
            left.pop()
        if left:
            chosen.append(left.pop())
    return chosen[::-1]
