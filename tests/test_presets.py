"""Presets: what they set, what wins over them, and that each is documented, valid and does what it is for."""

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipstream.cli.options import load_settings
from clipstream.detect.detector import detector_for
from clipstream.detect.windows import WindowGrid, Windows
from clipstream.errors import UsageError
from clipstream.features.registry import select_features
from clipstream.media.slices import StreamEnd
from clipstream.results import Interval, Row, Window
from clipstream.settings import Settings, options
from clipstream.settings.configuration import PRESETS, read_preset
from clipstream.settings.pages import preset_lines, presets_page

ROOT = Path(__file__).parents[1]
(CHOICES,) = (option.choices for option in options() if option.key == "preset")
KINDS = [name for name in CHOICES if name != "auto"]

pytestmark = pytest.mark.usefixtures("clean_surroundings")


def of(preset: str, **others: Any) -> Settings:
    return Settings.from_mapping({"preset": preset, **others})


# The files


def test_every_choice_has_a_file_and_every_file_is_a_choice() -> None:
    assert sorted(path.name for path in PRESETS.iterdir()) == sorted(f"{name}.toml" for name in CHOICES)


def test_auto_is_the_defaults() -> None:
    assert of("auto") == Settings()
    assert read_preset("auto", options()) == {}


@pytest.mark.parametrize("name", KINDS)
def test_a_preset_weighs_the_built_in_features_that_can_score_and_sets_only_what_shapes_the_result(name: str) -> None:
    values = read_preset(name, options())
    assert [feature for feature, _ in values["weight"]] == ["audio", "embedding", "motion", "pose"]
    assert sum(weight for _, weight in values["weight"]) == pytest.approx(1)
    assert {option.name for option in options() if option.shapes_result} >= values.keys()
    defaults = {option.name: option.default for option in options()}
    # Context is told on both sides, though one be as usual.
    assert [key for key in values if values[key] == defaults[key] and not key.startswith("context")] == []


@pytest.mark.parametrize("name", CHOICES)
def test_every_value_has_a_sentence_on_why(name: str) -> None:
    head, *lines = preset_lines(name)
    assert head[0] == ""
    assert all(why.endswith(".") for _, _, why in [head, *lines])
    values = read_preset(name, options())
    assert len(lines) == len(values) + len(values.get("weight", ())) - ("weight" in values)


def test_the_documented_presets_are_up_to_date() -> None:
    assert (ROOT / "docs" / "presets.md").read_text(encoding="utf-8") == presets_page()


# What wins


@pytest.mark.parametrize(
    ("toml", "variable", "flag", "wins"),
    [
        ("", None, None, 90),
        ("max_length = 80", None, None, 80),
        ("max_length = 80", "70", None, 70),
        ("max_length = 80", "70", "60", 60),
        ("max_length = 30", None, None, 30),  # the default, but asked for
    ],
)
def test_flag_wins_over_variable_over_file_over_preset_over_default(
    toml: str, variable: str | None, flag: str | None, wins: float, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(toml)
    if variable:
        monkeypatch.setenv("CLIPSTREAM_MAX_LENGTH", variable)
    assert load_settings({"preset": "talk", "max_length_s": flag}, config).max_length_s == wins


def test_the_preset_itself_is_named_by_flag_or_variable_or_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("preset = 'dance'")
    assert load_settings({}, config) == of("dance")
    monkeypatch.setenv("CLIPSTREAM_PRESET", "vlog")
    assert load_settings({}, config) == of("vlog") == Settings.from_environment({"CLIPSTREAM_PRESET": "vlog"})
    assert load_settings({"preset": "sports"}, config) == of("sports")
    assert load_settings({"preset": "auto"}, config) == Settings()


def test_weights_are_set_feature_by_feature() -> None:
    assert of("talk", weight={"audio": 0.3, "smell": 1}).weights == of("talk").weights | {"audio": 0.3, "smell": 1}


@pytest.mark.parametrize("asked", [{"top": 3}, {"target_duration": 60}])
def test_asking_for_so_many_or_so_much_takes_the_place_of_a_presets_percentile(asked: dict[str, Any]) -> None:
    assert of("surveillance").percentile == 98
    assert of("surveillance", **asked).percentile is None
    assert of("surveillance", **asked, percentile=50).percentile == 50


# What is told


def test_the_values_make_the_fingerprint_and_the_name_is_told() -> None:
    settings = of("sports")
    by_hand = dataclasses.replace(settings, preset="auto")
    assert settings.as_dict()["preset"] == "sports"
    assert settings.fingerprint() == by_hand.fingerprint() != Settings().fingerprint()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"preset": "talk", "max_length": 5},
            "min_length is 10s and max_length is 5s; make the minimum the smaller. (The",
        ),
        ({"preset": "talk", "hop": 20}, "hop is 20s and window is 15s: windows would leave gaps"),
        ({"preset": "sport"}, "preset is 'sport'; did you mean 'sports'?"),
    ],
)
def test_what_does_not_go_with_a_preset_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.from_mapping(given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_without_the_preset_too_is_not_put_down_to_it() -> None:
    with pytest.raises(UsageError) as caught:
        of("talk", min_length=50, max_length=40)
    assert str(caught.value) == "min_length is 50s and max_length is 40s; make the minimum the smaller."


def test_settings_do_not_claim_a_preset_whose_values_they_lack() -> None:
    with pytest.raises(UsageError, match=r"none of its values are set; make the settings with Settings\.from_"):
        Settings(preset="talk")


# What it does


@pytest.mark.parametrize("name", CHOICES)
def test_a_preset_goes_with_any_features_and_with_the_policies(name: str) -> None:
    for others in ({}, {"features": ["audio"]}, {"features": ["motion", "shots"]}, {"policy": "running"}):
        assert all(info.weight > 0 for info in select_features(of(name, **others)).infos if info.name != "shots")


def test_a_weight_of_ones_own_has_still_to_name_a_feature() -> None:
    with pytest.raises(UsageError, match="there is no feature 'smell'"):
        select_features(of("sports", weight={"smell": 1}))


@pytest.mark.parametrize(("name", "best"), [("talk", "heard"), ("surveillance", "seen"), ("dance", "seen")])
def test_of_something_heard_and_something_seen_a_preset_keeps_what_its_footage_is_about(name: str, best: str) -> None:
    (interval,) = found(of(name, top=1), seen=(60, 10), heard=(160, 30))
    start = {"seen": 30, "heard": 80}[best]
    assert interval.start_ms / 1000 < start + 5 < interval.end_ms / 1000


def test_a_still_camera_keeps_a_passer_by_whom_lively_footage_would_not_notice() -> None:
    passer_by = (100, 0.75)  # grey levels: somebody a seventh of the height of a picture without noise
    assert found(Settings(), seen=passer_by, heard=(0, 0)) == []
    (interval,) = found(of("surveillance"), seen=passer_by, heard=(0, 0))
    assert interval.start_ms <= 45_000
    assert interval.end_ms >= 60_000


def found(settings: Settings, *, seen: tuple[int, float], heard: tuple[int, float]) -> list[Interval]:
    """Return the moments of two still minutes; ten slices move and ten are loud, given as (first, how much)."""
    infos = select_features(settings).infos
    names = [signal.name for info in infos for signal in info.signals]
    values = np.random.default_rng(0).normal(0, 0.05, (240, len(names))).astype(np.float32)
    values[:, names.index("shot_cut_s")] = np.nan
    for name, (first, level) in (("motion_scene", seen), ("audio_loudness", heard)):
        values[first : first + 10, names.index(name)] += level
    windows = Windows(WindowGrid.of_seconds(settings.window_s, settings.hop_s), len(names))
    detector = detector_for(settings, infos)
    results: list[object] = []
    rows = [Row("s", n, line.tobytes()) for n, line in enumerate(values)]
    for row in [*rows, Row("s", 240, b"", end=StreamEnd(Fraction(120)))]:
        items: list[Row | Window] = [*windows.push(row), row]
        results += [result for item in items for result in detector.push(item)]
    return [result for result in results if isinstance(result, Interval)]
