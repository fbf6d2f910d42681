"""What of a recording must stay, whatever its limits: spans of stream time that somebody still needs."""

from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from threading import Lock

__all__ = ["NEEDED_AFTER_S", "NEEDED_BEFORE_S", "Holds"]

NEEDED_BEFORE_S = Fraction(1, 2)
"""How much sound before a clip its decoder may need to settle, and how far tracks are interleaved."""
NEEDED_AFTER_S = Fraction(1, 2)
"""How long after a clip the next frame tells when its last one ends."""


class Holds:
    """Spans that are held, each until it is let go. Safe to use from several threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[object, tuple[Fraction, Fraction | None]] = {}
        self._merged = True
        self._starts_s: list[Fraction] = []
        self._ends_s: list[Fraction | None] = []

    def add(self, start_s: Fraction, end_s: Fraction | None = None) -> Callable[[], None]:
        """Hold what a clip of a span needs, everything from its start on without an end; return what lets it go."""
        span = (start_s - NEEDED_BEFORE_S, None if end_s is None else end_s + NEEDED_AFTER_S)
        holder = object()
        with self._lock:
            self._held[holder] = span
            self._merged = False

        def release() -> None:
            with self._lock:
                if self._held.pop(holder, None) is not None:
                    self._merged = False

        return release

    def unless_held(self, start_s: Fraction, end_s: Fraction, let_go: Callable[[], None]) -> bool:
        """Let go of what lies between two instants if none of it is held, and say whether that was done.

        Nobody can begin to hold it meanwhile.
        """
        with self._lock:
            held = self._touch(start_s, end_s)
            if not held:
                let_go()
        return not held

    def touch(self, start_s: Fraction, end_s: Fraction) -> bool:
        """Say whether something between two instants is held."""
        with self._lock:
            return self._touch(start_s, end_s)

    def _touch(self, start_s: Fraction, end_s: Fraction) -> bool:
        if not self._merged:  # now and not with every hold: a day of recording may be held segment by segment
            self._merge()
            self._merged = True
        place = bisect_left(self._starts_s, end_s) - 1
        if place < 0:
            return False
        until_s = self._ends_s[place]
        return until_s is None or start_s <= until_s

    def _merge(self) -> None:
        """Make one of all that overlap: there may be thousands when nothing could be written for days."""
        self._starts_s, self._ends_s = [], []
        for start_s, end_s in sorted(self._held.values(), key=lambda span: span[0]):
            if self._ends_s and ((last_s := self._ends_s[-1]) is None or start_s <= last_s):
                self._ends_s[-1] = None if last_s is None or end_s is None else max(last_s, end_s)
            else:
                self._starts_s.append(start_s)
                self._ends_s.append(end_s)
