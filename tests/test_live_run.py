"""Live streams as a whole, from the camera to the clip: what a fault costs, and that nothing is lost but in its gap."""

import errno
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from live_runs import (
    MOMENTS,
    RATE_HZ,
    SPEED,
    LiveRun,
    assert_nothing_lost,
    make_footage,
    numbers_in,
    whole_moments,
)
from numpy.typing import NDArray

from clipstream.media.live.status import FeedState, FeedStatus
from clipstream.media.live.troubles import Trouble
from clipstream.media.recording.packet_file import PacketWriter
from clipstream.testing import HttpServer, RtspServer, make_scene, wait_until
from clipstream.testing.media import Sound, Video, even_times, make_clip, numbered


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_footage(tmp_path_factory.mktemp("live") / "footage.mp4")


@pytest.fixture
def server(footage: Path) -> Iterator[RtspServer]:
    with RtspServer(footage, speed=SPEED) as running:
        yield running


@pytest.fixture
def run(server: RtspServer, tmp_path: Path) -> Iterator[LiveRun]:
    with LiveRun(tmp_path, {"cam": server.url}) as running:
        yield running


def busy(time_s: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    inside = [(np.asarray(time_s) >= start_s) & (np.asarray(time_s) < end_s) for start_s, end_s in MOMENTS]
    return np.asarray(np.any(inside, axis=0))


def larger_picture(index: int) -> NDArray[np.uint8]:
    picture = numbered(index, 480, 270)
    left = 200 + (100 * (index % 2) if busy(index / RATE_HZ) else 0)
    picture[100:200, left : left + 100] = 30
    return picture


SOUND = Sound([(0.0, 60.0)], lambda t: np.where(busy(t), 0.3, 0.01) * np.random.default_rng(0).standard_normal(len(t)))


def is_running(status: FeedStatus) -> bool:
    return status.state is FeedState.RUNNING


def test_every_moment_of_a_healthy_camera_becomes_a_clip_that_begins_with_the_asked_frame(
    run: LiveRun, server: RtspServer
) -> None:
    run.more_clips(3)
    (outcome,) = run.finish()
    assert outcome.state == "done"
    assert len(whole_moments(server)) >= 2
    assert len(assert_nothing_lost(run, server)) >= 3


def test_clips_are_dated_by_the_world_though_the_cameras_clock_runs_four_times_as_fast(
    run: LiveRun, server: RtspServer
) -> None:
    run.more_clips(4)
    run.finish()
    sent_s = {one.number: one.at_s for one in server.sent if one.kind == "video"}
    world_s = time.time() - time.monotonic()
    for one in run.highlights():
        asked = min(number for number, seen_s in run.seen["cam"].items() if seen_s >= float(one.start_s))
        # The clock runs away by 0.75 s with each second, and a segment of two seconds has one date.
        assert datetime.fromisoformat(str(one.date)).timestamp() == pytest.approx(world_s + sent_s[asked], abs=1.7)


def test_a_stall_is_seen_and_overcome_and_costs_its_gap_alone(run: LiveRun, server: RtspServer) -> None:
    run.more_clips(2)
    server.stall()
    assert run.until(lambda status: status.state is FeedState.STALLED) < 2
    assert run.until(lambda status: status.state is FeedState.CONNECTING) < 1.2
    server.resume()
    assert run.until(is_running) < 3
    run.more_clips(2)
    run.finish()
    assert_nothing_lost(run, server)


@pytest.mark.parametrize("reset", [False, True])
def test_a_lost_connection_is_made_again_at_once(run: LiveRun, server: RtspServer, *, reset: bool) -> None:
    run.more_clips(2)
    server.drop(reset=reset)
    assert run.until(lambda status: status.connections == 2) < 3
    run.more_clips(2)
    run.finish()
    assert_nothing_lost(run, server)


def test_a_camera_that_restarts_with_clocks_near_zero_goes_on_where_time_is(run: LiveRun, server: RtspServer) -> None:
    run.more_clips(2)
    before = run.highlights()[-1]
    server.restart(down_s=1)
    run.until(lambda status: status.connections == 2)
    run.more_clips(2)
    run.finish()
    assert_nothing_lost(run, server)
    after = run.highlights()[2]
    assert after.start_s >= before.end_s
    assert str(after.date) > str(before.date)


def test_a_camera_that_is_away_is_waited_for_and_found_within_three_seconds(run: LiveRun, server: RtspServer) -> None:
    run.more_clips(2)
    server.refuse()
    server.drop()
    run.until(lambda status: status.trouble is Trouble.REFUSED and status.attempts >= 2)
    server.accept()
    assert run.until(is_running) < 3
    run.more_clips(2)
    run.finish()
    assert_nothing_lost(run, server)


@pytest.mark.parametrize("jump_s", [-3.0, -4000.0, 40.0, 7000.0])
def test_times_that_jump_cost_no_clip(run: LiveRun, server: RtspServer, jump_s: float) -> None:
    run.more_clips(2)
    server.jump(jump_s)
    run.until(lambda status: status.jumps > 0)
    run.more_clips(2)
    run.finish()
    assert_nothing_lost(run, server)
    times = [(one.start_s, one.end_s) for one in run.highlights()]
    assert times == sorted(times)
    assert times[-1][1] < 200


@pytest.mark.parametrize("fault", ["lose", "corrupt"])
def test_pictures_that_are_lost_or_damaged_cost_no_other_moment(run: LiveRun, server: RtspServer, fault: str) -> None:
    run.more_clips(2)
    getattr(server, fault)(5)
    run.more_clips(2)
    (outcome,) = run.finish()
    assert outcome.state == "done"
    assert_nothing_lost(run, server)


def test_a_slow_camera_changes_nothing_for_the_healthy_one_beside_it(
    footage: Path, server: RtspServer, tmp_path: Path
) -> None:
    server.add("slow", footage)
    with LiveRun(tmp_path, {"cam": server.url, "slow": server.url_of("slow")}) as run:
        run.until(is_running, "slow")
        server.slow(10, on="slow")
        run.more_clips(3)
        server.stall(on="slow")
        run.more_clips(2)
        run.finish()
    assert_nothing_lost(run, server)
    assert len(whole_moments(server)) >= 4
    status = run.status()
    assert status is not None
    assert (status.dropped, status.connections) == (0, 1)


def test_a_wrong_path_and_a_wrong_password_are_told_in_one_line_and_cost_the_others_nothing(
    footage: Path, tmp_path: Path
) -> None:
    with RtspServer(footage, speed=SPEED, user="me", password="right") as guarded:  # noqa: S106 - of this test alone
        right = guarded.url_of("live", credentials=True)
        live = {
            "cam": right,
            "path": guarded.url_of("nothing", credentials=True),
            "password": right.replace("right", "wr0ng"),
        }
        with LiveRun(tmp_path, live) as run:
            run.until(lambda status: status.trouble is Trouble.NOT_FOUND, "path")
            run.until(lambda status: status.trouble is Trouble.UNAUTHORISED, "password")
            run.more_clips(2)
            outcomes = {outcome.stream: outcome for outcome in run.finish()}
        assert_nothing_lost(run, guarded)
    assert {stream: outcome.state for stream, outcome in outcomes.items()} == {
        "cam": "done",
        "path": "bad_input",
        "password": "bad_input",
    }
    assert Trouble.NOT_FOUND.value in str(outcomes["path"].message)
    assert Trouble.UNAUTHORISED.value in str(outcomes["password"].message)
    assert "\n" not in f"{outcomes['path'].message}{outcomes['password'].message}"


def test_pictures_of_another_size_are_another_recording_and_each_clip_is_of_one_size(
    run: LiveRun, server: RtspServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("small") / "small.mp4"
    larger = make_clip(path, Video(even_times(600, RATE_HZ), larger_picture, gop=RATE_HZ, b_frames=0), SOUND)
    run.more_clips(2)
    server.change(larger)
    run.until(lambda status: status.size_px == (480, 270))
    run.more_clips(2)
    run.finish()
    sizes = []
    for one in run.highlights():
        with av.open(str(run.out / "cam" / str(one.clip))) as container:
            sizes.append({(frame.width, frame.height) for frame in container.decode(video=0)})
    assert all(len(size) == 1 for size in sizes)
    assert sizes[0] == {(320, 180)}
    assert sizes[-1] == {(480, 270)}


def test_a_file_and_two_cameras_run_side_by_side(footage: Path, server: RtspServer, tmp_path: Path) -> None:
    file = make_scene(tmp_path / "match.mp4", rate_hz=5, duration_s=20)
    url = server.add("other", footage, start_at_s=50)
    with LiveRun(tmp_path / "out", {"cam": server.url, "other": url}, files=[file]) as run:
        run.more_clips(2)
        run.more_clips(2, "other")
        outcomes = run.finish()
    assert {outcome.stream: outcome.state for outcome in outcomes} == {"match": "done", "cam": "done", "other": "done"}
    assert_nothing_lost(run, server)
    assert_nothing_lost(run, server, "other", "other")
    assert len(list((tmp_path / "out" / "match" / "clips").iterdir())) >= 1


def test_a_playlist_with_a_discontinuity_loses_nothing_on_either_side(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("hls")
    clips = [make_footage(folder / f"{name}.mp4", length_s=24) for name in ("first", "second")]
    with (
        HttpServer() as server,
        LiveRun(tmp_path, {"cam": server.add_live("cam", *clips, speed=SPEED, window=12)}) as run,
    ):
        run.more_clips(5, timeout_s=40)
        (outcome,) = run.finish()
    assert outcome.state == "done"
    shown = [numbers_in(run.out / "cam" / str(one.clip)) for one in run.highlights()]
    assert all(later - earlier == 1 for clip in shown for earlier, later in pairwise(clip))
    starts = [clip[0] for clip in shown]
    # Both clips have the same numbers: the second begins again.
    assert len([None for earlier, later in pairwise(starts) if later < earlier]) == 1


def test_a_disk_that_is_full_for_a_while_costs_only_what_it_could_not_hold(
    run: LiveRun, server: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.more_clips(2)
    with monkeypatch.context() as full:

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(PacketWriter, "packet", refuse)
        full.setattr(PacketWriter, "note", refuse)
        wanted = len(run.seen["cam"]) + 10 * RATE_HZ
        wait_until(lambda: len(run.seen["cam"]) >= wanted, 10)
    run.more_clips(2)
    (outcome,) = run.finish()
    assert outcome.state == "done"
    found = run.highlights()
    whole = [one for one in found if one.clip is not None and not one.notes]
    assert len(whole) >= 3
    assert all(one.notes for one in found if one not in whole)
    run.assert_no_frame_is_shown_twice()
