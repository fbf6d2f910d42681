"""Where decoded samples belong, and how their rate is converted."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clipstream.media.clock import TrackClock
from clipstream.media.sound import Placement, resample_block
from clipstream.testing.media import tone


def test_what_lies_above_half_of_the_rate_does_not_come_back_below_it() -> None:
    t = np.arange(44_100) / 44_100
    for frequency_hz in (8_050, 12_000, 20_000):
        block = tone(frequency_hz, 1.0)(t).astype(np.float32)
        assert np.abs(resample_block(block, Fraction(0))[4000:12000]).max() < 1e-5


FRAME = st.sampled_from([1024, 960, 1152, 648, 128])


@given(st.lists(FRAME, min_size=2, max_size=300), st.sampled_from([44_100, 48_000]), st.integers(0, 10**9))
def test_rounded_times_leave_neither_gaps_nor_overlaps(sizes: list[int], rate_hz: int, start: int) -> None:
    clock = TrackClock(Fraction(1, 1000), Fraction(0), rate_hz)
    placement = Placement(clock, rate_hz)
    starts = start + np.cumsum([0, *sizes[:-1]])
    places = [placement.place(round(at / rate_hz * 1000), size) for at, size in zip(starts, sizes, strict=True)]
    for at, place in zip(starts, places, strict=True):
        assert place is not None
        assert abs(place - at) <= rate_hz * 0.0011
    moved = np.diff(np.array(places, np.int64) - starts)
    assert np.abs(moved).max() <= rate_hz * 0.0011
    assert np.count_nonzero(moved) <= 1 + len(sizes) * 1152 // (10 * rate_hz)


@given(st.integers(2, 6), st.integers(0, 2000), st.floats(-200e-6, 200e-6))
def test_a_place_depends_on_two_anchors_at_most(anchor: int, offset_ms: int, drift: float) -> None:
    rate_hz = 44_100
    clock = TrackClock(Fraction(1, 1000), Fraction(offset_ms, 1000), rate_hz)
    pts = [offset_ms + round(i * 1024 / rate_hz * 1000 * (1 + drift)) for i in range(4000)]
    placement = Placement(clock, rate_hz)
    whole = [placement.place(at, 1024) for at in pts]
    resumed = Placement(clock, rate_hz, first_anchor=anchor - 1)
    later = [resumed.place(at, 1024) for at in pts]
    first = next(i for i, at in enumerate(pts) if at - offset_ms >= anchor * 10_000)
    assert later[first:] == whole[first:]
    assert later[0] is None
