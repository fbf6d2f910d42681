"""What a clip takes over besides pictures and sound: subtitles, chapters, covers, attachments, tags, HDR."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from cut_factory import Kind, Track, decode_pictures, ffmpeg, fields, make_source

from clipstream.media.cut import CopyCutter, CutMode, EncodeCutter, SmartCutter, make_cutter
from clipstream.media.cut.source import AnyPacket
from clipstream.media.cutter import ClipResult, ClipSpec, Cutter
from clipstream.media.probe import open_media, probe
from clipstream.media.side_data import side_data

TICKS = Fraction(1, 1000)
TEXTS = [(200, 500, "early"), (900, 800, "over the cut"), (1800, 300, "inside"), (2400, 900, "over the end")]


def cut(cutter: Cutter, source: Path, start_s: Fraction, end_s: Fraction, suffix: str | None = None) -> ClipResult:
    target = source.with_name(f"clip{suffix or source.suffix}")
    return cutter.cut(ClipSpec(source, target, start_s, end_s, {"title": "A clip"}), lambda: False)


def remux(source: Path, target: Path, *, subtitles: str = "", chapters: bool = False, cover: bool = False) -> Path:
    """Copy a source and add tracks to it."""
    with av.open(str(source)) as read, av.open(str(target), "w") as container:
        streams = {stream.index: container.add_stream_from_template(stream, opaque=True) for stream in read.streams}
        packets: list[AnyPacket] = []
        for packet in read.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                packets.append(packet)
        if subtitles:
            stream = container.add_mux_stream(subtitles)
            stream.time_base = TICKS
            stream.metadata["language"] = "fra"
            for start, length, text in TEXTS:
                data = text.encode()
                packet = av.Packet(len(data).to_bytes(2, "big") + data if subtitles == "mov_text" else data)
                packet.pts = packet.dts = start
                packet.duration, packet.time_base, packet.stream = length, TICKS, stream
                packets.append(packet)
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": n,
                        "start": n * 1000,
                        "end": n * 1000 + 1000,
                        "time_base": TICKS,
                        "metadata": {"title": f"{n}"},
                    }
                    for n in range(3)
                ]
            )
        if cover:
            picture = container.add_stream("mjpeg", rate=1, options={})
            assert isinstance(picture, VideoStream)
            picture.width = picture.height = 32
            picture.pix_fmt = "yuvj420p"
            picture.disposition = Disposition.attached_pic
            frame = VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="bgr24")
            packets[:0] = [*picture.encode(frame.reformat(format="yuvj420p")), *picture.encode(None)]
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            container.mux(packet)
    return target


def texts(path: Path) -> list[tuple[int, int, str]]:
    """Return start and length in ms and text of each subtitle."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        base = stream.time_base
        assert base is not None
        for packet in container.demux(stream):
            data = bytes(packet)
            text = data[2:] if stream.codec_context.name == "mov_text" else data
            if text and packet.pts is not None:
                found.append(
                    (round(packet.pts * base * 1000), round((packet.duration or 0) * base * 1000), text.decode())
                )
    return found


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mov_text"), (".mkv", "subrip")])
def test_subtitles_are_cut_to_the_clip(tmp_path: Path, suffix: str, codec: str) -> None:
    plain = make_source(tmp_path / f"plain{suffix}", Kind("plain", suffix=suffix, frames=100))
    source = remux(plain, tmp_path / f"source{suffix}", subtitles=codec)
    result = cut(SmartCutter(), source, Fraction(1), Fraction(3))
    assert texts(result.path) == [(0, 700, "over the cut"), (800, 300, "inside"), (1400, 600, "over the end")]
    with av.open(str(result.path)) as container:
        assert container.streams.subtitles[0].language == "fra"


def test_a_subtitle_that_began_long_before_the_clip_is_kept(tmp_path: Path) -> None:
    plain = make_source(tmp_path / "plain.mkv", Kind("plain", suffix=".mkv", frames=100, gop=5))
    source = remux(plain, tmp_path / "source.mkv", subtitles="subrip")
    result = cut(SmartCutter(), source, Fraction(8, 5), Fraction(3))
    assert texts(result.path)[0] == (0, 100, "over the cut")


@pytest.mark.parametrize(
    ("suffix", "subtitles", "target", "codec"),
    [
        (".mkv", "subrip", ".mp4", "mov_text"),
        (".mkv", "subrip", ".mov", "mov_text"),
        (".mp4", "mov_text", ".mkv", "srt"),
        (".mkv", "subrip", ".webm", "webvtt"),
    ],
)
def test_subtitles_are_converted_to_what_the_container_carries(
    tmp_path: Path, suffix: str, subtitles: str, target: str, codec: str
) -> None:
    codecs = {"codec": "libvpx", "options": (("b", "1M"), ("cpu-used", "8"))} if target == ".webm" else {}
    plain = make_source(tmp_path / f"plain{suffix}", Kind("plain", suffix=suffix, frames=100, tracks=(), **codecs))  # type: ignore[arg-type] # either of these
    source = remux(plain, tmp_path / f"source{suffix}", subtitles=subtitles)
    result = cut(SmartCutter(), source, Fraction(1), Fraction(3), target)
    assert [(start, text.strip()) for start, _, text in texts(result.path) if text.strip()] == [
        (0, "over the cut"),
        (800, "inside"),
        (1400, "over the end"),
    ]
    with av.open(str(result.path)) as container:
        assert container.streams.subtitles[0].codec_context.name == codec
        assert container.streams.subtitles[0].language == "fra"
    said = {"subrip": "srt", "mov_text": "mov_text"}[subtitles]
    assert len(result.notes) == 1
    assert result.notes[0].startswith(f"track 1 (subtitle, {said}) converted to")


def test_a_track_that_the_container_cannot_carry_is_left_out_and_named(tmp_path: Path) -> None:
    plain = make_source(tmp_path / "plain.mkv", Kind("plain", suffix=".mkv"))
    source = remux(plain, tmp_path / "source.mkv", subtitles="subrip")
    result = cut(SmartCutter(), source, Fraction(1), Fraction(2), ".ts")
    assert result.notes == ("track 2 (subtitle, srt) left out: the container cannot carry it",)
    assert result.copied > 0


@pytest.mark.parametrize("mode", list(CutMode))
def test_a_track_of_data_a_second_picture_and_an_empty_track_are_named(tmp_path: Path, mode: CutMode) -> None:
    plain = make_source(tmp_path / "plain.ts", Kind("plain", suffix=".ts", frames=60, tracks=()))
    source = tmp_path / "source.ts"
    with av.open(str(plain)) as read, av.open(str(source), "w") as container:
        first, second = (container.add_stream_from_template(read.streams.video[0], opaque=True) for _ in range(2))
        data = container.add_mux_stream("klv")
        subtitles = container.add_mux_stream("dvb_subtitle")
        for packet in read.demux(video=0):
            for stream in (first, second, data, subtitles):
                is_early = packet.time_base is not None and (packet.pts or 0) * packet.time_base < 1
                if packet.size and (stream in {first, second} or (packet.is_keyframe and is_early)):
                    copy: AnyPacket = av.Packet(bytes(packet) if stream in {first, second} else b"\x20\x00\x0f" * 9)
                    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                    copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                    container.mux(copy)
    result = cut(make_cutter(mode), source, Fraction(4, 3), Fraction(5, 3))
    about = [note for note in result.notes if note.startswith("track")]
    assert about == [
        "track 1 (video, h264) left out: a clip has one track of pictures",
        "track 2 (data, unknown codec) left out: data are not cut",
        "track 3: nothing of it lies in the clip",
    ]


@pytest.mark.parametrize("mode", list(CutMode))
@pytest.mark.parametrize(("suffix", "kept"), [(".mkv", True), (".mp4", False)])
def test_attachments_are_kept_in_matroska_and_named_elsewhere(
    tmp_path: Path, suffix: str, mode: CutMode, *, kept: bool
) -> None:
    plain = make_source(tmp_path / "plain.mkv", Kind("plain", suffix=".mkv", frames=40, tracks=()))
    source = tmp_path / "source.mkv"
    with av.open(str(plain)) as read, av.open(str(source), "w") as container:
        streams = {stream.index: container.add_stream_from_template(stream, opaque=True) for stream in read.streams}
        container.add_attachment("note.txt", "text/plain", b"kept")
        for packet in read.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    result = cut(make_cutter(mode), source, Fraction(2, 3), Fraction(1), suffix)
    with av.open(str(result.path)) as container:
        found = [(one.name, one.mimetype, one.data) for one in container.streams.attachments]
    assert found == ([("note.txt", "text/plain", b"kept")] if kept else [])
    assert any("(attachment, unknown codec) left out" in note for note in result.notes) is not kept


@pytest.mark.parametrize("mode", list(CutMode))
def test_a_time_code_is_moved_to_the_start_of_the_clip(tmp_path: Path, mode: CutMode) -> None:
    plain = make_source(tmp_path / "plain.mp4", Kind("plain", frames=40, tracks=()))
    source = tmp_path / "source.mov"
    with av.open(str(plain)) as read, av.open(str(source), "w") as container:
        stream = container.add_stream_from_template(read.streams.video[0], opaque=True)
        stream.metadata["timecode"] = "10:00:59:15"
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    result = cut(make_cutter(mode), source, Fraction(2, 3), Fraction(1))
    with av.open(str(result.path)) as container:
        assert {stream.metadata["timecode"] for stream in container.streams} == {"10:01:00:05"}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("mode", list(CutMode))
def test_chapters_inside_the_clip_are_kept_and_cut_to_it(tmp_path: Path, suffix: str, mode: CutMode) -> None:
    plain = make_source(tmp_path / f"plain{suffix}", Kind("plain", suffix=suffix, frames=100, gop=15))
    source = remux(plain, tmp_path / f"source{suffix}", chapters=True)
    result = cut(make_cutter(mode), source, Fraction(3, 2), Fraction(5, 2))
    with av.open(str(result.path)) as container:
        chapters = container.chapters()
    titles = [chapter["metadata"]["title"] for chapter in chapters]
    bases = [chapter["time_base"] or Fraction(0) for chapter in chapters]
    bounds = [(chapter["start"] * base, chapter["end"] * base) for chapter, base in zip(chapters, bases, strict=True)]
    assert titles == ["1", "2"]
    offset = Fraction(3, 2) - result.start_s
    assert bounds == [(0, Fraction(1, 2) + offset), (Fraction(1, 2) + offset, 1 + offset)]


@pytest.mark.parametrize("mode", list(CutMode))
def test_a_cover_is_kept(tmp_path: Path, mode: CutMode) -> None:
    plain = make_source(tmp_path / "plain.mp4", Kind("plain", frames=40))
    source = remux(plain, tmp_path / "source.mp4", cover=True)
    result = cut(make_cutter(mode), source, Fraction(2, 3), Fraction(1))
    with av.open(str(result.path)) as container:
        covers = [stream for stream in container.streams if stream.disposition & Disposition.attached_pic]
    assert len(covers) == 1


def test_the_clips_own_tags_come_before_those_of_the_source(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", Kind("plain"))
    result = cut(SmartCutter(), source, Fraction(1), Fraction(2))
    with av.open(str(result.path)) as container:
        assert container.metadata["title"] == "A clip"


def test_a_tag_in_another_encoding_than_utf_8_costs_no_clip(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mkv", Kind("plain", suffix=".mkv", tracks=(Track(language="eng"),)))
    stored = source.read_bytes()
    assert b"eng" in stored
    source.write_bytes(stored.replace(b"eng", b"\xe9ng"))
    result = cut(SmartCutter(), source, Fraction(1), Fraction(2))
    with open_media(result.path) as container:
        assert str(container.streams.audio[0].language).endswith("ng")


@pytest.mark.parametrize("cutter", [SmartCutter(), CopyCutter(), EncodeCutter()], ids=lambda one: type(one).__name__)
def test_languages_and_dispositions_are_kept(tmp_path: Path, cutter: Cutter) -> None:
    tracks = (Track(language="eng"), Track(language="deu", seed=1))
    source = make_source(tmp_path / "source.mkv", Kind("plain", suffix=".mkv", tracks=tracks))
    result = cut(cutter, source, Fraction(1), Fraction(2))
    with av.open(str(source)) as one, av.open(str(result.path)) as other:
        assert [stream.language for stream in other.streams] == [stream.language for stream in one.streams]
        assert [stream.disposition for stream in other.streams] == [stream.disposition for stream in one.streams]


MASTER = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
HDR10 = Kind(
    "hdr10",
    codec="libx265",
    pixel_format="yuv420p10le",
    colours=(9, 16, 9),
    options=(("x265-params", f"open-gop=0:hdr10=1:repeat-headers=1:master-display={MASTER}:max-cll=1000,400"),),
    frames=50,
    tracks=(),
)
HLG = replace(HDR10, name="hlg", colours=(9, 18, 9), options=(("x265-params", "open-gop=0"),))


HDR_SIDE_DATA = {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}


def said_of_frames(path: Path) -> list[tuple[object, ...]]:
    """Return format, colours and HDR side data of each frame."""
    said: list[tuple[object, ...]] = []
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        for frame in container.decode(video=0):
            kept = {name: data for name in HDR_SIDE_DATA if (data := side_data(frame, Type[name]))}
            said.append((frame.format.name, context.color_primaries, context.color_trc, context.colorspace, kept))
    return said


@pytest.fixture(scope="module", params=[HDR10, HLG], ids=lambda kind: kind.name)
def deep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("deep") / "source.mp4", request.param)


@pytest.mark.parametrize(
    "cutter",
    [SmartCutter(), CopyCutter(), EncodeCutter(), EncodeCutter(codec="av1"), EncodeCutter(codec="h264")],
    ids=["smart", "copy", "hevc", "av1", "h264"],
)
def test_depth_colours_and_hdr_are_said_of_every_frame(deep: Path, cutter: Cutter) -> None:
    result = cut(cutter, deep, Fraction(1, 2), Fraction(3, 2))
    wanted = said_of_frames(deep)[0]
    assert (result.copied < result.frames) is not isinstance(cutter, CopyCutter)
    assert all(said[:4] == wanted[:4] for said in said_of_frames(result.path))
    sides = [said[4] for said in said_of_frames(result.path)]
    if "H.264" in result.method:
        sides = sides[:1]  # FFmpeg's decoder says it of keyframes alone
    assert all(set(side) == set(wanted[4]) for side in sides)  # type: ignore[call-overload] # a dictionary
    if not isinstance(cutter, EncodeCutter):
        assert all(side == wanted[4] for side in sides)


def test_a_change_of_depth_is_noted(deep: Path) -> None:
    result = cut(EncodeCutter(codec="vp9"), deep, Fraction(1, 2), Fraction(1), ".mkv")
    assert "pictures changed from yuv420p10le to yuv420p" in result.notes


@pytest.mark.parametrize("mode", list(CutMode))
@pytest.mark.parametrize("turn_deg", [0, 90])
def test_a_mirrored_picture_stays_mirrored(tmp_path: Path, mode: CutMode, turn_deg: int) -> None:
    kind = Kind("mirrored", frames=40, tracks=(), turn_deg=turn_deg, mirrored=True)
    source = make_source(tmp_path / "source.mp4", kind)
    result = cut(make_cutter(mode), source, Fraction(1, 2), Fraction(1))
    for path in (source, result.path):
        info = probe(path).video
        assert info is not None
        assert info.mirrored
        assert info.rotation_deg == -turn_deg % 360


FIELDS = [
    Kind("h264 mkv", suffix=".mkv", interlaced=True, rate_hz=Fraction(25), frames=40, tracks=()),
    Kind("h264 ts", suffix=".ts", interlaced=True, rate_hz=Fraction(25), frames=40, tracks=()),
    Kind("h264 bottom first", interlaced=True, bottom_first=True, rate_hz=Fraction(25), frames=40, tracks=()),
    Kind("mpeg2", suffix=".ts", codec="mpeg2video", options=(("b", "4M"),), interlaced=True, rate_hz=Fraction(25),
         frames=40, tracks=()),
]  # fmt: skip


@pytest.mark.skipif(ffmpeg() is None, reason="PyAV does not say which field comes first: ffprobe is needed")
@pytest.mark.parametrize("mode", list(CutMode))
@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.name)
def test_fields_and_their_order_are_kept(tmp_path: Path, kind: Kind, mode: CutMode) -> None:
    source = make_source(tmp_path / f"source{kind.suffix}", kind)
    result = cut(make_cutter(mode), source, Fraction(1, 2), Fraction(3, 2))
    assert set(fields(source)) == set(fields(result.path)) == {"bb" if kind.bottom_first else "tt"}


def test_fields_that_an_encoder_cannot_tell_are_noted(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mkv", FIELDS[0])
    result = cut(EncodeCutter(codec="hevc"), source, Fraction(1, 2), Fraction(1))
    assert any("does not tell its two fields" in note for note in result.notes)


def test_a_source_of_sound_alone_gives_sound_alone(tmp_path: Path) -> None:
    source = tmp_path / "source.m4a"
    with (
        av.open(str(make_source(tmp_path / "plain.mp4", Kind("plain")))) as read,
        av.open(str(source), "w") as container,
    ):
        sound = read.streams.audio[0]
        stream = container.add_stream_from_template(sound)
        for packet in read.demux(sound):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    for cutter in (SmartCutter(), EncodeCutter()):
        result = cut(cutter, source, Fraction(1), Fraction(2))
        assert result.frames == 0
        assert result.start_s == 1
        assert abs(result.end_s - 2) <= Fraction(1, 40)


def test_late_sound_stays_late(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mkv", Kind("plain", suffix=".mkv", frames=90, gop=15))
    late = tmp_path / "late.mkv"
    with av.open(str(source)) as read, av.open(str(late), "w") as container:
        streams = {stream.index: container.add_stream_from_template(stream, opaque=True) for stream in read.streams}
        for packet in read.demux():
            assert packet.time_base is not None
            is_early = packet.stream_index == 1 and float((packet.pts or 0) * packet.time_base) < 2
            if packet.size and not is_early:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    result = cut(SmartCutter(), late, Fraction(1), Fraction(3))
    assert len(decode_pictures(result.path)[0]) == 60
    with av.open(str(result.path)) as container:
        first = next(container.decode(audio=0))
        assert first.pts is not None
        assert first.time_base is not None
        assert abs(first.pts * first.time_base - 1) <= Fraction(3, 100)
