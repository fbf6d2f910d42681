"""Dates of what is recorded: the world's, however a camera's clock runs and whatever the network holds up."""

from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import av.container
import pytest
from live_factory import made_up

from clipstream.media.live.clock import REAL_TIME, LiveClock
from clipstream.media.probe import open_media
from clipstream.media.recording.recorder import Recorder
from clipstream.media.recording.recording import Recording
from clipstream.testing.media import Video, even_times, make_clip

TICK = Fraction(1, 90_000)
NOON = 1_700_000_000.0
DAY_S, STEP_S = 86_400, 30


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[av.container.InputContainer]:
    clip = make_clip(tmp_path_factory.mktemp("clip") / "clip.mov", Video(even_times(30), b_frames=0))
    with open_media(clip) as container:
        yield container


class Drifting:
    """A camera with a clock of its own, and the world's beside it."""

    def __init__(self, rate: float) -> None:
        self.clock, self._rate = LiveClock(), rate
        self.clock.connect({0: TICK}, REAL_TIME)

    def send(self, world_s: float, late_s: float = 0.0) -> Fraction:
        """Send a picture that is made then and comes a little later; return its stream time."""
        at_s, ticks = world_s + late_s, round(90_000 * self._rate * world_s)
        return (self.clock.place(0, ticks, ticks, 3_000, at_s=at_s, unix_s=NOON + at_s).pts or 0) * TICK

    def error_s(self, time_s: Fraction, world_s: float) -> float:
        return abs((self.clock.date_of(time_s) or 0) - NOON - world_s)


@pytest.mark.parametrize("rate", [1.001, 0.999])
def test_over_a_day_every_recorded_date_stays_within_100_ms_of_the_world_and_no_two_are_equal(
    rate: float, camera: av.container.InputContainer, tmp_path: Path
) -> None:
    source, late_s = Drifting(rate), cycle([0.04, 0.0, 0.03, 0.01, 0.02, 0.0, 0.04])
    recording, dates, errors_s = Recording(tmp_path), [], []
    with Recorder(tmp_path, keep_s=Fraction(5 * STEP_S), keep_bytes=10**9) as recorder:
        recorder.begin(camera, Fraction(0), source.clock.date_of)
        for world_s in range(0, DAY_S, STEP_S):
            for after_s in range(0, STEP_S, 10):
                time_s = source.send(world_s + after_s, late_s=next(late_s))
                recorder.write(made_up(camera, int(time_s / TICK), keyframe=not after_s))
            if world_s % 600 == 0:
                date = recording.date_of(time_s)
                assert recorder.date_of(time_s) == date
                assert date is not None
                dates.append(date)
                errors_s.append(abs(date.timestamp() - NOON - world_s - after_s))
                assert float(source.clock.now_s(world_s + after_s) - time_s) == pytest.approx(0, abs=0.1)
    assert max(errors_s) < 0.1
    assert dates == sorted(set(dates))


def test_what_the_network_holds_up_for_a_minute_moves_dates_by_no_more_than_a_clock_may_drift() -> None:
    source = Drifting(1)
    for world_s in range(300):
        time_s = source.send(world_s, late_s=5 if 100 <= world_s < 160 else 0)
        assert source.error_s(time_s, world_s) < 0.15


def test_pictures_that_come_in_heaps_are_dated_by_the_promptest() -> None:
    source = Drifting(1)
    for world_s in range(60):
        time_s = source.send(world_s, late_s=5 - world_s % 6)
        if world_s > 6:
            assert source.error_s(time_s, world_s) < 0.02


def test_when_the_worlds_clock_is_set_the_dates_follow() -> None:
    clock = LiveClock()
    clock.connect({0: TICK}, REAL_TIME)
    for second, unix_s in enumerate([NOON, NOON + 1, NOON + 3602]):
        place = clock.place(0, 90_000 * second, 90_000 * second, 3_000, at_s=float(second), unix_s=unix_s)
    assert clock.date_of((place.pts or 0) * TICK) == pytest.approx(NOON + 3602, abs=0.001)


def test_an_instant_in_a_gap_is_dated_by_what_is_recorded_next_to_it(
    camera: av.container.InputContainer, tmp_path: Path
) -> None:
    with Recorder(tmp_path, Fraction(1000), 10**9) as recorder:
        for start_s, date_of in (
            (0, lambda time_s: NOON + float(time_s)),
            (100, lambda time_s: NOON + 7 + float(time_s)),
        ):
            recorder.begin(camera, Fraction(0), date_of)
            for frame in range(0, 300, 30):
                recorder.write(made_up(camera, (start_s * 30 + frame) * 3_000, keyframe=True))
    recording = Recording(tmp_path)
    for time_s, began_unix_s in ((3, NOON), (20, NOON), (90, NOON + 7), (104, NOON + 7), (500, NOON + 7)):
        assert recording.date_of(Fraction(time_s)) == datetime.fromtimestamp(began_unix_s + time_s, UTC)
    assert Recording(tmp_path / "empty").date_of(Fraction(3)) is None
