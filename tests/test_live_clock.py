"""The line of time on which packets of live streams are put."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.media.live.backoff import Backoff
from clipstream.media.live.clock import IN_PIECES, REAL_TIME, Delivery, LiveClock, Place

TICK = Fraction(1, 90_000)
SAMPLE = Fraction(1, 44_100)
FRAME = 3_000
GRID_S = Fraction(1, 300)
NOON = 1_700_000_000.0


def connected(delivery: Delivery = REAL_TIME) -> LiveClock:
    clock = LiveClock()
    clock.connect({0: TICK, 1: SAMPLE}, delivery)
    return clock


def frame(clock: LiveClock, ticks: int, at_s: float) -> Place:
    return clock.place(0, ticks, ticks, FRAME, at_s=at_s, unix_s=NOON + at_s)


def sound(clock: LiveClock, samples: int, at_s: float) -> Place:
    return clock.place(1, samples, samples, 1024, at_s=at_s, unix_s=NOON + at_s)


def test_time_begins_at_zero_and_goes_on_exactly() -> None:
    clock = connected()
    first, *others = (frame(clock, 777 + FRAME * i, 5 + i / 30).pts for i in range(4))
    assert first is not None
    assert 0 <= first * TICK <= GRID_S
    assert others == [first + FRAME * i for i in range(1, 4)]


def test_tracks_keep_their_distance_to_the_unit() -> None:
    clock = connected()
    frame(clock, 90_001, 0)
    place = sound(clock, 44_100 + 4_410, 0)
    assert place.pts is not None
    assert place.pts * SAMPLE - Fraction(frame(clock, 93_001, 0).pts or 0) * TICK == Fraction(
        48_510, 44_100
    ) - Fraction(93_001, 90_000)


@pytest.mark.parametrize("restart", [0, 123_456_789, 90_000 * 100_000])
def test_a_gap_of_seven_seconds_in_the_world_is_one_in_the_stream(restart: int) -> None:
    clock = connected()
    for i in range(60):
        frame(clock, FRAME * i, i / 30)
    clock.connect({0: TICK, 1: SAMPLE}, REAL_TIME)
    place = frame(clock, restart, 59 / 30 + 7)
    assert float((place.pts or 0) * TICK) == pytest.approx(59 / 30 + 7, abs=0.01)
    assert clock.date_of((place.pts or 0) * TICK) == pytest.approx(NOON + 59 / 30 + 7, abs=0.01)
    assert clock.date_of(Fraction(1)) == pytest.approx(NOON + 1, abs=0.01)


@pytest.mark.parametrize("jump_s", [-3600, -50, 50, 3600])
def test_behind_a_jump_time_goes_on_for_both_tracks_together(jump_s: int) -> None:
    clock = connected()
    for i in range(300):
        frame(clock, 90_000 * 5000 + FRAME * i, i / 30)
        sound(clock, 44_100 * 5000 + 1470 * i, i / 30)
    raw = 5000 + 10 + jump_s
    pictures = [frame(clock, 90_000 * raw + FRAME * i, 10 + i / 30) for i in range(30)]
    heard = [sound(clock, 44_100 * raw + 1470 * i, 10 + i / 30) for i in range(30)]
    assert [place.jumped for place in pictures] == [True] + [False] * 29
    assert not any(place.jumped for place in heard)
    assert clock.jumps == 1
    assert float((pictures[0].pts or 0) * TICK) == pytest.approx(10, abs=0.05)
    assert [(a.pts or 0) * TICK - (b.pts or 0) * SAMPLE for a, b in zip(pictures, heard, strict=True)] == [0] * 30


@pytest.mark.parametrize("bits", [32, 33])
def test_a_counter_that_wraps_around_is_no_jump(bits: int) -> None:
    clock = connected()
    ticks = [((1 << bits) - 10 * FRAME + i * FRAME) % (1 << bits) for i in range(20)]
    places = [frame(clock, at, i / 30) for i, at in enumerate(ticks)]
    assert [(place.pts or 0) - (places[0].pts or 0) for place in places] == [FRAME * i for i in range(20)]
    assert clock.jumps == 0


def test_packets_without_times_go_before_those_with() -> None:
    clock = connected()
    first = [clock.place(0, None, None, FRAME, at_s=i / 30, unix_s=NOON) for i in range(3)]
    assert [place.pts for place in first] == [0, FRAME, 2 * FRAME]
    dated = [clock.place(0, 123_456 + FRAME * i, None, FRAME, at_s=0.1, unix_s=NOON).pts or 0 for i in (3, 1, 2)]
    assert 3 * FRAME <= min(dated) < 90_000
    assert [at - dated[0] for at in dated] == [0, -2 * FRAME, -FRAME]
    assert clock.jumps == 0


def test_pictures_out_of_order_are_no_jump_when_their_dts_are_nonsense() -> None:
    clock = connected()
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    for i, shown in enumerate(order):
        clock.place(0, FRAME * (shown + 2), FRAME * i, FRAME, at_s=i / 30, unix_s=NOON)
    # Behind a jump backwards FFmpeg makes the DTS equal to the PTS, B-frames or not.
    places = [
        clock.place(0, FRAME * s - 10**8, FRAME * s - 10**8, FRAME, at_s=(10 + i) / 30, unix_s=NOON)
        for i, s in enumerate(order)
    ]
    assert clock.jumps == 1
    shown_at = [place.pts or 0 for place in places]
    assert [at - min(shown_at) for at in shown_at] == [FRAME * shown for shown in order]
    assert all(place.dts <= (place.pts or 0) for place in places)


def test_hls_that_begins_again_before_the_end_is_recognised() -> None:
    clock = connected(IN_PIECES)
    for i in range(600):
        frame(clock, 10**7 + FRAME * i, 0.001 * i)
    clock.connect({0: TICK}, IN_PIECES)
    again = [frame(clock, 10**7 + FRAME * i, 3 + 0.001 * i) for i in range(300, 900)]
    assert [place.seen for place in again] == [True] * 300 + [False] * 300
    assert [place.pts for place in again] == [FRAME * i for i in range(300, 900)]


STEP = st.tuples(
    st.sampled_from([0, 1]),
    st.one_of(st.just(None), st.integers(-(2**34), 2**34), st.just(0), st.just(0), st.just(0)),
    st.floats(0, 20),
    st.booleans(),
)


@given(st.lists(STEP, max_size=60))
def test_whatever_comes_decoding_times_rise_and_time_keeps_to_the_world(
    steps: list[tuple[int, int | None, float, bool]],
) -> None:
    clock, at_s, raw = connected(), 100.0, [0, 0]
    last: dict[int, int] = {}
    for track, jump, wait_s, anew in steps:
        at_s += wait_s if anew else wait_s / 100
        if anew:
            clock.connect({0: TICK, 1: SAMPLE}, REAL_TIME)
        raw[track] += (FRAME, 1024)[track] + (jump or 0)
        time = None if jump is None else raw[track]
        place = clock.place(track, time, time, (FRAME, 1024)[track], at_s=at_s, unix_s=NOON + at_s)
        assert place.pts is not None
        assert last.get(track, place.dts - 1) < place.dts <= place.pts
        last[track] = place.dts


def test_a_stream_that_goes_on_after_a_restart_has_the_gap_in_it() -> None:
    clock = LiveClock(Fraction(60), began_unix_s=NOON)
    clock.connect({0: TICK}, REAL_TIME)
    place = clock.place(0, 5, 5, FRAME, at_s=1.0, unix_s=NOON + 90)
    assert float((place.pts or 0) * TICK) == pytest.approx(90, abs=0.001)


@given(st.integers(0, 2**32), st.lists(st.floats(0, 5), min_size=1, max_size=400))
def test_the_first_retries_come_a_second_apart_at_most_and_none_after_more_than_thirty(
    seed: int, ran_s: list[float]
) -> None:
    backoff, now_s = Backoff(seed), 0.0
    waits = []
    for _ in ran_s:
        waits.append((now_s, backoff.wait_s(now_s, 0.0)))
        now_s += waits[-1][1]
    assert all(0.4 < wait_s <= 30 for _, wait_s in waits)
    assert all(wait_s <= 1 for at_s, wait_s in waits if at_s < 40)
    assert all(wait_s <= 1.5 for at_s, wait_s in waits if at_s < 60)
    assert backoff.wait_s(now_s, ran_s=60.0) <= 1


def test_a_user_who_is_not_let_in_twice_tries_seldom() -> None:
    backoff = Backoff(1)
    assert backoff.wait_s(0.0, 0.0, refused=True) <= 1
    assert all(15 <= backoff.wait_s(now_s, 0.0, refused=True) <= 30 for now_s in (1.0, 20.0, 40.0))
