"""Scores: how far above usual, whatever the level, the scale or what is missing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.detect.scores import LASTING_ROWS, best_half_means, score_rows, smoothed, spread_lasting, usual_levels
from clipstream.features.base import FeatureInfo, Signal


def feature(name: str, weight: float, *signal_weights: float, min_spread: float = 0.01) -> FeatureInfo:
    signals = tuple(Signal(f"{name}_{i}", name, "", share, min_spread) for i, share in enumerate(signal_weights))
    return FeatureInfo(name, weight, signals)


NAN = float("nan")
MOTION, SOUND = feature("motion", 0.4, 1.0), feature("sound", 0.2, 1.0)


def table(*columns: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(columns, np.float32).T


def spread(column: list[float], **kind: bool) -> list[float]:
    feature = FeatureInfo("looked", 1.0, (Signal("looked", "looked", "", 1.0, 0.1, **kind),))
    return [float(number) for number in spread_lasting(table(column), [feature])[:, 0]]


def test_a_change_is_of_the_rows_before_it_and_a_level_of_those_after() -> None:
    looks = [NAN, 1.0, NAN, NAN, 4.0, NAN, NAN]
    np.testing.assert_equal(spread(looks, lasting=True), [1.0, 1.0, 4.0, 4.0, 4.0, NAN, NAN])
    np.testing.assert_equal(spread(looks, held=True), [NAN, 1.0, 1.0, 1.0, 4.0, 4.0, 4.0])
    np.testing.assert_equal(spread(looks), looks)


def test_behind_the_last_look_a_level_is_held_for_as_long_as_between_the_last_two() -> None:
    np.testing.assert_equal(spread([1.0, NAN, 3.0, NAN, NAN], held=True), [1.0, 1.0, 3.0, 3.0, NAN])
    np.testing.assert_equal(spread([NAN, 1.0, NAN], held=True), [NAN, 1.0, NAN])
    np.testing.assert_equal(spread([NAN, NAN], held=True), [NAN, NAN])


@pytest.mark.parametrize("kind", ["lasting", "held"])
def test_a_silence_of_more_than_half_a_minute_is_no_measurement(kind: str) -> None:
    looks = [1.0, *[NAN] * (LASTING_ROWS + 3), 2.0]
    assert sum(np.isnan(spread(looks, **{kind: True}))) == 4


def test_usual_is_the_median_and_the_scaled_median_deviation() -> None:
    usual = usual_levels(table([1.0, 2.0, 3.0, 4.0, 100.0]), [MOTION])
    assert usual.median[0] == 3.0
    assert usual.spread[0] == pytest.approx(1.4826)


def test_a_signal_that_hardly_changes_is_measured_by_its_floor() -> None:
    still = feature("motion", 1.0, 1.0, min_spread=0.5)
    values = table([1.0] * 9 + [1.1])
    scores = score_rows(values, [still], usual_levels(values, [still]), "none", 0)
    assert scores.fused[-1] == pytest.approx(0.2, rel=0.02)


def test_weights_are_shared_among_the_features_that_are_present() -> None:
    values = table([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0, np.nan])
    scores = score_rows(values, [MOTION, SOUND], usual_levels(values, [MOTION, SOUND]), "none", 0)
    assert scores.fused[3] == pytest.approx((0.4 * scores.features[3, 0] + 0.2 * scores.features[3, 1]) / 0.6)
    assert scores.fused[4] == pytest.approx(scores.features[4, 0])


def test_a_row_without_any_number_scores_as_usual() -> None:
    values = table([1.0, 5.0, np.nan])
    assert score_rows(values, [MOTION], usual_levels(values, [MOTION]), "none", 0).fused[2] == 0.0


def test_a_feature_without_weight_informs_and_does_not_count() -> None:
    shots = feature("shots", 0.0, 0.0)
    values = table([0.0, 1.0, 2.0, 9.0], [0.0, 0.0, 99.0, 0.0])
    with_it = score_rows(values, [MOTION, shots], usual_levels(values, [MOTION, shots]), "none", 0)
    without = score_rows(values[:, :1], [MOTION], usual_levels(values[:, :1], [MOTION]), "none", 0)
    assert np.array_equal(with_it.fused, without.fused)


def scores_of(info: FeatureInfo, *columns: list[float]) -> list[float]:
    values = table(*columns)
    return list(score_rows(values, [info], usual_levels(values, [info]), "none", 0).fused)


def test_of_alternatives_the_best_counts_however_many_there_are() -> None:
    risen, still = [0.0] * 9 + [0.5], [0.0] * 10
    alone = scores_of(replace(feature("prompts", 1.0, 1.0), alternatives=True), risen)
    of_four = replace(feature("prompts", 1.0, 1.0, 1.0, 1.0, 1.0), alternatives=True)
    assert scores_of(of_four, still, risen, still, [np.nan] * 10) == pytest.approx(alone)
    assert scores_of(of_four, risen, risen, risen, risen) == pytest.approx(alone)


def test_an_alternative_counts_by_its_weight_beside_the_heaviest() -> None:
    risen, still = [0.0] * 9 + [0.5], [0.0] * 10
    info = replace(feature("prompts", 1.0, 2.0, 1.0), alternatives=True)
    assert scores_of(info, still, risen)[-1] == pytest.approx(scores_of(info, risen, still)[-1] / 2)


def test_what_is_avoided_takes_as_it_rises_and_gives_nothing_as_it_falls() -> None:
    info = replace(feature("prompts", 1.0, 1.0, -1.0), alternatives=True)
    still = [0.0] * 9 + [0.5]
    assert scores_of(info, still, still)[-1] == pytest.approx(0.0)
    assert scores_of(info, [0.0] * 10, [0.0] * 9 + [-0.5])[-1] == pytest.approx(0.0)


def test_what_stands_out_in_one_feature_alone_is_as_noticeable_as_in_all() -> None:
    still, cheer = [1.0] * 20, [0.0] * 17 + [8.0] * 3
    values = table(still, cheer)
    features = [feature("motion", 0.4, 1.0, min_spread=0.5), feature("sound", 0.2, 1.0, min_spread=1.5)]
    scores = score_rows(values, features, usual_levels(values, features), "none", 0)
    alone = score_rows(values[:, 1:], features[1:], usual_levels(values[:, 1:], features[1:]), "none", 0)
    assert np.array_equal(scores.noticeable, alone.noticeable)
    assert scores.fused[-1] == pytest.approx(alone.fused[-1] / 3)


def test_one_extreme_feature_does_not_silence_the_others() -> None:
    calm = [0.0, 1.0, 2.0, 1.0, 0.0] * 4
    values = table([*calm, 1000.0, 1.0], [*calm, 1.0, 8.0])
    scores = score_rows(values, [MOTION, SOUND], usual_levels(values, [MOTION, SOUND]), "none", 0)
    assert scores.deviations[-2, 0] > 500
    assert scores.fused[-2] < 20 * scores.fused[-1]


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=40),
    st.floats(0.1, 100),
    st.floats(-1000, 1000),
)
def test_scale_and_offset_of_a_signal_change_no_score(values: list[float], scale: float, offset: float) -> None:
    plain = np.array(values, np.float32)[:, None]
    moved = (plain.astype(np.float64) * scale + offset).astype(np.float32)
    one, other = feature("a", 1.0, 1.0, min_spread=1e-3), feature("a", 1.0, 1.0, min_spread=1e-3 * scale)
    before = score_rows(plain, [one], usual_levels(plain, [one]), "gaussian", 1.0)
    after = score_rows(moved, [other], usual_levels(moved, [other]), "gaussian", 1.0)
    assert after.smoothed == pytest.approx(before.smoothed, rel=2e-2, abs=2e-2)


def test_gaussian_smoothing_keeps_the_sum_and_median_smoothing_drops_a_lone_spike() -> None:
    spike = np.zeros(41)
    spike[20] = 5.0
    assert smoothed(spike, "gaussian", 1.0).sum() == pytest.approx(5.0)
    assert smoothed(spike, "median", 1.0).max() == 0.0
    assert smoothed(spike, "none", 1.0) is spike


def test_a_span_is_scored_by_its_better_half() -> None:
    assert best_half_means(np.array([0.0, 4.0, 2.0, 0.0, 0.0]), 4).tolist() == [3.0, 3.0]
