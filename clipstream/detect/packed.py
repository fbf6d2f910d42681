"""A table of numbers that grows at its end, may forget its beginning, and is cheap to keep, to read and to snapshot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["BLOCK_ROWS", "EMPTY", "PackedState", "PackedTable"]

BLOCK_ROWS = 64
"""What is not in a block yet is in every snapshot, 32 rows on average."""


@dataclass(frozen=True, slots=True)
class PackedState:
    """Snapshot of a `PackedTable`: the rows it forgot, blocks that never change again, and the rows after them."""

    blocks: tuple[bytes, ...] = ()
    rest: bytes = b""
    forgotten: int = 0


EMPTY = PackedState()


class PackedTable:
    """Rows of `columns` numbers, float32 unless said otherwise.

    >>> table = PackedTable(2)
    >>> table.append([1.0, 2.0])
    >>> table.array()
    array([[1., 2.]], dtype=float32)

    Attributes:
        first: Number of the first row that is kept; those before are forgotten.
    """

    def __init__(self, columns: int, state: PackedState | None = None, dtype: DTypeLike = np.float32) -> None:
        state = state or EMPTY
        self.first = state.forgotten
        self._dtype = np.dtype(dtype)
        self._blocks = list(state.blocks)
        before = b"".join((*state.blocks, state.rest))
        self._kept = len(before) // (self._dtype.itemsize * columns) if columns else 0
        self._data = np.empty((max(2 * self._kept, BLOCK_ROWS), columns), self._dtype)
        self._data[: self._kept] = np.frombuffer(before, self._dtype).reshape(self._kept, columns)

    def __len__(self) -> int:
        """Return how many rows there were, forgotten ones too."""
        return self.first + self._kept

    def append(self, row: bytes | list[float] | NDArray[np.float64]) -> None:
        """Add a row, given as numbers or as their bytes."""
        if self._kept == len(self._data):
            self._data = np.concatenate((self._data, np.empty_like(self._data)))
        self._data[self._kept] = np.frombuffer(row, self._dtype) if isinstance(row, bytes) else row
        self._kept += 1

    def array(self) -> NDArray[np.float32]:
        """Return the rows that are kept, (T, columns); a view that must not be written to."""
        return self._data[: self._kept]

    def forget(self, before: int) -> None:
        """Forget rows before number `before`, as far as whole blocks of them are there to be forgotten."""
        blocks = (min(before, len(self)) - self.first) // BLOCK_ROWS
        if blocks > 0:
            self.state()  # makes the blocks
            del self._blocks[:blocks]
            rows = blocks * BLOCK_ROWS
            self._data = self._data[rows:].copy()
            self.first += rows
            self._kept -= rows

    def skip_to(self, number: int) -> None:
        """Forget everything; the next row has this number."""
        self.first, self._kept = number, 0
        self._blocks.clear()

    def state(self) -> PackedState:
        """Return an immutable copy; full blocks are shared with earlier ones."""
        while (len(self._blocks) + 1) * BLOCK_ROWS <= self._kept:
            first = len(self._blocks) * BLOCK_ROWS
            self._blocks.append(self._data[first : first + BLOCK_ROWS].tobytes())
        rest = self._data[len(self._blocks) * BLOCK_ROWS : self._kept].tobytes()
        return PackedState(tuple(self._blocks), rest, self.first)
