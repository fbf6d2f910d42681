"""The recovery store: a damaged one is made anew, one that there is no room for is left alone."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from clipstream.dataflow.store import log_reserved, prepare_store
from clipstream.errors import OutputError
from clipstream.testing import wait_until


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    prepare_store(path)
    return path


def part(store: Path) -> Path:
    return store / "part-0.sqlite3"


def test_a_store_has_free_pages_from_the_beginning(store: Path) -> None:
    with closing(sqlite3.connect(part(store))) as database:
        assert database.execute("PRAGMA freelist_count").fetchone()[0] >= 1000


def test_a_damaged_store_is_made_anew(store: Path) -> None:
    part(store).write_bytes(b"damaged" * 1000)
    with capture_logs() as logs:
        prepare_store(store)
    assert [log["event"] for log in logs] == ["saved_progress_damaged"]
    with closing(sqlite3.connect(part(store))) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_a_store_that_there_is_no_room_to_open_stays_as_it_is(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = part(store).read_bytes()

    def full(*_: object, **__: object) -> NoReturn:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
        raise error

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(OutputError, match="no room to open what was saved"):
        prepare_store(store)
    assert part(store).read_bytes() == before


def test_the_log_of_a_store_that_is_used_has_its_room_and_no_other_content(store: Path) -> None:
    log = store / "part-0.sqlite3-wal"
    with log_reserved(store), closing(sqlite3.connect(part(store))) as database:
        database.execute("CREATE TABLE told (word TEXT)")
        size = log.stat().st_size
        try:
            wait_until(lambda: log.stat().st_blocks * 512 >= 8 << 20, 5)
        except TimeoutError:
            pytest.skip("the file system of temporary files reserves no room")
        assert log.stat().st_size == size
        database.execute("INSERT INTO told VALUES ('kept')")
        database.commit()
    with closing(sqlite3.connect(part(store))) as database:
        assert database.execute("SELECT word FROM told").fetchone() == ("kept",)
