"""A feature that fails in the middle of a run: it is counted and told, and no success where it was asked for."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_runs import SPEED, LiveRun, make_footage
from numpy.typing import NDArray
from saving_run import Brightness
from scenes import LIGHT, clip_digests, make_scene
from structlog.testing import capture_logs
from test_clip_counts import Later, live_output
from test_metrics import page
from watchers import Impatient, Notes

from clipstream import Input, Interval, Outcome, Row, Settings, run_job
from clipstream.cli.run import exit_status
from clipstream.cli.summary import notices
from clipstream.errors import FeatureUnavailableError
from clipstream.extraction import Extractor, Following
from clipstream.failures import Failure, add_failures, in_one_line
from clipstream.features.base import AnyFeature, FeatureInfo, Follower, Observation, Signal
from clipstream.features.registry import Selection, features_asked_for, select_features
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.output import ClipTally
from clipstream.report.manifest import FailedFeature, Manifest, read_manifest
from clipstream.testing import RtspServer

SAID = "motion failed in 41 of 41 slices: MemoryError"


class Sense:
    """A feature that fails with an error in the slices of some numbers."""

    weight, needs = 1.0, MediaNeeds()

    def __init__(self, name: str, error: Exception, fails_at: Sequence[int] = (0,)) -> None:
        self.name, self.error, self.fails_at = name, error, fails_at
        self.signals: tuple[Signal, ...] = (Signal(f"{name}_level", "level", "", 1.0, 1.0),)

    def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
        if any(item.n in self.fails_at for item in slices):
            raise self.error
        return np.array([[item.n] for item in slices], np.float32)


class Gaze(Sense):
    """A feature that fails in observing like `Sense`, and whose follower fails in slices of its own choice."""

    def __init__(self, error: Exception, fails_at: Sequence[int] = (), loses_at: Sequence[int] = ()) -> None:
        super().__init__("gaze", error, fails_at)
        self.loses_at = loses_at

    def observe(self, slices: Sequence[Slice]) -> list[Observation]:
        return [Observation(number.tobytes()) for number in self.extract(slices)]

    def follower(self, state: object | None = None) -> Follower:
        return Stare(self, state)


class Stare:
    """Follows for `Gaze`: gives what was observed, and remembers nothing."""

    def __init__(self, gaze: Gaze, memory: object | None) -> None:
        self.gaze, self.memory = gaze, memory

    def follow(self, n: int, light: bytes) -> list[float]:
        if n in self.gaze.loses_at:
            raise self.gaze.error
        return np.frombuffer(light, np.float32).tolist() if light else [np.nan]

    def state(self) -> object:
        return self.memory


def followed(features: Sequence[AnyFeature], slices: Sequence[Slice]) -> list[Row]:
    """Return the rows of slices that came in one batch, each stream's completed by its own followers."""
    following = {item.stream: Following(features) for item in slices}
    return [following[stream].push(row) for stream, row in Extractor(features)(slices)]


def numbers(rows: Sequence[Row]) -> list[list[float]]:
    return [np.frombuffer(row.values, np.float32).tolist() for row in rows]


# What is counted.


def test_a_row_tells_of_the_features_that_failed_in_its_slice_and_of_no_others() -> None:
    extract = Extractor([Sense("smell", RuntimeError("out of\n  luck.")), Sense("touch", ValueError(), ())])
    rows = [row for n in range(2) for _, row in extract([Slice("s", n)])]
    assert [row.failures for row in rows] == [(Failure("smell", 1, "RuntimeError: out of luck"),), ()]
    assert [row.errors for row in rows] == [1, 0]


@pytest.mark.parametrize(
    "feature", [Sense("smell", MemoryError(), (4,)), Gaze(MemoryError(), (4,))], ids=["extracting", "observing"]
)
def test_a_stream_in_which_a_feature_fails_costs_those_in_the_same_batch_nothing(feature: Sense) -> None:
    rows = followed([feature], [Slice("sound", 3), Slice("bad", 4), Slice("sound", 5)])
    assert numbers(rows) == [[3], [pytest.approx(np.nan, nan_ok=True)], [5]]
    assert [row.failures for row in rows] == [(), (Failure(feature.name, 1, "MemoryError"),), ()]
    assert [row.errors for row in rows] == [0, 1, 0]


def test_a_batch_that_is_too_large_is_no_failure_where_each_slice_alone_succeeds() -> None:
    class Small(Sense):
        def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
            if len(slices) > 1:
                raise self.error
            return super().extract(slices)

    rows = followed([Small("taste", MemoryError(), ())], [Slice("one", 1), Slice("two", 2)])
    assert numbers(rows) == [[1], [2]]
    assert [(row.failures, row.errors) for row in rows] == [((), 0)] * 2


def test_a_follower_that_fails_is_counted_on_its_row_and_goes_on_with_the_next() -> None:
    features = [Sense("touch", ValueError(), ()), Gaze(KeyError("who"), loses_at=(1,))]
    rows = followed(features, [Slice("s", n) for n in range(3)])
    assert numbers(rows) == [[0, 0], [1, pytest.approx(np.nan, nan_ok=True)], [2, 2]]
    assert [row.failures for row in rows] == [(), (Failure("gaze", 1, "KeyError: 'who'"),), ()]
    assert [row.errors for row in rows] == [0, 1, 0]


def test_a_slice_counts_once_if_neither_observing_nor_following_it_succeeds() -> None:
    (row,) = followed([Gaze(OSError("blind"), (7,), (7,))], [Slice("s", 7)])
    assert (row.failures, row.errors) == ((Failure("gaze", 1, "OSError: blind"),), 1)


def test_a_row_stays_light_however_much_an_error_says() -> None:
    senses = [Sense(f"sense_{n}", RuntimeError(f"{n} out of memory " * 500)) for n in range(4)]
    ((_, row),) = Extractor(senses)([Slice("a-camera-with-quite-a-long-name", 0)])
    assert len(row.failures) == 4
    assert len(pickle.dumps(row)) < 1024


def test_failures_add_up_a_feature_and_keep_the_first_error() -> None:
    before = (Failure("pose", 1, "no memory"),)
    more = (Failure("audio", 2, "no sound"), Failure("pose", 3, "no luck"))
    assert add_failures(before, more) == (Failure("pose", 4, "no memory"), Failure("audio", 2, "no sound"))


def test_an_error_of_ours_is_told_in_its_own_words_alone() -> None:
    assert in_one_line(FeatureUnavailableError("pose: there is no memory.")) == "pose: there is no memory"


@pytest.mark.parametrize(
    ("options", "asked_for"),
    [
        ({}, set()),
        ({"features": LIGHT}, set(LIGHT)),
        ({"prompt": (("a goal", 1.0),)}, {"prompts"}),
        ({"save": ("poses",)}, {"brightness"}),
        ({"save": ("embeddings",)}, set()),
    ],
)
def test_asked_for_is_what_was_named_or_prompted_and_what_gives_a_table_to_save(
    options: dict[str, Any], asked_for: set[str]
) -> None:
    assert features_asked_for(Settings(**options), [Brightness()]) == asked_for


# What becomes of a run.


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scene(tmp_path_factory.mktemp("failures") / "scene.mp4", rate_hz=5, duration_s=20)


class Memory:
    """What motion computes in; at first there is too little of it."""

    short = True

    def select(self, settings: Settings) -> Selection:
        selection = select_features(replace(settings, features=LIGHT))
        (motion,) = (feature for feature in selection.features if feature.name == "motion")
        plain = vars(type(motion))["extract"]

        def extract(slices: Sequence[Slice]) -> NDArray[np.float32]:
            if self.short:
                raise MemoryError
            found: NDArray[np.float32] = plain(motion, slices)
            return found

        vars(motion)["extract"] = extract
        return selection


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    memory = Memory()
    monkeypatch.setattr("clipstream.run.run.select_features", memory.select)
    return memory


def run(out: Path, scene: Path, watcher: Notes | None = None, **options: Any) -> Outcome:
    (outcome,) = run_job([Input("scene", scene)], Settings(out=str(out), top=2, **options), watcher or Notes())
    return outcome


def manifest_of(outcome: Outcome) -> Manifest:
    manifest = read_manifest(outcome.folder)
    assert manifest is not None
    return manifest


def test_a_run_without_a_feature_that_was_named_has_failed_and_is_done_again_by_the_same_command(
    scene: Path, tmp_path: Path, memory: Memory
) -> None:
    failed = run(tmp_path, scene, features=LIGHT)
    assert (failed.state, exit_status([failed], ())) == ("failed", 1)
    assert failed.message == f"{SAID}; the same command does it again."
    manifest = manifest_of(failed)
    assert (manifest.status, manifest.error) == ("failed", failed.message)
    assert manifest.failures == (FailedFeature("motion", 41, 41, "MemoryError"),)
    assert SAID in (tmp_path / "scene" / "report.html").read_text(encoding="utf-8")
    assert len(clip_digests(tmp_path)) == 2, "the sound alone still tells"

    memory.short = False
    again = run(tmp_path, scene, features=LIGHT)
    assert (again.state, manifest_of(again).failures) == ("done", ())
    assert run(tmp_path, scene, features=LIGHT).state == "already_done"


@pytest.mark.usefixtures("memory")
def test_a_run_without_a_feature_that_nobody_named_is_complete_and_says_so_each_time(
    scene: Path, tmp_path: Path
) -> None:
    for state in ("done", "already_done"):
        outcome = run(tmp_path, scene)
        assert (outcome.state, exit_status([outcome], ())) == (state, 0)
        assert f"note: {SAID}." in list(notices(outcome))
    assert manifest_of(outcome).status == "complete"
    assert SAID in (tmp_path / "scene" / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("memory")
def test_an_interrupted_run_counts_each_slice_once(scene: Path, tmp_path: Path) -> None:
    assert run(tmp_path, scene, Impatient("scene"), features=LIGHT).state == "stopped"
    assert run(tmp_path, scene, features=LIGHT).message == f"{SAID}; the same command does it again."


def test_an_input_that_failed_before_an_interruption_is_done_again_after_it(
    scene: Path, tmp_path: Path, memory: Memory
) -> None:
    inputs = [Input(name, scene) for name in ("first", "second")]
    settings = Settings(out=str(tmp_path), top=2, features=LIGHT, workers=1)
    assert [one.state for one in run_job(inputs, settings, Impatient("second", after="first"))] == ["failed", "stopped"]
    memory.short = False
    first, _ = run_job(inputs, settings, Notes())
    assert (first.state, manifest_of(first).failures) == ("done", ())


def test_a_live_stream_goes_on_and_its_manifest_tells_what_failed_so_far(tmp_path: Path) -> None:
    pool, tally = Later(), ClipTally()
    output = live_output(tmp_path, pool, tally)
    for n in range(10):
        tally.measured(Row("cam", n, b"", failures=(Failure("pose", 1, "MemoryError"),) if n < 3 else ()))
    output.add(Interval("cam", 1, 1000, 4000, 2000, 5.0))
    pool.now()
    running = read_manifest(tmp_path / "cam")
    tally.measured(Row("cam", 10, b"", failures=(Failure("pose", 1, "another"),)))
    output.close()
    stopped = read_manifest(tmp_path / "cam")
    told = [(one.status, *one.failures) for one in (running, stopped) if one is not None]
    assert told == [
        ("running", FailedFeature("pose", 3, 10, "MemoryError")),
        ("stopped", FailedFeature("pose", 4, 11, "MemoryError")),
    ]


def test_a_follower_that_fails_a_camera_is_in_the_manifest_and_the_metrics_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaze = Gaze(KeyError("who"), loses_at=range(10_000))

    def select(settings: Settings) -> Selection:
        usual = select_features(settings)
        info = FeatureInfo(gaze.name, gaze.weight, gaze.signals)
        return replace(usual, features=(*usual.features, gaze), infos=(*usual.infos, info))

    monkeypatch.setattr("clipstream.run.run.select_features", select)
    footage = make_footage(tmp_path / "footage.mp4", length_s=40)
    with (
        capture_logs() as logged,
        RtspServer(footage, speed=SPEED) as server,
        LiveRun(tmp_path, {"cam": server.url}, options={"metrics": "0", "workers": 2}) as live,
    ):
        live.more_clips(1)
        running = read_manifest(tmp_path / "cam")
        (url,) = (one["url"] for one in logged if one["event"] == "metrics_served")
        counted = page(url)["clipstream_failed_measurements_total", (("stream", "cam"),)]
    assert running is not None
    (told,) = running.failures
    assert (running.status, told.name, told.error) == ("running", "gaze", "KeyError: 'who'")
    assert counted >= told.slices > 0
