"""Selection: context, lengths, cuts in the picture, and the best without overlap."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from clipstream.detect.moments import Moment
from clipstream.detect.selection import Candidate, LengthRules, choose, extend, peak_ms

RULES = LengthRules(before_ms=1000, after_ms=1000, min_ms=2000, max_ms=30_000)
HOUR_MS = 3_600_000


def moment(start_s: float, end_s: float, score: float = 5.0, peak_s: float | None = None) -> Moment:
    start, end = round(2 * start_s), round(2 * end_s)
    return Moment(start, end, round(2 * peak_s) if peak_s is not None else (start + end - 1) // 2, score, score)


def span(candidate: Candidate) -> tuple[int, int]:
    return candidate.start_ms, candidate.end_ms


def test_context_is_added_on_both_sides_within_the_stream() -> None:
    assert span(extend(moment(10, 12), RULES, HOUR_MS)) == (9000, 13_000)
    assert span(extend(moment(0, 2), RULES, HOUR_MS)) == (0, 3000)
    assert span(extend(moment(10, 12), RULES, 12_340)) == (9000, 12_340)


def test_context_does_not_reach_across_a_cut_in_the_picture() -> None:
    assert span(extend(moment(10, 12), RULES, HOUR_MS, [9_480, 12_520])) == (9480, 12_520)
    assert span(extend(moment(10, 12), RULES, HOUR_MS, [8_900, 11_000, 13_100])) == (9000, 13_000)


def test_a_short_moment_grows_to_the_shortest_clip_even_at_the_ends_of_the_stream() -> None:
    rules = LengthRules(0, 0, 4000, 30_000)
    assert span(extend(moment(10, 11), rules, HOUR_MS)) == (8500, 12_500)
    assert span(extend(moment(0, 1), rules, HOUR_MS)) == (0, 4000)
    assert span(extend(moment(9, 10), rules, 10_000)) == (6000, 10_000)
    assert span(extend(moment(0, 1), rules, 3000)) == (0, 3000)


def test_a_long_moment_keeps_what_surrounds_its_peak() -> None:
    rules = LengthRules(1000, 1000, 2000, 10_000)
    assert span(extend(moment(0, 60, peak_s=30), rules, HOUR_MS)) == (25_250, 35_250)
    assert span(extend(moment(0, 60, peak_s=59), rules, 60_000)) == (50_000, 60_000)


def test_top_keeps_the_best_best_first() -> None:
    candidates = [extend(moment(t, t + 2, score), RULES, HOUR_MS) for t, score in ((10, 3.0), (30, 9.0), (50, 6.0))]
    assert [kept.moment.score for kept in choose(candidates, RULES, HOUR_MS, top=2)] == [9.0, 6.0]


def test_the_lesser_of_two_overlapping_clips_loses_the_shared_context() -> None:
    better, lesser = extend(moment(10, 12, 9.0), RULES, HOUR_MS), extend(moment(13, 15, 4.0), RULES, HOUR_MS)
    assert [span(kept) for kept in choose([lesser, better], RULES, HOUR_MS)] == [(9000, 13_000), (13_000, 16_000)]


def test_a_clip_whose_peak_lies_in_a_better_one_is_suppressed() -> None:
    rules = LengthRules(5000, 5000, 2000, 30_000)
    better, lesser = extend(moment(10, 12, 9.0), rules, HOUR_MS), extend(moment(14, 15, 4.0), rules, HOUR_MS)
    assert choose([lesser, better], rules, HOUR_MS) == [better]


def test_a_target_duration_takes_the_best_that_fit_and_shortens_rather_than_drops_the_very_best() -> None:
    candidates = [
        extend(moment(start, end, score), RULES, HOUR_MS)
        for start, end, score in ((10, 14, 9.0), (30, 38, 8.0), (50, 52, 7.0))
    ]
    assert [kept.moment.score for kept in choose(candidates, RULES, HOUR_MS, target_ms=10_000)] == [9.0, 7.0]
    (shortened,) = choose(candidates, RULES, HOUR_MS, target_ms=3000)
    assert shortened.length_ms == 3000
    assert shortened.start_ms <= peak_ms(shortened.moment) < shortened.end_ms


moments = st.builds(
    lambda start, length, offset, score: Moment(start, start + length, start + offset % length, score, score),
    st.integers(0, 200),
    st.integers(1, 40),
    st.integers(0, 40),
    st.floats(1, 20),
)


@given(st.lists(moments, max_size=12), st.one_of(st.none(), st.integers(1, 5)))
def test_chosen_clips_never_overlap_and_always_show_their_peak(found: list[Moment], top: int | None) -> None:
    candidates = [extend(item, RULES, 130_000) for item in found]
    chosen = choose(candidates, RULES, 130_000, top)
    assert top is None or len(chosen) <= top
    for kept in chosen:
        assert 0 <= kept.start_ms <= peak_ms(kept.moment) < kept.end_ms <= 130_000
        assert RULES.min_ms <= kept.length_ms <= RULES.max_ms
    ordered = sorted(span(kept) for kept in chosen)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ordered))


@given(moments, st.lists(st.integers(0, 130_000), max_size=8).map(sorted))
def test_the_moment_itself_is_kept_up_to_the_longest_clip(found: Moment, cuts: list[int]) -> None:
    clip = extend(found, RULES, 130_000, cuts)
    core_start, core_end = clip.core_ms
    assert clip.length_ms <= RULES.max_ms
    assert clip.length_ms == RULES.max_ms or (clip.start_ms <= core_start and clip.end_ms >= core_end)
