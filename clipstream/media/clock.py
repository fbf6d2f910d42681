"""PTS to media time in integers: exact, and cheap enough for every frame."""

import math
from fractions import Fraction

__all__ = ["TrackClock"]


class TrackClock:
    """Counts units of `1 / rate_hz` seconds of media time along a track.

    Args:
        time_base: Seconds in one unit of the track's PTS.
        origin_s: The PTS, in seconds, of media time 0.
        rate_hz: Units a second.
    """

    def __init__(self, time_base: Fraction, origin_s: Fraction, rate_hz: Fraction | int = 1) -> None:
        step, offset = time_base * rate_hz, origin_s * rate_hz
        self.denominator = math.lcm(step.denominator, offset.denominator)
        self._step = int(step * self.denominator)
        self._offset = int(offset * self.denominator)

    def numerator(self, pts: int) -> int:
        """Return the units up to `pts`, times `denominator`."""
        return pts * self._step - self._offset

    def floor(self, pts: int) -> int:
        """Return the whole units up to `pts`."""
        return self.numerator(pts) // self.denominator

    def exact(self, pts: int) -> Fraction:
        """Return the units up to `pts`."""
        return Fraction(self.numerator(pts), self.denominator)

    def approximate(self, pts: int) -> float:
        """Return the units up to `pts`, rounded once to a float."""
        return self.numerator(pts) / self.denominator

    def pts(self, units: Fraction | int) -> int:
        """Return the last PTS at or before `units`."""
        return math.floor((units * self.denominator + self._offset) / Fraction(self._step))
