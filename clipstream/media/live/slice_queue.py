"""Slices between the thread that reads a live stream and the dataflow that takes them."""

from collections import deque
from collections.abc import Callable, Iterable
from fractions import Fraction
from threading import Condition

from clipstream.media.slices import Slice, StreamEnd
from clipstream.timing import slice_at

__all__ = ["SliceQueue"]


class SliceQueue:
    """Hands on slices, numbered without a gap, and drops the oldest where they are not taken in time.

    What is missing, because nothing came or because it was dropped, is given out as empty slices when it is taken.

    Args:
        stream: The stream's name.
        start: Number of the first slice.
        capacity: Most slices that wait.

    Attributes:
        capacity: The same; it may be changed at any time, and what waits already stays.
        dropped: Slices thrown away because there was no room.
        late: Slices thrown away because their number had been given out, or had come, already.
    """

    def __init__(self, stream: str, start: int, capacity: int) -> None:
        self._stream, self.capacity = stream, capacity
        self._changed = Condition()
        self._waiting: deque[Slice] = deque()
        self._put = self._given = start
        self._missing: Callable[[], Fraction] | None = None
        self._end: StreamEnd | None = None
        self._over = self._ended = False
        self.dropped = self.late = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next(self) -> int:
        """Number of the slice that is given out next."""
        return self._given

    def put(self, slices: Iterable[Slice], *, wait: bool) -> None:
        """Add slices, in order.

        Args:
            slices: The slices.
            wait: Wait for room instead of making it; for media that can wait.
        """
        with self._changed:
            for item in slices:
                if item.n < max(self._put, self._given) or self._end is not None:
                    self.late += 1
                    continue
                if wait:
                    self._changed.wait_for(lambda: self._over or len(self._waiting) < self.capacity)
                elif len(self._waiting) >= self.capacity:
                    self._waiting.popleft()
                    self.dropped += 1
                self._put = item.n + 1
                self._waiting.append(item)

    def take(self, limit: int) -> list[Slice]:
        """Return the next slices, `limit` at most, perhaps none. Never waits."""
        taken: list[Slice] = []
        with self._changed:
            while len(taken) < limit:
                item = self._next()
                if item is None:
                    break
                taken.append(item)
            self._changed.notify_all()
        return taken

    def pass_time(self, now_s: Callable[[], Fraction]) -> None:
        """Give out empty slices from now on, up to what is the time, until something comes."""
        with self._changed:
            self._missing = now_s

    def stop_passing(self) -> int:
        """Let the number of the next slice stay, and return it."""
        with self._changed:
            self._missing = None
            return max(self._put, self._given)

    def release(self) -> None:
        """Let no one wait for room any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def finish(self, end: StreamEnd) -> None:
        """Let an end slice follow what is waiting. Nothing can be added after that."""
        with self._changed:
            self._missing, self._end, self._over = None, self._end or end, True

    def _next(self) -> Slice | None:
        if self._waiting and self._waiting[0].n == self._given:
            self._given += 1
            return self._waiting.popleft()
        missing = self._missing
        if self._waiting or (missing is not None and self._given < slice_at(missing())):
            self._given += 1
            return Slice(self._stream, self._given - 1)
        if self._end is None or self._ended:
            return None
        self._ended = True
        return Slice(self._stream, max(self._put, self._given), end=self._end)
