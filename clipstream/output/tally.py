"""How many clips there are, are to come, and could not be cut, of each stream of a run."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from threading import Lock

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
    """Counts the clips of all streams. Its methods are called from any thread, and name a highlight by its number."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pending: defaultdict[str, set[int]] = defaultdict(set)
        self._written: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    def found(self, stream: str, *numbers: int) -> None:
        """Take note of highlights whose clips are to be cut."""
        with self._lock:
            self._pending[stream].update(numbers)

    def written(self, stream: str, number: int) -> None:
        """Take note that a clip is on disk."""
        self._settle(stream, number, self._written)

    def failed(self, stream: str, number: int) -> None:
        """Take note that there will be no clip."""
        self._settle(stream, number, self._failed)

    def counts(self, stream: str) -> ClipCounts:
        """Return the counts of a stream as they are now."""
        with self._lock:
            pending = len(self._pending.get(stream, ()))
            return ClipCounts(self._written[stream], pending, self._failed[stream])

    def _settle(self, stream: str, number: int, settled: Counter[str]) -> None:
        with self._lock:
            self._pending[stream].discard(number)
            settled[stream] += 1
