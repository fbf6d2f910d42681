"""Watchers of a run: one that writes down what ends, and one that interrupts the run."""

import signal
from fractions import Fraction
from pathlib import Path
from threading import Event

from clipstream import Interval, Outcome

__all__ = ["Impatient", "Notes"]


class Notes:
    """Writes down what ends."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def started(self, stream: str, duration_s: Fraction | None) -> None: ...

    def progressed(self, stream: str, media_s: Fraction) -> None: ...

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None: ...

    def finished(self, outcome: Outcome) -> None:
        self.ended.append((outcome.stream, outcome.state))


class Impatient(Notes):
    """Interrupts the run when five seconds of a stream are read: not before another has ended, if one is named."""

    def __init__(self, stream: str, after: str | None = None) -> None:
        super().__init__()
        self._stream, self._after, self._may = stream, after, Event()

    def progressed(self, stream: str, media_s: Fraction) -> None:
        if stream == self._stream and media_s == 5:
            assert self._after is None or self._may.wait(20)
            signal.raise_signal(signal.SIGTERM)

    def finished(self, outcome: Outcome) -> None:
        super().finished(outcome)
        if outcome.stream == self._after:
            self._may.set()
