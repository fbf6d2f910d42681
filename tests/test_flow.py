"""The dataflow: alone, embedded in a larger pipeline, over workers, and over processes."""

import os
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, cluster_main, run_main
from scenes import LIGHT, MOMENTS_S, clip_digests, make_scene

from clipstream import ClipSink, Input, Interval, MediaSource, Row, Settings, StreamSummary, Window, highlights
from clipstream.failures import Failure
from clipstream.media.slices import Slice

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Input]:
    folder = tmp_path_factory.mktemp("scenes")
    return [Input(name, make_scene(folder / f"{name}.mp4", seed=seed)) for seed, name in enumerate(("one", "two"))]


def covers(interval: Interval, moment_s: tuple[float, float]) -> bool:
    middle_ms = 500 * sum(moment_s)
    return interval.start_ms <= middle_ms < interval.end_ms


def test_a_flow_embeds_highlights_beside_another_branch(scenes: list[Input]) -> None:
    rows: list[tuple[str, Row]] = []
    windows: list[tuple[str, Window]] = []
    intervals: list[tuple[str, Interval]] = []
    summaries: list[tuple[str, StreamSummary]] = []
    counted: list[tuple[str, int]] = []
    measured: list[Row] = []
    settings = Settings(features=LIGHT, top=2)

    flow = Dataflow("larger")
    slices = op.input("media", flow, MediaSource(scenes, settings))
    own = op.map("own_branch", slices, lambda item: (item.stream, item.frame_count))
    op.output("own_out", own, TestingSink(counted))
    found = highlights("highlights", slices, settings, measured=measured.append)
    for name, stream, sink in (
        ("rows", found.rows, rows),
        ("windows", found.windows, windows),
        ("intervals", found.intervals, intervals),
        ("summaries", found.summaries, summaries),
    ):
        op.output(name, stream, TestingSink(sink))
    run_main(flow)

    for item in scenes:
        of_stream = [interval for stream, interval in intervals if stream == item.stream]
        assert [covers(interval, moment) for interval, moment in zip(of_stream, MOMENTS_S, strict=True)] == [True, True]
        of_rows = [row for stream, row in rows if stream == item.stream]
        assert [row.n for row in of_rows] == list(range(len(of_rows)))
        assert [row.end is not None for row in of_rows] == [False] * (len(of_rows) - 1) + [True]
        assert [window.k for stream, window in windows if stream == item.stream] == list(range(7))
        assert sum(count for stream, count in counted if stream == item.stream) > 0
    assert {stream for stream, _ in summaries} == {"one", "two"}
    assert measured == [row for _, row in rows if row.end is None]


def test_two_highlights_operators_may_stand_in_one_flow(scenes: list[Input]) -> None:
    best: list[tuple[str, Interval]] = []
    all_of_them: list[tuple[str, Interval]] = []
    settings = Settings(features=LIGHT)
    flow = Dataflow("twice")
    slices = op.input("media", flow, MediaSource(scenes[:1], settings))
    op.output("best", highlights("a", slices, Settings(features=LIGHT, top=1)).intervals, TestingSink(best))
    op.output("all", highlights("b", slices, Settings(features=LIGHT, top=9)).intervals, TestingSink(all_of_them))
    run_main(flow)
    assert len(best) == 1
    assert len(all_of_them) == 2


def test_slices_never_leave_the_worker_that_decoded_them_and_rows_stay_light(scenes: list[Input]) -> None:
    import pickle

    rows: list[tuple[str, Row]] = []
    flow = Dataflow("light")
    settings = Settings(features=LIGHT)
    slices = op.input("media", flow, MediaSource(scenes[:1], settings))
    op.output("rows", highlights("highlights", slices, settings).rows, TestingSink(rows))
    run_main(flow)
    assert max(len(pickle.dumps(row)) for _, row in rows) < 1024


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(scenes: list[Input], workers: int, tmp_path: Path) -> None:
    def flow(out: Path) -> Dataflow:
        settings = Settings(features=LIGHT, top=2, out=str(out), workers=workers)
        flow = Dataflow("clips")
        slices = op.input("media", flow, MediaSource(scenes, settings))
        op.output("clips", highlights("highlights", slices, settings).results, ClipSink(scenes, settings))
        return flow

    run_main(flow(tmp_path / "alone"))
    cluster_main(flow(tmp_path / "workers"), [], 0, worker_count_per_proc=workers)
    alone = clip_digests(tmp_path / "alone")
    assert len(alone) == 4
    assert clip_digests(tmp_path / "workers") == alone


@pytest.mark.parametrize("open_files", [1, 2])
def test_a_worker_reads_as_many_files_at_a_time_as_it_may(scenes: list[Input], open_files: int) -> None:
    read: list[str] = []
    flow = Dataflow("in_turn")
    source = MediaSource(
        scenes, Settings(features=LIGHT), open_files=open_files, decoded=lambda item: read.append(item.stream)
    )
    op.output("out", op.map("stream", op.input("media", flow, source), lambda item: item.stream), TestingSink([]))
    cluster_main(flow, [], 0, worker_count_per_proc=1)
    changes = sum(a != b for a, b in pairwise(read))
    assert set(read) == {"one", "two"}
    assert (changes == 1) is (open_files == 1)


def test_a_file_that_breaks_on_the_way_does_not_end_the_flow(scenes: list[Input], tmp_path: Path) -> None:
    summaries: list[tuple[str, StreamSummary]] = []
    settings = Settings(features=LIGHT)
    flow = Dataflow("broken")
    inputs = [*scenes[:1], Input("gone", tmp_path / "gone.mp4")]
    slices = op.input("media", flow, MediaSource(inputs, settings))
    op.output("summaries", highlights("highlights", slices, settings).summaries, TestingSink(summaries))
    run_main(flow)
    ends = {stream: summary.end.problem for stream, summary in summaries}
    assert ends["one"] is None
    assert "there is no such file" in str(ends["gone"])


def test_a_feature_that_fails_is_counted_and_the_rest_goes_on(
    scenes: list[Input], monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipstream.features import select_features

    settings = Settings(features=("audio", "motion"))
    selection = select_features(settings)
    motion = next(feature for feature in selection.features if feature.name == "motion")

    def fail(_: list[Slice]) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(motion, "extract", fail)
    summaries: list[tuple[str, StreamSummary]] = []
    flow = Dataflow("failing")
    slices = op.input("media", flow, MediaSource(scenes[:1], settings, selection=selection))
    op.output("s", highlights("highlights", slices, settings, selection).summaries, TestingSink(summaries))
    run_main(flow)
    ((_, summary),) = summaries
    assert summary.errors == len(summary.values)
    assert summary.failures == (Failure("motion", len(summary.values), "RuntimeError: out of luck"),)
    assert len(summary.intervals) > 0, "the sound alone still tells"


@pytest.mark.slow
def test_a_cluster_of_two_processes_gives_the_same_clips(scenes: list[Input], tmp_path: Path) -> None:
    run_flow_file(scenes, tmp_path / "alone", [])
    addresses = ";".join(f"127.0.0.1:{port}" for port in free_ports(2))
    processes = [start_flow_file(scenes, tmp_path / "cluster", ["-i", str(i), "-a", addresses]) for i in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    alone = clip_digests(tmp_path / "alone")
    assert len(alone) >= 2
    assert clip_digests(tmp_path / "cluster") == alone


@pytest.mark.slow
def test_the_embedded_example_prints_highlights_beside_its_own_branch(scenes: list[Input], tmp_path: Path) -> None:
    process = start_flow_file(scenes, tmp_path, [], flow="flows.embedded")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "one: highlight" in out


def run_flow_file(scenes: list[Input], out: Path, arguments: list[str]) -> None:
    process = start_flow_file(scenes, out, arguments)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def start_flow_file(
    scenes: list[Input], out: Path, arguments: list[str], flow: str = "flows.highlights"
) -> subprocess.Popen[str]:
    environment = os.environ | {
        "CLIPSTREAM_INPUTS": os.pathsep.join(str(item.path) for item in scenes),
        "CLIPSTREAM_OUT": str(out),
        "CLIPSTREAM_FEATURES": ",".join(LIGHT),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "bytewax.run", flow, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_ports(count: int) -> list[int]:
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports
