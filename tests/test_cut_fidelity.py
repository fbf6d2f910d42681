"""Clips of every kind of source are what was asked: frame by frame, sample by sample, tag by tag."""

import random
from fractions import Fraction
from pathlib import Path

import av
import pytest
from cut_checks import check_pictures, check_sound, check_tracks
from cut_factory import Kind, Track, ffmpeg_complaints, make_source

from clipstream.media.cut import CopyCutter, EncodeCutter, SmartCutter
from clipstream.media.cut.nal import read_parameter_sets, reference_frames
from clipstream.media.cutter import ClipResult, ClipSpec, Cutter

NTSC = Fraction(30_000, 1001)
FILM = Fraction(24_000, 1001)
CLOSED_X265 = (("x265-params", "open-gop=0"),)
TWO = (Track(seed=1), Track(seed=2, language="deu", layout="mono"))
NONE: tuple[Track, ...] = ()

H264 = [
    Kind("h264 closed", options=(("x264-params", "open-gop=0"),)),
    Kind("h264 without B-frames", b_frames=0),
    Kind("h264 pyramid", b_frames=7, options=(("preset", "veryfast"), ("x264-params", "b-pyramid=normal:b-adapt=0"))),
    Kind("h264 long gop", gop=250),
    Kind("h264 all intra", gop=1, b_frames=0),
    Kind("h264 29.97", rate_hz=NTSC),
    Kind("h264 variable", variable=True),
    Kind("h264 baseline", b_frames=0, options=(("profile", "baseline"),)),
    Kind("h264 high cabac", options=(("preset", "veryfast"),)),
    Kind("h264 10 bit", pixel_format="yuv420p10le"),
    Kind("h264 4:2:2", pixel_format="yuv422p"),
    Kind("h264 4:4:4", pixel_format="yuv444p"),
    Kind("h264 interlaced", interlaced=True, rate_hz=Fraction(25)),
    Kind("h264 two tracks", tracks=TWO),
    Kind("h264 silent", tracks=NONE),
    Kind("h264 turned", turn_deg=90),
    Kind("h264 anamorphic bt601", aspect=Fraction(16, 11), colours=(6, 6, 6)),
    Kind("h264 full range", full_range=True),
    Kind("h264 late start", start_s=Fraction(1)),
    Kind("h264 mov pcm", suffix=".mov", tracks=(Track("pcm_s16le"),)),
    Kind("h264 mp3", tracks=(Track("libmp3lame", rate_hz=44_100),)),
    Kind("h264 ac3", tracks=(Track("ac3"),)),
    Kind("h264 opus in mp4", tracks=(Track("libopus"),)),
    Kind("h264 mkv opus", suffix=".mkv", tracks=(Track("libopus"),)),
    Kind("h264 mkv flac", suffix=".mkv", tracks=(Track("flac"), *TWO)),
    Kind("h264 mkv pcm variable", suffix=".mkv", variable=True, tracks=(Track("pcm_s16le"),)),
    Kind("h264 mkv 29.97", suffix=".mkv", rate_hz=NTSC),
    Kind("h264 ts", suffix=".ts"),
    Kind("h264 ts two tracks 29.97", suffix=".ts", rate_hz=NTSC, tracks=TWO),
    Kind("h264 ts mp2", suffix=".ts", tracks=(Track("mp2"),)),
]
HEVC = [
    Kind("hevc cra", codec="libx265", b_frames=3),
    Kind("hevc closed", codec="libx265", options=CLOSED_X265),
    Kind("hevc without B-frames", codec="libx265", b_frames=0),
    Kind("hevc 10 bit hlg", codec="libx265", pixel_format="yuv420p10le", colours=(9, 18, 9)),
    Kind("hevc 10 bit pq mkv", codec="libx265", suffix=".mkv", pixel_format="yuv420p10le", colours=(9, 16, 9)),
    Kind("hevc variable mov", codec="libx265", suffix=".mov", variable=True),
    Kind("hevc ts", codec="libx265", suffix=".ts"),
    Kind("hevc 4:2:2 10 bit", codec="libx265", pixel_format="yuv422p10le"),
    Kind("hevc turned film", codec="libx265", rate_hz=FILM, turn_deg=270),
]
OTHERS = [
    Kind("vp8 webm", suffix=".webm", codec="libvpx", options=(("b", "2M"),), tracks=(Track("libopus"),)),
    Kind("vp8 hidden frames", suffix=".webm", codec="libvpx", tracks=NONE,
         options=(("b", "2M"), ("auto-alt-ref", "1"), ("lag-in-frames", "16"))),
    Kind("vp9 webm", suffix=".webm", codec="libvpx-vp9", options=(("b", "2M"), ("cpu-used", "8")),
         tracks=(Track("libopus"),)),
    Kind("vp9 mp4 variable", codec="libvpx-vp9", options=(("b", "2M"), ("cpu-used", "8")), variable=True),
    Kind("av1 10 bit mkv", suffix=".mkv", codec="libsvtav1", pixel_format="yuv420p10le",
         options=(("preset", "12"), ("svtav1-params", "lp=1")), frames=60, colours=(9, 16, 9)),
    Kind("av1 mp4", codec="libsvtav1", options=(("preset", "12"), ("svtav1-params", "lp=1")), frames=60),
    Kind("av1 webm", suffix=".webm", codec="libsvtav1", options=(("preset", "12"), ("svtav1-params", "lp=1")),
         tracks=(Track("libopus"),), frames=60),
    Kind("mpeg2 ts", suffix=".ts", codec="mpeg2video", options=(("b", "4M"),), tracks=(Track("mp2"),)),
    Kind("mpeg2 ts interlaced", suffix=".ts", codec="mpeg2video", options=(("b", "4M"),), interlaced=True,
         rate_hz=Fraction(25), tracks=(Track("mp2"),)),
    Kind("mpeg2 mkv closed", suffix=".mkv", codec="mpeg2video", closed=True,
         options=(("b", "4M"), ("sc_threshold", "1000000000"))),
    Kind("mpeg4 mp4", codec="mpeg4", options=(("b", "4M"),)),
    Kind("mpeg4 mp4 without B-frames", codec="mpeg4", b_frames=0, options=(("b", "4M"),)),
    Kind("prores mov", suffix=".mov", codec="prores_ks", b_frames=0, pixel_format="yuv422p10le",
         tracks=(Track("pcm_s16le"),)),
    Kind("mjpeg mov", suffix=".mov", codec="mjpeg", b_frames=0, pixel_format="yuvj420p", full_range=True),
    Kind("mjpeg mkv variable", suffix=".mkv", codec="mjpeg", b_frames=0, pixel_format="yuvj420p", variable=True),
]  # fmt: skip
KINDS = H264 + HEVC + OTHERS
OPEN = Kind("h264 open gop", options=(("x264-params", "open-gop=1:keyint=20:min-keyint=20"),))


def cut(cutter: Cutter, source: Path, start_s: Fraction, end_s: Fraction, suffix: str | None = None) -> ClipResult:
    target = source.with_name(f"clip-{start_s.numerator}-{end_s.numerator}{suffix or source.suffix}")
    return cutter.cut(ClipSpec(source, target, start_s, end_s, {"title": "A clip"}), lambda: False)


def spans(kind: Kind, count: int) -> list[tuple[Fraction, Fraction]]:
    generator = random.Random(kind.name)  # noqa: S311 - any spans will do, the same ones each time
    times = kind.times_s()
    length_ms = int((times[-1] - times[0]) * 1000)
    drawn = []
    for _ in range(count):
        start_ms = generator.randrange(0, length_ms - 500)
        end_ms = generator.randrange(start_ms + 300, length_ms)
        drawn.append((Fraction(start_ms, 1000), Fraction(end_ms, 1000)))
    return drawn


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kind, Path]:
    kind: Kind = request.param
    return kind, make_source(tmp_path_factory.mktemp("source") / f"source{kind.suffix}", kind)


def test_a_smart_clip_has_the_frames_the_sound_and_the_tags_of_its_source(made: tuple[Kind, Path]) -> None:
    kind, source = made
    for start_s, end_s in spans(kind, 2):
        result = cut(SmartCutter(), source, start_s, end_s)
        assert result.notes == ()
        zero_s = check_pictures(source, result, start_s, end_s)
        for number in range(len(kind.tracks)):
            check_sound(source, result, number, zero_s)
        check_tracks(source, result)
        assert not ffmpeg_complaints(result.path)


def test_a_smart_clip_copies_all_but_the_edges(made: tuple[Kind, Path]) -> None:
    kind, source = made
    if kind.name == "h264 long gop":
        pytest.skip("there is no keyframe inside from which copying could start")
    start_s, end_s = Fraction(1, 4), kind.times_s()[-1] - kind.start_s - Fraction(1, 4)
    result = cut(SmartCutter(), source, start_s, end_s)
    check_pictures(source, result, start_s, end_s)
    edges = result.frames - result.copied
    assert edges <= (0 if kind.gop == 1 or kind.codec in {"prores_ks", "mjpeg"} else kind.gop + kind.b_frames)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("h264 closed", ".ts"),
        ("h264 closed", ".mkv"),
        ("h264 ts", ".mp4"),
        ("h264 ts", ".mkv"),
        ("h264 mkv opus", ".mp4"),
        ("hevc cra", ".ts"),
        ("hevc ts", ".mkv"),
        ("vp9 webm", ".mp4"),
        ("av1 webm", ".mkv"),
    ],
)
def test_a_smart_clip_in_another_container_has_the_same_frames_and_sound(
    tmp_path: Path, name: str, suffix: str
) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    source = make_source(tmp_path / f"source{kind.suffix}", kind)
    start_s, end_s = Fraction(2, 5), Fraction(8, 5)
    result = cut(SmartCutter(), source, start_s, end_s, suffix)
    assert result.notes == ()
    assert result.copied > 0
    zero_s = check_pictures(source, result, start_s, end_s)
    with av.open(str(source)) as one, av.open(str(result.path)) as other:
        assert [s.codec_context.name for s in other.streams] == [s.codec_context.name for s in one.streams]
    check_sound(source, result, 0, zero_s)
    assert not ffmpeg_complaints(result.path)


COPIED = [OPEN, *(kind for kind in KINDS if kind.name in {
    "h264 closed", "h264 pyramid", "h264 variable", "h264 two tracks", "h264 turned", "hevc cra",
    "hevc variable mov", "vp9 mp4 variable", "av1 mp4", "mpeg4 mp4", "prores mov"})]  # fmt: skip


@pytest.mark.parametrize("kind", COPIED, ids=lambda kind: kind.name)
def test_a_copied_clip_hides_what_is_not_asked_for(kind: Kind, tmp_path: Path) -> None:
    source = make_source(tmp_path / f"source{kind.suffix}", kind)
    for start_s, end_s in spans(kind, 3):
        result = cut(CopyCutter(), source, start_s, end_s)
        assert result.copied == result.frames
        zero_s = check_pictures(source, result, start_s, end_s, float("inf"))
        for number in range(len(kind.tracks)):
            check_sound(source, result, number, zero_s)
        check_tracks(source, result)


@pytest.mark.parametrize("name", ["h264 mkv opus", "h264 ts", "vp8 webm", "mpeg2 ts"])
def test_a_copied_clip_starts_with_a_keyframe_where_nothing_can_be_hidden(name: str, tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    source = make_source(tmp_path / f"source{kind.suffix}", kind)
    start_s, end_s = Fraction(1), Fraction(1777, 1000)
    result = cut(CopyCutter(), source, start_s, end_s)
    assert start_s - kind.gop / kind.rate_hz <= result.start_s < start_s
    assert end_s <= result.end_s <= end_s + (kind.b_frames + 1) / kind.rate_hz
    zero_s = check_pictures(source, result, result.start_s, result.end_s, float("inf"))
    check_sound(source, result, 0, zero_s)
    assert any("early" in note for note in result.notes)


ENCODED = [*COPIED, *(kind for kind in KINDS if kind.name in {
    "h264 ts", "h264 mkv flac", "h264 10 bit", "h264 interlaced", "h264 anamorphic bt601", "h264 full range",
    "hevc 10 bit hlg", "vp8 webm", "mjpeg mkv variable", "mpeg2 ts interlaced"})]  # fmt: skip


@pytest.mark.parametrize("kind", ENCODED, ids=lambda kind: kind.name)
def test_an_encoded_clip_has_the_same_frames_and_sound_to_the_sample(kind: Kind, tmp_path: Path) -> None:
    source = make_source(tmp_path / f"source{kind.suffix}", kind)
    for start_s, end_s in spans(kind, 2):
        result = cut(EncodeCutter(), source, start_s, end_s, ".mp4")
        zero_s = check_pictures(source, result, start_s, end_s, 35)
        for number in range(len(kind.tracks)):
            check_sound(source, result, number, zero_s)
        assert not ffmpeg_complaints(result.path)


def test_h264_without_an_idr_to_copy_from_is_encoded_whole_and_says_why(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", OPEN)
    for start_s, end_s in ((Fraction(1, 2), Fraction(1)), (Fraction(1, 2), Fraction(5, 2))):
        result = cut(SmartCutter(), source, start_s, end_s)
        zero_s = check_pictures(source, result, start_s, end_s, 35)
        check_sound(source, result, 0, zero_s)
        assert result.copied == 0
        assert ["re-encoded whole: its keyframes are not such" in note for note in result.notes] == [True]
    result = cut(SmartCutter(), source, Fraction(0), Fraction(5, 2))
    assert result.copied == result.frames == 75
    assert result.notes == ()


def test_a_clip_that_cannot_be_cut_faithfully_is_encoded_whole_and_says_why(tmp_path: Path) -> None:
    kind = Kind("wmv", suffix=".mkv", codec="msmpeg4", b_frames=0, tracks=())
    source = make_source(tmp_path / "source.mkv", kind)
    result = cut(SmartCutter(), source, Fraction(1, 2), Fraction(2))
    check_pictures(source, result, Fraction(1, 2), Fraction(2), 35)
    assert result.copied == 0
    assert any("re-encoded whole: nothing here encodes msmpeg4v3 again" in note for note in result.notes)


@pytest.mark.parametrize("profile", ["baseline", "main", "high", "high422"])
def test_h264_edges_have_the_profile_and_hold_as_many_frames_as_the_source(tmp_path: Path, profile: str) -> None:
    kind = Kind(
        profile,
        options=(("profile", profile), ("x264-params", "ref=4:b-pyramid=strict")),
        b_frames=0 if profile == "baseline" else 2,
        pixel_format="yuv422p" if profile == "high422" else "yuv420p",
        tracks=(),
    )
    result = cut(SmartCutter(), make_source(tmp_path / "source.mp4", kind), Fraction(1, 4), Fraction(2))
    assert 0 < result.copied < result.frames
    with av.open(str(result.path)) as container:
        sets = read_parameter_sets("h264", container.streams.video[0].codec_context.extradata or b"")
    source, edge = (unit for unit in sets.units if sets.nal_type(unit) == 7)
    assert (edge[1], reference_frames(edge)) == (source[1], reference_frames(source))
    assert (reference_frames(source) or 0) > 1
