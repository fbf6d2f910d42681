"""Slices: what they hold depends on their number and the file alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipstream.media.decode import DecodeMode, SliceReader
from clipstream.media.slices import AudioRequest, FrameBatch, FrameRequest, MediaNeeds, Slice, StreamEnd
from clipstream.testing.media import (
    Sound,
    Video,
    clicks,
    even_times,
    make_clip,
    noise,
    numbered,
    read_number,
    tone,
)
from clipstream.timing import AUDIO_RATE_HZ, SAMPLES_PER_SLICE

EVERY = FrameRequest(128, rate_hz=None, lead_frames=0)
NEEDS = MediaNeeds((EVERY,), AudioRequest())

PICTURES = (
    ("libx264", "mp4"),
    ("libx264", "mkv"),
    ("libx264", "ts"),
    ("libx265", "mov"),
    ("mpeg4", "mp4"),
    ("libvpx", "webm"),
)


def read(path: Path, needs: MediaNeeds = NEEDS, *, start: int = 0, mode: DecodeMode = DecodeMode.ALL) -> list[Slice]:
    with SliceReader(path, "s", needs, start_slice=start, threads=2, mode=mode) as reader:
        return list(reader)


def end_of(slices: Sequence[Slice]) -> StreamEnd:
    end = slices[-1].end
    assert end is not None
    return end


def shown(slices: Sequence[Slice], request: FrameRequest = EVERY) -> list[tuple[int, int, float]]:
    """Return the slice, the burnt-in number and the time of every frame."""
    return [
        (item.n, read_number(pixels), float(pts_s))
        for item in slices
        if item.end is None
        for pixels, pts_s in _own(item.frames[request])
    ]


def _own(batch: FrameBatch) -> Iterator[tuple[NDArray[np.uint8], float]]:
    yield from zip(batch.pixels[batch.lead :], batch.pts_s[batch.lead :], strict=True)


def heard(slices: Sequence[Slice]) -> NDArray[np.float32]:
    """Return the sound of all slices, silence where there is none."""
    quiet = np.zeros(SAMPLES_PER_SLICE, np.float32)
    return np.concatenate([quiet if item.audio is None else item.audio for item in slices if item.end is None])


def assert_same(one: Slice, other: Slice) -> None:
    assert (one.n, one.frame_count, one.errors) == (other.n, other.frame_count, other.errors)
    for request, batch in one.frames.items():
        assert batch.lead == other.frames[request].lead
        np.testing.assert_array_equal(batch.pts_s, other.frames[request].pts_s)
        np.testing.assert_array_equal(batch.pixels, other.frames[request].pixels)
    assert (one.audio is None) == (other.audio is None)
    if one.audio is not None and other.audio is not None:
        np.testing.assert_array_equal(one.audio, other.audio)
    if one.end is not None and other.end is not None:
        assert replace(one.end, frames=0) == replace(other.end, frames=0)


# Pictures


@pytest.mark.parametrize(("codec", "suffix"), PICTURES)
def test_every_frame_is_in_the_slice_of_its_time(tmp_path: Path, codec: str, suffix: str) -> None:
    times_s = even_times(75, Fraction(30000, 1001))
    slices = read(make_clip(tmp_path / f"a.{suffix}", Video(times_s, codec=codec)))
    assert [item.n for item in slices] == list(range(7))
    frames = shown(slices)
    assert [number for _, number, _ in frames] == list(range(75))
    assert [pts_s for _, _, pts_s in frames] == pytest.approx([float(t) for t in times_s], abs=0.0006)
    assert all(n / 2 <= pts_s < (n + 1) / 2 for n, _, pts_s in frames)
    assert end_of(slices).frames == 75
    assert float(end_of(slices).duration_s) == pytest.approx(75 * 1001 / 30000, abs=0.002)
    assert end_of(slices).problem is None


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    times_s = [Fraction(n * n, 100) for n in range(20)]
    frames = shown(read(make_clip(tmp_path / "a.mp4", Video(times_s))))
    assert [(number, pts_s) for _, number, pts_s in frames] == [(n, n * n / 100) for n in range(20)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_late_start_is_time_zero(tmp_path: Path, suffix: str) -> None:
    path = make_clip(tmp_path / f"a.{suffix}", Video(even_times(30, start_s=7)), Sound([(7, 8)], clicks([7.5])))
    slices = read(path)
    shift_s = shown(slices)[0][2]
    assert 0 <= shift_s < 0.025
    # What the encoder of the sound primes itself with comes first, and moves picture and sound alike.
    assert np.argmax(np.abs(heard(slices))) / AUDIO_RATE_HZ == pytest.approx(0.5 + shift_s, abs=0.003)


def test_what_an_edit_list_hides_is_left_out(tmp_path: Path) -> None:
    frames = shown(read(make_clip(tmp_path / "a.mp4", Video(even_times(60, start_s=-1)))))
    assert [(number, pts_s) for _, number, pts_s in frames][:2] == [(30, 0.0), (31, pytest.approx(1 / 30))]
    assert len(frames) == 30


def test_pictures_are_upright_and_as_wide_as_their_pixels_say(tmp_path: Path) -> None:
    def stored(index: int) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = np.rot90(numbered(index, 640, 180))
        return picture

    path = make_clip(
        tmp_path / "a.mov", Video(even_times(6), draw=stored, rotation_deg=90, sample_aspect=Fraction(1, 2))
    )
    gray = FrameRequest(256, "gray", None, 0)
    slices = read(path, MediaNeeds((EVERY, gray)))
    assert [number for _, number, _ in shown(slices)] == list(range(6))
    # Stored 180×640 of half-wide pixels: shown 640×90.
    assert slices[0].frames[EVERY].pixels.shape == (6, 18, 128, 3)
    assert slices[0].frames[gray].pixels.shape == (6, 36, 256)


def test_a_small_source_is_scaled_up_and_black_and_white_span_the_full_range(tmp_path: Path) -> None:
    def halves(_: int) -> NDArray[np.uint8]:
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, 32:] = 255
        return picture

    gray = FrameRequest(128, "gray", None, 0)
    frames = read(make_clip(tmp_path / "a.mp4", Video(even_times(2), draw=halves)), MediaNeeds((EVERY, gray)))[0].frames
    for request in (EVERY, gray):
        pixels = frames[request].pixels
        assert pixels.shape[1:3] == (96, 128)
        assert pixels[:, :, :48].max() <= 7
        assert pixels[:, :, 80:].min() >= 248


def test_a_stream_that_changes_its_size_keeps_the_size_of_its_pictures(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "a.ts", Video(even_times(30)))
    large = make_clip(tmp_path / "b.ts", Video(even_times(30, start_s=1), draw=lambda i: numbered(30 + i, 640, 360)))
    small.write_bytes(small.read_bytes() + large.read_bytes())
    slices = read(small)
    assert [number for _, number, _ in shown(slices)] == list(range(60))
    assert {item.frames[EVERY].pixels.shape[1:] for item in slices[:-1]} == {(72, 128, 3)}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(1, 400), min_size=2, max_size=40),
    rate_hz=st.fractions(Fraction(1, 2), 60, max_denominator=10),
)
def test_the_first_frame_at_or_after_each_tick_is_chosen(tmp_path: Path, steps: list[int], rate_hz: Fraction) -> None:
    times_s = [Fraction(int(total), 1000) for total in np.cumsum([0, *steps])]
    path = make_clip(tmp_path / "a.mp4", Video(times_s, draw=lambda i: numbered(i, 128, 64)))
    request = FrameRequest(128, rate_hz=rate_hz, lead_frames=0)
    slack_s = Fraction(1, 180_000)
    ticks = [Fraction(k) / rate_hz for k in range(int(times_s[-1] * rate_hz) + 2)]
    first = [next((i for i, time_s in enumerate(times_s) if time_s + slack_s >= tick), None) for tick in ticks]
    expected = sorted({i for i in first if i is not None})
    assert [number for _, number, _ in shown(read(path, MediaNeeds((request,))), request)] == expected


def test_the_lead_is_the_frames_chosen_before(tmp_path: Path) -> None:
    request = FrameRequest(128, rate_hz=Fraction(10), lead_frames=3)
    slices = read(make_clip(tmp_path / "a.mp4", Video(even_times(60))), MediaNeeds((request,)))
    batches = [item.frames[request] for item in slices[:-1]]
    assert [batch.lead for batch in batches] == [0, 3, 3, 3]
    assert [batch.count for batch in batches] == [5, 5, 5, 5]
    assert [read_number(pixels) for pixels in batches[1].pixels] == [6, 9, 12, 15, 18, 21, 24, 27]


def test_a_gap_gives_empty_slices_and_keeps_the_lead(tmp_path: Path) -> None:
    request = FrameRequest(128, rate_hz=Fraction(12))
    path = make_clip(tmp_path / "a.mkv", Video([*even_times(15), *even_times(15, start_s=100)]))
    slices = read(path, MediaNeeds((request,)))
    assert len(slices) == 202
    assert [item.frame_count for item in slices if item.frame_count] == [15, 15]
    assert [slices[n].frames[request].count for n in (1, 100, 199)] == [0, 0, 0]
    assert read_number(slices[200].frames[request].pixels[0]) == 13


def test_times_that_jump_by_days_are_left_out_and_told(tmp_path: Path) -> None:
    times_s = [*even_times(15), *even_times(15, start_s=90_000)]
    slices = read(make_clip(tmp_path / "a.mkv", Video(times_s, b_frames=0)))
    assert len(slices) == 2
    assert sum(item.errors for item in slices) == 15
    assert "jump" in str(end_of(slices).problem)


# Modes


def test_skipping_leaves_out_frames_that_no_other_needs(tmp_path: Path) -> None:
    request = FrameRequest(128, rate_hz=Fraction(10))
    path = make_clip(tmp_path / "a.mp4", Video(even_times(90), options=(("preset", "veryfast"),)), Sound([(0, 3)]))
    everything, skipped = (read(path, MediaNeeds((request,)), mode=mode) for mode in (DecodeMode.ALL, DecodeMode.SKIP))
    assert 30 <= end_of(skipped).frames < 60
    assert len(skipped) == len(everything)
    times = {number: pts_s for _, number, pts_s in shown(everything, FrameRequest(128, rate_hz=Fraction(10)))}
    assert all(pts_s == pytest.approx(number / 30) for _, number, pts_s in shown(skipped, request))
    assert len(times) == 30


def test_nothing_is_skipped_where_the_source_is_too_slow_for_it(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", Video(even_times(30)))
    for request in (FrameRequest(128, rate_hz=Fraction(16)), EVERY):
        assert end_of(read(path, MediaNeeds((request,)), mode=DecodeMode.SKIP)).frames == 30


def test_a_scan_sees_keyframes_and_all_of_the_sound(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", Video(even_times(195), gop=60), Sound([(0, 6.5)], noise()))
    scanned, everything = (read(path, mode=mode) for mode in (DecodeMode.KEYFRAMES, DecodeMode.ALL))
    assert [(n, number) for n, number, _ in shown(scanned)] == [(0, 0), (4, 60), (8, 120), (12, 180)]
    np.testing.assert_array_equal(heard(scanned), heard(everything))
    assert end_of(scanned).duration_s == end_of(everything).duration_s


def test_a_scan_does_not_wait_for_a_keyframe_that_never_comes(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", Video(even_times(500, 5), gop=1000, draw=lambda i: numbered(i, 64, 36)))
    with SliceReader(path, "s", NEEDS, mode=DecodeMode.KEYFRAMES) as reader:
        assert next(reader).frame_count == 1
        assert reader._frames is not None
        assert not reader._frames.exhausted
        assert sum(1 for _ in reader) == 200


# Sound


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_every_sample_is_at_its_exact_time(tmp_path: Path, rate_hz: int) -> None:
    wave = tone(1000.0, 0.5)
    path = make_clip(tmp_path / "a.mkv", sound=Sound([(0, 3)], wave, "pcm_s16le", rate_hz))
    slices = read(path)
    assert len(slices) == 7
    sound = heard(slices)
    # Away from the ends, where the tone itself has an edge.
    inner = slice(800, -800)
    np.testing.assert_allclose(sound[inner], wave(np.arange(len(sound)) / AUDIO_RATE_HZ)[inner], atol=1e-3)
    assert sound.dtype == np.float32


@pytest.mark.parametrize(("codec", "suffix"), [("aac", "mp4"), ("libopus", "mkv"), ("mp3", "mkv"), ("flac", "mkv")])
def test_a_click_is_heard_when_it_is_made(tmp_path: Path, codec: str, suffix: str) -> None:
    at_s = [0.25, 1.4, 2.6]
    path = make_clip(tmp_path / f"a.{suffix}", Video(even_times(90)), Sound([(0, 3)], clicks(at_s), codec))
    loud = np.flatnonzero(np.abs(heard(read(path))) > 0.3) / AUDIO_RATE_HZ
    for time_s in at_s:
        assert np.abs(loud - time_s).min() < 0.002
    assert all(np.abs(np.array(at_s) - time_s).min() < 0.005 for time_s in loud)


def test_sound_that_is_late_short_and_has_a_gap_is_silent_there_and_holds_nothing_back(tmp_path: Path) -> None:
    sound = Sound([(1.25, 2.0), (3.25, 4.5)], tone(), "pcm_s16le", 48_000)
    slices = read(make_clip(tmp_path / "a.mkv", Video(even_times(180)), sound))
    assert [item.audio is not None for item in slices[:-1]] == [n in (2, 3, 6, 7, 8) for n in range(12)]
    assert [item.frame_count for item in slices[:-1]] == [15] * 12
    samples = np.abs(heard(slices))
    for start_s, end_s in [(0, 1.249), (2.001, 3.249), (4.501, 6)]:
        assert not samples[int(start_s * AUDIO_RATE_HZ) : int(end_s * AUDIO_RATE_HZ)].any()
    assert samples[int(1.26 * AUDIO_RATE_HZ) :][:8000].max() > 0.4


def test_a_file_without_sound_has_none_and_one_without_pictures_has_no_frames(tmp_path: Path) -> None:
    silent = read(make_clip(tmp_path / "a.mp4", Video(even_times(30))))
    assert all(item.audio is None for item in silent)
    blind = read(make_clip(tmp_path / "b.wav", sound=Sound([(0, 1)], codec="pcm_s16le")))
    assert all(not item.frames and item.frame_count == 0 for item in blind)
    assert [item.audio is not None for item in blind] == [True, True, False]


def test_digital_silence_is_sound(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", sound=Sound([(0, 1)], tone(level=0), "pcm_s16le"))
    assert all(item.audio is not None and not item.audio.any() for item in read(path)[:-1])


def test_the_lead_of_the_sound_is_what_came_before(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", sound=Sound([(0, 3)], noise(), "pcm_s16le", 44_100))
    whole = np.concatenate([np.zeros(9000, np.float32), heard(read(path))])
    for item in read(path, MediaNeeds(audio=AudioRequest(9000)))[:-1]:
        assert item.audio is not None
        np.testing.assert_array_equal(item.audio, whole[item.n * 8000 :][:17000])


# Resuming

LONG = 27
RESUMED = {
    "mp4": (Video(even_times(LONG * 30), b_frames=3), Sound([(0, LONG)], noise(), "aac", 44_100)),
    "mkv": (
        Video([t + Fraction(n % 3, 100) for n, t in enumerate(even_times(LONG * 15, 15))], gop=100),
        Sound([(0.5, 11.2), (12, LONG)], noise(), "libopus"),
    ),
    "ts": (
        Video(even_times(LONG * 25, 25, start_s=5), options=(("x264-params", "open-gop=1:bframes=3"),)),
        Sound([(5, LONG + 5)], noise(), "ac3"),
    ),
    "webm": (Video(even_times(LONG * 24, 24), codec="libvpx"), Sound([(0, LONG)], noise(), "libopus")),
}
RESUME_NEEDS = MediaNeeds(
    (FrameRequest(96, rate_hz=Fraction(12)), FrameRequest(48, "gray", None, lead_frames=4)), AudioRequest(9000)
)


@pytest.fixture(scope="module", params=sorted(RESUMED))
def long_clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    video, sound = RESUMED[request.param]
    small = replace(video, draw=lambda i: numbered(i, 96, 54))
    return make_clip(tmp_path_factory.mktemp("long") / f"a.{request.param}", small, sound)


@pytest.mark.parametrize("mode", list(DecodeMode))
def test_a_resumed_stream_is_equal_bit_by_bit_to_one_that_was_not_interrupted(
    long_clip: Path, mode: DecodeMode
) -> None:
    whole = read(long_clip, RESUME_NEEDS, mode=mode)
    assert len(whole) >= 2 * LONG

    @settings(max_examples=8, deadline=None)
    @given(st.integers(1, len(whole) - 1))
    def resume(n: int) -> None:
        with SliceReader(long_clip, "s", RESUME_NEEDS, start_slice=n, threads=2, mode=mode) as reader:
            for expected, found in zip(whole[n : n + 3], reader, strict=False):
                assert_same(found, expected)

    resume()
    assert_same(read(long_clip, RESUME_NEEDS, start=len(whole) + 5, mode=mode)[0], replace(whole[-1], n=len(whole) + 5))
