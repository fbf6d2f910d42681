"""What became of each stream of a run so far: clips that are there, are to come or failed, and features that failed."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from threading import Lock

from clipstream.failures import Failure, add_failures
from clipstream.results import Row

__all__ = ["ClipCounts", "ClipTally"]


@dataclass(frozen=True, slots=True)
class ClipCounts:
    """What became of the highlights that were found in a stream since the process started.

    Attributes:
        written: Those whose clips are on disk, be it since before an interruption.
        pending: Those whose clips are not yet.
        failed: Those whose clips could not be cut.
    """

    written: int = 0
    pending: int = 0
    failed: int = 0


class ClipTally:
    """Counts the clips of all streams, and where a feature failed them, since the process started.

    Its methods are called from any thread, and name a highlight by its number.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._pending: defaultdict[str, set[int]] = defaultdict(set)
        self._written: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._slices: Counter[str] = Counter()
        self._failures: dict[str, tuple[Failure, ...]] = {}

    def found(self, stream: str, *numbers: int) -> None:
        """Take note of highlights whose clips are to be cut."""
        with self._lock:
            self._pending[stream].update(numbers)

    def written(self, stream: str, number: int) -> None:
        """Take note that a clip is on disk, and announced where that was asked."""
        self._settle(stream, number, self._written)

    def failed(self, stream: str, number: int) -> None:
        """Take note that there will be no clip, or that it could not be announced in this run."""
        self._settle(stream, number, self._failed)

    def measured(self, row: Row) -> None:
        """Take note of what the features and their followers said of a slice."""
        with self._lock:
            self._slices[row.stream] += 1
            if row.failures:
                self._failures[row.stream] = add_failures(self._failures.get(row.stream, ()), row.failures)

    def failures(self, stream: str) -> tuple[tuple[Failure, ...], int]:
        """Return the features that failed a stream so far, and how many of its slices were measured by then."""
        with self._lock:
            return self._failures.get(stream, ()), self._slices[stream]

    def counts(self, stream: str) -> ClipCounts:
        """Return the counts of a stream as they are now."""
        with self._lock:
            pending = len(self._pending.get(stream, ()))
            return ClipCounts(self._written[stream], pending, self._failed[stream])

    def _settle(self, stream: str, number: int, settled: Counter[str]) -> None:
        with self._lock:
            self._pending[stream].discard(number)
            settled[stream] += 1
