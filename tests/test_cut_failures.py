"""What goes wrong while cutting is told in one line, and leaves nothing behind."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from cut_factory import Kind, Track, decode_pictures, ffmpeg, ffmpeg_complaints, make_source

from clipstream.errors import CutError, OutputError, StoppedError, UsageError
from clipstream.media.cut import CopyCutter, EncodeCutter, SmartCutter
from clipstream.media.cutter import ClipSpec, Cutter
from clipstream.media.probe import fingerprint

CUTTERS: list[Cutter] = [SmartCutter(), CopyCutter(), EncodeCutter()]
START_S, END_S = Fraction(1, 2), Fraction(2)


def named(cutter: Cutter) -> str:
    return type(cutter).__name__


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source") / "source.mp4", Kind("plain"))


def stop_after(count: int) -> Callable[[], bool]:
    """Return what asks for a stop when it is called the `count`-th time."""
    left = iter(range(count))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("cutter", CUTTERS, ids=named)
def test_the_same_cut_gives_the_same_bytes(source: Path, tmp_path: Path, cutter: Cutter) -> None:
    paths = [tmp_path / "one.mp4", tmp_path / "other.mp4"]
    for path in paths:
        cutter.cut(ClipSpec(source, path, START_S, END_S, {"title": "Same"}), lambda: False)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("cutter", CUTTERS, ids=named)
def test_a_stopped_cut_leaves_nothing_behind(source: Path, tmp_path: Path, cutter: Cutter) -> None:
    with pytest.raises(StoppedError):
        cutter.cut(ClipSpec(source, tmp_path / "clip.mp4", START_S, END_S), stop_after(20))
    assert list(tmp_path.iterdir()) == []


def test_a_clip_has_its_name_only_when_it_is_whole(source: Path, tmp_path: Path) -> None:
    seen: set[str] = set()

    def look() -> bool:
        seen.update(path.name for path in tmp_path.iterdir())
        return False

    SmartCutter().cut(ClipSpec(source, tmp_path / "clip.mp4", START_S, END_S), look)
    assert seen
    assert all(name.startswith(".") for name in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_an_old_clip_stays_when_a_new_one_fails(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"old")
    with pytest.raises(StoppedError):
        SmartCutter().cut(ClipSpec(source, target, START_S, END_S), stop_after(5))
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("cutter", CUTTERS, ids=named)
def test_a_source_that_vanished_is_a_cut_error(tmp_path: Path, cutter: Cutter) -> None:
    with pytest.raises(CutError, match=r"cannot be opened: .*there is no such file"):
        cutter.cut(ClipSpec(tmp_path / "gone.mp4", tmp_path / "clip.mp4", START_S, END_S), lambda: False)


def test_a_source_that_changed_since_it_was_analysed_is_a_cut_error(tmp_path: Path) -> None:
    path = make_source(tmp_path / "source.mp4", Kind("plain", frames=30, tracks=()))
    spec = ClipSpec(path, tmp_path / "clip.mp4", Fraction(0), Fraction(1, 2), fingerprint=fingerprint(path))
    SmartCutter().cut(spec, lambda: False)
    os.utime(path, (1, 1))
    with pytest.raises(CutError, match="has changed since it was analysed"):
        SmartCutter().cut(spec, lambda: False)


@pytest.mark.parametrize("tracks", [(), (Track(),)], ids=["silent", "with sound"])
@pytest.mark.parametrize(("start_s", "end_s"), [(2, 1), (1, 1), (100, 101)])
def test_a_span_without_frames_is_a_cut_error(
    tmp_path: Path, start_s: int, end_s: int, tracks: tuple[Track, ...]
) -> None:
    path = make_source(tmp_path / "source.mp4", Kind("plain", frames=30, tracks=tracks))
    for cutter in CUTTERS:
        with pytest.raises(CutError):
            cutter.cut(ClipSpec(path, tmp_path / "clip.mp4", Fraction(start_s), Fraction(end_s)), lambda: False)
    assert [child.name for child in tmp_path.iterdir()] == ["source.mp4"]


def test_frames_whose_times_the_container_does_not_store_are_not_copied_in_the_order_of_decoding(
    tmp_path: Path,
) -> None:
    path = make_source(tmp_path / "source.avi", Kind("h264 avi", suffix=".avi", b_frames=3, frames=60, tracks=()))
    spec = ClipSpec(path, tmp_path / "clip.mp4", Fraction(1, 2), Fraction(3, 2))
    result = SmartCutter().cut(spec, lambda: False)
    assert result.notes == ("re-encoded whole: its container does not say when frames are shown",)
    with av.open(str(path)) as container:
        shown = [np.asarray(frame.to_ndarray(format="gray"), np.int16) for frame in container.decode(video=0)]
    with av.open(str(result.path)) as container:
        got = [np.asarray(frame.to_ndarray(format="gray"), np.int16) for frame in container.decode(video=0)]
    first = int(np.argmin([np.abs(picture - got[0]).mean() for picture in shown]))
    assert len(got) == result.frames == 30
    assert max(np.abs(one - other).mean() for one, other in zip(shown[first:], got, strict=False)) < 2
    with pytest.raises(CutError, match="cannot be copied"):
        CopyCutter().cut(spec, lambda: False)


def test_pictures_that_change_their_size_on_the_way_are_encoded_whole(tmp_path: Path) -> None:
    if (program := ffmpeg()) is None:
        pytest.skip("ffmpeg is not installed, which makes the source")
    parts = []
    for start_s, size in enumerate(("192x112", "96x64")):
        parts.append(tmp_path / f"{size}.ts")
        picture = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=30:d=1", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
        command = [program, "-v", "error", *picture, "-output_ts_offset", str(start_s), str(parts[-1])]
        subprocess.run(command, check=True)
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    spec = ClipSpec(both, tmp_path / "clip.ts", Fraction(6, 5), Fraction(9, 5))
    result = SmartCutter().cut(spec, lambda: False)
    assert result.notes == ("re-encoded whole: the size of the picture changes on the way",)
    assert not ffmpeg_complaints(result.path)


def test_pictures_that_a_container_cannot_carry_are_an_error_and_never_left_out(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CutError, match=r"cannot carry .*; choose another container"):
        EncodeCutter(codec="h264").cut(ClipSpec(source, tmp_path / "clip.webm", START_S, END_S), lambda: False)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_an_output_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        SmartCutter().cut(ClipSpec(source, tmp_path / "no" / "folder" / "clip.mp4", START_S, END_S), lambda: False)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of files")
def test_a_full_disk_is_an_output_error_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import resource, signal, sys
        from fractions import Fraction
        from pathlib import Path
        from clipstream.errors import OutputError
        from clipstream.media.cut import SmartCutter
        from clipstream.media.cutter import ClipSpec

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            SmartCutter().cut(ClipSpec(Path(sys.argv[1]), Path(sys.argv[2]), Fraction(1, 2), Fraction(2)), bool)
        except OutputError as error:
            print(error)
        """
    )
    command = [sys.executable, "-c", program, str(source), str(tmp_path / "clip.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_codec_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="choose one of av1, h264, hevc, vp9"):
        EncodeCutter(codec="theora")


@pytest.mark.parametrize(
    ("codec", "suffix", "name"), [("hevc", ".mp4", "hevc"), ("vp9", ".webm", "vp9"), ("av1", ".mkv", "av1")]
)
def test_the_codec_of_an_encoded_clip_can_be_chosen(
    source: Path, tmp_path: Path, codec: str, suffix: str, name: str
) -> None:
    target = tmp_path / f"clip{suffix}"
    result = EncodeCutter(30, codec).cut(ClipSpec(source, target, START_S, Fraction(1)), lambda: False)
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == name
    assert len(decode_pictures(target)[0]) == result.frames == 15


def test_sound_that_a_container_cannot_carry_is_encoded(tmp_path: Path) -> None:
    kind = Kind("vp8", suffix=".mkv", codec="libvpx", options=(("b", "2M"),), tracks=(Track("aac"),))
    source = make_source(tmp_path / "source.mkv", kind)
    result = SmartCutter().cut(ClipSpec(source, tmp_path / "clip.webm", START_S, END_S), lambda: False)
    assert result.copied > 0
    with av.open(str(result.path)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == "opus"


@pytest.mark.parametrize("cutter", CUTTERS, ids=named)
def test_a_bad_packet_does_not_end_the_clip(tmp_path: Path, cutter: Cutter) -> None:
    source = make_source(tmp_path / "source.mkv", Kind("plain", suffix=".mkv", frames=60, b_frames=0, tracks=()))
    broken = tmp_path / "broken.mkv"
    with av.open(str(source)) as read, av.open(str(broken), "w") as container:
        stream = container.add_stream_from_template(read.streams.video[0], opaque=True)
        for number, packet in enumerate(read.demux(video=0)):
            if packet.size:
                if number == 25:
                    packet.update(b"\xff" * packet.size)
                packet.stream = stream
                container.mux(packet)
    result = cutter.cut(ClipSpec(broken, tmp_path / "clip.mkv", START_S, Fraction(3, 2)), lambda: False)
    assert result.frames >= 25
    if isinstance(cutter, EncodeCutter):
        assert result.notes == ("1 video packet could not be decoded and left out",)
    else:
        assert "track 0: 1 packet damaged in the source, copied all the same" in result.notes


@pytest.mark.parametrize("cutter", [SmartCutter(), CopyCutter()], ids=named)
def test_a_gap_in_a_transport_stream_is_noted_where_it_is_copied(tmp_path: Path, cutter: Cutter) -> None:
    source = make_source(tmp_path / "source.ts", Kind("plain", suffix=".ts", frames=90, b_frames=0, tracks=()))
    data = source.read_bytes()
    middle = len(data) // 188 // 2 * 188
    source.write_bytes(data[:middle] + data[middle + 188 :])
    result = cutter.cut(ClipSpec(source, tmp_path / "clip.ts", START_S, Fraction(5, 2)), lambda: False)
    assert result.frames >= 60
    assert "track 0: 1 packet damaged in the source, copied all the same" in result.notes


def test_a_track_without_packets_does_not_make_the_rest_of_the_file_be_read(tmp_path: Path) -> None:
    kind = Kind("slow", suffix=".mkv", rate_hz=Fraction(2), gop=4, b_frames=0, frames=100, tracks=())
    plain, source = make_source(tmp_path / "plain.mkv", kind), tmp_path / "source.mkv"
    with av.open(str(plain)) as read, av.open(str(source), "w") as container:
        stream = container.add_stream_from_template(read.streams.video[0], opaque=True)
        container.add_mux_stream("subrip")
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    packets: list[int] = []

    def count() -> bool:
        packets.append(1)
        return False

    SmartCutter().cut(ClipSpec(source, tmp_path / "clip.mkv", Fraction(3), Fraction(5)), count)
    assert 4 <= len(packets) <= 40


def test_one_cutter_serves_several_threads(source: Path, tmp_path: Path) -> None:
    cutter, together = SmartCutter(), threading.Barrier(4, timeout=30)

    def cut(number: int) -> bytes:
        target = tmp_path / f"{number}.mp4"
        together.wait()
        cutter.cut(ClipSpec(source, target, START_S, END_S), lambda: False)
        return target.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(cut, range(4)))) == 1
