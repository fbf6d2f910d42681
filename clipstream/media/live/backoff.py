"""When to try again: at once at first, patiently later, and never all streams in step."""

import random

__all__ = ["Backoff"]

_FIRST_S, _LONGEST_S = 1.0, 30.0
_SLOWING_SHARE = 1 / 40
_RUN_S = 5.0


class Backoff:
    """Waiting times between connections.

    The first is a second at most, and so are those in the first forty seconds of an outage, since most are short and a
    refused connection costs nothing; then they grow with it, to a fortieth of how long it has lasted, thirty seconds
    at most. Each is shortened by a random half at most, so that streams of one server do not come back in step.

    After the first, whoever is not let in waits for the longest: cameras lock a user out who tries too often.

    Args:
        seed: Where the randomness begins; any by default.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - spreads attempts, and keeps no secret
        self._down_since_s: float | None = None

    def wait_s(self, now_s: float, ran_s: float, *, refused: bool = False) -> float:
        """Return how long to wait, after a connection that ran for so long, or 0 seconds if it was never made.

        Args:
            now_s: Monotonic time.
            ran_s: How long it ran.
            refused: Whether user or password were wrong.
        """
        if ran_s >= _RUN_S or self._down_since_s is None:
            self._down_since_s, longest_s = now_s, _FIRST_S
        elif refused:
            longest_s = _LONGEST_S
        else:
            longest_s = min(max(_FIRST_S, (now_s - self._down_since_s) * _SLOWING_SHARE), _LONGEST_S)
        return longest_s * self._random.uniform(0.5, 1.0)
