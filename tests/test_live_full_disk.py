"""Live runs on a disk that others fill, a real one of 40 MB: what that costs, what it does not, and how it ends."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from live_runs import RATE_HZ, SPEED, LiveRun, assert_nothing_lost, make_footage
from structlog.testing import capture_logs

from clipstream.media.recording.recorder import Recorder
from clipstream.report.manifest import read_manifest
from clipstream.testing import RtspServer, wait_until


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A disk, and what others have on it."""

    root: Path

    @property
    def others(self) -> Path:
        return self.root / "others"

    def is_filled(self) -> bool:
        """Put into what others have whatever fits."""
        with self.others.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                return error.errno == errno.ENOSPC

    def filled_until(self, condition: Callable[[], object], timeout_s: float = 15) -> None:
        """Leave nothing free, and take at once what anybody frees, until a condition holds; then give it all back."""
        wait_until(lambda: self.is_filled() and condition(), timeout_s)
        self.others.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    root = tmp_path / "disk"
    root.mkdir()
    mount, unmount = shutil.which("mount") or "", shutil.which("umount") or ""
    try:
        subprocess.run([mount, "-t", "tmpfs", "-o", "size=40m", "tmpfs", root], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk cannot be mounted here: that takes root on Linux")
    yield SmallDisk(root)
    subprocess.run([unmount, "--lazy", root], check=True)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_footage(tmp_path_factory.mktemp("live") / "footage.mp4", length_s=60)


@pytest.fixture
def server(footage: Path) -> Iterator[RtspServer]:
    with RtspServer(footage, speed=SPEED) as running:
        yield running


def test_a_run_goes_on_without_a_free_byte_and_loses_only_what_it_could_not_record(
    server: RtspServer, disk: SmallDisk
) -> None:
    with capture_logs() as logs, LiveRun(disk.root / "out", {"cam": server.url}) as run:
        run.more_clips(2)
        wanted = len(run.seen["cam"]) + 16 * RATE_HZ
        disk.filled_until(lambda: run.error or run.outcomes or len(run.seen["cam"]) >= wanted)
        run.more_clips(2)
        (outcome,) = run.finish()
    assert outcome.state == "done"
    found = run.highlights()
    whole = [one for one in found if one.clip is not None and not one.notes]
    assert len(whole) >= 3
    assert 1 <= len(found) - len(whole) <= 4
    assert all("recorded" in one.notes[0] for one in found if one not in whole)
    run.assert_no_frame_is_shown_twice()
    events = [log["event"] for log in logs]
    assert [events.count(event) for event in ("recording_stopped", "recording_resumed")] == [1, 1]


def test_clips_whose_folder_cannot_be_written_for_a_while_are_written_when_it_can(
    server: RtspServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_s = 4

    def short(folder: Path, **options: Any) -> Recorder:
        return Recorder(folder, **(options | {"keep_s": Fraction(keep_s)}))

    monkeypatch.setattr("clipstream.live.cameras.Recorder", short)
    with capture_logs() as logs, LiveRun(tmp_path, {"cam": server.url}) as run:
        run.more_clips(1)
        clips = tmp_path / "cam" / "clips"
        clips.rename(tmp_path / "away")
        clips.touch()
        wait_until(lambda: any(log["event"] == "output_waits" for log in logs), 10)
        wanted = len(run.seen["cam"]) + 2 * keep_s * RATE_HZ
        wait_until(lambda: len(run.seen["cam"]) >= wanted, 10)
        clips.unlink()
        (tmp_path / "away").rename(clips)
        run.more_clips(2)
        run.finish()
    assert_nothing_lost(run, server)
    assert [log["event"] for log in logs if "output" in log["event"] and log["log_level"] != "debug"] == [
        "output_waits",
        "output_goes_on",
    ]


WITHOUT_RESERVE = """
import sys
from contextlib import nullcontext
from clipstream.cli import main
import clipstream.dataflow.run as run
run.log_reserved = lambda _: nullcontext()
sys.exit(main())
"""


@pytest.mark.slow
def test_a_run_that_cannot_save_its_progress_ends_with_one_line_and_the_same_command_goes_on(
    server: RtspServer, disk: SmallDisk
) -> None:
    out = disk.root / "out"
    command = [server.url, "-o", str(out), "--features", "motion,audio", "--percentile", "0", "--quiet"]
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def found() -> int:
        manifests = [read_manifest(path.parent) for path in out.glob("*/manifest.json")]
        return max((len(one.highlights) for one in manifests if one is not None), default=0)

    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_RESERVE, *command], env=surroundings, stderr=subprocess.PIPE, text=True
    ) as run:
        wait_until(lambda: found() >= 1 or run.poll() is not None, 30)
        disk.filled_until(lambda: run.poll() is not None)
        assert run.stderr is not None
        *_, last = run.stderr.read().splitlines()
    assert run.returncode == 1
    assert last.endswith("make room, allow writing, or choose another folder with --out.")
    before = found()
    again = [sys.executable, "-m", "clipstream", *command, "--for", "5s"]
    assert subprocess.run(again, env=surroundings, capture_output=True, check=False).returncode == 0
    (manifest,) = [read_manifest(path.parent) for path in out.glob("*/manifest.json")]
    assert manifest is not None
    assert manifest.status == "complete"
    assert len(manifest.highlights) > before
    names = [one.clip for one in manifest.highlights if one.clip]
    assert len(names) == len(set(names))
