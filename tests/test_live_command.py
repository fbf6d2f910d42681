"""`main rtsp://…` as a user runs it: ended, interrupted, killed and started again; and what it says of secrets."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import av
import pytest
from live_runs import RATE_HZ, SPEED, make_footage, numbers_in

from clipstream.report.manifest import read_manifest
from clipstream.testing import RtspServer, make_scene, wait_until

PASSWORD = "s3cret/w0rd"  # noqa: S105 - of this test alone
MOMENT_S = (12, 18)
"""Long enough for it to be interrupted in its middle, at twice the usual speed."""


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_footage(tmp_path_factory.mktemp("command") / "footage.mp4", length_s=60)


def command(out: Path, *arguments: str) -> list[str]:
    common = ["--features", "motion", "--features", "audio", "--percentile", "0", "--stall", "1s", "-o", str(out)]
    return [sys.executable, "-m", "clipstream", *arguments, *common]


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(out, *arguments), capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def running(out: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command(out, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def folder(out: Path) -> Path:
    """Return the folder of the camera, once it is there."""
    return next(out.glob("*-live"), out)


def clips(out: Path) -> list[list[int]]:
    """Return the numbers of the frames of each clip in the manifest."""
    manifest = read_manifest(folder(out))
    return [numbers_in(folder(out) / str(one.clip)) for one in manifest.highlights] if manifest else []


def test_what_judges_a_stream_as_a_whole_is_refused_in_one_line(tmp_path: Path) -> None:
    said = run(tmp_path, "rtsp://127.0.0.1:9/live", "--top", "3")
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert "leave them out" in said.stderr


def test_interrupted_it_saves_everything_exits_with_130_and_goes_on_when_asked_again(
    footage: Path, tmp_path: Path
) -> None:
    with RtspServer(footage, speed=SPEED) as server:
        with running(tmp_path, server.url) as process:
            wait_until(lambda: len(list(folder(tmp_path).glob("clips/*Z.mp4"))) >= 2, 30)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
        manifest = read_manifest(folder(tmp_path))
        assert manifest is not None
        assert manifest.status == "stopped"
        before = clips(tmp_path)
        assert len(before) >= 2
        again = run(tmp_path, server.url, "--for", "5s")
    assert again.returncode == 0, again.stderr
    after = clips(tmp_path)
    assert after[: len(before)] == before
    assert len(after) > len(before)
    everything = [number for clip in after for number in clip]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize("killed_at_s", [16, 19])
def test_killed_within_a_moment_or_right_after_it_finishes_it_from_the_recording_and_none_twice(
    tmp_path: Path, killed_at_s: int
) -> None:
    scene = make_scene(
        tmp_path / "scene.mp4", moments_s=[MOMENT_S], duration_s=60, rate_hz=RATE_HZ, gop=RATE_HZ, b_frames=0
    )
    out = tmp_path / "out"
    with RtspServer(scene, speed=2) as server:
        with running(out, server.url) as process:
            server.wait_until(lambda: any(one.number >= killed_at_s * RATE_HZ for one in sent_video(server)), 30)
            process.kill()
            process.wait()
        again = run(out, server.url, "--for", "4s")
    assert again.returncode == 0, again.stderr
    found = clips(out)
    shown = [number for clip in found for number in clip]
    assert len(shown) == len(set(shown))
    # Half a second of the world passes between two snapshots, in which twice as much is sent.
    assert set(range(MOMENT_S[0] * RATE_HZ, (MOMENT_S[0] + 2) * RATE_HZ)) <= set(shown), found
    assert len([clip for clip in found if set(clip) & set(range(MOMENT_S[0] * RATE_HZ, MOMENT_S[1] * RATE_HZ))]) == 1


def sent_video(server: RtspServer) -> list:  # type: ignore[type-arg]
    return [one for one in server.sent[-20:] if one.kind == "video"]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here to see other programs in")
def test_the_list_of_processes_shows_no_password(tmp_path: Path) -> None:
    with running(tmp_path, f"rtsp://me:{PASSWORD}@127.0.0.1:9/live") as process:
        shown = Path(f"/proc/{process.pid}/cmdline")

        wait_until(lambda: "rtsp://" in shown.read_text(), timeout_s=20)
        wait_until(lambda: "w0rd" not in shown.read_text(), timeout_s=20)

        assert "rtsp://127.0.0.1:9/live" in shown.read_text()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here to see other programs in")
def test_of_who_is_told_the_list_of_processes_shows_hosts_and_programs_alone(tmp_path: Path) -> None:
    targets = ("--webhook", "https://me@chat.test/T0KEN?a=1", "--webhook=http://127.0.0.1:9/T0KEN")
    commands = ("--on-clip", "/bin/true --key 'T0 KEN' {clip}", "--on-clip=true T0KEN")
    with running(tmp_path, "rtsp://127.0.0.1:9/live", *targets, *commands) as process:
        shown = Path(f"/proc/{process.pid}/cmdline")

        wait_until(lambda: "https://chat.test/…" in shown.read_text(), timeout_s=20)

        title = shown.read_text()
    assert "KEN" not in title
    assert "--webhook=http://127.0.0.1:9/…" in title
    assert "--on-clip true … --on-clip=true …" in title


def test_everything_is_kept_where_asked_and_secrets_are_nowhere(footage: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    with RtspServer(footage, speed=SPEED, user="me", password=PASSWORD) as server:
        right = server.url_of("live", credentials=True)
        wrong = server.url_of("nothing", credentials=True)
        said = run(out, right, wrong, "--for", "6s", "--record", str(kept), "--debug", "--log-level", "debug", "--json")
    assert said.returncode == 2, said.stderr
    assert len(clips(out)) >= 2
    secrets = [PASSWORD, "s3cret", "w0rd"]
    for path in (path for folder in (out, kept) for path in folder.rglob("*")):
        assert not any(secret in path.name for secret in secrets)
        content = path.read_bytes() if path.is_file() else b""
        assert not any(secret.encode() in content for secret in secrets), path
    told = said.stdout + said.stderr
    assert not [line for line in told.splitlines() if re.search("|".join(secrets), line)]
    assert json.loads(said.stdout)
    numbers = []
    for file in sorted(folder(kept).iterdir()):
        with av.open(str(file)) as container:
            assert {stream.type for stream in container.streams} == {"video", "audio"}
        numbers += numbers_in(file)
    assert len(numbers) > 100
    assert {later - earlier for earlier, later in pairwise(numbers)} == {1}
