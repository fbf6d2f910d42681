"""The demo: a scene that is the same every time, and whose moments a run finds."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from clipstream.cli import main
from clipstream.media.demo import DemoTruth, make_demo
from clipstream.media.demo.figure import Picture, Placed, Pose, blend, draw_figure, run_pose, walk_pose
from clipstream.media.demo.park import Park
from clipstream.media.demo.script import DURATION_S, MOMENTS, draw_people
from clipstream.media.demo.sound import RATE_HZ, make_sound
from clipstream.media.probe import probe
from clipstream.settings import options


def picture_at(time_s: float) -> Picture:
    picture = Park(320, 180, np.random.default_rng(1)).at(time_s)
    draw_people(picture, time_s)
    return picture


def moving(time_s: float) -> float:
    """How much changes in a fifteenth of a second, after the clouds are left out."""
    before, after = (picture_at(at)[90:].astype(np.int16) for at in (time_s, time_s + 1 / 15))
    return float(np.abs(after - before).mean())


def test_the_file_is_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipstream.media.demo.DURATION_S", Fraction(1))
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    assert make_demo(first) == make_demo(second) == DemoTruth(Fraction(1), MOMENTS)
    assert first.read_bytes() == second.read_bytes()
    media = probe(first)
    assert media.video is not None
    assert media.audio is not None
    assert (media.video.codec, media.video.display_width_px, media.video.display_height_px) == ("h264", 640, 360)
    assert media.video.average_rate == media.video.frames == 30
    assert (media.audio.codec, media.audio.rate_hz) == ("aac", RATE_HZ)


def test_more_moves_in_every_moment_than_in_the_calm_around_it() -> None:
    calm = np.median([moving(time_s) for time_s in (1.0, 3.0, 8.5, 10.0, 15.0, 16.5, 22.0, 23.0)])
    for moment in MOMENTS:
        times_s = np.linspace(float(moment.start_s), float(moment.end_s), 7)[1:-1]
        assert np.median([moving(time_s) for time_s in times_s]) > 1.5 * calm, moment.name


def test_every_moment_is_heard_and_the_rest_is_not_silent() -> None:
    sound = make_sound(np.random.default_rng(1))
    assert len(sound) == DURATION_S * RATE_HZ
    level = 20 * np.log10(np.sqrt((sound.reshape(-1, RATE_HZ // 2) ** 2).mean(axis=1)))
    loud = [slice(int(2 * moment.start_s) + 2, int(2 * moment.end_s)) for moment in MOMENTS]
    calm = np.concatenate([level[:10], level[18:22], level[30:36], level[44:]])
    assert all(level[span].min() > calm.max() + 15 for span in loud)
    assert calm.min() > -60
    assert np.abs(sound).max() < 1


@pytest.mark.parametrize("gait", [walk_pose, run_pose])
def test_a_gait_repeats_and_its_two_sides_mirror_each_other(gait: Callable[[float], Pose]) -> None:
    pose, later, opposite = gait(0.2), gait(1.2), gait(0.7)
    assert later.thigh == pytest.approx(pose.thigh)
    assert (opposite.thigh, opposite.knee, opposite.arm) == pytest.approx((pose.thigh_far, pose.knee_far, pose.arm_far))


def test_a_blend_begins_and_ends_with_its_poses() -> None:
    assert blend(walk_pose(0.1), run_pose(0.6), -1) == walk_pose(0.1)
    assert blend(walk_pose(0.1), run_pose(0.6), 2) == run_pose(0.6)


@pytest.mark.parametrize("roll", [0, 90, 180, 300])
def test_a_figure_stands_on_the_ground_however_it_is_turned(roll: int) -> None:
    from clipstream.media.demo.script import _BOY as LOOK

    picture = np.full((300, 400, 3), 255, np.uint8)
    draw_figure(picture, Placed(Pose(roll=roll), 200, 250, 180, 1), LOOK)
    coloured = np.ptp(picture.astype(int), axis=2) > 40  # the shadow is grey
    lowest_px = int(np.flatnonzero(coloured.any(axis=1)).max())
    assert 240 <= lowest_px <= 262


@pytest.mark.slow
def test_a_run_finds_each_moment_in_a_clip_of_its_own_and_the_next_has_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for option in options():
        monkeypatch.delenv(option.variable, raising=False)
    out = tmp_path / "highlights"
    assert main(["demo", "-o", str(out), "--json"]) == 0
    written = capsys.readouterr()
    (outcome,) = json.loads(written.out)["outcomes"]
    assert outcome["state"] == "done"
    assert probe(out / "demo.mp4").duration_s == DURATION_S
    found = outcome["manifest"]["highlights"]
    assert len(found) == len(MOMENTS)
    for moment, highlight in zip(MOMENTS, found, strict=True):
        assert highlight["start_s"] <= moment.start_s
        assert highlight["end_s"] >= moment.end_s
        assert (out / "demo" / highlight["clip"]).is_file()
    assert "report.html in a browser" in written.err

    made_ns = (out / "demo.mp4").stat().st_mtime_ns
    assert main(["demo", "-o", str(out), "--json"]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)["outcomes"]
    assert outcome["state"] == "already_done"
    assert (out / "demo.mp4").stat().st_mtime_ns == made_ns
