"""The shelf: small snapshots of live streams, from which everything comes back."""

import pickle
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from test_detector import footage
from test_detector_live import Live

from clipstream.dataflow import shelf as shelf_module
from clipstream.dataflow.shelf import Shelf, ShelvedState
from clipstream.detect.state import DetectorState
from clipstream.settings import Settings

ROWS = 3000
SNAPSHOT_BYTES = 8_000


@pytest.fixture(scope="module")
def states() -> list[DetectorState]:
    """Return a state every 30 s of a stream with highlights."""
    live, values = Live(Settings()), footage(ROWS, *((n, 4, 3.0) for n in range(100, ROWS, 60)))
    return [live.feed(values[n : n + 60], n).detector.state() for n in range(0, ROWS, 60)]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "_UNTIL_COMMITTED_S", -1.0)


def again(folder: Path, shelved: ShelvedState) -> DetectorState:
    """Return what another process makes of a snapshot."""
    copy: ShelvedState = pickle.loads(pickle.dumps(shelved))  # noqa: S301 - ours
    return Shelf(folder).unshelve(copy)


def test_every_snapshot_is_small_and_everything_comes_back(states: list[DetectorState], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert len(pickle.dumps(states[-1])) > 5 * SNAPSHOT_BYTES
    for state in states:
        shelved = shelf.shelve(state)
        assert len(pickle.dumps(shelved)) < SNAPSHOT_BYTES
        assert again(tmp_path, shelved) == state


def test_a_process_that_goes_on_writes_nothing_twice(states: list[DetectorState], tmp_path: Path) -> None:
    shelved = Shelf(tmp_path).shelve(states[20])
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    shelf = Shelf(tmp_path)
    shelf.shelve(shelf.unshelve(shelved))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


@pytest.mark.usefixtures("at_once")
def test_files_that_no_snapshot_refers_to_go(states: list[DetectorState], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for state in states:
        shelved = shelf.shelve(state)
    pieces = [*shelved.rows, *shelved.windows, *shelved.judged, shelved.intervals]
    assert len(list(tmp_path.iterdir())) == len(pieces)


def test_files_that_a_killed_process_left_without_a_snapshot_go(states: list[DetectorState], tmp_path: Path) -> None:
    killed = Shelf(tmp_path)
    last = killed.shelve(states[20])
    kept = set(tmp_path.iterdir())
    killed.shelve(states[30])
    assert set(tmp_path.iterdir()) > kept
    assert again(tmp_path, last) == states[20]
    assert set(tmp_path.iterdir()) == kept


def test_what_cannot_be_written_stays_in_the_snapshot(states: list[DetectorState], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shelved = Shelf(tmp_path / "file").shelve(states[-1])
    assert len(pickle.dumps(shelved)) > 5 * SNAPSHOT_BYTES
    assert again(tmp_path / "file", shelved) == states[-1]


@pytest.mark.parametrize("damage", [b"", None])
def test_of_what_cannot_be_read_the_past_is_forgotten_but_not_how_far_highlights_were_numbered(
    states: list[DetectorState], tmp_path: Path, damage: bytes | None
) -> None:
    shelved = Shelf(tmp_path).shelve(states[-1])
    piece = min(tmp_path.iterdir())
    piece.unlink() if damage is None else piece.write_bytes(damage)
    with capture_logs() as logs:
        state = again(tmp_path, shelved)
    assert [entry["event"] for entry in logs] == ["past_forgotten"]
    assert state == DetectorState(errors=states[-1].errors, numbered=states[-1].numbered, live=True)
    assert state.numbered > 10
