"""Damaged media become slices as far as they go, and what is missing is told."""

from fractions import Fraction
from pathlib import Path

from test_decode import end_of, read, shown

from clipstream.media.decode import SliceReader
from clipstream.media.slices import AudioRequest, MediaNeeds
from clipstream.testing.media import Sound, Video, even_times, make_clip, truncate


def test_a_bad_packet_is_counted_in_its_slice_and_reading_goes_on(tmp_path: Path) -> None:
    video = Video(even_times(90), b_frames=0, codec="mjpeg", pixel_format="yuvj420p", corrupt=[40])
    slices = read(make_clip(tmp_path / "a.mkv", video, Sound([(0, 3)], codec="pcm_s16le")))
    numbers = [number for _, number, _ in shown(slices)]
    assert len(slices) == 7
    assert numbers[:40] == list(range(40))
    assert numbers[-49:] == list(range(41, 90))
    assert [item.n for item in slices if item.errors] == [2]


def test_a_truncated_file_is_read_as_far_as_it_goes_and_told(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", Video(even_times(300)), Sound([(0, 10)]), movflags="faststart")
    slices = read(truncate(path, 0.5))
    assert 4 < len(slices) < 18
    assert end_of(slices).claimed_s == 10
    assert "truncated" in str(end_of(slices).problem)


def test_of_a_long_file_that_says_how_long_it_is_seconds_are_missed(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "long.mkv", Video(even_times(320, 2), gop=4))
    assert end_of(read(path)).problem is None
    end = end_of(read(truncate(path, 0.96)))
    assert "truncated" in str(end.problem)
    assert 154 < end.duration_s < 158


def test_pictures_that_cannot_be_decoded_leave_the_sound(tmp_path: Path) -> None:
    video = Video(even_times(60), b_frames=0, codec="mjpeg", pixel_format="yuvj420p", corrupt=range(60))
    slices = read(make_clip(tmp_path / "a.mkv", video, Sound([(0, 2)], codec="pcm_s16le")))
    assert len(slices) == 5
    assert all(item.audio is not None for item in slices[:-1])
    assert "no picture could be decoded" in str(end_of(slices).problem)


def test_who_asks_for_nothing_still_learns_how_long_it_is(tmp_path: Path) -> None:
    slices = read(make_clip(tmp_path / "a.mp4", Video(even_times(75))), MediaNeeds(audio=AudioRequest()))
    assert len(slices) == 6
    assert end_of(slices).duration_s == Fraction(5, 2)


def test_a_track_that_cannot_be_decoded_is_told_and_the_others_are_read(real_media: Path) -> None:
    with SliceReader(
        real_media / "odd" / "ax_sample_missing_stsd.mp4", "x", MediaNeeds(audio=AudioRequest())
    ) as reader:
        *slices, last = reader
    assert all(item.audio is None for item in slices)
    assert last.end is not None
    assert last.end.problem == "the sound cannot be decoded (no decoder, or the track is damaged)"


def test_sound_of_an_unknown_rate_counts_as_undecodable(real_media: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.ts"
    path.write_bytes((real_media / "odd" / "ax_bbb_2500ms.ts").read_bytes()[: 21 * 188])
    with SliceReader(path, "x", MediaNeeds(audio=AudioRequest())) as reader:
        ends = [item.end.problem for item in reader if item.end]
    assert ends == ["the sound cannot be decoded (no decoder, or the track is damaged)"]
