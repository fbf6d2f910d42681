"""Which saved states a run removes when it starts, and which it leaves."""

import os
from pathlib import Path

import pytest

from clipstream.run.folders import begin_run, clear_other_runs, run_folder

MONTH_S = 31 * 24 * 3600


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = run_folder(tmp_path, ["mine"])
    begin_run(folder, ["gate"])
    return folder


def begun(state: Path, name: str, *live: str, age_s: float = 0) -> Path:
    folder = run_folder(state, [name])
    begin_run(folder, live)
    (folder / "store").mkdir()
    for path in (*folder.rglob("*"), folder):
        written_s = path.stat().st_mtime - age_s
        os.utime(path, (written_s, written_s))
    return folder


def test_a_run_with_other_settings_for_one_of_the_streams_goes_and_is_told(tmp_path: Path, mine: Path) -> None:
    other = begun(tmp_path, "other", "gate", "yard")
    assert clear_other_runs(mine, ["gate"]) == {"gate"}
    assert not other.exists()
    assert mine.exists()


def test_runs_of_other_streams_and_of_files_stay(tmp_path: Path, mine: Path) -> None:
    others = [begun(tmp_path, "yard", "yard"), begun(tmp_path, "files")]
    assert clear_other_runs(mine, ["gate"]) == set()
    assert all(other.exists() for other in others)


def test_what_nobody_came_back_to_for_a_month_goes_without_a_word(tmp_path: Path, mine: Path) -> None:
    old, going = (begun(tmp_path, name, age_s=MONTH_S) for name in ("old", "going"))
    (going / "store" / "part-0.sqlite3").touch()
    assert clear_other_runs(mine, []) == set()
    assert not old.exists()
    assert going.exists()


def test_a_folder_that_says_nothing_of_itself_is_left_until_it_is_old(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "jobs" / "unknown").mkdir()
    assert clear_other_runs(mine, ["gate"]) == set()
    assert (tmp_path / "jobs" / "unknown").exists()
    assert clear_other_runs(tmp_path / "none" / "jobs" / "mine", ["gate"]) == set()
