"""Live runs that are killed with highlights found and none cut, and what the next run makes of those."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from live_runs import SPEED, make_footage, numbers_in
from scenes import LIGHT, run_program

from clipstream.report.manifest import Highlight, read_manifest
from clipstream.testing import RtspServer

KILLED_RUN = Path(__file__).with_name("killed_live_run.py")
FOUND = 2


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_footage(tmp_path_factory.mktemp("restart") / "footage.mp4")


@pytest.fixture
def cameras(footage: Path) -> Iterator[list[str]]:
    with RtspServer(footage, speed=SPEED) as server:
        yield [server.url, server.add("other", footage, start_at_s=40)]


def run(out: Path, urls: list[str], features: tuple[str, ...], for_s: int) -> str:
    """Run to its end, and return what was said."""
    named = [argument for name in features for argument in ("--features", name)]
    ran = run_program(*urls, *named, "--percentile", "0", "--for", f"{for_s}s", "-o", out)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def pending(out: Path) -> dict[str, list[tuple[int, int, int]]]:
    """Return start, end and date of what is still to be cut, by stream."""
    found = {}
    for path in (out / ".clipstream" / "pending").glob("*.json"):
        noted = json.loads(path.read_text("utf-8"))["highlights"]
        found[path.stem] = [(one["start_ms"], one["end_ms"], one["date_ms"]) for one in noted]
    return found


def listed(out: Path, stream: str) -> tuple[Highlight, ...]:
    manifest = read_manifest(out / stream)
    assert manifest is not None
    return manifest.highlights


@pytest.mark.parametrize("features", [LIGHT, ("motion", "audio")], ids=["the same settings", "other settings"])
def test_what_two_cameras_gave_before_a_kill_is_finished_by_the_next_run_and_nothing_is_cut_twice(
    cameras: list[str], tmp_path: Path, features: tuple[str, ...]
) -> None:
    arguments = [sys.executable, str(KILLED_RUN), str(tmp_path), str(FOUND), *cameras]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=100)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = pending(tmp_path)
    assert [len(found) >= FOUND for found in left.values()] == [True, True]
    (job,) = (tmp_path / ".clipstream" / "jobs").iterdir()

    said = run(tmp_path, cameras, features, for_s=6)

    assert said.count("detection_begins_anew") == (features != LIGHT), said
    # With the same settings it is known already what is usual.
    assert said.count(": warming up: nothing is given out for 10 s\n") == (0 if features == LIGHT else 2), said
    assert not job.exists()
    assert pending(tmp_path) == {stream: [] for stream in left}
    for stream, found in left.items():
        clips = {(int(1000 * one.start_s), int(1000 * one.end_s)): one for one in listed(tmp_path, stream)}
        for start_ms, end_ms, date_ms in found:
            one = clips[start_ms, end_ms]
            assert one.notes == ()
            date = datetime.fromtimestamp(date_ms / 1000, UTC)
            assert one.clip == f"clips/{date:%Y-%m-%dT%H-%M-%S}.{date_ms % 1000:03d}Z.mp4"
        assert len({one.clip for one in clips.values()}) == len(clips)
        shown = [number for one in clips.values() for number in numbers_in(tmp_path / stream / str(one.clip))]
        assert len(shown) == len(set(shown))
        dates = [str(one.date) for one in clips.values()]
        assert dates == sorted(dates)
