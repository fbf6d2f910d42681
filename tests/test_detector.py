"""The detector as a whole: both policies, resumption, reasons, and saying why there is nothing."""

import itertools
import pickle
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipstream.detect.detector import detector_for
from clipstream.detect.windows import WindowGrid, Windows
from clipstream.failures import Failure
from clipstream.features.base import FeatureInfo, Signal
from clipstream.media.slices import StreamEnd
from clipstream.results import Interval, Row, StreamSummary, Window
from clipstream.settings import Settings

FEATURES = (
    FeatureInfo("motion", 0.4, (Signal("motion_scene", "movement in the scene", "", 1.0, 0.1, lasting=True),)),
    FeatureInfo("audio", 0.2, (Signal("audio_loudness", "loudness", "dBFS", 1.0, 1.0),)),
    FeatureInfo("shots", 0.0, (Signal("shot_cut_s", "cut", "s", 0.0, 0.1, boundary=True),)),
)
NAN = float("nan")


def footage(slices: int, *events: tuple[int, int, float], seed: int = 3) -> NDArray[np.float32]:
    """Return (slices, 3) signals of a calm stream with events (first slice, slices, movement above usual)."""
    noise = np.random.default_rng(seed)
    values = np.column_stack(
        (1 + 0.1 * noise.standard_normal(slices), -40 + noise.standard_normal(slices), np.full(slices, np.nan))
    )
    for first, length, movement in events:
        values[first : first + length, 0] += movement
        values[first : first + length, 1] += 20
    return values.astype(np.float32)


def run(
    values: NDArray[np.float32], options: Settings, splits: Sequence[int] = ()
) -> tuple[list[tuple[int, Interval]], StreamSummary]:
    """Return the highlights, each with the number of rows seen when it came, and the summary."""
    windows, detector = (
        Windows(WindowGrid.of_seconds(options.window_s, options.hop_s), 3),
        detector_for(options, FEATURES),
    )
    found: list[tuple[int, Interval]] = []
    end = StreamEnd(Fraction(len(values), 2))
    rows = [Row("s", n, line.tobytes()) for n, line in enumerate(values)]
    for row in [*rows, Row("s", len(rows), b"", end=end)]:
        if row.n in splits:
            detector = detector_for(options, FEATURES, pickle.loads(pickle.dumps(detector.state())))  # noqa: S301 - ours
        items: list[Row | Window] = [*windows.push(row), row]
        for item in items:
            for result in detector.push(item):
                if isinstance(result, StreamSummary):
                    return found, result
                found.append((row.n, result))
    raise AssertionError("no summary")


def test_an_event_becomes_one_clip_around_it_with_context() -> None:
    found, summary = run(footage(240, (100, 4, 3.0)), Settings())
    (interval,) = summary.intervals
    assert [one for _, one in found] == [interval]
    assert abs(interval.start_ms - 49_000) <= 500
    assert abs(interval.end_ms - 53_000) <= 500
    assert 50_000 <= interval.peak_ms < 52_000
    assert (interval.number, interval.rank, summary.explanation) == (1, 1, None)


def test_the_reason_names_the_feature_its_level_and_what_is_usual() -> None:
    _, summary = run(footage(240, (100, 4, 3.0)), Settings())
    reasons = {reason.feature: reason for reason in summary.intervals[0].reasons}
    assert set(reasons) == {"motion", "audio"}
    assert reasons["motion"].usual == pytest.approx(1.0, abs=0.05)
    assert reasons["motion"].value == pytest.approx(4.0, abs=0.4)
    assert reasons["audio"].deviations > 10
    assert sum(reason.share for reason in reasons.values()) == pytest.approx(1.0)


def test_calm_footage_has_no_highlight_and_says_why() -> None:
    found, summary = run(footage(600), Settings())
    assert found == []
    assert summary.intervals == ()
    assert "Nothing stands out" in str(summary.explanation)
    assert "--floor" in str(summary.explanation)


def test_constant_footage_has_no_highlight() -> None:
    values = np.tile(np.array([0.0, -100.0, NAN], np.float32), (200, 1))
    assert run(values, Settings())[1].intervals == ()


def test_an_empty_stream_has_a_summary() -> None:
    _, summary = run(footage(0), Settings())
    assert summary.values.shape == (0, 3)
    assert "Nothing could be measured" in str(summary.explanation)


def test_a_short_tail_does_not_raise_the_threshold_beyond_what_a_window_can_reach() -> None:
    values = footage(47, (4, 3, 2.0), (43, 2, 2.0))  # the last window has five rows, most of them lively
    assert len(run(values, Settings())[1].intervals) >= 1


def test_top_finds_as_many_as_asked_where_the_percentile_alone_would_not() -> None:
    values = footage(48, (16, 3, 3.0), (24, 2, 2.5), (43, 2, 2.0))
    assert len(run(values, Settings(top=3))[1].intervals) == 3
    assert len(run(values, Settings(top=1))[1].intervals) == 1


def test_a_target_duration_bounds_what_is_kept() -> None:
    values = footage(600, *((first, 6, 3.0) for first in range(50, 600, 60)))
    intervals = run(values, Settings(target_duration_s=20))[1].intervals
    assert 10 < sum(one.end_ms - one.start_ms for one in intervals) / 1000 <= 20


def test_a_clip_does_not_begin_in_another_shot() -> None:
    values = footage(240, (100, 4, 3.0))
    values[99, 2] = 0.3  # a cut at 49.8 s
    assert run(values, Settings())[1].intervals[0].start_ms == 49_800


def test_ranks_follow_the_score_and_numbers_follow_time() -> None:
    _, summary = run(footage(400, (100, 4, 2.0), (200, 4, 6.0), (300, 4, 3.0)), Settings(top=3))
    assert [one.number for one in summary.intervals] == [1, 2, 3]
    by_rank = sorted(summary.intervals, key=lambda one: one.rank or 0)
    assert [one.score for one in by_rank] == sorted((one.score for one in summary.intervals), reverse=True)


def test_a_running_policy_gives_out_a_moment_within_one_hop_of_its_end() -> None:
    options = Settings(policy="running")
    events = [(100, 4), (160, 3), (231, 5)]
    found, summary = run(footage(400, *((first, length, 3.0) for first, length in events)), options)
    assert len(found) == len(events) == len(summary.intervals)
    for (seen_at, _), (first, length) in zip(found, events, strict=True):
        assert seen_at + 1 - (first + length) <= 2 * options.hop_s


def test_a_running_policy_decides_like_the_whole_one_on_steady_footage() -> None:
    values = footage(600, (100, 4, 3.0), (250, 6, 4.0), (420, 4, 3.5))
    whole = run(values, Settings(percentile=50))[1].intervals
    running = run(values, Settings(percentile=50, policy="running"))[1].intervals
    assert [(one.start_ms, one.end_ms) for one in running] == [(one.start_ms, one.end_ms) for one in whole]


@pytest.mark.parametrize("min_length_s", [2.0, 6.0])
def test_a_running_policy_keeps_to_the_shortest_length_behind_another_clip(min_length_s: float) -> None:
    values = footage(400, (200, 4, 3.0), (208, 2, 3.0), (215, 2, 3.0), (222, 1, 3.0))
    _, summary = run(values, Settings(policy="running", min_length_s=min_length_s))
    assert len(summary.intervals) > 1
    assert all(one.end_ms - one.start_ms >= 1000 * min_length_s for one in summary.intervals)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(summary.intervals))


@pytest.mark.parametrize("policy", ["whole", "running"])
def test_moments_that_are_alike_are_all_found_however_much_of_the_time_they_fill(policy: str) -> None:
    movement = np.random.default_rng(7).uniform(1.9, 2.1, 24)
    events = [(48 * (n // 3) + 10 + 14 * (n % 3), 4, movement[n]) for n in range(24)]  # a third of the windows show one
    found, _ = run(footage(48 * 8, *events), Settings.from_mapping({"policy": policy}))
    assert [one.peak_ms / 500 for _, one in found] == [pytest.approx(first + 2, abs=2) for first, _, _ in events]


@pytest.mark.parametrize("apart", [5, 6, 7])
def test_a_running_policy_finds_a_moment_that_rises_from_the_foot_of_another_as_the_whole_one(apart: int) -> None:
    values = footage(300, (200, 4, 3.0), (200 + apart, 3, 2.8))
    whole, running = (run(values, Settings.from_mapping({"policy": policy}))[0] for policy in ("whole", "running"))
    assert [one.peak_ms for _, one in running] == [one.peak_ms for _, one in whole]


def test_with_a_running_policy_too_a_small_moment_soon_behind_a_large_one_has_a_clip_of_its_own() -> None:
    values = footage(170)
    values[100:104, 0] += 10
    values[107:110, 0] += 1
    options = {"percentile": 50, "merge_gap": 1.0}
    whole, running = (
        run(values, Settings.from_mapping({"policy": policy, **options}))[0] for policy in ("whole", "running")
    )
    assert [(one.start_ms, one.peak_ms) for _, one in running] == [(one.start_ms, one.peak_ms) for _, one in whole]


def test_what_had_to_be_noticeable_is_the_same_however_long_a_moment_waits_for_its_decision() -> None:
    values = footage(500)
    values[400:404, 0] += 0.35
    options = {"policy": "running", "horizon": "30s"}
    at_once, later = (run(values, Settings.from_mapping({**options, "context_after": s}))[0] for s in ("0s", "10s"))
    assert [one.peak_ms for _, one in later] == [one.peak_ms for _, one in at_once] != []


def test_a_running_policy_adapts_when_the_usual_level_changes() -> None:
    values = footage(1200)
    values[400:, 0] += 2.0  # busier from now on: an event at first, then usual
    found, _ = run(values, Settings(policy="running", horizon_s=60, max_length_s=10, context_after_s=0))
    assert all(one.end_ms < 275_000 for _, one in found)


def test_a_moment_that_lasts_is_given_out_at_the_longest_clip_and_goes_on() -> None:
    options = Settings(policy="running", max_length_s=10, horizon_s=300)
    found, _ = run(footage(600, (300, 50, 3.0)), options)
    (first_seen, _), *later = found
    assert first_seen <= 300 + 2 * 10 + 1
    assert all(one.end_ms - one.start_ms <= 10_000 for _, one in found)
    assert later
    assert all(a.end_ms <= b.start_ms for (_, a), (_, b) in itertools.pairwise(found))


@pytest.mark.parametrize("policy", ["whole", "running"])
@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 300), max_size=4))
def test_going_on_from_snapshots_changes_nothing(policy: str, splits: set[int]) -> None:
    options = Settings.from_mapping({"policy": policy})
    values = footage(300, (100, 4, 3.0), (200, 4, 2.0), (290, 10, 4.0))
    plain_found, plain = run(values, options)
    found, summary = run(values, options, sorted(splits))
    assert found == plain_found
    assert summary.intervals == plain.intervals
    assert np.array_equal(summary.scores, plain.scores)
    assert np.array_equal(summary.values, plain.values, equal_nan=True)


def test_the_summary_has_a_score_for_every_slice_and_window() -> None:
    for policy in ("whole", "running"):
        _, summary = run(footage(223, (100, 4, 3.0)), Settings.from_mapping({"policy": policy}))
        assert summary.scores.shape == (223,)
        assert summary.feature_scores.shape == (223, 3)
        assert len(summary.window_scores) == len(summary.window_spans_s) == len(WindowGrid(10, 6).spans(223))


moments_of_a_stream = st.lists(st.tuples(st.integers(0, 150), st.integers(1, 30), st.floats(0.5, 8)), max_size=5)


@settings(max_examples=25, deadline=None)
@given(moments_of_a_stream, st.sampled_from([0, 1, 10]), st.sampled_from(["whole", "running"]))
def test_highlights_lie_in_the_stream_in_order_and_apart_whatever_the_context(
    events: list[tuple[int, int, float]], context_s: int, policy: str
) -> None:
    options = Settings.from_mapping(
        {"policy": policy, "context_before": context_s, "context_after": context_s, "percentile": 50}
    )
    intervals = run(footage(160, *events), options)[1].intervals
    for one in intervals:
        assert 0 <= one.start_ms <= one.peak_ms < one.end_ms <= 80_000
    assert all(before.end_ms <= after.start_ms for before, after in itertools.pairwise(intervals))


@pytest.mark.parametrize("spacing", [1, 4, 10, 16])
def test_keyframes_seconds_apart_tell_of_the_time_between_them(spacing: int) -> None:
    values = footage(240, (98, 16, 8.0))
    values[:, 1] = np.nan
    measured = np.arange(len(values)) % spacing == 0
    values[~measured, 0] = np.nan
    (interval,) = run(values, Settings())[1].intervals
    assert interval.start_ms < 52_000
    assert interval.end_ms > 54_000


def test_replayed_rows_change_nothing() -> None:
    values = footage(120, (60, 4, 3.0))
    detector, once = detector_for(Settings(), FEATURES), detector_for(Settings(), FEATURES)
    rows = [
        Row("s", n, line.tobytes(), errors=1, failures=(Failure("motion", 1, f"at {n}"),))
        for n, line in enumerate(values)
    ]
    for row in (*rows, *rows[50:]):
        detector.push(row)
    for row in rows:
        once.push(row)
    assert replace(detector.state()) == once.state()
    assert once.state().failures == (Failure("motion", len(rows), "at 0"),)
