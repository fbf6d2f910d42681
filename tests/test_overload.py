"""Overload: what is left out first, that a burst is none, and that everything comes back."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipstream.extraction import Extractor
from clipstream.features.base import Signal
from clipstream.live.overload import Overload, Shedding
from clipstream.media.live.clock import IN_PIECES
from clipstream.media.slices import MediaNeeds, Slice


def run(overload: Overload, waiting: int, seconds: int, start_s: float = 0, dropped: int = 0) -> list[Shedding]:
    return [overload.note(waiting, dropped, start_s + second / 2) for second in range(2 * seconds)]


def test_the_rate_goes_first_then_the_models_then_all_but_keyframes() -> None:
    levels = list(dict.fromkeys(run(Overload(), waiting=10, seconds=30)))
    assert levels == [Shedding.NOTHING, Shedding.HALF, Shedding.QUARTER, Shedding.LIGHT, Shedding.KEYFRAMES]
    assert [level.divisor for level in levels] == [1, 2, 4, 4, 4]


@pytest.mark.parametrize("burst_s", [1, 2])
def test_a_burst_that_is_worked_off_is_no_overload(burst_s: int) -> None:
    overload = Overload()
    for second in range(0, 60, 5):
        assert set(run(overload, 12, burst_s, second)) == {Shedding.NOTHING}
        assert set(run(overload, 1, 5 - burst_s, second + burst_s)) == {Shedding.NOTHING}


def test_it_comes_back_step_by_step_when_there_is_time_again() -> None:
    overload = Overload()
    run(overload, 10, 30)
    levels = list(dict.fromkeys(run(overload, 0, 100, 30)))
    assert levels == [Shedding.KEYFRAMES, Shedding.LIGHT, Shedding.QUARTER, Shedding.HALF, Shedding.NOTHING]


def in_pieces(piece_s: int, speed: float, seconds: int) -> tuple[list[Shedding], int]:
    """Run a stream that comes in pieces, three of them at first; return the levels and the most that waited."""
    overload, waiting, most, levels = Overload(), 4.0 * piece_s, 0.0, []
    for tenth in range(10 * seconds):
        waiting += 2 * piece_s * (tenth % (10 * piece_s) == 0)
        most = max(most, waiting)
        waiting = max(waiting - speed / 5 * overload.shedding.divisor, 0)
        levels.append(overload.note(int(waiting), 0, tenth / 10, float(IN_PIECES.burst_s)))
    return levels, round(most)


@pytest.mark.parametrize(("piece_s", "speed"), [(2, 1.5), (6, 6), (10, 10), (10, 3)])
def test_pieces_that_are_worked_off_before_the_next_ones_are_no_overload(piece_s: int, speed: float) -> None:
    levels, _ = in_pieces(piece_s, speed, 120)
    assert set(levels) == {Shedding.NOTHING}


@pytest.mark.parametrize("piece_s", [2, 6, 10])
def test_pieces_that_are_not_worked_off_are_an_overload_before_any_has_to_be_dropped(piece_s: int) -> None:
    levels, most = in_pieces(piece_s, 0.6, 60)
    assert levels[-1] >= Shedding.HALF
    assert most <= 20 + 4 * IN_PIECES.burst_s


def test_what_was_left_out_of_a_stream_in_pieces_comes_back_between_them() -> None:
    overload, burst_s = Overload(Shedding.QUARTER), float(IN_PIECES.burst_s)
    levels = [overload.note(12 if second % 6 < 2 else 0, 0, second, burst_s) for second in range(100)]
    assert levels[-1] is Shedding.NOTHING


def test_a_piece_that_is_dropped_is_an_overload_though_a_burst_is_not_over() -> None:
    overload = Overload()
    levels = [overload.note(100, 12 * (second > 2), second, float(IN_PIECES.burst_s)) for second in range(8)]
    assert levels[-1] is Shedding.HALF


def test_dropped_slices_count_as_being_behind_though_few_wait() -> None:
    overload = Overload()
    levels = [overload.note(waiting=0, dropped=second, now_s=second) for second in range(10)]
    assert levels[-1] > Shedding.NOTHING


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=200))
def test_no_step_is_larger_than_one(seen: list[tuple[int, bool]]) -> None:
    overload, dropped, before = Overload(), 0, Shedding.NOTHING
    for second, (waiting, drops) in enumerate(seen):
        dropped += drops
        now = overload.note(waiting, dropped, second)
        assert abs(now - before) <= 1
        before = now


def test_a_lean_slice_is_spared_the_models_alone() -> None:
    class Plain:
        name, weight, needs = "plain", 1.0, MediaNeeds()
        signals: tuple[Signal, ...] = (Signal("plain_level", "level", "", 1.0, 1.0),)

        def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
            return np.array([[float(item.n)] for item in slices], np.float32)

    class Costly(Plain):
        name, slices_at_once = "costly", 1
        signals: tuple[Signal, ...] = (Signal("costly_level", "level", "", 1.0, 1.0),)

    slices = [Slice("s", n, live=True, lean=n % 2 == 1) for n in range(4)]
    keyed = Extractor([Costly(), Plain()])(slices)
    rows = np.stack([np.frombuffer(row.values, np.float32) for _, row in keyed])
    assert np.array_equal(rows, np.array([[0, 0], [np.nan, 1], [2, 2], [np.nan, 3]]), equal_nan=True)
