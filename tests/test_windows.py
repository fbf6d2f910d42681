"""Windows: overlapping, aligned to the start of the stream, none missing, the tail kept."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.detect.windows import WindowGrid, Windows
from clipstream.media.slices import StreamEnd
from clipstream.results import Row, Window

END = StreamEnd(Fraction(0))


def row(n: int, *values: float, frames: int = 1) -> Row:
    return Row("s", n, np.array(values, np.float32).tobytes(), frames)


def windows_of(slices: int, grid: WindowGrid, split: int | None = None) -> list[Window]:
    windows = Windows(grid, 1)
    out: list[Window] = []
    for n in range(slices):
        if n == split:
            windows = Windows(grid, 1, windows.state())
        out += windows.push(row(n, float(n)))
    return out + windows.push(Row("s", slices, b"", end=END))


def test_eleven_and_a_bit_seconds_give_the_windows_0_5_3_8_6_11_and_the_tail() -> None:
    spans = [(float(window.start_s), float(window.end_s)) for window in windows_of(23, WindowGrid.of_seconds(5, 3))]
    assert spans == [(0, 5), (3, 8), (6, 11), (9, 11.5)]


def test_a_stream_shorter_than_a_window_is_one_window() -> None:
    (window,) = windows_of(3, WindowGrid.of_seconds(5, 3))
    assert (float(window.start_s), float(window.end_s), window.frames) == (0, 1.5, 3)


def test_an_empty_stream_has_no_window() -> None:
    assert windows_of(0, WindowGrid.of_seconds(5, 3)) == []


def test_a_window_is_given_out_by_the_first_row_past_its_end() -> None:
    windows = Windows(WindowGrid.of_seconds(5, 3), 1)
    assert [windows.push(row(n, 0.0)) for n in range(10)] == [[]] * 10
    assert [window.k for window in windows.push(row(10, 0.0))] == [0]


def test_means_and_peaks_leave_out_what_is_missing() -> None:
    windows = Windows(WindowGrid(2, 2), 2)
    windows.push(row(0, 1.0, np.nan))
    windows.push(row(1, np.nan, np.nan))
    (window,) = windows.push(row(2, 0.0, 0.0))
    assert (window.means[0], window.peaks[0]) == (1.0, 1.0)
    assert np.isnan(window.means[1])
    assert np.isnan(window.peaks[1])


def test_a_replayed_row_is_not_counted_twice() -> None:
    windows = Windows(WindowGrid(2, 2), 1)
    for n in (0, 1, 0, 1):
        windows.push(row(n, float(n)))
    (window,) = windows.push(row(2, 0.0))
    assert (window.frames, window.means) == (2, (0.5,))


def test_a_window_that_a_gap_empties_is_left_out_and_one_it_touches_is_not() -> None:
    windows = Windows(WindowGrid(2, 2), 1)
    windows.push(row(0, 1.0))
    seen = [*windows.push(row(7, 3.0)), *windows.push(row(10, 1.0))]
    assert [window.start_s for window in seen] == [0, 3]
    assert [window.means for window in seen] == [(1.0,), (3.0,)]


def test_a_week_without_rows_costs_nothing() -> None:
    windows = Windows(WindowGrid.of_seconds(5, 3), 1)
    windows.push(row(0, 1.0))
    week = 7 * 24 * 7200
    assert len(windows.push(row(week, 1.0))) == 1
    later = [window for n in range(week + 1, week + 30) for window in windows.push(row(n, 1.0))]
    assert later[0].end_s > Fraction(week, 2) >= later[0].start_s


grids = st.tuples(st.integers(1, 24), st.integers(1, 24)).filter(lambda pair: pair[1] <= pair[0])


@given(grids, st.integers(0, 120))
def test_every_window_is_on_the_grid_and_the_rows_are_covered_to_the_last(grid: tuple[int, int], slices: int) -> None:
    length, hop = grid
    windows = windows_of(slices, WindowGrid(length, hop))
    assert [window.start_s * 2 for window in windows] == [k * hop for k in range(len(windows))]
    assert all(window.end_s - window.start_s == Fraction(length, 2) for window in windows[:-1])
    covered = {n for window in windows for n in range(int(window.start_s * 2), int(window.end_s * 2))}
    assert covered == set(range(slices))


@given(grids, st.integers(0, 80))
def test_means_equal_those_of_the_rows_themselves(grid: tuple[int, int], slices: int) -> None:
    for window in windows_of(slices, WindowGrid(*grid)):
        inside = range(int(window.start_s * 2), int(window.end_s * 2))
        assert window.means[0] == pytest.approx(np.mean(inside))
        assert window.peaks[0] == max(inside)


@given(grids, st.integers(1, 60), st.data())
def test_going_on_from_a_snapshot_changes_nothing(grid: tuple[int, int], slices: int, data: st.DataObject) -> None:
    split = data.draw(st.integers(0, slices - 1))
    assert windows_of(slices, WindowGrid(*grid), split) == windows_of(slices, WindowGrid(*grid))
