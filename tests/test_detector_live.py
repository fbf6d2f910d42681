"""The detector on streams without an end: it forgets, bridges gaps, and says nothing before it knows what is usual."""

import itertools
import pickle
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from test_detector import FEATURES, footage, run

from clipstream.detect.detector import detector_for
from clipstream.detect.state import DetectorState
from clipstream.detect.windows import WindowGrid, Windows
from clipstream.media.slices import StreamEnd
from clipstream.results import Interval, Row, StreamSummary, Window
from clipstream.settings import Settings


class Live:
    """A live stream's windows and detector, fed row by row."""

    def __init__(self, options: Settings) -> None:
        self.options = options
        self.windows = Windows(WindowGrid.of_seconds(options.window_s, options.hop_s), 3)
        self.detector = detector_for(options, FEATURES, live=True)
        self.found: list[Interval] = []
        self.summary: StreamSummary | None = None

    def feed(self, values: NDArray[np.float32], first: int = 0) -> "Live":
        """Push rows, the first of which is slice `first`."""
        for n, line in enumerate(values, start=first):
            self.push(Row("s", n, line.tobytes(), live=True))
        return self

    def push(self, row: Row) -> None:
        items: list[Row | Window] = [*self.windows.push(row), row]
        for item in items:
            for result in self.detector.push(item):
                if isinstance(result, Interval):
                    self.found.append(result)
                else:
                    self.summary = result

    def restart(self) -> None:
        """Go on from a snapshot, as after a crash."""
        state: DetectorState = pickle.loads(pickle.dumps(self.detector.state()))  # noqa: S301 - ours
        self.detector = detector_for(self.options, FEATURES, state)

    def kept_bytes(self) -> int:
        return len(pickle.dumps(self.detector.state()))


SHORT = Settings(horizon_s=60)


def test_a_live_stream_is_judged_as_by_the_running_policy_though_it_forgets() -> None:
    values = footage(2000, *((n, 4, 3.0) for n in range(100, 1900, 150)))
    found, _ = run(values, Settings(policy="running", horizon_s=60))
    live = Live(SHORT).feed(values)
    assert len(found) >= 10
    assert [(one.start_ms, one.end_ms, one.number) for one in live.found] == [
        (one.start_ms, one.end_ms, one.number) for _, one in found
    ]


def test_what_is_kept_does_not_grow_with_the_time_it_runs() -> None:
    live = Live(SHORT).feed(footage(1500))
    before = live.kept_bytes()
    for start in range(1500, 9000, 1500):
        live.feed(footage(1500, (700, 4, 3.0), seed=start), start)
    assert live.kept_bytes() < 1.5 * before + 20_000


def test_the_summary_holds_what_is_remembered_and_says_where_that_begins() -> None:
    live = Live(SHORT).feed(footage(3000, (2900, 4, 3.0)))
    live.push(Row("s", 3000, b"", end=StreamEnd(Fraction(1500)), live=True))
    assert live.summary is not None
    assert live.summary.first > 2000
    assert len(live.summary.values) == len(live.summary.scores) == 3000 - live.summary.first
    assert len(live.summary.window_scores) == len(live.summary.window_spans_s)


def test_a_stream_may_begin_at_any_slice_and_warms_up_from_there() -> None:
    start = 10_000_000
    live = Live(SHORT).feed(footage(19, (8, 2, 3.0)), start)
    assert live.found == []
    live.feed(footage(200, (100, 4, 3.0)), start + 19)
    assert live.found[-1].start_ms == pytest.approx(1000 * (start + 19 + 98) // 2, abs=1000)


def test_a_short_gap_is_bridged_and_what_was_usual_stays_known() -> None:
    live = Live(SHORT).feed(footage(100))
    live.feed(footage(60, (3, 4, 3.0)), 130)
    (found,) = live.found
    assert found.start_ms >= 1000 * 130 // 2
    assert found.peak_ms == pytest.approx(1000 * 135 // 2, abs=1500)


def test_a_moment_that_a_gap_cuts_off_is_given_out_when_the_stream_is_back() -> None:
    live = Live(SHORT).feed(footage(100, (96, 4, 3.0)))
    assert live.found == []
    live.feed(footage(10), 110)
    (found,) = live.found
    assert found.peak_ms < 50_000


def test_after_a_gap_longer_than_the_horizon_it_warms_up_again() -> None:
    live = Live(SHORT).feed(footage(100))
    quiet = footage(19)
    quiet[:, 0] += 5  # another world: brighter day, busier street
    live.feed(quiet, 1000)
    assert live.found == []
    assert live.kept_bytes() < 10_000


def test_nothing_is_found_while_it_warms_up_and_it_says_so() -> None:
    live = Live(SHORT)
    assert live.detector.warming_up
    live.feed(footage(19))
    assert live.detector.warming_up
    live.feed(footage(1), 19)
    assert not live.detector.warming_up
    live.restart()
    assert not live.detector.warming_up
    live.feed(footage(1), 1000)
    assert live.detector.warming_up


@pytest.mark.parametrize(("movement", "found_at"), [(0.35, [550]), (3.5, [12, 550])])
def test_the_less_is_known_the_more_a_moment_has_to_stand_out(movement: float, found_at: list[int]) -> None:
    values = footage(600)
    for first in (12, 550):
        values[first : first + 6, 0] += movement  # the usual movement wavers by 0.1
    live = Live(Settings(horizon_s=300)).feed(values)
    assert [one.peak_ms // 500 for one in live.found] == [pytest.approx(first + 3, abs=3) for first in found_at]


def test_rows_of_nothing_are_a_gap_behind_which_it_warms_up_again() -> None:
    live = Live(SHORT).feed(footage(100))
    live.feed(np.full((150, 3), np.nan, np.float32), 100)
    assert live.detector.warming_up
    live.feed(footage(19, (6, 4, 3.0)), 250)
    assert live.found == []
    live.feed(footage(5), 269)
    assert not live.detector.warming_up


def test_keyframes_alone_tell_as_soon_as_everything_what_is_usual() -> None:
    values = footage(23)
    values[np.arange(23) % 8 > 0] = np.nan
    assert not Live(SHORT).feed(values).detector.warming_up


def test_night_becomes_day_without_a_flood_of_highlights() -> None:
    values = footage(1800)
    values[300:, 0] += np.linspace(0, 2.5, 1500)  # two smallest noticeable changes a minute, for a quarter of an hour
    assert len(Live(Settings(horizon_s=300)).feed(values).found) <= 5


def test_going_on_from_a_snapshot_changes_nothing() -> None:
    values = footage(900, *((n, 4, 3.0) for n in range(100, 880, 90)))
    whole, parts = Live(SHORT).feed(values), Live(SHORT)
    for first, past in itertools.pairwise([0, 37, 299, 300, 555, 900]):
        parts.feed(values[first:past], first)
        parts.restart()
    assert parts.found == whole.found
    assert [one.number for one in whole.found] == list(range(1, len(whole.found) + 1))
