"""What a clip takes over besides pictures and sound: subtitles, chapters, covers, attachments, tags, HDR."""

from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
import pytest
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from cut_factory import Kind, Track, decode_pictures, make_source

from clipstream.media.cut import CopyCutter, CutMode, EncodeCutter, SmartCutter, make_cutter
from clipstream.media.cut.source import AnyPacket
from clipstream.media.cutting import ClipResult, ClipSpec, Cutter

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


def test_a_track_that_the_container_cannot_carry_is_left_out_and_named(tmp_path: Path) -> None:
    plain = make_source(tmp_path / "plain.mkv", Kind("plain", suffix=".mkv"))
    source = remux(plain, tmp_path / "source.mkv", subtitles="subrip")
    result = cut(SmartCutter(), source, Fraction(1), Fraction(2), ".mp4")
    assert result.notes == ("track 2 (subtitle, srt) left out: the container cannot carry it",)
    assert result.copied > 0


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


def test_a_cover_is_kept(tmp_path: Path) -> None:
    plain = make_source(tmp_path / "plain.mp4", Kind("plain"))
    source = remux(plain, tmp_path / "source.mp4", cover=True)
    result = cut(SmartCutter(), source, Fraction(1), Fraction(2))
    with av.open(str(result.path)) as container:
        covers = [stream for stream in container.streams if stream.disposition & Disposition.attached_pic]
    assert len(covers) == 1


def test_attachments_are_kept_in_matroska(tmp_path: Path) -> None:
    plain = make_source(tmp_path / "plain.mkv", Kind("plain", suffix=".mkv"))
    source = tmp_path / "source.mkv"
    with av.open(str(plain)) as read, av.open(str(source), "w") as container:
        streams = {stream.index: container.add_stream_from_template(stream, opaque=True) for stream in read.streams}
        container.add_attachment("note.txt", "text/plain", b"kept")
        for packet in read.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    result = cut(SmartCutter(), source, Fraction(1), Fraction(2))
    with av.open(str(result.path)) as container:
        attachment = container.streams.attachments[0]
        assert (attachment.name, attachment.mimetype, attachment.data) == ("note.txt", "text/plain", b"kept")


def test_the_clips_own_tags_come_before_those_of_the_source(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", Kind("plain"))
    result = cut(SmartCutter(), source, Fraction(1), Fraction(2))
    with av.open(str(result.path)) as container:
        assert container.metadata["title"] == "A clip"


@pytest.mark.parametrize("cutter", [SmartCutter(), CopyCutter(), EncodeCutter()], ids=lambda one: type(one).__name__)
def test_languages_and_dispositions_are_kept(tmp_path: Path, cutter: Cutter) -> None:
    tracks = (Track(language="eng"), Track(language="deu", seed=1))
    source = make_source(tmp_path / "source.mkv", Kind("plain", suffix=".mkv", tracks=tracks))
    result = cut(cutter, source, Fraction(1), Fraction(2))
    with av.open(str(source)) as one, av.open(str(result.path)) as other:
        assert [stream.language for stream in other.streams] == [stream.language for stream in one.streams]
        assert [stream.disposition for stream in other.streams] == [stream.disposition for stream in one.streams]


def test_hdr10_is_said_of_every_frame_of_a_smart_clip(tmp_path: Path) -> None:
    master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    kind = Kind(
        "hdr10",
        codec="libx265",
        pixel_format="yuv420p10le",
        colours=(9, 16, 9),
        options=(("x265-params", f"open-gop=0:hdr10=1:repeat-headers=1:master-display={master}:max-cll=1000,400"),),
        tracks=(),
    )
    source = make_source(tmp_path / "source.mp4", kind)
    result = cut(SmartCutter(), source, Fraction(1, 2), Fraction(2))
    assert 0 < result.copied < result.frames
    for path in (source, result.path):
        with av.open(str(path)) as container:
            kinds = [{data.type.name for data in frame.side_data} for frame in container.decode(video=0)]  # type: ignore[attr-defined]
        assert all({"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"} <= found for found in kinds)


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
