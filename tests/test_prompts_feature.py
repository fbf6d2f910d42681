"""The prompts feature: a number for each thing written, and highlights that are what was asked for."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scenes import make_scene
from tiny_clip import NAME, make_tiny_clip

from clipstream.cli import main
from clipstream.detect.detector import detector_for
from clipstream.detect.windows import WindowGrid, Windows
from clipstream.errors import UsageError
from clipstream.features import prompts
from clipstream.features.base import Feature, FeatureInfo
from clipstream.features.registry import select_features
from clipstream.media.slices import FrameBatch, MediaNeeds, Slice, StreamEnd
from clipstream.models.prompts import Prompts
from clipstream.models.runtime import Runner
from clipstream.results import Interval, Row, Window
from clipstream.settings import Settings

WANTED = {"prompt": (("a goal is scored", 1.0), ("crowd cheering", 2.0)), "avoid": (("an advertisement", 1.0),)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"{NAME}:{make_tiny_clip(tmp_path_factory.mktemp('clip'))[0]}"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scene(tmp_path_factory.mktemp("film") / "match.mp4", rate_hz=10)


def asking(model: str, **more: Any) -> Settings:
    return Settings(**{"embedding_model": model, "device": "cpu", **WANTED, **more})


def feature_of(settings: Settings) -> Feature:
    feature = prompts.create(settings)
    assert feature is not None
    return feature


def test_each_prompt_is_a_signal_with_the_weight_that_was_set_and_what_to_avoid_counts_against(model: str) -> None:
    feature = feature_of(asking(model))
    assert [(one.name, one.label, one.weight) for one in feature.signals] == [
        ("prompt_1", 'likeness to "a goal is scored"', 1.0),
        ("prompt_2", 'likeness to "crowd cheering"', 2.0),
        ("avoid_1", 'likeness to "an advertisement"', -1.0),
    ]


def test_its_weight_is_more_than_that_of_all_others_together(model: str) -> None:
    infos = select_features(asking(model)).infos
    assert sum(info.weight for info in infos) < 2 * next(info.weight for info in infos if info.name == "prompts")


def test_a_slice_is_as_like_a_prompt_as_its_likest_picture(
    model: str, film: Path, read_slices: Callable[[Path, MediaNeeds], list[Slice]]
) -> None:
    feature: Any = feature_of(asking(model, embedding_fps=5))
    slices = read_slices(film, feature.needs)[:4]
    blind = FrameBatch(np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0), 0)
    said = feature.extract([*slices, Slice("blind", 0, {feature.needs.frames[0]: blind}), Slice("deaf", 0)])
    embedder = feature._vectors.embedder
    likeness = Prompts(embedder, [text for texts in WANTED.values() for text, _ in texts])
    for piece, numbers in zip(slices, said, strict=False):
        pictures = piece.frames[feature.needs.frames[0]].pixels
        assert len(pictures) >= 2
        np.testing.assert_allclose(numbers, likeness.probabilities(embedder(pictures)).max(axis=0), rtol=1e-5)
    assert np.isnan(said[4:]).all()


def test_the_model_looks_once_for_prompts_and_embedding_together(
    model: str, film: Path, read_slices: Callable[[Path, MediaNeeds], list[Slice]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipstream.extraction import Extractor

    selection = select_features(asking(model, features=("embedding", "prompts")))
    slices = read_slices(film, selection.needs)[:6]
    looked: list[int] = []
    run = Runner.__call__

    def counting(self: Runner, pictures: NDArray[np.uint8]) -> Any:
        looked.append(len(pictures))
        return run(self, pictures)

    monkeypatch.setattr(Runner, "__call__", counting)
    Extractor(selection.features)(slices)
    assert looked == [1] * 6


def test_without_anything_written_it_is_no_part_of_a_run_and_not_left_out_either() -> None:
    selection = select_features(Settings())
    assert "prompts" not in [info.name for info in selection.infos]
    assert "prompts" not in dict(selection.left_out)


def test_what_was_written_is_looked_for_whatever_features_were_named(model: str) -> None:
    assert [info.name for info in select_features(asking(model, features=("motion",))).infos] == ["motion", "prompts"]


def test_named_without_anything_written_it_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match="nothing was written to look for: add --prompt or --avoid"):
        select_features(Settings(features=("motion", "prompts")))


@pytest.mark.parametrize("features", [(), ("motion",)])
def test_without_a_model_that_reads_text_a_prompt_is_an_error_and_never_left_out(features: tuple[str, ...]) -> None:
    with pytest.raises(
        UsageError, match="needs a model that reads text: efficientnet-lite0 knows pictures and no text"
    ):
        select_features(asking("efficientnet-lite0", features=features))


def rows_of(columns: Sequence[NDArray[np.float32]]) -> list[Row]:
    values = np.stack(columns, axis=1).astype(np.float32)
    end = StreamEnd(duration_s=len(values) // 2)  # type: ignore[arg-type]  # a whole number of seconds
    return [*(Row("match", n, row.tobytes()) for n, row in enumerate(values)), Row("match", len(values), b"", end=end)]


def highlights(settings: Settings, infos: Sequence[FeatureInfo], rows: list[Row]) -> list[Interval]:
    detector = detector_for(settings, infos)
    windows = Windows(WindowGrid.of_seconds(5, 3), sum(len(info.signals) for info in infos))
    found = []
    for row in rows:
        steps: list[Row | Window] = [*windows.push(row), row]
        found += [result for step in steps for result in detector.push(step)]
    return sorted((one for one in found if isinstance(one, Interval)), key=lambda one: one.rank or 99)


def likely(at: slice, probability: float, slices: int = 160) -> NDArray[np.float32]:
    """Return a prompt's numbers: hardly ever likely, but there."""
    numbers = np.random.default_rng(at.start).uniform(0, 0.01, slices)
    numbers[at] = probability
    return numbers.astype(np.float32)


def test_a_moment_of_either_prompt_is_found_and_the_heavier_one_is_better(model: str) -> None:
    settings = asking(model, features=("prompts",), avoid=(), top=5)
    infos = select_features(settings).infos
    goal, cheer = slice(30, 36), slice(100, 106)
    found = highlights(settings, infos, rows_of([likely(goal, 0.6), likely(cheer, 0.6)]))
    assert len(found) == 2
    for highlight, at in zip(found, (cheer, goal), strict=True):
        assert highlight.start_ms <= 500 * at.start < 500 * at.stop <= highlight.end_ms
    assert [one.reasons[0].label for one in found] == ['likeness to "crowd cheering"', 'likeness to "a goal is scored"']


def test_at_a_low_rate_a_moment_does_not_begin_before_it_was_seen(model: str) -> None:
    bare = {"smoothing": "none", "context_before_s": 0, "context_after_s": 0}
    settings = asking(model, features=("prompts",), prompt=(("a goal", 1.0),), avoid=(), top=5, **bare)
    numbers = likely(slice(32, 40), 0.6)
    numbers[np.arange(len(numbers)) % 4 > 0] = np.nan
    (found,) = highlights(settings, select_features(settings).infos, rows_of([numbers]))
    assert (found.start_ms, found.end_ms) == (500 * 32, 500 * 40)


def test_one_of_four_prompts_is_enough(model: str) -> None:
    settings = asking(model, features=("prompts",), prompt=tuple((text, 1.0) for text in "abcd"), avoid=(), top=5)
    rows = rows_of([likely(slice(30, 36), 0.6), *(likely(slice(0, 0), 0) for _ in "bcd")])
    assert len(highlights(settings, select_features(settings).infos, rows)) == 1


@pytest.mark.parametrize("weight", [1.0, 3.0, 10.0])
def test_however_heavy_what_is_to_be_avoided_what_is_wanted_is_found_without_it(model: str, weight: float) -> None:
    settings = asking(model, features=("prompts",), prompt=(("a goal", 1.0),), avoid=(("a replay", weight),))
    rows = rows_of([likely(slice(30, 36), 0.6), likely(slice(0, 0), 0)])
    assert len(highlights(settings, select_features(settings).infos, rows)) == 1


def test_a_light_prompt_beside_a_heavy_one_is_over_the_floor_all_the_same(model: str) -> None:
    settings = asking(model, features=("prompts",), prompt=(("a goal", 1.0), ("a fight", 20.0)), avoid=(), percentile=0)
    rows = rows_of([likely(slice(30, 36), 0.6), likely(slice(0, 0), 0)])
    assert len(highlights(settings, select_features(settings).infos, rows)) == 1


def test_what_is_to_be_avoided_is_no_highlight_though_it_is_also_what_is_wanted(model: str) -> None:
    settings = asking(model, features=("prompts",), prompt=(("a goal", 1.0),), avoid=(("a replay", 2.0),), top=5)
    scored, again = slice(30, 36), slice(100, 106)
    goal = np.maximum(likely(scored, 0.6), likely(again, 0.6))
    (found,) = highlights(settings, select_features(settings).infos, rows_of([goal, likely(again, 0.6)]))
    assert found.start_ms < 500 * scored.stop < found.end_ms + 1


@pytest.mark.usefixtures("clean_surroundings")
def test_the_command_looks_for_prompts_by_a_local_clip_model_and_tells_by_which(
    model: str, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--embedding-model", model, "--device", "cpu", "--prompt", "a box", "--avoid", "a dog=0.5", "--top", "1"]
    assert main([str(film), "--features", "embedding,prompts", "--out", str(tmp_path), *line]) == 0
    manifest = json.loads((tmp_path / "match" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["errors"] == 0
    used = {one["name"]: one for one in manifest["features"]}
    assert [one["label"] for one in used["prompts"]["signals"]] == ['likeness to "a box"', 'likeness to "a dog"']
    assert [one["weight"] for one in used["prompts"]["signals"]] == [1.0, -0.5]
    assert used["embedding"]["about"].startswith(f"{model}, SHA-256 ")
    assert f"by {model}, SHA-256 " in (tmp_path / "match" / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()


@pytest.mark.usefixtures("clean_surroundings")
def test_the_command_says_in_one_line_what_to_get_for_prompts(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPSTREAM_WEIGHTS", str(tmp_path / "empty"))
    assert main([str(film), "--out", str(tmp_path), "--prompt", "a goal is scored"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "a prompt needs a model that reads text" in said
    assert "clipstream weights fetch ViT-B-32:laion2b_s34b_b79k" in said
