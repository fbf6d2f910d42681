"""The page for Prometheus counts the clips that are there, that are to come, and that could not be cut."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from scenes import LIGHT, make_scene
from structlog.testing import capture_logs
from test_metrics import page
from watchers import Notes

from clipstream.errors import CutError
from clipstream.live import Cameras, LiveOutput
from clipstream.media.cutter import ClipResult, ClipSpec, Cutter
from clipstream.media.inputs import Input
from clipstream.media.live.address import LiveAddress, LiveInput
from clipstream.media.slices import MediaNeeds
from clipstream.metrics import Metrics, StreamStatus
from clipstream.output import ClipCounts, ClipTally, OutputContext
from clipstream.report.manifest import read_manifest
from clipstream.results import Interval
from clipstream.run.run import run_job
from clipstream.run.watchers import Outcome
from clipstream.settings import Settings


def shown(url: str, stream: str) -> ClipCounts:
    found, labels = page(url), (("stream", stream),)
    names = ("clips_total", "pending_clips", "failed_clips_total")
    return ClipCounts(*(int(found[f"clipstream_{name}", labels]) for name in names))


class Unsure:
    """Looks at the page and cuts, but for every second clip."""

    def __init__(self, logged: Sequence[Any]) -> None:
        self.seen: list[ClipCounts] = []
        self._logged = logged

    def look(self) -> None:
        (url,) = (one["url"] for one in self._logged if one["event"] == "metrics_served")
        self.seen.append(shown(url, "scene"))

    def cut(self, spec: ClipSpec, _cancelled: Callable[[], bool]) -> ClipResult:
        self.look()
        if not len(self.seen) % 2:
            raise CutError("no keyframe; use another.")
        spec.target.write_text("a clip", encoding="utf-8")
        return ClipResult(spec.target, spec.start_s, spec.end_s, 2, "pretended", (), 1)


def test_a_run_counts_each_clip_as_it_is_written_or_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene(tmp_path / "scene.mp4", rate_hz=5, duration_s=20)
    with capture_logs() as logged:
        cutter = Unsure(logged)

        class Looking(Notes):
            def finished(self, _: Outcome) -> None:
                cutter.look()

        def chosen(_: Settings) -> Cutter:
            return cutter

        monkeypatch.setattr("clipstream.dataflow.sink.chosen_cutter", chosen)
        settings = Settings(out=str(tmp_path / "out"), features=LIGHT, metrics="0", top=3)
        (outcome,) = run_job([Input("scene", scene)], settings, Looking())
    assert outcome.state == "failed"
    found = len(cutter.seen) - 1
    assert found >= 2, "one that is cut and one that is not"
    assert cutter.seen == [
        ClipCounts(written=(done + 1) // 2, pending=found - done, failed=done // 2) for done in range(found + 1)
    ]


class Later(Executor):
    """Works when it is told to."""

    def __init__(self) -> None:
        self._work: list[Callable[[], object]] = []

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        self._work.append(lambda: work(*arguments, **options))
        return Future()

    def now(self) -> None:
        while self._work:
            self._work.pop()()


def live_output(out: Path, pool: Executor, tally: ClipTally) -> LiveOutput:
    """Return what writes the live stream cam, of which nothing is recorded."""
    settings = Settings(out=str(out))
    cameras = Cameras([LiveInput("cam", LiveAddress.parse("rtsp://127.0.0.1/cam"))], settings, MediaNeeds())
    context = OutputContext(
        out=out,
        settings=settings,
        left_out=(),
        cutter=Unsure(()),
        pool=pool,
        stopped=lambda: False,
        clip_written=lambda *_: None,
        stream_written=lambda *_: None,
        tally=tally,
    )
    return LiveOutput(context, "cam", cameras, ())


def test_a_live_highlight_is_pending_until_it_is_known_that_it_cannot_be_cut(tmp_path: Path) -> None:
    pool, tally = Later(), ClipTally()
    output = live_output(tmp_path, pool, tally)
    with Metrics("0", lambda: [StreamStatus("cam", clips=tally.counts("cam"))]) as metrics:
        assert shown(metrics.url, "cam") == ClipCounts()
        output.add(Interval("cam", 1, 1000, 4000, 2000, 5.0))
        assert shown(metrics.url, "cam") == ClipCounts(pending=1)
        pool.now()
        assert shown(metrics.url, "cam") == ClipCounts(failed=1)
    output.close()
    manifest = read_manifest(tmp_path / "cam")
    assert manifest is not None
    assert [one.clip for one in manifest.highlights] == [None]
