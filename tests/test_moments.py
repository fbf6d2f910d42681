"""Moments: where the score stands out, with edges as sharp as the rows."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from clipstream.detect.moments import Moment, find_moments, hot_rows, merge_near, ranked

WINDOW = 10


def moments_of(values: NDArray[np.float64], threshold: float) -> list[Moment]:
    return ranked(find_moments(values, hot_rows(values, threshold, WINDOW)), values, WINDOW)


def scores(length: int, **bumps: tuple[int, list[float]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values = np.zeros(length)
    for start, heights in bumps.values():
        values[start : start + len(heights)] = heights
    return values


def test_a_two_second_event_is_two_seconds_long_not_a_window() -> None:
    (moment,) = moments_of(scores(60, event=(20, [6.0, 8.0, 8.0, 6.0])), 2.0)
    assert (moment.start, moment.end, moment.height) == (20, 24, 8.0)


def test_a_row_that_stands_alone_is_too_short_to_be_a_moment() -> None:
    assert moments_of(scores(60, blip=(20, [6.0])), 2.0) == []


def test_two_peaks_are_two_moments_when_the_valley_is_below_half_of_the_lower() -> None:
    two = scores(60, event=(20, [9.0, 9.0, 9.0, 3.9, 8.0, 8.0, 8.0]))
    one = scores(60, event=(20, [9.0, 9.0, 9.0, 4.1, 8.0, 8.0, 8.0]))
    assert [(m.start, m.end) for m in moments_of(two, 2.0)] == [(20, 23), (24, 27)]
    assert [(m.start, m.end) for m in moments_of(one, 2.0)] == [(20, 27)]


def test_a_long_rally_with_ups_and_downs_is_one_moment() -> None:
    rally = [4.0, 9.0, 5.0, 7.0, 10.0, 6.0, 8.0, 5.0, 9.0, 4.0] * 3
    (moment,) = moments_of(scores(90, rally=(30, rally)), 2.0)
    assert (moment.start, moment.end) == (31, 60)


def test_a_peak_beyond_a_higher_one_does_not_lead_back_to_what_is_before_that() -> None:
    event = [9.0, 9.0, 6.0, 4.4, 9.5, 6.0, 5.9, 6.1, 5.0]
    assert [(m.start, m.end) for m in moments_of(scores(60, event=(20, event)), 2.0)] == [(20, 23), (24, 29)]


def test_two_seconds_of_action_rank_above_one_loud_half_second() -> None:
    values = scores(80, bang=(20, [9.0]), action=(50, [6.0, 6.0, 6.0, 6.0]))
    assert [(m.start, round(m.score, 2)) for m in moments_of(values, 1.0)] == [(20, 1.8), (50, 4.8)]


def test_a_bump_on_the_flank_of_a_high_peak_does_not_blur_its_edge() -> None:
    (moment,) = moments_of(scores(60, event=(20, [2.2, 1.9, 2.4, 9.0, 9.0, 9.0, 3.0])), 2.0)
    assert (moment.start, moment.end) == (23, 26)


def test_nothing_reaches_the_threshold_nothing_is_found() -> None:
    assert moments_of(np.ones(100), 1.5) == []
    assert moments_of(np.zeros(0), 1.5) == []


def test_equal_scores_above_the_threshold_are_one_moment() -> None:
    assert [(m.start, m.end) for m in moments_of(np.full(30, 2.0), 1.5)] == [(0, 30)]


def test_moments_that_nearly_touch_become_one_with_the_higher_peak() -> None:
    near, far = Moment(0, 4, 2, 5.0), Moment(5, 9, 7, 6.0)
    assert merge_near([far, near], gap=1) == [Moment(0, 9, 7, 6.0)]
    assert merge_near([far, near], gap=0) == [near, far]


score_arrays = arrays(np.float64, st.integers(0, 80), elements=st.floats(-5, 20))


@given(score_arrays, st.floats(0.5, 8))
def test_moments_are_in_order_apart_and_hold_their_peaks(values: np.ndarray, threshold: float) -> None:
    moments = moments_of(values, threshold)
    for moment in moments:
        assert 0 <= moment.start <= moment.peak < moment.end <= len(values)
        assert moment.height == values[moment.peak] == values[moment.start : moment.end].max()
        assert 0 < moment.score <= moment.height * (1 + 1e-9)
    for before, after in itertools.pairwise(moments):
        assert before.end <= after.start


@given(score_arrays, st.floats(0.5, 8), st.integers(0, 40))
def test_moments_do_not_depend_on_where_they_lie_between_windows(
    values: np.ndarray,
    threshold: float,
    shift: int,
) -> None:
    quiet = np.zeros(WINDOW)
    placed = moments_of(np.concatenate((quiet, values, quiet)), threshold)
    shifted = moments_of(np.concatenate((quiet, np.zeros(shift), values, quiet)), threshold)
    assert [(m.start + shift, m.end + shift) for m in placed] == [(m.start, m.end) for m in shifted]


@pytest.mark.parametrize("threshold", [1.0, 2.0, 4.0])
def test_a_higher_threshold_never_finds_more_rows(threshold: float) -> None:
    values = np.abs(np.random.default_rng(7).normal(0, 2, 400)).cumsum() % 9
    rows = [sum(m.end - m.start for m in moments_of(values, t)) for t in (threshold, threshold * 1.5)]
    assert rows[1] <= rows[0]
