"""Overlapping windows over the rows of one stream, put together from panes.

A pane is as long as the greatest common divisor of window length and hop, so every window is a whole number of panes
and a row is added to one running aggregate instead of to every window that covers it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipstream.results import Row, Window
from clipstream.timing import SLICE_S, slice_start

__all__ = ["Pane", "WindowGrid", "Windows", "WindowsState"]


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Length and hop of the windows, counted in slices.

    >>> grid = WindowGrid.of_seconds(5, 3)
    >>> grid.spans(slices=22)  # 11 seconds
    [(0, 10), (6, 16), (12, 22)]
    >>> grid.spans(slices=23)  # half a second more starts a last, short window
    [(0, 10), (6, 16), (12, 22), (18, 23)]
    """

    length: int
    hop: int

    @classmethod
    def of_seconds(cls, window_s: float, hop_s: float) -> "WindowGrid":
        """Return the grid for a length and a hop in seconds, both multiples of half a second."""
        return cls(round(window_s / SLICE_S), round(hop_s / SLICE_S))

    @property
    def pane(self) -> int:
        """Slices in a pane."""
        return math.gcd(self.length, self.hop)

    def spans(self, slices: int) -> list[tuple[int, int]]:
        """Return the first and the past-the-end slice of every window of a stream that has ended.

        The tail is kept: the last window ends with the stream, and it starts only if the one before it did not already
        reach that far.
        """
        spans: list[tuple[int, int]] = []
        start = 0
        while start < slices and not (spans and spans[-1][1] >= slices):
            spans.append((start, min(start + self.length, slices)))
            start += self.hop
        return spans


@dataclass(frozen=True, slots=True)
class Pane:
    """Running aggregate of a pane's rows; immutable, so that a snapshot may share it.

    Attributes:
        sums: (S,) float64 bytes, sum of each signal where it is present.
        counts: (S,) int64 bytes, rows in which it is present.
        peaks: (S,) float64 bytes, largest value, -inf where it never is.
        frames: Video frames decoded.
    """

    sums: bytes
    counts: bytes
    peaks: bytes
    frames: int


@dataclass(frozen=True, slots=True)
class WindowsState:
    """Snapshot of `Windows`: the next window, the slices seen, and the open panes by number."""

    k: int = 0
    seen: int = 0
    panes: tuple[tuple[int, Pane], ...] = ()


class Windows:
    """Turns the rows of one stream into windows, each given out with the first row past its end.

    Rows come in order of `n`. A row that is older than one already seen is a replay and is ignored. A live stream may
    leave rows out; windows without any are not given out.
    """

    def __init__(self, grid: WindowGrid, signals: int, state: WindowsState | None = None) -> None:
        state = state or WindowsState()
        self._grid, self._signals = grid, signals
        self._k, self._seen = state.k, state.seen
        self._panes = dict(state.panes)

    def push(self, row: Row) -> list[Window]:
        """Add a row and return the windows that are complete; an end row returns the tail."""
        if row.end is not None:
            return self._tail()
        if row.n < self._seen:
            return []
        complete = self._close(until=row.n)
        self._seen = row.n + 1
        number = row.n // self._grid.pane
        self._panes[number] = _added(self._panes.get(number), row, self._signals)
        return complete

    def state(self) -> WindowsState:
        """Return a copy of the state, to go on from later."""
        return WindowsState(self._k, self._seen, tuple(sorted(self._panes.items())))

    def _close(self, until: int) -> list[Window]:
        complete = []
        while self._k * self._grid.hop + self._grid.length <= until:
            if not self._panes:  # a gap: on to the first window that may hold the next row
                self._k = max((until - self._grid.length) // self._grid.hop + 1, self._k)
                break
            complete.append(self._window(self._k * self._grid.hop + self._grid.length))
            self._k += 1
            self._forget()
        return complete

    def _tail(self) -> list[Window]:
        tail = self._close(until=self._seen)
        start = self._k * self._grid.hop
        covered = self._k > 0 and start - self._grid.hop + self._grid.length >= self._seen
        if start < self._seen and not covered:
            tail.append(self._window(self._seen))
        return tail

    def _window(self, end: int) -> Window:
        start = self._k * self._grid.hop
        pane = self._grid.pane
        inside = [self._panes[j] for j in range(start // pane, -(-end // pane)) if j in self._panes]
        sums = np.zeros(self._signals)
        counts = np.zeros(self._signals)
        peaks = np.full(self._signals, -np.inf)
        for part in inside:
            sums += np.frombuffer(part.sums)
            counts += np.frombuffer(part.counts, np.int64)
            peaks = np.maximum(peaks, np.frombuffer(part.peaks))
        present = counts > 0
        means = np.where(present, sums / np.maximum(counts, 1), np.nan)
        return Window(
            k=self._k,
            start_s=slice_start(start),
            end_s=slice_start(end),
            means=tuple(means.tolist()),
            peaks=tuple(np.where(present, peaks, np.nan).tolist()),
            frames=sum(part.frames for part in inside),
        )

    def _forget(self) -> None:
        first = self._k * self._grid.hop // self._grid.pane
        for number in [number for number in self._panes if number < first]:
            del self._panes[number]


def _added(pane: Pane | None, row: Row, signals: int) -> Pane:
    values: NDArray[np.float64] = np.frombuffer(row.values, np.float32).astype(np.float64)
    present = ~np.isnan(values)
    sums = np.where(present, values, 0.0)
    counts = present.astype(np.int64)
    peaks = np.where(present, values, -np.inf)
    frames = row.frames
    if pane is not None:
        sums = sums + np.frombuffer(pane.sums)
        counts = counts + np.frombuffer(pane.counts, np.int64)
        peaks = np.maximum(peaks, np.frombuffer(pane.peaks))
        frames += pane.frames
    assert len(values) == signals
    return Pane(sums.tobytes(), counts.tobytes(), peaks.tobytes(), frames)
