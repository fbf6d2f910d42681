"""The stateful peak detector: rows and windows of one stream in, highlights and finally a summary out.

Two policies share every step of the decision. `WholeDetector` keeps the rows and decides when the stream has ended;
`RunningDetector` decides after every row, from a trailing horizon, and never takes a decision back.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clipstream.detect.lines import APART_ROWS, caution, known_rows, line_of
from clipstream.detect.moments import Moment, find_moments, hot_rows, merge_near, ranked
from clipstream.detect.packed import PackedTable
from clipstream.detect.reasons import explain_none, reasons_for
from clipstream.detect.scores import (
    SMOOTHING_REACH,
    Scores,
    Usual,
    best_half_means,
    score_rows,
    spread_lasting,
    usual_levels,
)
from clipstream.detect.selection import Candidate, LengthRules, behind, choose, extend, peak_ms
from clipstream.detect.state import DetectorState
from clipstream.failures import add_failures
from clipstream.features.base import FeatureInfo
from clipstream.media.slices import StreamEnd
from clipstream.results import Interval, Row, StreamSummary, Window
from clipstream.settings import Settings
from clipstream.timing import SLICE_S, WARM_UP_S, slice_start, to_ms

__all__ = ["Detector", "RunningDetector", "WholeDetector", "detector_for"]

Found = Interval | StreamSummary

DEFAULT_PERCENTILE = 90.0

_LATELY_ROWS = 120
"""The last minute: a moment of half of it does not move its median."""

_NO_END_MS = 1 << 62

_REMEMBERED_INTERVALS = 100
"""Of a live stream's highlights, for its summary; where they were written, all are listed."""


class Detector(Protocol):
    """Finds the highlights of one stream."""

    @property
    def warming_up(self) -> bool:
        """Whether it is not known yet what is usual, so that nothing is given out."""

    def push(self, item: Row | Window) -> list[Found]:
        """Take the next row or window in order; an end row gives out what is left, and the summary last."""
        ...

    def state(self) -> DetectorState:
        """Return a copy of the state, to go on from later."""
        ...


def detector_for(
    settings: Settings, features: Sequence[FeatureInfo], state: DetectorState | None = None, *, live: bool = False
) -> Detector:
    """Return the detector for the policy in `settings`, going on from `state` if there is one.

    A live stream has no end to wait for: its policy is the running one, and it forgets what lies behind its horizon.
    """
    state = state or DetectorState(live=live)
    kind = RunningDetector if settings.policy == "running" or state.live else WholeDetector
    return kind(settings, features, state)


class _Judge:
    """What both policies do: keep rows, score them, find moments, make intervals."""

    def __init__(self, settings: Settings, features: Sequence[FeatureInfo], state: DetectorState) -> None:
        self._live = state.live
        self._settings, self._features = settings, tuple(features)
        self._stream = ""  # the rows tell
        signals = [signal for feature in features for signal in feature.signals]
        self._boundaries = [column for column, signal in enumerate(signals) if signal.boundary]
        self._rows = PackedTable(len(signals), state.rows)
        self._windows = PackedTable(2, state.windows, np.float64)
        self._judged = PackedTable(2 + len(features), state.judged)
        self._threshold_now, self._errors, self._failures = state.threshold, state.errors, state.failures
        self._decided, self._intervals, self._numbered = state.decided, list(state.intervals), state.numbered
        self._window_rows = _rows(settings.window_s)
        self._gap_rows = int(settings.merge_gap_s / SLICE_S)
        self._rules = LengthRules(
            before_ms=round(1000 * settings.context_before_s),
            after_ms=round(1000 * settings.context_after_s),
            min_ms=round(1000 * settings.min_length_s),
            max_ms=round(1000 * settings.max_length_s),
        )

    @property
    def warming_up(self) -> bool:
        return False

    def push(self, item: Row | Window) -> list[Found]:
        if isinstance(item, Window):
            self._windows.append([float(item.start_s / SLICE_S), float(item.end_s / SLICE_S)])
            return []
        self._stream = item.stream
        if item.end is None and item.n < len(self._rows):
            return []  # a replay after a restart
        self._errors += item.errors
        self._failures = add_failures(self._failures, item.failures)
        if item.end is not None:
            return self._finish(item.end)
        found = self._pass_over(item.n)
        self._rows.append(item.values)
        return [*found, *self._decide()]

    def state(self) -> DetectorState:
        return DetectorState(
            self._rows.state(),
            self._windows.state(),
            self._judged.state(),
            self._threshold_now,
            self._errors,
            self._decided,
            tuple(self._intervals),
            self._numbered,
            self._live,
            self._failures,
        )

    def _pass_over(self, row: int) -> list[Found]:  # noqa: ARG002 - only live streams have gaps
        """Come to a row; what a live stream did not give is missing. Return what that ends."""
        return []

    def _decide(self) -> list[Found]:
        raise NotImplementedError

    def _finish(self, end: StreamEnd) -> list[Found]:
        raise NotImplementedError

    def _score(self, values: NDArray[np.float32], larger: NDArray[np.float64] | float = 1.0) -> tuple[Usual, Scores]:
        values = spread_lasting(values, self._features)
        usual = self._usual(values)
        rows = self._settings.smoothing_s / float(SLICE_S)
        return usual, score_rows(values, self._features, usual, self._settings.smoothing, rows, caution=larger)

    def _usual(self, values: NDArray[np.float32]) -> Usual:
        return usual_levels(values, self._features)

    def _window_scores(self, smoothed: NDArray[np.float64], first: int = 0) -> NDArray[np.float64]:
        """Score the windows that begin at row `first` or later; `smoothed[0]` is that row.

        A tail shorter than a window is scored with the rows before it that make it one: the better half of a few rows
        would set a threshold that no whole window could reach.
        """
        spans = self._known_windows(first).astype(np.int64) - first
        window = min(self._window_rows, len(smoothed))
        if not len(spans) or not window:
            return np.zeros(len(spans))
        return best_half_means(smoothed, window)[np.maximum(spans[:, 1] - window, 0)]

    def _known_windows(self, first: int) -> NDArray[np.float64]:
        windows = self._windows.array().astype(np.float64)
        # Those of a gap come before the row behind it.
        return windows[(windows[:, 0] >= first) & (windows[:, 1] < len(self._rows) + 1)]

    def _threshold(self, window_scores: NDArray[np.float64]) -> float:
        percentile = self._settings.percentile
        if percentile is None and self._settings.top is None and self._settings.target_duration_s is None:
            percentile = DEFAULT_PERCENTILE
        line = line_of(window_scores, percentile) if percentile is not None and len(window_scores) else 0.0
        return max(line, 0.0)

    def _moments(self, scores: Scores, threshold: float, begin: int = 0) -> list[Moment]:
        """Return the moments from row `begin` of `scores` on, counted from there."""
        hot = hot_rows(scores.smoothed, threshold, self._window_rows)
        hot &= hot_rows(scores.noticeable, self._settings.floor, self._window_rows)
        moments = merge_near(find_moments(scores.smoothed[begin:], hot[begin:]), self._gap_rows)
        return ranked(moments, scores.smoothed[begin:], self._window_rows)

    def _cuts_ms(self) -> list[int]:
        values, first = self._rows.array(), self._rows.first
        return sorted(
            to_ms(slice_start(first + int(n))) + round(1000 * float(values[n, column]))
            for column in self._boundaries
            for n in np.flatnonzero(~np.isnan(values[:, column]))
        )

    def _summary(self, end: StreamEnd, scored: NDArray[np.float32], threshold: float) -> StreamSummary:
        """Sum up; `scored` is (T, 2 + F) as in `DetectorState.judged`."""
        ranks = sorted(self._intervals, key=lambda one: (-one.score, -one.peak_score, one.start_ms))
        ranked = [replace(interval, rank=ranks.index(interval) + 1) for interval in self._intervals]
        window_scores = self._window_scores(scored[:, 0].astype(np.float64), self._rows.first)
        noticeable = scored[:, 1].astype(np.float64)
        window = min(self._window_rows, len(noticeable))
        best = float(best_half_means(noticeable, window).max()) if window else 0.0
        missing = not bool(np.isfinite(self._rows.array()).any())
        return StreamSummary(
            stream=self._stream,
            features=self._features,
            values=self._rows.array().copy(),
            feature_scores=scored[:, 2:].copy(),
            scores=scored[:, 0].copy(),
            noticeable=scored[:, 1].copy(),
            window_scores=window_scores.astype(np.float32),
            window_spans_s=self._known_windows(self._rows.first) * float(SLICE_S),
            threshold=threshold,
            floor=self._settings.floor,
            intervals=tuple(ranked),
            errors=self._errors,
            end=end,
            first=self._rows.first,
            explanation=None if ranked else explain_none(best, self._settings.floor, measured=not missing),
            failures=self._failures,
        )

    def _interval(self, candidate: Candidate, number: int, usual: Usual, scores: Scores, first: int = 0) -> Interval:
        """Make a highlight of a candidate; `scores` begin at row `first`."""
        return Interval(
            stream=self._stream,
            number=number,
            start_ms=candidate.start_ms,
            end_ms=candidate.end_ms,
            peak_ms=peak_ms(candidate.moment),
            score=candidate.moment.score,
            peak_score=candidate.moment.height,
            reasons=reasons_for(_moved(candidate.moment, -first), scores, usual, self._features),
        )


class WholeDetector(_Judge):
    """Decides when the stream has ended, measuring every moment against all of it."""

    def _decide(self) -> list[Found]:
        return []

    def _finish(self, end: StreamEnd) -> list[Found]:
        usual, scores = self._score(self._rows.array())
        threshold = self._threshold(self._window_scores(scores.smoothed))
        cuts, end_ms = self._cuts_ms(), to_ms(end.duration_s)
        candidates = [extend(moment, self._rules, end_ms, cuts) for moment in self._moments(scores, threshold)]
        target_s = self._settings.target_duration_s
        target_ms = None if target_s is None else round(1000 * target_s)
        chosen = choose(candidates, self._rules, end_ms, self._settings.top, target_ms)
        self._intervals = [
            self._interval(candidate, number, usual, scores)
            for number, candidate in enumerate(sorted(chosen, key=lambda item: item.start_ms), start=1)
        ]
        judged = np.column_stack((scores.smoothed, scores.noticeable, scores.features))
        summary = self._summary(end, judged.astype(np.float32), threshold)
        return [*summary.intervals, summary]


class RunningDetector(_Judge):
    """Decides as the stream runs, measuring every moment against a trailing horizon.

    A moment is given out once the score has stayed down for as long as would have merged it with another, which is
    within one hop of its end, or when it has lasted for the longest clip; later where the line sinks below it. A live
    stream may have gaps: what is missing in them is as usual, and after one that is longer than the horizon it warms up
    again.
    """

    def __init__(self, settings: Settings, features: Sequence[FeatureInfo], state: DetectorState) -> None:
        super().__init__(settings, features, state)
        self._horizon_rows = _rows(settings.horizon_s)
        # Smoothing still changes a row's score for as long as its kernel reaches ahead.
        self._lag_rows = (
            0 if settings.smoothing == "none" else math.ceil(SMOOTHING_REACH * settings.smoothing_s / SLICE_S)
        )
        self._quiet_rows = self._gap_rows + max(self._lag_rows, 1)
        self._longest_rows = max(_rows(settings.max_length_s), 1)

    @property
    def warming_up(self) -> bool:
        """Whether less than `WARM_UP_S` were seen, within the horizon and a little before it."""
        known = known_rows(self._rows.array()[-self._horizon_rows - APART_ROWS :])
        return int(known.max(initial=0)) * SLICE_S < WARM_UP_S

    def _usual(self, values: NDArray[np.float32]) -> Usual:
        # What rises slowly, as at dawn, is no moment: that stands above its last minute too.
        usual = usual_levels(values, self._features)
        lately = usual_levels(values[-_LATELY_ROWS:], self._features).median
        falling = np.array([signal.weight < 0 for feature in self._features for signal in feature.signals])
        median = np.where(falling, np.minimum(usual.median, lately), np.maximum(usual.median, lately))
        return replace(usual, median=median)

    def _caution(self) -> NDArray[np.float64]:
        """Return how many times larger a change had to be to be noticeable in each row that is kept.

        They are kept for longer than the horizon, so that this is the same whenever a moment is decided.
        """
        # Half a window is a sample: a window's score is that of its better half.
        known = 2 * known_rows(self._rows.array()) / self._window_rows
        return caution(known, 2 * self._horizon_rows / self._window_rows)

    def _decide(self) -> list[Found]:
        found = self._given_out(ended=None)
        if self._live:
            self._forget()
        return found

    def _pass_over(self, row: int) -> list[Found]:
        found: list[Found] = []
        if row == len(self._rows):
            return found
        if not len(self._rows.array()) or row - len(self._rows) > self._horizon_rows:
            if not self.warming_up:  # a moment that runs ends here: behind the gap it is forgotten
                found = self._given_out(ended=StreamEnd(slice_start(len(self._rows))))
            for table in (self._rows, self._judged):
                table.skip_to(row)
            self._windows.skip_to(len(self._windows))
        missing = np.full(sum(len(feature.signals) for feature in self._features), np.nan, np.float32).tobytes()
        while len(self._rows) < row:
            self._rows.append(missing)
        return found

    def _forget(self) -> None:
        before = len(self._rows) - self._horizon_rows - self._longest_rows
        for table in (self._rows, self._judged):
            table.forget(before)
        self._windows.forget(self._windows.first + int((self._windows.array()[:, 0] < self._rows.first).sum()))
        del self._intervals[:-_REMEMBERED_INTERVALS]

    def _finish(self, end: StreamEnd) -> list[Found]:
        found = self._given_out(ended=end) if len(self._rows) else []
        return [*found, self._summary(end, self._judged.array(), self._threshold_now)]

    def _given_out(self, ended: StreamEnd | None) -> list[Found]:
        first = max(len(self._rows) - self._horizon_rows, self._rows.first)
        past = first - self._rows.first
        usual, scores = self._score(self._rows.array()[past:], self._caution()[past:])
        threshold = self._threshold_now = self._threshold(self._window_scores(scores.smoothed, first))
        self._keep_judged(scores, first, ended=ended is not None)
        if ended is None and self.warming_up:
            return []
        begin = max(self._decided, first)
        found: list[Found] = []
        moments = self._moments(scores, threshold, begin - first)
        for near, after in zip_longest(moments, moments[1:]):
            moment = _moved(near, begin)
            running = not self._is_over(moment)
            if running and ended is None:
                if len(self._rows) - moment.start < self._longest_rows:
                    break
                moment = replace(moment, end=moment.start + self._longest_rows)
            quiet = 0 if running else self._quiet_behind(moment, scores.smoothed[moment.end - first :])
            self._decided = min(moment.end + quiet, begin + after.start if after is not None else len(self._rows))
            found += self._give_out(moment, usual, scores, first, ended)
        return found

    def _is_over(self, moment: Moment) -> bool:
        """Say whether it was quiet for long enough behind a moment, and all that its clip shows is there."""
        rows = len(self._rows)
        if moment.end + self._quiet_rows > rows:
            return False
        return extend(moment, self._rules, _NO_END_MS, self._cuts_ms()).end_ms <= to_ms(slice_start(rows))

    def _quiet_behind(self, moment: Moment, scores: NDArray[np.float64]) -> int:
        """Return how many rows belong to a moment that is over: up to the valley, where another rises behind it.

        What rises within the gap that merges would have been merged: that belongs to it in any case.
        """
        rising = np.flatnonzero(scores[: self._quiet_rows] >= moment.height / 2)
        valley = int(np.argmin(scores[: rising[0] + 1])) if len(rising) else self._quiet_rows
        return max(valley, self._gap_rows + 1) if self._gap_rows else valley

    def _give_out(
        self, moment: Moment, usual: Usual, scores: Scores, first: int, ended: StreamEnd | None
    ) -> list[Interval]:
        limit_ms = to_ms(slice_start(len(self._rows)) if ended is None else ended.duration_s)
        earliest_ms = self._intervals[-1].end_ms if self._intervals else 0
        candidate = behind(extend(moment, self._rules, limit_ms, self._cuts_ms()), earliest_ms, self._rules, limit_ms)
        if candidate is None:
            return []
        self._numbered += 1
        interval = self._interval(candidate, self._numbered, usual, scores, first)
        self._intervals.append(interval)
        return [interval]

    def _keep_judged(self, scores: Scores, first: int, *, ended: bool) -> None:
        until = len(self._rows) - (0 if ended else self._lag_rows)
        for row in range(len(self._judged), until):
            at = row - first
            self._judged.append(np.array([scores.smoothed[at], scores.noticeable[at], *scores.features[at]]))


def _rows(seconds: float) -> int:
    return round(seconds / SLICE_S)


def _moved(moment: Moment, rows: int) -> Moment:
    return replace(moment, start=moment.start + rows, end=moment.end + rows, peak=moment.peak + rows)
