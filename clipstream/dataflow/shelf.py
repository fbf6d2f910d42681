"""What of a detector's state never changes again, in files beside the recovery store instead of in every snapshot.

A snapshot is written twice a second. Of a camera it would be 65 KB, nearly all of it the same as before.
"""

import pickle
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex

import structlog

from clipstream.detect.packed import BLOCK_ROWS, PackedState
from clipstream.detect.state import DetectorState
from clipstream.errors import OutputError
from clipstream.report.files import write_atomically

__all__ = ["Shelf", "ShelvedState"]

_UNTIL_COMMITTED_S = 60.0
"""For so long a snapshot that still refers to a file may be the one to go on from."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Filed:
    """A piece that is in a file."""

    name: str
    checksum: int


_Piece = bytes | _Filed


@dataclass(frozen=True, slots=True)
class ShelvedState:
    """Snapshot of a detector without what is on the shelf, and where that is.

    Attributes:
        label: What the names of the stream's files begin with.
        state: The rest.
        rows: The blocks of that table.
        windows: Likewise.
        judged: Likewise.
        intervals: The highlights that were given out.
    """

    label: str
    state: DetectorState
    rows: tuple[_Piece, ...]
    windows: tuple[_Piece, ...]
    judged: tuple[_Piece, ...]
    intervals: _Piece


class Shelf:
    """Holds the blocks of one live stream's tables, and the highlights it gave out.

    A piece that cannot be written stays in the snapshot. If one cannot be read again, the stream's past is forgotten,
    and it warms up anew.

    Args:
        folder: Where; made if needed. The files of many streams may lie there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._label = token_hex(8)
        self._pieces: dict[tuple[str, int], tuple[bytes, _Piece]] = {}
        self._dropped: deque[tuple[float, Path]] = deque()

    def shelve(self, state: DetectorState) -> ShelvedState:
        """Return a snapshot of a state; what is new of its blocks is written first."""
        before, self._pieces = self._pieces, {}
        known = before.get(("intervals", state.numbered))

        def put(kind: str, number: int, data: bytes) -> _Piece:
            old, piece = before.pop((kind, number), (None, data))
            if old is not data or isinstance(piece, bytes):
                piece = self._written(f"{self._label}-{kind}-{number}", data)
            self._pieces[kind, number] = data, piece
            return piece

        def blocks(kind: str, table: PackedState) -> tuple[_Piece, ...]:
            return tuple(put(kind, first, block) for first, block in _numbered(table))

        shelved = ShelvedState(
            self._label,
            replace(
                state,
                rows=replace(state.rows, blocks=()),
                windows=replace(state.windows, blocks=()),
                judged=replace(state.judged, blocks=()),
                intervals=(),
            ),
            blocks("rows", state.rows),
            blocks("windows", state.windows),
            blocks("judged", state.judged),
            put("intervals", state.numbered, known[0] if known else pickle.dumps(state.intervals)),
        )
        self._drop(piece for _, piece in before.values())
        return shelved

    def unshelve(self, shelved: ShelvedState) -> DetectorState:
        """Return the state of a snapshot, and go on with its files."""
        state, self._label = shelved.state, shelved.label
        try:
            given = self._read(shelved.intervals)
            state = replace(
                state,
                rows=replace(state.rows, blocks=tuple(map(self._read, shelved.rows))),
                windows=replace(state.windows, blocks=tuple(map(self._read, shelved.windows))),
                judged=replace(state.judged, blocks=tuple(map(self._read, shelved.judged))),
                intervals=pickle.loads(given),  # noqa: S301 - as Bytewax does with snapshots
            )
        except OSError as error:
            _log.warning("past_forgotten", folder=str(self._folder), error=str(error), next="warming up anew")
            return DetectorState(errors=state.errors, numbered=state.numbered, live=state.live, failures=state.failures)
        tables = {"rows": state.rows, "windows": state.windows, "judged": state.judged}
        for kind, table in tables.items():
            pieces: tuple[_Piece, ...] = getattr(shelved, kind)
            for (first, block), piece in zip(_numbered(table), pieces, strict=True):
                self._pieces[kind, first] = block, piece
        self._pieces["intervals", state.numbered] = given, shelved.intervals
        used = {piece.name for _, piece in self._pieces.values() if isinstance(piece, _Filed)}
        for path in self._folder.glob(f"{self._label}-*"):
            if path.name not in used:
                path.unlink(missing_ok=True)
        return state

    def _written(self, name: str, data: bytes) -> _Piece:
        try:
            with write_atomically(self._folder / name) as temporary:
                temporary.write_bytes(data)
        except OutputError:
            return data
        return _Filed(name, zlib.crc32(data))

    def _read(self, piece: _Piece) -> bytes:
        if isinstance(piece, bytes):
            return piece
        data = (self._folder / piece.name).read_bytes()
        if zlib.crc32(data) != piece.checksum:
            raise OSError(f"{piece.name} is not what was written")
        return data

    def _drop(self, pieces: Iterable[_Piece]) -> None:
        now_s = time.monotonic()
        self._dropped += ((now_s, self._folder / piece.name) for piece in pieces if isinstance(piece, _Filed))
        while self._dropped and now_s - self._dropped[0][0] > _UNTIL_COMMITTED_S:
            with suppress(OSError):
                self._dropped.popleft()[1].unlink()


def _numbered(table: PackedState) -> Iterator[tuple[int, bytes]]:
    """Give each block with the number of its first row."""
    return ((table.forgotten + place * BLOCK_ROWS, block) for place, block in enumerate(table.blocks))
