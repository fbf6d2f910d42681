"""Clips are joined to one reel, copied wherever they fit together."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from cut_factory import Kind, Picture, Track, decode_pictures, decode_sound, ffmpeg_complaints, make_source, psnr_db

from clipstream.errors import CutError, OutputError, StoppedError
from clipstream.media.cut import CopyCutter, EncodeCutter, SmartCutter, join_clips
from clipstream.media.cutter import ClipSpec, Cutter

SPANS = [(Fraction(3, 10), Fraction(1)), (Fraction(13, 10), Fraction(2)), (Fraction(1, 2), Fraction(3, 2))]
KINDS = [
    Kind("h264"),
    Kind("h264 ts", suffix=".ts"),
    Kind("h264 mkv pcm", suffix=".mkv", tracks=(Track("pcm_s16le"),)),
    Kind("hevc cra", codec="libx265", b_frames=3),
    Kind("hevc ts", codec="libx265", b_frames=3, suffix=".ts"),
    Kind("vp8", suffix=".webm", codec="libvpx", options=(("b", "2M"),), tracks=(Track("libopus"),)),
    Kind("mpeg4", codec="mpeg4", options=(("b", "4M"),)),
    Kind("mjpeg", suffix=".mov", codec="mjpeg", b_frames=0, pixel_format="yuvj420p", full_range=True),
]


def clips_of(source: Path, cutter: Cutter, suffix: str | None = None) -> list[Path]:
    paths = []
    for number, (start_s, end_s) in enumerate(SPANS):
        target = source.with_name(f"{type(cutter).__name__}-{number}{suffix or source.suffix}")
        cutter.cut(ClipSpec(source, target, start_s, end_s, {"title": f"Clip {number}"}), lambda: False)
        paths.append(target)
    return paths


def frames_of(paths: list[Path]) -> list[Picture]:
    return [picture for path in paths for picture in decode_pictures(path)[0]]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_clips_of_one_source_are_joined_without_encoding(kind: Kind, tmp_path: Path) -> None:
    source = make_source(tmp_path / f"source{kind.suffix}", kind)
    clips = clips_of(source, SmartCutter())
    target = tmp_path / f"reel{kind.suffix}"
    result = join_clips(clips, target)
    assert result.notes == ()
    wanted, got = frames_of(clips), decode_pictures(target)[0]
    assert len(got) == len(wanted) == result.frames == result.copied
    assert all(psnr_db(one, other) == float("inf") for one, other in zip(wanted, got, strict=True))
    steps = [later.time_s - earlier.time_s for earlier, later in pairwise(got)]
    assert max(abs(step - 1 / kind.rate_hz) for step in steps) <= Fraction(2, 1000)
    samples, start_s, rate_hz = decode_sound(target, 0)
    assert abs(start_s + Fraction(len(samples), rate_hz) - result.end_s) <= Fraction(1, 10)
    assert not ffmpeg_complaints(target)


def test_a_clip_without_decoding_times_that_begins_with_a_long_edge_can_be_joined_and_cut_again(tmp_path: Path) -> None:
    kind = Kind("h264 mkv", suffix=".mkv", gop=50, frames=120, b_frames=3)
    source, clip = make_source(tmp_path / "source.mkv", kind), tmp_path / "clip.mkv"
    start_s, end_s = Fraction(2, kind.rate_hz), Fraction(110, kind.rate_hz)
    cut = SmartCutter().cut(ClipSpec(source, clip, start_s, end_s, {}), lambda: False)
    assert (cut.frames, cut.copied) == (108, 59)
    reel = join_clips([clip, clip], tmp_path / "reel.mkv")
    assert reel.copied == reel.frames == 216
    assert len(decode_pictures(reel.path)[0]) == 216
    spec = ClipSpec(clip, tmp_path / "again.mp4", Fraction(19, 2) / kind.rate_hz, Fraction(179, 2) / kind.rate_hz, {})
    SmartCutter().cut(spec, lambda: False)
    pictures = frames_of([spec.target])
    assert len(pictures) == 80
    assert all(psnr_db(*pair) >= 40 for pair in zip(frames_of([clip])[10:90], pictures, strict=True))


def test_each_clip_becomes_a_chapter(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", Kind("plain"))
    target = tmp_path / "reel.mp4"
    join_clips(clips_of(source, SmartCutter()), target)
    with av.open(str(target)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["Clip 0", "Clip 1", "Clip 2"]


def test_a_clip_of_another_make_is_encoded_to_follow_the_first(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", Kind("plain"))
    smart, encoded = clips_of(source, SmartCutter()), clips_of(source, EncodeCutter())
    clips = [smart[0], encoded[1], smart[2]]
    target = tmp_path / "reel.mp4"
    result = join_clips(clips, target)
    wanted, got = frames_of(clips), decode_pictures(target)[0]
    assert len(got) == len(wanted) == result.frames
    assert min(psnr_db(one, other) for one, other in zip(wanted, got, strict=True)) >= 45
    assert result.copied == len(wanted) - len(decode_pictures(encoded[1])[0])
    assert "EncodeCutter-1.mp4: pictures re-encoded to follow the first clip" in result.notes
    assert not ffmpeg_complaints(target)


@pytest.mark.parametrize("silent_first", [True, False])
def test_a_clip_without_sound_takes_none_from_the_others(silent_first: bool, tmp_path: Path) -> None:
    kind = Kind("h264", frames=60)
    silent = make_source(tmp_path / "silent.mp4", replace(kind, tracks=()))
    clips = [silent, make_source(tmp_path / "loud.mp4", kind)][:: 1 if silent_first else -1]
    reel = join_clips(clips, tmp_path / "reel.mp4")
    assert reel.notes == ("silent.mp4 has 0 tracks of sound for 1: the rest is silent there",)
    samples, start_s, rate_hz = decode_sound(reel.path, 0)
    loud_s = Fraction(2) if silent_first else Fraction(0)
    inside = samples[round((loud_s + Fraction(1, 2) - start_s) * rate_hz) :][:rate_hz]
    assert np.abs(inside).mean() > 0.01
    assert reel.frames == len(decode_pictures(reel.path)[0]) == 120


@pytest.mark.parametrize("kind", KINDS[:1], ids=lambda kind: kind.name)
def test_clips_that_hide_frames_are_joined_without_those(kind: Kind, tmp_path: Path) -> None:
    source = make_source(tmp_path / f"source{kind.suffix}", kind)
    clips = clips_of(source, CopyCutter())
    reel = join_clips(clips, tmp_path / f"reel{kind.suffix}")
    wanted = [frame for start_s, end_s in SPANS for frame in frames_of([source]) if start_s <= frame.time_s < end_s]
    got = frames_of([reel.path])
    assert len(got) == len(wanted) == reel.frames
    assert all(psnr_db(one, other) >= 40 for one, other in zip(wanted, got, strict=True))


def test_tracks_that_a_reel_does_not_have_are_named(tmp_path: Path) -> None:
    kind = Kind("two", suffix=".mkv", frames=20, tracks=(Track(), Track(seed=1)))
    one = make_source(tmp_path / "one.mkv", kind)
    other = make_source(tmp_path / "other.mkv", replace(kind, tracks=(Track(),)))
    titled = tmp_path / "titled.mkv"
    with av.open(str(one)) as read, av.open(str(titled), "w") as container:
        streams = [container.add_stream_from_template(stream, opaque=True) for stream in read.streams]
        subtitles = container.add_mux_stream("subrip")
        text = av.Packet(b"text")
        text.pts, text.dts, text.duration, text.time_base, text.stream = 0, 0, 500, Fraction(1, 1000), subtitles
        container.mux(text)
        for packet in read.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    result = join_clips([titled, other], tmp_path / "reel.mkv")
    assert result.notes == (
        "the subtitles of the clips are left out",
        "other.mkv has 1 track of sound for 2: the rest is silent there",
    )


def test_clips_that_differ_too_much_are_not_joined(tmp_path: Path) -> None:
    one = make_source(tmp_path / "one.mp4", Kind("one"))
    sound = tmp_path / "other.m4a"
    with av.open(str(one)) as read, av.open(str(sound), "w") as container:
        stream = container.add_stream_from_template(read.streams.audio[0])
        for packet in read.demux(audio=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    with pytest.raises(CutError, match="cannot be joined"):
        join_clips([one, sound], tmp_path / "reel.mp4")
    assert not (tmp_path / "reel.mp4").exists()


def test_joining_nothing_an_absent_clip_or_into_nowhere_is_an_error(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", Kind("plain"))
    with pytest.raises(CutError, match="no clip to join"):
        join_clips([], tmp_path / "reel.mp4")
    with pytest.raises(CutError, match="cannot be opened"):
        join_clips([source, tmp_path / "absent.mp4"], tmp_path / "reel.mp4")
    with pytest.raises(OutputError):
        join_clips([source], tmp_path / "nowhere" / "reel.mp4")


def test_joining_can_be_stopped(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", Kind("plain"))
    with pytest.raises(StoppedError):
        join_clips([source], tmp_path / "reel.mp4", lambda: True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.mp4"]
