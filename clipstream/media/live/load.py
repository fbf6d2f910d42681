"""Whether a thread keeps up with what its stream sends."""

__all__ = ["Load"]

_BEHIND_S = 3.0
_CAUGHT_UP_S = 0.5
_SPAN_S = 1.0
_BUSY_SHARE = 0.8


class Load:
    """Tells a reader that is too slow from a source that is: only the first never has to wait.

    Attributes:
        behind: Whether what is read came seconds ago, and the reader was busy all the time since.
    """

    def __init__(self) -> None:
        self.behind = False
        self._waited_s = 0.0
        self._since_s: float | None = None

    def note(self, late_s: float, waited_s: float, at_s: float) -> None:
        """Note a packet.

        Args:
            late_s: How much later than its time it is read.
            waited_s: How long it was waited for.
            at_s: The time, monotonic.
        """
        if self._since_s is None:
            self._since_s = at_s
        self._waited_s += waited_s
        if late_s < _CAUGHT_UP_S:
            self.behind = False
        span_s = at_s - self._since_s
        if span_s >= _SPAN_S:
            busy = self._waited_s < (1 - _BUSY_SHARE) * span_s
            self.behind = busy and (self.behind or late_s > _BEHIND_S)
            self._since_s, self._waited_s = at_s, 0.0
