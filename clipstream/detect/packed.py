"""An append-only table of numbers that is cheap to keep, to read as an array, and to snapshot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["EMPTY", "PackedState", "PackedTable"]

_BLOCK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class PackedState:
    """Snapshot of a `PackedTable`: blocks of rows that never change again, and the rows after them."""

    blocks: tuple[bytes, ...] = ()
    rest: bytes = b""


EMPTY = PackedState()


class PackedTable:
    """Rows of `columns` float32 numbers.

    >>> table = PackedTable(2)
    >>> table.append([1.0, 2.0])
    >>> table.array()
    array([[1., 2.]], dtype=float32)
    """

    def __init__(self, columns: int, state: PackedState | None = None) -> None:
        state = state or PackedState()
        self._columns = columns
        self._blocks = list(state.blocks)
        before = b"".join((*state.blocks, state.rest))
        self._length = len(before) // (4 * columns) if columns else 0
        self._data = np.empty((max(2 * self._length, _BLOCK_ROWS), columns), np.float32)
        self._data[: self._length] = np.frombuffer(before, np.float32).reshape(self._length, columns)

    def __len__(self) -> int:
        return self._length

    def append(self, row: bytes | list[float] | NDArray[np.float64]) -> None:
        """Add a row, given as numbers or as their float32 bytes."""
        if self._length == len(self._data):
            self._data = np.concatenate((self._data, np.empty_like(self._data)))
        self._data[self._length] = np.frombuffer(row, np.float32) if isinstance(row, bytes) else row
        self._length += 1

    def array(self) -> NDArray[np.float32]:
        """Return all rows, (T, columns); a view that must not be written to."""
        return self._data[: self._length]

    def state(self) -> PackedState:
        """Return an immutable copy; full blocks are shared with earlier ones."""
        while (len(self._blocks) + 1) * _BLOCK_ROWS <= self._length:
            first = len(self._blocks) * _BLOCK_ROWS
            self._blocks.append(self._data[first : first + _BLOCK_ROWS].tobytes())
        rest = self._data[len(self._blocks) * _BLOCK_ROWS : self._length].tobytes()
        return PackedState(tuple(self._blocks), rest)
