"""What is left out when a machine cannot keep up with its live streams, in which order, and when it comes back."""

import math
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Overload", "Shedding"]

_BEHIND_SLICES = 4
_BEHIND_S = 3.0
_CALM_S = 20.0


class Shedding(IntEnum):
    """How much load is shed: what is left out of the analysis; each level adds to the one before.

    Attributes:
        NOTHING: Everything is looked at.
        HALF: Half of the pictures are looked at.
        QUARTER: A quarter of them.
        LIGHT: And features that run models are left out.
        KEYFRAMES: And keyframes alone are decoded.
    """

    NOTHING = 0
    HALF = 1
    QUARTER = 2
    LIGHT = 3
    KEYFRAMES = 4

    @property
    def divisor(self) -> int:
        """One in so many pictures is looked at."""
        return (1, 2, 4, 4, 4)[self]


@dataclass(slots=True)
class Overload:
    """Watches how many slices of a stream wait to be analysed.

    A stream is behind while at least four slices waited all through the time of a burst, and when slices were dropped.
    A burst is what the source may deliver at once, nothing for a camera: what is worked off until the next one comes is
    no overload. Three seconds behind, on end, lead to the next level; twenty, and a burst, not behind lead to the one
    before. What waits is counted afresh at each level.

    >>> overload = Overload()
    >>> [overload.note(waiting=8, dropped=0, now_s=second).name for second in range(8)]
    ['NOTHING', 'NOTHING', 'NOTHING', 'HALF', 'HALF', 'HALF', 'QUARTER', 'QUARTER']
    """

    shedding: Shedding = Shedding.NOTHING
    _dropped: int = 0
    _fine_at_s: float | None = None
    _behind_at_s: float | None = None
    _few_at_s: float = 0.0

    def note(self, waiting: int, dropped: int, now_s: float, burst_s: float = 0.0) -> Shedding:
        """Take how a stream is doing, and return what to leave out. Called about as often as slices are taken.

        Args:
            waiting: Slices that wait.
            dropped: Slices that were dropped since the beginning.
            now_s: The time, of a clock that never goes back.
            burst_s: How much may come at once.
        """
        if self._fine_at_s is None or self._behind_at_s is None:
            self._fine_at_s = self._behind_at_s = self._few_at_s = now_s
        if dropped > self._dropped:
            self._few_at_s = -math.inf
        elif waiting < _BEHIND_SLICES:
            self._few_at_s = now_s
        self._dropped = dropped
        if now_s - self._few_at_s > burst_s:
            self._behind_at_s = now_s
            if now_s - self._fine_at_s >= _BEHIND_S:
                self._step(+1, now_s)
                self._few_at_s = now_s
        else:
            self._fine_at_s = now_s
            if now_s - self._behind_at_s >= _CALM_S + burst_s:
                self._step(-1, now_s)
        return self.shedding

    def _step(self, by: int, now_s: float) -> None:
        self.shedding = Shedding(min(max(self.shedding + by, Shedding.NOTHING), Shedding.KEYFRAMES))
        self._fine_at_s = self._behind_at_s = now_s
