"""What is left out when a machine cannot keep up with its live streams, in which order, and when it comes back."""

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Overload", "Saving"]

_BEHIND_SLICES = 4
_BEHIND_S = 3.0
_CALM_S = 20.0


class Saving(IntEnum):
    """How much is left out; each level adds to the one before.

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

    A stream is behind when, for three seconds on end, at least four slices waited, or when slices were dropped: a burst
    that is worked off is no overload. Each level is given as long to show its effect, and is taken back after twenty
    seconds in which the stream was not behind.

    >>> overload = Overload()
    >>> [overload.note(waiting=8, dropped=0, now_s=second).name for second in range(8)]
    ['NOTHING', 'NOTHING', 'NOTHING', 'HALF', 'HALF', 'HALF', 'QUARTER', 'QUARTER']
    """

    saving: Saving = Saving.NOTHING
    _dropped: int = 0
    _fine_at_s: float | None = None
    _behind_at_s: float | None = None

    def note(self, waiting: int, dropped: int, now_s: float) -> Saving:
        """Take how many slices wait, and how many were dropped since the beginning, and return what to leave out.

        Called about as often as slices are taken; `now_s` is a clock that never goes back.
        """
        if self._fine_at_s is None or self._behind_at_s is None:
            self._fine_at_s = self._behind_at_s = now_s
        behind = waiting >= _BEHIND_SLICES or dropped > self._dropped
        self._dropped = dropped
        if behind:
            self._behind_at_s = now_s
            if now_s - self._fine_at_s >= _BEHIND_S:
                self._step(+1, now_s)
        else:
            self._fine_at_s = now_s
            if now_s - self._behind_at_s >= _CALM_S:
                self._step(-1, now_s)
        return self.saving

    def _step(self, by: int, now_s: float) -> None:
        self.saving = Saving(min(max(self.saving + by, Saving.NOTHING), Saving.KEYFRAMES))
        self._fine_at_s = self._behind_at_s = now_s
