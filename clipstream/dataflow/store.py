"""The recovery store of a run: made, looked at before Bytewax does, and given room that a full disk does not take."""

import ctypes
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import structlog
from bytewax.recovery import init_db_dir

from clipstream.errors import OutputError

__all__ = ["log_reserved", "prepare_store"]

_log = structlog.get_logger()

_RECOVERY_PARTITIONS = 1
"""One SQLite file is enough: rows are light, and workers may change in number between runs either way."""

_STORE_RESERVE_BYTES, _LOG_RESERVE_BYTES = 4 << 20, 8 << 20
"""Room that a store takes at once, to need no more when the disk is full: without, the run would end.

Of a stream, some 60 kB are saved with every epoch. SQLite begins to write over its log once it holds 1000 pages, 4 MB,
and an epoch."""
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})
_LOOK_S = 0.5
_KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE"""


def prepare_store(store: Path) -> None:
    """Make a store where none is, and anew where it is damaged.

    Raises:
        OutputError: There is no room to open it; it stays as it is.
    """
    if store.is_dir() and not _sound(store):
        _log.warning("saved_progress_damaged", store=str(store), next="starting from the beginning")
        shutil.rmtree(store)
    if not store.is_dir():
        # Under another name first: a store that is only half made must not be taken for one.
        making = store.with_name(f".{store.name}.part")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        init_db_dir(making, _RECOVERY_PARTITIONS)
        _reserve_store(making)
        making.rename(store)


def _sound(store: Path) -> bool:
    """Say whether a store can be read: Bytewax does not look before it panics."""
    try:
        for part in _parts(store):
            place = part.absolute().as_uri()
            with closing(sqlite3.connect(f"{place}?mode=rw", uri=True)) as database:
                found = database.execute("PRAGMA quick_check").fetchone()
                if found != ("ok",) or not database.execute("SELECT * FROM parts").fetchone():
                    return False
    except sqlite3.Error as error:
        if error.sqlite_errorcode in _NO_ROOM:
            raise OutputError(f"{store}: no room to open what was saved ({error}); make room.") from error
        return False
    return True


def _parts(store: Path) -> list[Path]:
    return [store / f"part-{number}.sqlite3" for number in range(_RECOVERY_PARTITIONS)]


def _reserve_store(store: Path) -> None:
    """Let a new store have pages that are free."""
    for part in _parts(store):
        with suppress(sqlite3.Error), closing(sqlite3.connect(part)) as database, database:
            database.execute("CREATE TABLE reserve (room BLOB)")
            database.execute("INSERT INTO reserve VALUES (zeroblob(?))", [_STORE_RESERVE_BYTES])
            database.execute("DROP TABLE reserve")


@contextmanager
def log_reserved(store: Path) -> Iterator[None]:
    """See to it that the log, which SQLite makes and removes as it is opened and closed, has its room."""
    over = Event()
    keeper = Thread(target=_keep_log_reserved, args=(store, over), name="reserve", daemon=True)
    if sys.platform == "linux":
        keeper.start()
    try:
        yield
    finally:
        over.set()
        if keeper.is_alive():
            keeper.join()


def _keep_log_reserved(store: Path, over: Event) -> None:
    # Not posix_fallocate: where the file system cannot reserve, that writes, and SQLite writes at the same time.
    reserve = ctypes.CDLL(None).fallocate
    reserve.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    logs = [part.with_name(f"{part.name}-wal") for part in _parts(store)]
    while not over.wait(_LOOK_S):
        for log in logs:
            with suppress(OSError):
                if 512 * log.stat().st_blocks < _LOG_RESERVE_BYTES:
                    with log.open("r+b") as file:
                        reserve(file.fileno(), _KEEP_SIZE, 0, _LOG_RESERVE_BYTES)
