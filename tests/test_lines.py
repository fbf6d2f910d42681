"""What a window has to reach: the percentile of scores that vary, the foot of moments that are alike, more at first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipstream.detect.lines import caution, line_of

WINDOWS = 2000


def random(kind: str) -> NDArray[np.float64]:
    numbers = np.random.default_rng(4)
    if kind == "normal":
        return 1 + numbers.standard_normal(WINDOWS)
    return 1 + (numbers.standard_exponential(WINDOWS) if kind == "exponential" else numbers.standard_t(3, WINDOWS))


def with_moments(share: float, height: float = 2.0) -> NDArray[np.float64]:
    """Return scores of which so many are of moments, a tenth apart at most, and the others of quiet."""
    numbers = np.random.default_rng(5)
    moments = height * numbers.uniform(0.95, 1.05, round(share * WINDOWS))
    return np.concatenate((moments, 0.3 + 0.1 * numbers.standard_normal(WINDOWS - len(moments))))


@pytest.mark.parametrize("percentile", [75, 90, 98])
@pytest.mark.parametrize("kind", ["normal", "exponential", "heavy-tailed"])
def test_of_scores_that_vary_by_chance_as_many_reach_the_line_as_the_percentile_says(
    kind: str, percentile: float
) -> None:
    scores = random(kind)
    assert (scores >= line_of(scores, percentile)).mean() == pytest.approx(1 - percentile / 100, rel=0.12)


@pytest.mark.parametrize("share", [0.12, 0.2, 0.4])
def test_moments_that_are_alike_all_reach_the_line_though_they_fill_more_than_it_leaves(share: float) -> None:
    scores = with_moments(share)
    assert np.percentile(scores, 90) > 1.9
    assert 1.0 < line_of(scores, 90) < 1.9


def test_rare_moments_leave_the_percentile_as_it_is() -> None:
    scores = with_moments(0.04, height=10)
    assert line_of(scores, 90) == np.percentile(scores, 90)


@pytest.mark.parametrize("percentile", [0, 50, 100])
def test_what_is_no_line_above_the_usual_or_has_nothing_beyond_it_stays_the_percentile(percentile: float) -> None:
    scores = with_moments(0.3)
    assert line_of(scores, percentile) == np.percentile(scores, percentile)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.floats(0, 100))
def test_the_line_lies_within_the_scores_and_grows_with_them(numbers: list[float], percentile: float) -> None:
    scores = np.array(numbers)
    line = line_of(scores, percentile)
    assert scores.min() - 1e-9 <= line <= np.percentile(scores, percentile)
    assert line_of(4 * scores, percentile) == pytest.approx(4 * line, abs=1e-9)


def test_the_less_is_known_the_further_out_something_has_to_be_and_never_beyond_all_reach() -> None:
    factors = caution(np.arange(0.0, 200), 120)
    assert (np.diff(factors) <= 0).all()
    assert 1.5 < factors[0] < 2
    assert (factors[120:] == 1).all()
    assert caution(np.array([0.0, 9.0]), enough=2).tolist() == [1, 1]  # what there is to know is known at once


def test_the_factor_is_that_of_the_tables_of_tolerance_limits() -> None:
    tabled = {6: 2.494, 8: 2.219, 10: 2.066, 20: 1.765, 50: 1.559, 100: 1.470}  # a tenth, with 90 % confidence
    factors = caution(np.array(list(tabled), np.float64), enough=100)
    assert factors == pytest.approx(np.array(list(tabled.values())) / tabled[100], rel=0.05)


@pytest.mark.parametrize("share", [0.05, 0.11, 0.3])
def test_darkness_and_silence_hardly_move_the_line_of_lively_footage(share: float) -> None:
    numbers = np.random.default_rng(6)
    dark = round(share * WINDOWS)
    lively = 0.4 + 0.4 * numbers.standard_normal(WINDOWS - dark)
    scores = np.concatenate((np.full(dark, -5.0), lively))
    assert 0.09 < (scores >= line_of(scores, 90)).mean() < 0.18
