"""Rates: what is written is what is looked at, by time, wherever the frames of a source lie."""

from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.media.decode import SliceReader
from clipstream.media.pictures import DecodeMode
from clipstream.media.slices import FrameRequest, MediaNeeds
from clipstream.settings import Settings
from clipstream.testing.media import Video, make_clip, numbered, read_number
from clipstream.timing import exact_rate


@given(st.integers(1, 10**9), st.integers(0, 6))
def test_a_rate_is_exactly_the_decimal_that_was_written(digits: int, places: int) -> None:
    assert exact_rate(float(f"{digits}e-{places}")) == Fraction(digits, 10**places)


def test_the_defaults_are_seven_and_a_half_and_two_a_second() -> None:
    settings = Settings()
    assert exact_rate(settings.pose_fps) == Fraction(15, 2)
    assert exact_rate(settings.embedding_fps) == 2


@pytest.mark.parametrize("preset", ["auto", "dance", "talk"])
def test_frames_of_a_variable_rate_are_chosen_by_time_at_the_rates_of_every_feature(
    tmp_path: Path, preset: str
) -> None:
    # Bursts at 60 Hz, film, a stutter, a still of 2.3 s: no tick of a constant rate would do.
    steps_ms = [0, *[17, 16] * 20, *[42, 41] * 12, *[7, 250] * 8, 2300, *[33] * 30]
    times_s = [Fraction(total, 1000) for total in accumulate(steps_ms)]
    path = make_clip(tmp_path / "a.mp4", Video(times_s, draw=lambda i: numbered(i, 128, 64)))
    settings = Settings.from_mapping({"preset": preset})
    rates_hz = [exact_rate(rate_hz) for rate_hz in (settings.pose_fps, settings.embedding_fps, settings.analysis_fps)]
    requests = [FrameRequest(128, rate_hz=rate_hz, lead_frames=0) for rate_hz in rates_hz]
    with SliceReader(path, "s", MediaNeeds(tuple(requests)), threads=2, mode=DecodeMode.ALL) as reader:
        slices = [piece for piece in reader if piece.end is None]
    for request, rate_hz in zip(requests, rates_hz, strict=True):
        chosen = [read_number(pixels) for piece in slices for pixels in piece.frames[request].pixels]
        assert chosen == first_at_each_tick(times_s, rate_hz)


def first_at_each_tick(times_s: list[Fraction], rate_hz: Fraction) -> list[int]:
    ticks = [time_s * rate_hz // 1 for time_s in times_s]
    return [i for i, tick in enumerate(ticks) if i == 0 or tick != ticks[i - 1]]
