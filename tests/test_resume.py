"""Interruption: whatever kills a run, the same command goes on and makes the clips an uninterrupted run makes."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenes import clip_digests, make_scene

KILLED_RUN = Path(__file__).with_name("killed_run.py")
NEVER = 1_000_000


def start(out: Path, at: int, number: int, workers: int, files: list[Path]) -> subprocess.CompletedProcess[str]:
    arguments = [out, at, number, workers, *files]
    return subprocess.run(
        [sys.executable, KILLED_RUN, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("resume")
    return [make_scene(folder / f"{name}.mp4", seed=seed, rate_hz=10) for seed, name in enumerate(("one", "two"))]


@pytest.fixture(scope="module")
def uninterrupted(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("uninterrupted")
    process = start(out, NEVER, signal.SIGKILL, 1, files)
    assert process.stdout == "done done", process.stderr
    digests = clip_digests(out)
    assert len(digests) == 4
    return digests


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_twenty_times_the_clips_are_those_of_an_uninterrupted_run(
    files: list[Path], uninterrupted: dict[str, str], tmp_path: Path, workers: int
) -> None:
    random, kills, ends = np.random.default_rng(workers), 0, 0
    ended = True
    while kills < 20 or not ended:
        out = tmp_path / str(ends)  # what came to its end is looked at, and the next is killed in another folder
        at = int(random.integers(1, random.choice([100, 1600]))) if kills < 20 else NEVER  # reading, or all of it
        process = start(out, at, signal.SIGKILL, workers, files)
        ended = process.returncode != -signal.SIGKILL
        if not ended:
            kills += 1
            continue
        ends += 1
        assert set(process.stdout.split()) <= {"done", "already_done"}, process.stderr
        assert clip_digests(out) == uninterrupted
        assert not any((out / ".clipstream" / "clips").glob("*")), "records of clips were left"
        assert not any((out / ".clipstream" / "jobs").glob("*")), "saved progress was left"
        for name in ("one", "two"):
            assert {path.name for path in (out / name).iterdir()} == {
                "clips", "features.parquet", "highlights.csv", "manifest.json", "report.html", "scores.parquet"
            }  # fmt: skip
    assert ends > 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [10, 110])
def test_a_signal_stops_cleanly_and_the_next_run_goes_on(
    files: list[Path], uninterrupted: dict[str, str], tmp_path: Path, number: int, at: int
) -> None:
    process = start(tmp_path, at, number, 1, files)
    assert process.returncode == 0, process.stderr
    assert "stopped" in process.stdout
    assert not list(tmp_path.glob("*/clips/.*")), "something half-written was left"
    process = start(tmp_path, NEVER, number, 1, files)
    assert set(process.stdout.split()) <= {"done", "already_done"}, process.stderr
    assert clip_digests(tmp_path) == uninterrupted


@pytest.mark.slow
def test_a_finished_input_is_not_done_again(files: list[Path], tmp_path: Path) -> None:
    assert start(tmp_path, NEVER, signal.SIGKILL, 1, files[:1]).stdout == "done"
    assert start(tmp_path, NEVER, signal.SIGKILL, 1, files).stdout == "already_done done"
    assert list((tmp_path / ".clipstream" / "jobs").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"no database", b"", None])
def test_damaged_progress_is_said_and_done_without(
    files: list[Path], uninterrupted: dict[str, str], tmp_path: Path, damage: bytes | None
) -> None:
    assert "stopped" in start(tmp_path, 30, signal.SIGTERM, 1, files).stdout
    (store,) = (tmp_path / ".clipstream" / "jobs").glob("*/store")
    for part in store.iterdir():
        if damage is None:
            part.unlink()
        else:
            part.write_bytes(damage)
    process = start(tmp_path, NEVER, signal.SIGKILL, 1, files)
    assert process.stdout.splitlines()[-1] == "done done", process.stderr
    assert "saved_progress_damaged" in process.stdout + process.stderr
    assert clip_digests(tmp_path) == uninterrupted
