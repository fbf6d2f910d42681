"""The benchmarks compare what they say they compare, and their command runs."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scenes import make_scene

from benchmarks import models, run
from benchmarks.footage import Footage
from benchmarks.live_watch import medians, slope_an_hour
from benchmarks.measures import MEASURES, Measure, Seen, Trial, compare, trials
from benchmarks.processes import Usage, measure
from benchmarks.run import main, run_rounds, table
from benchmarks.work import models_alone
from clipstream.features.registry import select_features
from clipstream.media.inputs import Input
from clipstream.models.embedding import IMAGENET
from clipstream.models.runtime import Arrays, Runner
from clipstream.settings import Settings

SPEED = Measure("skip", "with skipping", "≥ 1.5 ×", "mine", "theirs")
COST = Measure("dataflow", "over a loop", "≤ 10 %", "mine", "theirs", "cost")
REAL_TIME = Measure("all", "all features", "≥ 2 × real time", "mine", None)
SHARE = Measure("reference", "of the reference's way", "≤ 0.33", "mine", "theirs", "share")
MEMORY = Measure("memory", "long against short", "≤ 1.1 ×", "mine", "theirs", "memory")
SAME_MEDIA = {"mine": Trial((), 60), "theirs": Trial((), 60)}


def used(wall_s: float = 1, cpu_s: float = 1, peak_mb: float = 1) -> Usage:
    return Usage(wall_s, cpu_s, peak_mb)


def test_speed_is_how_many_times_faster_by_the_clock_and_by_the_processor() -> None:
    runs = {"mine": [used(4, 6)], "theirs": [used(6, 9)]}
    assert compare(SPEED, runs, SAME_MEDIA) == Seen("1.50 ×", "1.50 ×")


def test_speed_counts_the_media_that_went_through() -> None:
    runs = {"mine": [used(4, 4)], "theirs": [used(4, 4)]}
    ten_times = {"mine": Trial((), 600), "theirs": Trial((), 60)}
    assert compare(SPEED, runs, ten_times).figure == "10.00 ×"


def test_what_disturbs_one_round_does_not_count() -> None:
    runs = {"mine": [used(2), used(2), used(90)], "theirs": [used(4), used(70), used(4)]}
    assert compare(SPEED, runs, SAME_MEDIA).figure == "2.00 ×"


def test_each_run_is_compared_with_the_one_of_its_round() -> None:
    runs = {"mine": [used(1), used(2), used(3)], "theirs": [used(3), used(6), used(9)]}
    assert compare(SPEED, runs, SAME_MEDIA).figure == "3.00 ×"


def test_cost_is_what_is_added_in_percent() -> None:
    runs = {"mine": [used(5.5, 4)], "theirs": [used(5, 5)]}
    assert compare(COST, runs, SAME_MEDIA) == Seen("+10 %", "-20 %")


def test_speed_beside_nothing_is_that_of_the_media() -> None:
    assert compare(REAL_TIME, {"mine": [used(20, 30)]}, SAME_MEDIA) == Seen("3.00 ×", "2.00 ×")


def test_a_share_is_of_the_processor_time_that_the_same_media_takes() -> None:
    runs = {"mine": [used(1, 6)], "theirs": [used(1, 2)]}
    assert compare(SHARE, runs, {"mine": Trial((), 60), "theirs": Trial((), 4)}).figure == "0.20"


def test_memory_is_a_ratio_and_beside_nothing_megabytes() -> None:
    runs = {"mine": [used(peak_mb=250)], "theirs": [used(peak_mb=240), used(peak_mb=260)]}
    alone = Measure("memory", "of the long one", "< 400 MB", "mine", None, "memory")
    assert compare(MEMORY, runs, SAME_MEDIA) == Seen("1.00 ×", "")
    assert compare(alone, runs, SAME_MEDIA) == Seen("250 MB", "")


def test_the_table_is_markdown_with_a_line_a_measure() -> None:
    assert table([(SPEED, Seen("1.62 ×", "1.55 ×"))]).splitlines() == [
        "| name | measure | wanted | seen | by processor time |",
        "| --- | --- | --- | --- | --- |",
        "| skip | with skipping | ≥ 1.5 × | 1.62 × | 1.55 × |",
    ]


def test_every_measure_compares_trials_that_there_are(tmp_path: Path) -> None:
    known = trials(Footage(tmp_path, 60, tmp_path, 600), tmp_path)
    assert {name for item in MEASURES for name in (item.of, item.against) if name} == set(known)


@pytest.mark.parametrize("engines", [("torch",), ("openvino", "torch")])
def test_every_measure_of_models_compares_trials_that_there_are(tmp_path: Path, engines: tuple[str, ...]) -> None:
    known = models.trials(Footage(tmp_path, 60, tmp_path, 600), tmp_path / "clip.pt", tmp_path, "cpu")
    measures = models.measures(engines)
    assert {name for item in measures for name in (item.of, item.against) if name} <= set(known)
    assert any("OpenVINO" in item.text for item in measures) == ("openvino" in engines)


def test_openvino_is_measured_only_where_models_run_on_the_cpu() -> None:
    assert "openvino" not in models.engines("cuda")


def test_the_bare_forwards_are_those_of_the_dataflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    run = Runner.__call__

    def noted(runner: Runner, pictures: NDArray[np.uint8]) -> Arrays:
        seen.append(len(pictures))
        return run(runner, pictures)

    settings = Settings(features=("embedding",), embedding_model=IMAGENET, device="cpu")
    inputs = [Input("scene", make_scene(tmp_path / "scene.mp4", rate_hz=10))]
    selection = select_features(settings)
    alone = models_alone(inputs, settings, selection)
    monkeypatch.setattr(Runner, "__call__", noted)
    summary = alone(inputs, settings, selection)[0]
    assert sum(seen) == 2 * summary.end.duration_s


def test_all_programs_run_in_every_round_but_those_that_need_one(tmp_path: Path) -> None:
    order = tmp_path / "order"

    def says(name: str, *, once: bool = False) -> Trial:
        return Trial((sys.executable, "-c", f"open({str(order)!r}, 'a').write({name!r})"), 1, once)

    runs = run_rounds({"a": says("a"), "b": says("b", once=True), "c": says("c")}, rounds=2)
    assert order.read_text() == "abcac"
    assert {name: len(usages) for name, usages in runs.items()} == {"a": 2, "b": 1, "c": 2}


def test_a_program_may_measure_itself() -> None:
    seen = measure([sys.executable, "-c", 'print(\'{"wall_s": 0.001, "cpu_s": 7.0}\')'])
    assert (seen.wall_s, seen.cpu_s) == (0.001, 7.0)
    assert seen.start_s > 0


def test_memory_is_that_of_the_program() -> None:
    # Measured from a process of its own: the one that runs the tests may hold more.
    line = "import sys; from benchmarks.processes import measure; print(measure(sys.argv[1:]).peak_mb)"
    command = [sys.executable, "-c", line, sys.executable, "-c", "b'1' * 300_000_000"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    assert 300 < float(done.stdout) < 340


def test_what_stays_is_told_from_what_comes_and_goes() -> None:
    at_s = [float(second) for second in range(600)]
    held_mb = [100 + second / 600 + 50 * (not second % 3) for second in range(600)]
    slope, error = slope_an_hour(*medians(at_s, held_mb, 10))
    assert slope == pytest.approx(6, abs=0.1)
    assert error < 0.1


def test_a_slope_is_as_sure_as_what_lies_off_the_line_lets_it_be() -> None:
    at_s = [float(second) for second in range(600)]
    noise = np.random.default_rng(1).normal(0, 1, 600)
    slope, error = slope_an_hour(at_s, [second / 3600 + off for second, off in zip(at_s, noise, strict=True)])
    assert error == pytest.approx(3600 / math.sqrt(600 * (600**2 - 1) / 12), rel=0.1)
    assert abs(slope - 1) < 3 * error


def test_a_program_that_fails_is_no_measurement() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        measure([sys.executable, "-c", "raise SystemExit(3)"])


def test_without_ffmpeg_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["skip"]) == 2
    assert "ffmpeg is not installed" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg, which the benchmarks measure against, is not here")
def test_the_command_measures_a_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    make = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30:duration=1", str(clip)]
    subprocess.run(make, check=True)
    monkeypatch.setattr(run, "CACHE", tmp_path / "media")
    assert main(["skip", "--clip", str(clip), "--seconds", "2", "--rounds", "1"]) == 0
    assert "| skip | with skipping" in capsys.readouterr().out
