"""Batch jobs: one message, one folder, one `status.json` that is true whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes import clip_digests, make_scene, run_program

from clipstream.batch import JobMessage, JobStatus, only_job, read_status, write_status
from clipstream.errors import UsageError
from clipstream.media.live.srt import has_library
from clipstream.report.manifest import read_manifest
from clipstream.testing import HttpServer, RtspServer
from clipstream.testing.media import Video, even_times, make_clip

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scene(tmp_path_factory.mktemp("job") / "scene.mp4", rate_hz=5, duration_s=20)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


def surroundings(out: Path, message: object, **variables: str) -> dict[str, str]:
    text = message if isinstance(message, str) else json.dumps(message)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLIPSTREAM_")}
    mine = {"CLIPSTREAM_OUT": str(out), "CLIPSTREAM_FEATURES": "motion,audio", "CLIPSTREAM_ALLOW_PRIVATE": "true"}
    return clean | mine | variables | {"JOB_MESSAGE": text}


def job(out: Path, url: str, *, name: str = "demo-123", **variables: str) -> tuple[int, dict[str, Any], str]:
    """Run a job and return its exit status, its `status.json` and what was said."""
    message = {"stream_url": url, "stream_id": name}
    ran = run_program(environment=surroundings(out, message, **variables))
    return ran.returncode, json.loads((out / name / "status.json").read_text("utf-8")), ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("{", "is no JSON;"),
        ("[]", "is no JSON object"),
        ('{"stream_id": "a"}', "no text as stream_url"),
        ('{"stream_url": "http://x/"}', "no text as stream_id"),
        ('{"stream_url": "http://x/", "stream_id": 7}', "no text as stream_id"),
        ('{"stream_url": "http://x/", "stream_id": "../.."}', "a letter or digit"),
        (json.dumps({"stream_url": "http://x/", "stream_id": "x" * 101}), "100 characters"),
    ],
)
def test_a_message_that_cannot_be_understood_says_what_it_should_be(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        JobMessage.parse(text)


def test_a_message_names_a_safe_folder_and_never_shows_its_address() -> None:
    message = JobMessage.parse('{"stream_url": "http://me:geheim@x/", "stream_id": "../team a/Übung", "more": 1}')
    assert message.name == "team-a-Übung"
    assert "geheim" not in repr(message)


def test_a_bad_message_is_one_line_and_status_2(tmp_path: Path) -> None:
    ran = run_program(environment=surroundings(tmp_path, "nonsense"))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("clipstream: JOB_MESSAGE is no JSON; give {")


def test_a_film_is_done_and_its_status_tells_all(server: HttpServer, scene: Path, tmp_path: Path) -> None:
    url = server.add_file("scene.mp4", scene) + "?token=geheim"
    code, status, said = job(tmp_path, url, CLIPSTREAM_TOP="2")
    assert (code, status["status"], status["exit_status"]) == (0, "COMPLETED", 0), said
    assert (status["schema"], status["stream_id"], status["attempts"]) == ("clipstream/job/1", "demo-123", 1)
    assert (status["highlights"], status["clips"], status["problem"]) == (2, 2, None)
    assert status["submitted_at"] <= status["started_at"] <= status["finished_at"]
    assert (tmp_path / status["manifest"]).is_file()
    assert (tmp_path / status["report"]).is_file()
    assert status["source"] == server.url_of("scene.mp4") + "?…"
    assert "geheim" not in said
    assert len(clip_digests(tmp_path)) == 2
    code, status, _ = job(tmp_path, url, CLIPSTREAM_TOP="2")
    assert (code, status["status"], status["attempts"]) == (0, "COMPLETED", 2)


def test_a_film_without_sound_and_with_holes_completes_and_says_what_is_missing(
    server: HttpServer, tmp_path: Path
) -> None:
    silent = make_clip(tmp_path / "silent.mp4", Video(even_times(80, 10), gop=10))
    url = server.add_vod("silent", silent)
    server.fail(404, times=100, matching="silent/3.ts")
    code, status, said = job(tmp_path / "out", url)
    assert (code, status["status"]) == (0, "COMPLETED"), said
    assert status["problem"] == "truncated: 1.0 s of the 8.0 s in the playlist did not come"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{server}absent.mp4", "there is no such stream at this host"),
        ("rtsp://127.0.0.1:9/live", "CLIPSTREAM_FOR"),
        ("/etc/passwd", "no address of a live stream"),
        ("file:///etc/passwd", "no address of a live stream"),
    ],
)
def test_an_address_that_leads_nowhere_fails_with_status_2(
    url: str, said: str, server: HttpServer, tmp_path: Path
) -> None:
    code, status, _ = job(tmp_path, url.format(server=server.url_of("")))
    assert (code, status["status"], status["exit_status"]) == (2, "FAILED", 2)
    assert said in status["message"]
    assert status["started_at"] is None


def test_a_dead_camera_fails_at_once_though_time_is_left(tmp_path: Path) -> None:
    code, status, _ = job(tmp_path, "rtsp://me:geheim@127.0.0.1:9/live", CLIPSTREAM_FOR="1h")
    assert (code, status["status"]) == (2, "FAILED")
    assert status["message"].startswith("rtsp://127.0.0.1:9/live: the connection is refused")


def test_private_addresses_are_refused_unless_allowed(server: HttpServer, scene: Path, tmp_path: Path) -> None:
    code, status, _ = job(tmp_path, server.add_file("scene.mp4", scene), CLIPSTREAM_ALLOW_PRIVATE="false")
    assert (code, status["status"]) == (2, "FAILED")
    assert "private network (127.0.0.1)" in status["message"]
    assert server.answered == ()


def test_a_job_waits_for_nobody_to_call(tmp_path: Path) -> None:
    code, status, _ = job(tmp_path, "srt://:9000?mode=listener&passphrase=s3cret-s3cret", CLIPSTREAM_FOR="5s")
    assert (code, status["status"]) == (2, "FAILED")
    assert "waits for nobody to call" in status["message"]
    assert "s3cret" not in (tmp_path / "demo-123" / "status.json").read_text("utf-8")


def test_an_address_that_the_library_of_srt_does_not_take_is_a_bad_job(tmp_path: Path) -> None:
    if not has_library():
        pytest.skip("libsrt is not on this machine")
    code, status, _ = job(tmp_path, f"srt://127.0.0.1:9?streamid={'a' * 600}")
    assert (code, status["status"]) == (2, "FAILED")
    assert "does not take this value of option streamid" in status["message"]


def test_a_camera_is_watched_for_the_time_given_and_the_same_message_is_answered_without_it(
    scene: Path, tmp_path: Path
) -> None:
    long_ago = tmp_path / ".clipstream" / "recordings" / "demo-123.json"  # the stream was read for the first time then
    long_ago.parent.mkdir(parents=True)
    long_ago.write_text(json.dumps({"began_unix_s": time.time() - 3600}), "utf-8")
    with RtspServer(scene, speed=4) as camera:
        code, status, said = job(tmp_path, camera.url, CLIPSTREAM_FOR="2s")
        sent_s = max(one.stream_pts_s for one in camera.sent) + 1
    assert (code, status["status"], status["for_s"]) == (0, "COMPLETED", 2), said
    assert 0 < status["duration_s"] <= sent_s
    manifest = read_manifest(tmp_path / "demo-123")
    assert manifest is not None
    assert manifest.source.path == camera.url
    code, again, said = job(tmp_path, camera.url, CLIPSTREAM_FOR="2s")  # which is gone by now
    assert (code, again) == (0, status | {"attempts": 2}), said
    known = read_status(tmp_path / "demo-123")
    assert known is not None
    for other in ({"CLIPSTREAM_FOR": "3s"}, {"CLIPSTREAM_WINDOW": "4s"}, {"CLIPSTREAM_FORCE": "true"}):
        code, failed, said = job(tmp_path, camera.url, **({"CLIPSTREAM_FOR": "2s"} | other))
        assert (code, failed["status"]) == (2, "FAILED"), said
        write_status(tmp_path / "demo-123", known)


def test_a_stopped_job_says_so_and_goes_on(server: HttpServer, scene: Path, tmp_path: Path) -> None:
    url = server.add_file("scene.mp4", scene)
    message = {"stream_url": url, "stream_id": "demo-123"}
    server.stall()
    with subprocess.Popen(
        [sys.executable, "-m", "clipstream"], cwd=ROOT, env=surroundings(tmp_path, message), stderr=subprocess.PIPE
    ) as process:
        server.wait_until(lambda: server.connections, 20)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    status = read_status(tmp_path / "demo-123")
    assert process.returncode == 143, said
    assert status is not None
    assert (status.status, status.exit_status) == ("FAILED", 143)
    assert "goes on where it was" in status.message
    server.resume()
    code, after, _ = job(tmp_path, url)
    assert (code, after["status"], after["attempts"]) == (0, "COMPLETED", 2)
    assert after["submitted_at"] == status.submitted_at


def test_a_job_that_was_broken_off_is_taken_up_again(server: HttpServer, tmp_path: Path) -> None:
    folder = tmp_path / "demo-123"
    folder.mkdir()
    write_status(folder, JobStatus("demo-123", "IN_PROGRESS", "at work.", submitted_at="2026-01-01T00:00:00.000Z"))
    code, status, _ = job(tmp_path, server.url_of("absent.mp4"))
    assert (code, status["status"], status["attempts"]) == (2, "FAILED", 2)
    assert status["submitted_at"] == "2026-01-01T00:00:00.000Z"


def test_a_job_that_another_process_has_or_whose_folder_is_anothers_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a-b"
    folder.mkdir()
    mine = JobStatus("a/b", "IN_PROGRESS", "at work.")
    write_status(folder, mine)
    with only_job(tmp_path, "a-b"):
        ran = run_program(environment=surroundings(tmp_path, {"stream_url": "http://x/", "stream_id": "a/b"}))
    assert (ran.returncode, "another process is at work on this job" in ran.stderr) == (2, True)
    ran = run_program(environment=surroundings(tmp_path, {"stream_url": "http://x/", "stream_id": "a-b"}))
    assert (ran.returncode, "is that of a/b" in ran.stderr) == (2, True)
    assert read_status(folder) == mine
