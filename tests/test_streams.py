"""The standard streams: whatever their state, the program does its work, and libraries do not write on them."""

import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from clipstream.cli.native import native_stderr_hidden
from clipstream.log import configure_logging
from clipstream.settings import Settings

ROOT = Path(__file__).parents[1]
INSPECT = f"{sys.executable} -m clipstream inspect"


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", line],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | variables, timeout=60,
    )  # fmt: skip


@pytest.mark.slow
def test_the_module_ends_with_the_status_of_the_command() -> None:
    ran = shell(f"{INSPECT} absent.mp4")
    assert (ran.returncode, ran.stderr) == (2, "clipstream: absent.mp4: there is no such file; check the name.\n")


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_status(closed: str) -> None:
    ran = shell(f"{INSPECT} absent.mp4 {closed}")
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_traceback() -> None:
    ran = shell(f"{sys.executable} -m clipstream --help | true")
    assert ran.stderr == ""


@pytest.mark.slow
def test_names_of_any_script_are_printed_on_a_terminal_that_knows_none(tmp_path: Path) -> None:
    (tmp_path / "東.mp4").write_bytes(b"")
    ran = shell(f"{INSPECT} {tmp_path} --json", PYTHONIOENCODING="ascii")
    assert ran.returncode == 2
    assert "東.mp4: the file is empty" in json.loads(ran.stdout)["errors"][0]["message"]
    assert r"\u6771.mp4: the file is empty" in ran.stderr


def test_what_is_written_past_python_is_hidden_and_what_python_writes_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    with native_stderr_hidden():
        os.write(2, b"thread panicked\n")
        sys.stderr.write("said\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "said\nafterwards\n"


def test_debugging_hides_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with native_stderr_hidden(hide=False):
        os.write(2, b"thread panicked\n")
    assert capfd.readouterr().err == "thread panicked\n"


@pytest.mark.parametrize("style", ["json", "console"])
def test_what_libraries_log_goes_the_same_way(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        configure_logging(Settings.from_mapping({"log_format": style}))
        logging.getLogger("some.library").warning("no good: %s", "x")
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.handlers[:] = before
        root.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    assert "no good: x" in line
    assert "some.library" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here, a disk that is full")
def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", buffering=1, encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        configure_logging(Settings())
        structlog.get_logger().error("camera_lost")
        with suppress(OSError):
            full.close()
