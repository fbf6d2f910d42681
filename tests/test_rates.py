"""Rates: what is written is what is looked at, by time, wherever the frames of a source lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipstream.media.decode import SliceReader
from clipstream.media.pictures import DecodeMode
from clipstream.media.slices import FrameRequest, MediaNeeds
from clipstream.settings import Settings
from clipstream.testing.media import Video, burn, even_times, make_clip, read_number
from clipstream.timing import exact_rate


@given(st.integers(1, 10**9), st.integers(0, 6))
def test_a_rate_is_exactly_the_decimal_that_was_written(digits: int, places: int) -> None:
    assert exact_rate(float(f"{digits}e-{places}")) == Fraction(digits, 10**places)


def test_the_defaults_are_seven_and_a_half_and_two_a_second() -> None:
    settings = Settings()
    assert exact_rate(settings.pose_fps) == Fraction(15, 2)
    assert exact_rate(settings.embedding_fps) == 2


# Bursts at 60 Hz, film, a stutter, a still of 2.3 s: no tick of a constant rate would do.
VARIABLE_MS = [0, *[17, 16] * 20, *[42, 41] * 12, *[7, 250] * 8, 2300, *[33] * 30]
VARIABLE_S = tuple(Fraction(total, 1000) for total in accumulate(VARIABLE_MS))

RATES_HZ = {
    name: tuple(exact_rate(rate_hz) for rate_hz in (settings.pose_fps, settings.embedding_fps, settings.analysis_fps))
    for name in ("auto", "dance", "sports", "talk")
    if (settings := Settings.from_mapping({"preset": name}))
} | {"a look now and then": (Fraction(2),)}


def texture(index: int) -> NDArray[np.uint8]:
    """Return a numbered picture in which something moves, so that what refers to a frame left out is not the same."""
    soft = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (64, 128, 3), np.uint8), (5, 5), 0)
    return burn(np.roll(soft, 3 * index, axis=1).astype(np.uint8), index)


def x264(b_frames: int, pyramid: str, times_s: Sequence[Fraction] = even_times(90)) -> Video:
    return Video(
        times_s,
        texture,
        b_frames=b_frames,
        options=(("preset", "medium"), ("b-pyramid", pyramid), ("b_strategy", "0")),
    )


SOURCES = {
    "H.264, three B-frames, references among them": ("mp4", x264(3, "normal")),
    "H.264, eight B-frames, references among them": ("mkv", x264(8, "normal")),
    "H.264, three B-frames, none a reference": ("mp4", x264(3, "none")),
    "H.264, seven B-frames, none a reference": ("ts", x264(7, "none")),
    "H.264 of a variable rate": ("mp4", x264(3, "none", VARIABLE_S)),
    "HEVC, P-frames that refer to B-frames": (
        "mp4",
        Video(even_times(90), texture, "libx265", b_frames=8, options=(("preset", "superfast"),)),
    ),
    "MPEG-2, two B-frames": ("ts", Video(even_times(75, 25), texture, "mpeg2video", gop=12)),
    "MPEG-4, two B-frames": ("mp4", Video(even_times(75, 25), texture, "mpeg4", gop=12)),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file, the times of its frames, and the picture at each media time as decoding every frame gives it."""

    path: Path
    times_s: Sequence[Fraction]
    frames: dict[float, NDArray[np.uint8]]


@pytest.fixture(scope="module", params=SOURCES, ids=lambda name: name)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Source:
    suffix, video = SOURCES[request.param]
    path = make_clip(tmp_path_factory.mktemp("rates") / f"a.{suffix}", video)
    (every,), _ = looked_at(path, (None,), DecodeMode.ALL)
    assert [read_number(pixels) for _, pixels in every] == list(range(len(video.times_s)))
    return Source(path, video.times_s, dict(every))


def looked_at(
    path: Path, rates_hz: Sequence[Fraction | None], mode: DecodeMode
) -> tuple[list[list[tuple[float, NDArray[np.uint8]]]], int]:
    """Return the time and the picture of what is chosen at each rate, and how many frames were decoded."""
    requests = tuple(FrameRequest(128, rate_hz=rate_hz, lead_frames=0) for rate_hz in rates_hz)
    with SliceReader(path, "s", MediaNeeds(requests), threads=2, mode=mode) as reader:
        slices = list(reader)
    batches = [[piece.frames[request] for piece in slices if piece.end is None] for request in requests]
    chosen = [
        [(float(pts_s), pixels) for b in track for pts_s, pixels in zip(b.pts_s, b.pixels, strict=True)]
        for track in batches
    ]
    assert slices[-1].end is not None
    return chosen, slices[-1].end.frames


@pytest.mark.parametrize("rates_hz", RATES_HZ.values(), ids=RATES_HZ)
def test_with_every_frame_decoded_the_first_at_each_tick_is_chosen(
    source: Source, rates_hz: Sequence[Fraction]
) -> None:
    tracks, _ = looked_at(source.path, rates_hz, DecodeMode.ALL)
    for track, rate_hz in zip(tracks, rates_hz, strict=True):
        ticks = ticks_of(source.times_s, rate_hz)
        first = [i for i, tick in enumerate(ticks) if tick not in ticks[:i]]
        assert [read_number(pixels) for _, pixels in track] == first


@pytest.mark.parametrize("rates_hz", RATES_HZ.values(), ids=RATES_HZ)
def test_by_default_one_frame_is_chosen_in_every_tick_that_has_any_and_is_as_if_all_were_decoded(
    source: Source, rates_hz: Sequence[Fraction]
) -> None:
    tracks, _ = looked_at(source.path, rates_hz, DecodeMode.of(Settings()))
    for track, rate_hz in zip(tracks, rates_hz, strict=True):
        ticks = ticks_of(source.times_s, rate_hz)
        assert [ticks[read_number(pixels)] for _, pixels in track] == sorted(set(ticks))
        for time_s, pixels in track:
            np.testing.assert_array_equal(pixels, source.frames[time_s])


def test_a_few_looks_a_second_leave_frames_undecoded(source: Source) -> None:
    _, decoded = looked_at(source.path, [Fraction(2)], DecodeMode.SKIP)
    assert decoded < 0.6 * len(source.times_s)


def test_a_resumed_run_leaves_out_the_same_frames(source: Source) -> None:
    # A tick of five seconds began before wherever reading goes on, and what was seen in it is not known there.
    requests = tuple(FrameRequest(128, rate_hz=rate_hz, lead_frames=0) for rate_hz in (Fraction(1, 5), Fraction(10)))
    with SliceReader(source.path, "s", MediaNeeds(requests), threads=2, mode=DecodeMode.SKIP) as reader:
        whole = [piece for piece in reader if piece.frame_count]
    for piece in whole:
        with SliceReader(
            source.path, "s", MediaNeeds(requests), start_slice=piece.n, threads=2, mode=DecodeMode.SKIP
        ) as reader:
            resumed = next(reader)
        assert resumed.frame_count == piece.frame_count
        for request, batch in piece.frames.items():
            assert resumed.frames[request].pts_s.tolist() == batch.pts_s.tolist()


def ticks_of(times_s: Sequence[Fraction], rate_hz: Fraction) -> list[int]:
    return [time_s * rate_hz // 1 for time_s in times_s]


@pytest.mark.parametrize("mode", [DecodeMode.ALL, DecodeMode.SKIP])
def test_a_track_ends_with_its_newest_frame_whatever_frames_before_a_gap_claim(
    tmp_path: Path, mode: DecodeMode
) -> None:
    clip = make_clip(tmp_path / "gap.mp4", x264(3, "normal", VARIABLE_S))
    with SliceReader(clip, "gap", MediaNeeds(frames=(FrameRequest(64, rate_hz=Fraction(2)),)), mode=mode) as reader:
        *_, last = reader
    assert last.end is not None
    assert VARIABLE_S[-1] < last.end.duration_s <= VARIABLE_S[-1] + Fraction(1, 25)
