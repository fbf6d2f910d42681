"""Decoding times and the order of frames: where copied packets can end without leaving one out."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from av.packet import Packet
from av.stream import Stream

__all__ = ["AnyPacket", "Dated", "Dater", "clean_break", "decoding_times", "settled"]

if TYPE_CHECKING:
    AnyPacket: TypeAlias = Packet[Stream]
else:
    AnyPacket = Packet  # generic for the type checker alone

_DEEPEST_REORDERING = 16
"""Frames that a decoder may hold back: no standard here allows more."""


@dataclass(frozen=True, slots=True)
class Dated:
    """A packet with the times it has in the source, in ticks of its stream."""

    packet: AnyPacket
    pts: int
    dts: int


class Dater:
    """Gives decoding times to the packets of a video track.

    Matroska stores none, and what is guessed for it is wrong where the reordering changes on the way, as at the seams
    of a clip. There the i-th packet is given the (i - n)-th smallest PTS, n being the depth of the reordering: `depth`,
    or that of the first packets if it is greater, which wait until that is known.
    """

    def __init__(self, frame_ticks: int, *, stored: bool, depth: int = 0) -> None:
        self._frame_ticks, self._stored, self._depth = max(1, frame_ticks), stored, depth
        self._waiting: list[AnyPacket] = []
        self._held: list[int] | None = None

    def date(self, packet: AnyPacket) -> list[AnyPacket]:
        """Take a packet and give all whose times are known."""
        if packet.pts is None:
            packet.pts = packet.dts
        if self._stored and packet.dts is not None:
            return [*self.rest(), packet]
        if self._held is not None:
            return [self._dated(packet, self._held)]
        self._waiting.append(packet)
        return self.rest() if len(self._waiting) > 2 * _DEEPEST_REORDERING else []

    def rest(self) -> list[AnyPacket]:
        """Give the packets that still wait."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        shown = [packet.pts or 0 for packet in waiting]
        seen = max(sum(earlier > pts for earlier in shown[:number]) for number, pts in enumerate(shown))
        depth = max(seen, self._depth)
        first = min(shown)
        self._held = [first - (depth - number) * self._frame_ticks for number in range(depth)]
        return [self._dated(packet, self._held) for packet in waiting]

    @staticmethod
    def _dated(packet: AnyPacket, held: list[int]) -> AnyPacket:
        packet.dts = heapq.heappushpop(held, packet.pts or 0)
        return packet


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
