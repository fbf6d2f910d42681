"""A run over files: what becomes of each, whatever becomes of the others."""

import shutil
import signal
from pathlib import Path

import pytest
from scenes import LIGHT, clip_digests, make_scene, run_program
from watchers import Impatient, Notes

from clipstream import Input, Interval, Outcome, Settings, run_job
from clipstream.dataflow import run as dataflow_run
from clipstream.errors import InputError, OutputError
from clipstream.run.folders import only_run
from clipstream.testing.media import Sound, Video, even_times, make_clip


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scene(tmp_path_factory.mktemp("run") / "scene.mp4", rate_hz=5, duration_s=20)


def run(out: Path, *files: Path, **options: object) -> tuple[Outcome, ...]:
    settings = Settings(out=str(out), **({"top": 2, "features": LIGHT} | options))  # type: ignore[arg-type]  # tests name options
    return run_job([Input(file.stem, file) for file in files], settings, Notes())


def states(outcomes: tuple[Outcome, ...]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def test_a_bad_input_is_told_and_the_others_are_done(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "garbage.mp4").write_bytes(b"\x00garbage" * 100)
    outcomes = run(tmp_path / "out", tmp_path / "garbage.mp4", scene, tmp_path / "absent.mp4")
    assert states(outcomes) == ["bad_input", "done", "bad_input"]
    assert "check that it plays" in str(outcomes[0].message)
    assert "there is no such file" in str(outcomes[2].message)
    assert len(clip_digests(tmp_path / "out")) == 2


def test_a_file_in_which_nothing_can_be_read_is_bad_input_named_once(tmp_path: Path) -> None:
    broken = make_clip(tmp_path / "broken.mkv", Video(even_times(50, 5)), Sound([(0.0, 10.0)]))
    broken.write_bytes(broken.read_bytes()[:1500])
    (outcome,) = run(tmp_path / "out", broken)
    assert outcome.state == "bad_input"
    assert str(outcome.message).startswith(f"{broken}: no picture could be decoded; no sound could be decoded; ")


def test_a_file_where_a_streams_folder_should_be_fails_that_stream_alone(scene: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(scene.read_bytes())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scene").touch()
    outcomes = run(tmp_path / "out", scene, other)
    assert states(outcomes) == ["failed", "done"]
    assert "a file is where a folder should be" in str(outcomes[0].message)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_an_output_folder_that_cannot_be_is_named_itself(scene: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as told:
        run(tmp_path / "file" / below, scene)
    assert str(told.value).startswith(f"{tmp_path / 'file' / below}: cannot be written (")


def test_other_settings_replace_the_clips(scene: Path, tmp_path: Path) -> None:
    assert states(run(tmp_path, scene)) == ["done"]
    before = clip_digests(tmp_path)
    assert states(run(tmp_path, scene, top=1)) == ["done"]
    assert len(before) == 2
    assert len(clip_digests(tmp_path)) == 1


def test_a_finished_input_is_done_again_where_something_was_removed_or_force_asks(scene: Path, tmp_path: Path) -> None:
    assert states(run(tmp_path, scene)) == ["done"]
    clips = clip_digests(tmp_path)
    assert states(run(tmp_path, scene)) == ["already_done"]
    for removed in (next((tmp_path / "scene" / "clips").iterdir()), tmp_path / "scene" / "highlights.csv"):
        removed.unlink()
        assert states(run(tmp_path, scene)) == ["done"]
    assert states(run(tmp_path, scene, force=True)) == ["done"]
    assert clip_digests(tmp_path) == clips


def test_nothing_but_the_mark_of_an_output_folder_stays_of_a_finished_run(scene: Path, tmp_path: Path) -> None:
    run(tmp_path, scene)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob(".clipstream/**/*") if path.is_file()}
    assert left == {".clipstream/README", ".clipstream/lock", ".clipstream/sources/scene.json"}


def test_a_file_of_the_same_name_from_another_folder_leaves_the_first_ones_results_alone(
    scene: Path, tmp_path: Path
) -> None:
    out, yesterday, today = tmp_path / "out", tmp_path / "yesterday", tmp_path / "today"
    other = make_scene(tmp_path / "scene.mp4", seed=1, rate_hz=5, duration_s=20)
    for folder, content in ((yesterday, scene), (today, other)):
        folder.mkdir()
        (folder / "GX01.mp4").write_bytes(content.read_bytes())
    run(out, yesterday / "GX01.mp4")
    first = clip_digests(out)
    (outcome,) = run(out, today / "GX01.mp4")
    assert (outcome.stream, outcome.folder.name, outcome.state) == ("GX01-2", "GX01-2", "done")
    assert clip_digests(out).items() > first.items()
    assert [run(out, folder / "GX01.mp4")[0].stream for folder in (yesterday, today)] == ["GX01", "GX01-2"]


def test_a_file_that_was_moved_keeps_its_results(scene: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before.mp4", tmp_path / "moved" / "before.mp4"
    before.write_bytes(scene.read_bytes())
    run(tmp_path / "out", before)
    after.parent.mkdir()
    before.rename(after)
    assert states(run(tmp_path / "out", after)) == ["already_done"]


def test_what_is_gone_of_an_input_that_ended_before_an_interruption_is_made_again(scene: Path, tmp_path: Path) -> None:
    inputs, settings = (
        [Input(name, scene) for name in ("first", "second")],
        Settings(features=LIGHT, out=str(tmp_path), top=2),
    )
    assert states(run_job(inputs, settings, Impatient("second", after="first"))) == ["done", "stopped"]
    shutil.rmtree(tmp_path / "first")
    assert states(run_job(inputs, settings, Notes())) == ["done", "done"]
    assert len(clip_digests(tmp_path)) == 4


def test_a_manifest_of_other_settings_does_not_vouch_for_the_clips_of_a_run_that_goes_on(
    scene: Path, tmp_path: Path
) -> None:
    class ImpatientLater(Notes):
        def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
            signal.raise_signal(signal.SIGTERM)

    inputs = [Input("scene", scene)]
    short, usual = (
        Settings(features=LIGHT, out=str(tmp_path), top=2, context_after_s=after_s) for after_s in (0.2, 1.0)
    )
    assert states(run_job(inputs, short, Impatient("scene"))) == ["stopped"]
    assert states(run_job(inputs, usual, Notes())) == ["done"]
    wanted = clip_digests(tmp_path)
    run_job(inputs, short, ImpatientLater())
    assert states(run_job(inputs, usual, Notes())) == ["done"]
    assert clip_digests(tmp_path) == wanted


def test_files_of_one_name_keep_their_names_together_and_alone(scene: Path, tmp_path: Path) -> None:
    other = make_scene(tmp_path / "scene.mp4", seed=1, rate_hz=5, duration_s=20)
    out = tmp_path / "out"
    (alone,) = run(out, other)
    both = run_job(
        [Input("scene", scene), Input("scene-2", other)], Settings(features=LIGHT, out=str(out), top=2), Notes()
    )
    assert [(one.stream, one.state) for one in (alone, *both)] == [
        ("scene", "done"), ("scene-2", "done"), ("scene", "already_done")
    ]  # fmt: skip


def test_a_watcher_that_fails_costs_no_clip(scene: Path, tmp_path: Path) -> None:
    class Deaf(Notes):
        def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
            raise BrokenPipeError

    (outcome,) = run_job([Input("scene", scene)], Settings(features=LIGHT, out=str(tmp_path), top=2), Deaf())
    assert outcome.state == "done"
    assert len(clip_digests(tmp_path)) == 2


FULL = RuntimeError('called `unwrap()` on an `Err`: SqliteFailure(Error { code: DiskFull }, Some("disk is full"))')


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FULL, "progress could not be saved (disk is full): make room, allow writing, or choose another folder"),
        (InputError("x.mp4: gone."), "x.mp4: gone."),
        (ValueError("first\nsecond"), "the run broke off (ValueError: first); the same command goes on"),
    ],
)
def test_a_flow_that_breaks_is_one_line_and_no_traceback(
    error: Exception, message: str, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("as Bytewax wraps it") from error

    monkeypatch.setattr(dataflow_run, "run_flow", broken)
    (outcome,) = run(tmp_path, scene)
    assert outcome.state == "failed"
    assert str(outcome.message).startswith(message)
    assert "\n" not in str(outcome.message)


def test_a_run_that_breaks_again_begins_from_the_beginning_the_third_time(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[bool] = []

    def broken(*_: object, store: Path, **__: object) -> None:
        saved.append(store.is_dir())
        store.mkdir(exist_ok=True)
        raise ValueError("what was saved cannot be used")

    monkeypatch.setattr(dataflow_run, "run_flow", broken)
    for _ in range(3):
        run(tmp_path, scene)
    assert saved == [False, True, False]


@pytest.mark.parametrize(
    "error", [FULL, OutputError("out: cannot be written (No space left on device): free some space.")]
)
def test_what_was_saved_is_kept_for_as_long_as_there_is_no_room(
    error: Exception, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[bool] = []

    def broken(*_: object, store: Path, **__: object) -> None:
        saved.append(store.is_dir())
        store.mkdir(exist_ok=True)
        raise RuntimeError("as Bytewax wraps it") from error

    monkeypatch.setattr(dataflow_run, "run_flow", broken)
    for _ in range(3):
        run(tmp_path, scene)
    assert saved == [False, True, True]


@pytest.mark.slow
def test_two_runs_do_not_write_the_same_stream_at_a_time(scene: Path, tmp_path: Path) -> None:
    state = tmp_path / "out" / ".clipstream"
    state.mkdir(parents=True)
    with only_run(state, ["scene"]):
        refused = run_program(scene, "--out", tmp_path / "out", "--top", "1", "--features", ",".join(LIGHT))
        assert (
            run_program(scene, "--out", tmp_path / "elsewhere", "--top", "1", "--features", ",".join(LIGHT)).returncode
            == 0
        )
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(
        f"clipstream: scene: another run is writing it to {tmp_path / 'out'}; wait for that or stop it"
    )
    assert run_program(scene, "--out", tmp_path / "out", "--top", "1", "--features", ",".join(LIGHT)).returncode == 0


def test_no_model_is_loaded_and_nothing_made_where_no_input_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: Settings) -> None:
        raise AssertionError("models were loaded")

    monkeypatch.setattr("clipstream.run.run.select_features", load)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no media")
    (outcome,) = run(tmp_path / "out", broken)
    assert outcome.state == "bad_input"
    assert str(outcome.message).startswith(str(broken))
    assert not (tmp_path / "out").exists()
