"""`--save`: what was observed frame by frame becomes a table, whole, whatever happens on the way."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from saving_run import Brightness, selection
from scenes import make_scene

from clipstream import Input, Outcome, Settings, run_job
from clipstream.errors import OutputError, StoppedError, UsageError
from clipstream.features.base import Observation
from clipstream.features.registry import select_features
from clipstream.media.slices import Slice
from clipstream.report.manifest import Manifest, Source, read_manifest
from clipstream.saved.journal import Journal
from clipstream.saved.saving import Saving

SAVING_RUN = Path(__file__).with_name("saving_run.py")
NEVER = 1_000_000


class Silent:
    def __getattr__(self, _: str) -> Callable[..., Any]:
        return lambda *_: None


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("saving")
    scene = {"moments_s": [(4.0, 6.0)], "duration_s": 10, "rate_hz": 10}
    return [make_scene(folder / f"{name}.mp4", seed=seed, **scene) for seed, name in enumerate(("one", "two"))]  # type: ignore[arg-type]  # options of several types


def run(out: Path, *files: Path, **options: Any) -> tuple[Outcome, ...]:
    chosen: dict[str, Any] = {"top": 1, "save": ("poses",)} | options
    settings = Settings(out=str(out), **chosen)
    return run_job([Input(file.stem, file) for file in files], settings, Silent())


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipstream.run.run.select_features", selection)


def journals(out: Path) -> list[Path]:
    return list((out / ".clipstream").glob("saved/*"))


# The whole way.


@pytest.mark.usefixtures("brightness")
def test_a_run_leaves_a_table_that_the_manifest_names_and_no_journal(files: list[Path], tmp_path: Path) -> None:
    (outcome,) = run(tmp_path, files[0])
    manifest = read_manifest(tmp_path / "one")
    assert manifest is not None
    assert (outcome.state, manifest.saved) == ("done", ("poses.parquet",))
    table = pq.read_table(tmp_path / "one" / "poses.parquet")
    np.testing.assert_allclose(table["time_s"].to_numpy(), np.arange(50) / 5)
    assert table["number"].to_pylist() == list(range(50))
    assert set(table["width_px"].to_pylist()) == {320}
    about = table.schema.metadata
    assert (about[b"schema"], about[b"stream"], about[b"model"]) == (b"clipstream/poses/1", b"one", b"an eye")
    assert about[b"source"] == str(files[0]).encode()
    assert journals(tmp_path) == []


@pytest.mark.usefixtures("brightness")
def test_saving_is_part_of_what_was_asked_for(files: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "one" / "poses.parquet"
    assert run(tmp_path, files[0], save=())[0].state == "done"
    assert not table.exists()
    assert run(tmp_path, files[0])[0].state == "done"
    assert run(tmp_path, files[0])[0].state == "already_done"
    table.unlink()
    assert run(tmp_path, files[0])[0].state == "done"
    assert table.exists()


@pytest.mark.usefixtures("brightness")
def test_a_table_outlives_a_run_that_does_not_ask_for_it_but_not_its_footage(files: list[Path], tmp_path: Path) -> None:
    footage, table = tmp_path / "footage.mp4", tmp_path / "out" / "footage" / "poses.parquet"
    footage.write_bytes(files[0].read_bytes())
    run(tmp_path / "out", footage)
    run(tmp_path / "out", footage, save=())
    assert table.exists()
    footage.write_bytes(files[1].read_bytes())
    assert run(tmp_path / "out", footage, save=())[0].state == "done"
    assert not table.exists()


def test_slices_in_which_the_feature_failed_are_empty_and_the_table_is_whole(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Brightness):
        def observe(self, slices: Sequence[Slice]) -> list[Observation]:
            if any(item.n == 3 for item in slices):
                raise ValueError("a bad frame")
            return super().observe(slices)

    monkeypatch.setattr("clipstream.run.run.select_features", lambda settings: selection(settings, Failing()))
    (outcome,) = run(tmp_path, files[0])
    assert outcome.state == "failed"
    assert "of 20 slices: ValueError: a bad frame" in str(outcome.message)
    times_s = pq.read_table(tmp_path / "one" / "poses.parquet")["time_s"].to_numpy()
    assert not ((times_s >= 1.5) & (times_s < 2)).any()
    assert len(times_s) < 50


@pytest.mark.usefixtures("brightness")
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Journal.append

    def full(self: Journal, n: int, observation: Observation) -> None:
        if n == 12:
            raise OutputError("poses.journal: cannot be written (No space left on device): free some space.")
        plain(self, n, observation)

    monkeypatch.setattr(Journal, "append", full)
    (outcome,) = run(tmp_path, files[0])
    assert outcome.state == "failed"
    assert outcome.message == "poses.journal: cannot be written (No space left on device): free some space."
    monkeypatch.setattr(Journal, "append", plain)
    assert run(tmp_path, files[0])[0].state == "done"
    assert pq.read_metadata(tmp_path / "one" / "poses.parquet").num_rows == 50


@pytest.mark.slow
def test_killed_again_and_again_the_tables_are_those_of_an_uninterrupted_run(files: list[Path], tmp_path: Path) -> None:
    def start(out: Path, at: int, workers: int) -> subprocess.CompletedProcess[str]:
        arguments = map(str, (out, at, int(signal.SIGKILL), workers, *files))
        program = [sys.executable, str(SAVING_RUN), *arguments]
        return subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)

    assert start(tmp_path / "whole", NEVER, 1).stdout == "done done"
    # While it reads, twice; among the last slices and clips; and to the end.
    for at, workers in ((8, 1), (17, 2), (25, 1), (NEVER, 2)):
        process = start(tmp_path / "killed", at, workers)
        assert (process.returncode == -signal.SIGKILL) is (at != NEVER), process.stderr
    assert set(process.stdout.split()) <= {"done", "already_done"}, process.stderr
    for name in ("one", "two"):
        whole, killed = (pq.read_table(tmp_path / out / name / "poses.parquet") for out in ("whole", "killed"))
        assert whole.num_rows == 50
        assert killed.equals(whole, check_metadata=True)
    assert journals(tmp_path / "killed") == []


# What is asked for and cannot be.


def test_what_no_feature_in_use_gives_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"save is poses, which no feature in use gives \(motion\); add the feature"):
        select_features(Settings(features=("motion",), save=("poses",)))


# The table alone.


MANIFEST = Manifest("one", Source("one.mp4", "one.mp4", fingerprint="f"))
RUNNING, STOPPED = (lambda: False), (lambda: True)


def saving_in(out: Path, feature: object | None = None) -> Saving:
    return Saving(Settings(out=str(out), save=("poses",)), [feature or Brightness()])  # type: ignore[list-item]  # fakes


def kept(saving: Saving, slices: Sequence[int]) -> None:
    for n in slices:
        saving.keep("brightness", Slice("one", n), Observation(b"\0"))


def test_without_a_sink_that_would_write_it_nothing_is_kept(tmp_path: Path) -> None:
    kept(saving_in(tmp_path), range(3))
    assert list(tmp_path.iterdir()) == []


def test_a_gap_is_an_error_and_no_table(tmp_path: Path) -> None:
    saving = saving_in(tmp_path)
    saving.begin("one", "f")
    kept(saving, [0, 1, 3])
    with pytest.raises(OutputError, match=r"poses\.parquet: cannot be made, because what was seen from 1s on was lost"):
        saving.write(tmp_path / "one", MANIFEST, 4, None, RUNNING)
    assert not list((tmp_path / "one").iterdir())


def test_what_was_kept_of_other_footage_or_by_other_weights_is_not_gone_on_with(tmp_path: Path) -> None:
    class Newer(Brightness):
        schema = Brightness.schema.with_metadata({"checksum": "2"})

    for again, fingerprint in ((saving_in(tmp_path), "other"), (saving_in(tmp_path, Newer()), "f")):
        saving = saving_in(tmp_path)
        saving.begin("one", "f")
        kept(saving, range(4))
        again.begin("one", fingerprint)
        with pytest.raises(OutputError, match="from 0s on was lost"):
            again.write(tmp_path / "one", MANIFEST, 4, None, RUNNING)


def test_a_table_that_is_there_already_is_not_missed_when_its_journal_is_gone(tmp_path: Path) -> None:
    saving = saving_in(tmp_path)
    saving.begin("one", "f")
    kept(saving, range(4))
    assert saving.write(tmp_path / "one", MANIFEST, 4, None, RUNNING) == ("poses.parquet",)
    saving.discard("one")
    saving.begin("one", "f")
    assert saving.write(tmp_path / "one", MANIFEST, 4, None, RUNNING) == ("poses.parquet",)


class Vectors(Brightness):
    """Gives vectors of eight halves, two a slice, in batches of a slice."""

    schema = pa.schema([("time_s", pa.float64()), ("vector", pa.list_(pa.float16(), 8))])

    def table(self, kept: Any, width_px: int, height_px: int) -> Iterator[pa.RecordBatch]:
        for n, _ in kept:
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(16, dtype=np.float16) + n), 8)
            yield pa.record_batch([pa.array([n / 2, n / 2 + 0.25]), vectors], schema=self.schema)
            yield pa.record_batch([pa.array([], pa.float64()), vectors[:0]], schema=self.schema)


def test_vectors_are_stored_as_their_plain_bytes_in_few_row_groups(tmp_path: Path) -> None:
    saving = saving_in(tmp_path, Vectors())
    saving.begin("one", "f")
    kept(saving, range(5))
    saving.write(tmp_path / "one", MANIFEST, 5, None, RUNNING)
    file = pq.ParquetFile(tmp_path / "one" / "poses.parquet")
    table = file.read()
    vectors = np.stack([np.frombuffer(vector, np.float16) for vector in table["vector"].to_pylist()])
    np.testing.assert_array_equal(vectors[6:8].ravel(), np.arange(16) + 3)
    assert (file.num_row_groups, table.schema.field("vector").metadata) == (1, {b"type": b"float16[8]"})


def test_a_run_that_is_stopped_leaves_no_half_of_a_table(tmp_path: Path) -> None:
    saving = saving_in(tmp_path, Vectors())
    saving.begin("one", "f")
    kept(saving, range(5))
    with pytest.raises(StoppedError):
        saving.write(tmp_path / "one", MANIFEST, 5, None, STOPPED)
    assert not list((tmp_path / "one").iterdir())
