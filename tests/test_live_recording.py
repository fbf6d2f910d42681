"""Recording packets as they come, and cutting clips from what was recorded."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from threading import Event, Thread

import av
import pytest
from cut_checks import check_pictures
from cut_factory import decode_pictures, decode_sound
from live_factory import play, segments_in

from clipstream.errors import CutError
from clipstream.media.cutter import ClipResult, ClipSpec
from clipstream.media.probe import media_origin, open_media
from clipstream.media.recording.recorder import Recorder
from clipstream.media.recording.recording import Recording, RecordingCutter
from clipstream.media.recording.segments import segment_paths
from clipstream.testing.media import Sound, Video, even_times, make_clip, numbered

OFFSET_S = Fraction(12_345, 7)
"""Where the streams of most tests start: no round number of anything."""
LONG_S, MUCH = Fraction(10_000), 10**10
LENGTH_S = 12
KINDS = {
    "every second a keyframe, B-frames, AAC": (".mp4", Video(even_times(360), b_frames=2), Sound([(0, 12)])),
    "keyframes 10 s apart": (".mp4", Video(even_times(360), gop=300, b_frames=0), Sound([(0, 12)])),
    "open groups of pictures": (
        ".mp4",
        Video(even_times(360), b_frames=2, options=(("x264-params", "open-gop=1"),)),
        Sound([(0, 12)], rate_hz=44_100),
    ),
    "HEVC": (
        ".mp4",
        Video(even_times(240), codec="libx265", gop=40, options=(("x265-params", "log-level=none:pools=1"),)),
        None,
    ),
    "G.711": (
        ".mov",
        Video(even_times(360), b_frames=0),
        Sound([(0, 12)], codec="pcm_mulaw", rate_hz=8_000, layout="mono"),
    ),
    "Opus": (".mkv", Video(even_times(360), b_frames=0), Sound([(0, 12)], codec="libopus")),
    "VP8 and Opus": (".webm", Video(even_times(240), codec="libvpx", b_frames=0), Sound([(0, 8)], codec="libopus")),
    "a transport stream": (".ts", Video(even_times(360), b_frames=2), Sound([(0, 12)])),
    "no sound": (".mp4", Video(even_times(360)), None),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what makes the source of a kind, once."""
    folder, made = tmp_path_factory.mktemp("sources"), dict[str, Path]()

    def make(kind: str) -> Path:
        if kind not in made:
            suffix, video, sound = KINDS[kind]
            made[kind] = make_clip(folder / f"{len(made)}{suffix}", video, sound)
        return made[kind]

    return make


def cut(folder: Path, target: Path, start_s: Fraction, end_s: Fraction) -> ClipResult:
    return RecordingCutter().cut(ClipSpec(folder, target, start_s, end_s), lambda: False)


def span_of(folder: Path) -> list[tuple[Fraction, Fraction]]:
    return [(span.start_s, span.end_s) for span in Recording(folder).available()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_has_exactly_the_frames_that_the_source_has(
    kind: str, source: Callable[[str], Path], tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path / "camera", LONG_S, MUCH)
    play(recorder, source(kind), OFFSET_S)
    for start_s, end_s in ((Fraction(47, 10), Fraction(73, 10)), (Fraction(31, 60), Fraction(2))):
        result = cut(tmp_path / "camera", tmp_path / "clip.mp4", OFFSET_S + start_s, OFFSET_S + end_s)
        local = replace(result, start_s=result.start_s - OFFSET_S, end_s=result.end_s - OFFSET_S)
        check_pictures(source(kind), local, start_s, end_s, least_db=40)
        if KINDS[kind][2] is not None:
            samples, _, rate_hz = decode_sound(result.path, 0)
            assert len(samples) / rate_hz == pytest.approx(end_s - start_s, abs=0.1)
    assert not list((tmp_path / "camera").glob(".material*"))


def test_sound_alone_is_recorded_in_segments_by_time_and_cut(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.m4a", None, Sound([(0, 12)]))
    recorder = Recorder(tmp_path / "radio", LONG_S, MUCH)
    play(recorder, path, OFFSET_S)
    assert len(segments_in(tmp_path / "radio")) > 3
    result = cut(tmp_path / "radio", tmp_path / "clip.m4a", OFFSET_S + 3, OFFSET_S + 5)
    samples, _, rate_hz = decode_sound(result.path, 0)
    assert len(samples) / rate_hz == pytest.approx(2, abs=0.05)


def test_segments_begin_at_keyframes_two_seconds_apart_or_as_far_as_those_are(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    for kind, expected in ((next(iter(KINDS)), [0, 2, 4, 6, 8, 10]), ("keyframes 10 s apart", [0, 10])):
        with Recorder(tmp_path / kind, LONG_S, MUCH) as recorder:
            play(recorder, source(kind), Fraction(0))
        assert [segment.start_s for segment in segments_in(tmp_path / kind)] == expected


def test_what_is_being_written_can_be_cut_at_once(source: Callable[[str], Path], tmp_path: Path) -> None:
    path = source("keyframes 10 s apart")
    recorder, recording = Recorder(tmp_path / "camera", LONG_S, MUCH), Recording(tmp_path / "camera")
    play(recorder, path, OFFSET_S, until_s=Fraction(6))
    (span,) = recording.available()
    assert span.is_growing
    assert span.start_s == OFFSET_S
    assert OFFSET_S + 5 < span.end_s <= OFFSET_S + 6
    assert recording.covers(OFFSET_S + 2, OFFSET_S + 5)
    assert not recording.covers(OFFSET_S + 2, OFFSET_S + 7)
    assert recording.may_reach(OFFSET_S + 7)
    assert not recording.may_reach(OFFSET_S + 5)
    result = cut(tmp_path / "camera", tmp_path / "clip.mp4", OFFSET_S + 2, OFFSET_S + 5)
    local = replace(result, start_s=result.start_s - OFFSET_S, end_s=result.end_s - OFFSET_S)
    check_pictures(path, local, Fraction(2), Fraction(5), least_db=40)


def test_waiting_for_what_is_being_written_lists_the_folder_once_however_many_segments_come(
    source: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder, listings = source(next(iter(KINDS))), tmp_path / "camera", list[Path]()

    def listed(folder: Path) -> list[tuple[int, Path, bool]]:
        listings.append(folder)
        return segment_paths(folder)

    monkeypatch.setattr("clipstream.media.recording.recording.segment_paths", listed)
    with Recorder(folder, LONG_S, MUCH) as recorder, open_media(path) as container:
        recording = Recording(folder)
        assert not recording.may_reach(Fraction(12))
        listings.clear()
        recorder.begin(container, Fraction(0))
        for packet in container.demux(video=0):
            recorder.write(packet)
            reached_s = (packet.dts or 0) * packet.time_base
            assert recording.may_reach(reached_s + 1)
            assert not recording.may_reach(reached_s - 1)
            if reached_s > 9:
                break
        assert len(segment_paths(folder)) > 4
    assert listings == []
    assert not recording.may_reach(Fraction(12))


def test_what_is_being_written_is_found_where_numbers_have_gone_on_elsewhere(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "camera", tmp_path / "kept"
    with Recorder(folder, LONG_S, MUCH) as recorder:
        play(recorder, source("no sound"), Fraction(0))
    recording = Recording(folder)
    assert not recording.may_reach(Fraction(100))
    elsewhere.mkdir()
    (elsewhere / "2026-11-21T10-00-00Z_00000001-00005000.mp4").touch()
    recorder = Recorder(folder, LONG_S, MUCH, keep_everything=elsewhere)
    play(recorder, source("no sound"), Fraction(12), until_s=Fraction(6))
    assert recording.may_reach(Fraction(100))
    recorder.close()
    assert not recording.may_reach(Fraction(100))


def test_every_span_that_is_said_to_be_covered_is_whole(source: Callable[[str], Path], tmp_path: Path) -> None:
    path = source(next(iter(KINDS)))
    shown = [picture.time_s for picture in decode_pictures(path)[0]]
    recorder, recording = Recorder(tmp_path / "camera", LONG_S, MUCH), Recording(tmp_path / "camera")
    with open_media(path) as container:
        recorder.begin(container, Fraction(0))
        written: list[Fraction] = []
        for packet in container.demux(video=0):
            if not packet.size:
                break
            recorder.write(packet)
            written.append((packet.pts or 0) * packet.time_base)
            spans = recording.available()
            assert all(time_s in written for time_s in shown if spans and time_s < spans[-1].end_s)
    assert recording.available()[-1].end_s >= LENGTH_S - 1


def test_two_connections_of_different_size_are_two_stretches_and_the_longer_part_is_cut(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    small = make_clip(
        tmp_path / "small.mp4", Video(even_times(120), draw=partial(numbered, width_px=160, height_px=90))
    )
    recorder = Recorder(tmp_path / "camera", LONG_S, MUCH)
    play(recorder, source("no sound"), Fraction(0))
    play(recorder, small, Fraction(17))
    recorder.close()
    assert span_of(tmp_path / "camera") == [(Fraction(0), Fraction(12)), (Fraction(17), Fraction(21))]
    result = cut(tmp_path / "camera", tmp_path / "clip.mp4", Fraction(11), Fraction(20))
    assert (result.start_s, result.end_s) == (Fraction(17), Fraction(20))
    assert any("6 s of it were not recorded" in note for note in result.notes)
    with av.open(str(result.path)) as container:
        assert container.streams.video[0].width == 160
    with pytest.raises(CutError, match="nothing is recorded between"):
        cut(tmp_path / "camera", tmp_path / "clip.mp4", Fraction(13), Fraction(16))


def test_a_camera_that_changes_size_within_a_connection_is_two_stretches_with_exact_frames(tmp_path: Path) -> None:
    # What parameter sets come with keyframes, as cameras send them, a transport stream shows.
    parts = [
        make_clip(tmp_path / f"{n}.ts", Video(even_times(90, start_s=3 * n), partial(numbered, width_px=width_px)))
        for n, width_px in enumerate((320, 192))
    ]
    folder = tmp_path / "camera"
    with Recorder(folder, LONG_S, MUCH) as recorder, open_media(parts[0]) as first, open_media(parts[1]) as second:
        recorder.begin(first, -media_origin(first))
        for packet in [*first.demux(), *second.demux()]:
            recorder.write(packet)
    # The last frame of a transport stream has no duration: it is shown for as long as the others.
    assert span_of(folder) == [(Fraction(0), Fraction(3)), (Fraction(3), Fraction(6))]
    for n, part in enumerate(parts):
        result = cut(folder, tmp_path / "clip.mp4", 3 * n + Fraction(1, 2), 3 * n + Fraction(5, 2))
        local = replace(result, start_s=result.start_s - 3 * n, end_s=result.end_s - 3 * n)
        check_pictures(part, local, Fraction(1, 2), Fraction(5, 2), least_db=40)


def test_frames_without_decoding_times_are_cut_exactly(source: Callable[[str], Path], tmp_path: Path) -> None:
    path, folder = source("no sound"), tmp_path / "camera"
    with Recorder(folder, LONG_S, MUCH) as recorder, open_media(path) as container:
        recorder.begin(container, OFFSET_S)
        for packet in container.demux():
            packet.dts = None
            if packet.size:
                recorder.write(packet)
    result = cut(folder, tmp_path / "clip.mp4", OFFSET_S + Fraction(31, 10), OFFSET_S + 5)
    local = replace(result, start_s=result.start_s - OFFSET_S, end_s=result.end_s - OFFSET_S)
    check_pictures(path, local, Fraction(31, 10), Fraction(5), least_db=40)


def test_sound_that_stops_holds_nothing_back(source: Callable[[str], Path], tmp_path: Path) -> None:
    with open_media(source("G.711")) as container:
        recorder = Recorder(tmp_path / "camera", LONG_S, MUCH)
        recorder.begin(container, Fraction(0))
        for packet in container.demux():
            if packet.size and (packet.stream_index == 0 or (packet.dts or 0) * packet.time_base < 2):
                recorder.write(packet)
    assert Recording(tmp_path / "camera").covers(Fraction(1), Fraction(11))


def test_sound_that_goes_on_without_pictures_is_no_part_of_a_clip(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, target = tmp_path / "camera", tmp_path / "clip.mp4"
    with open_media(source("G.711")) as container, Recorder(folder, LONG_S, MUCH) as recorder:
        recorder.begin(container, Fraction(0))
        for packet in container.demux():
            if packet.size and (packet.stream_index == 1 or (packet.dts or 0) * packet.time_base < 4):
                recorder.write(packet)
        assert not Recording(folder).covers(Fraction(3), Fraction(5))
    assert span_of(folder) == [(Fraction(0), Fraction(4))]
    result = cut(folder, target, Fraction(3), Fraction(6))
    assert (result.start_s, result.end_s, result.frames) == (Fraction(3), Fraction(4), 30)
    assert result.notes[-1] == "2 s of it were not recorded"
    target.unlink()
    with pytest.raises(CutError, match="nothing is recorded between 5"):
        cut(folder, target, Fraction(5), Fraction(8))
    assert not target.exists()


def test_a_clip_between_two_pictures_is_none(source: Callable[[str], Path], tmp_path: Path) -> None:
    folder, target = tmp_path / "camera", tmp_path / "clip.mp4"
    with open_media(source("G.711")) as container, Recorder(folder, LONG_S, MUCH) as recorder:
        recorder.begin(container, Fraction(0))
        for packet in container.demux():
            if packet.size and (packet.stream_index == 1 or not 4 <= (packet.dts or 0) * packet.time_base < 6):
                recorder.write(packet)
    assert span_of(folder) == [(Fraction(0), Fraction(LENGTH_S))]
    with pytest.raises(CutError, match="no picture was recorded between 4"):
        cut(folder, target, Fraction(9, 2), Fraction(11, 2))
    assert not target.exists()


def test_a_clip_may_be_as_long_as_everything_that_was_recorded(source: Callable[[str], Path], tmp_path: Path) -> None:
    with Recorder(tmp_path / "camera", LONG_S, MUCH) as recorder:
        play(recorder, source("no sound"), OFFSET_S)
    result = cut(tmp_path / "camera", tmp_path / "clip.mp4", OFFSET_S, OFFSET_S + LENGTH_S)
    assert (result.start_s, result.end_s, result.frames) == (OFFSET_S, OFFSET_S + LENGTH_S, 360)


def test_everything_is_kept_in_ordinary_files_where_that_is_asked(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    with Recorder(tmp_path / "camera", Fraction(3), MUCH, keep_everything=kept) as recorder:
        for number in range(6):
            play(recorder, source("no sound"), Fraction(12 * number))
    with Recorder(tmp_path / "camera", Fraction(3), MUCH, keep_everything=kept):
        pass
    frames = [len(decode_pictures(path)[0]) for path in sorted(kept.iterdir())]
    assert frames == [360] * 6


def test_a_clip_is_cut_in_one_thread_while_another_records(source: Callable[[str], Path], tmp_path: Path) -> None:
    path, folder = source("no sound"), tmp_path / "camera"
    recorder, recording, cutter = Recorder(folder, LONG_S, MUCH), Recording(folder), RecordingCutter()
    over = Event()

    def record() -> None:
        for number in range(3):
            play(recorder, path, Fraction(12 * number))
        recorder.close()
        over.set()

    thread = Thread(target=record)
    thread.start()
    spans = [(Fraction(n, 2), Fraction(n, 2) + 2) for n in (3, 27, 50)]
    for start_s, end_s in spans:
        while not recording.covers(start_s, end_s):
            assert not over.is_set() or recording.covers(start_s, end_s)
        result = cutter.cut(ClipSpec(folder, tmp_path / "clip.mp4", start_s, end_s), lambda: False)
        assert (result.start_s, result.end_s, result.frames) == (start_s, end_s, 60)
    thread.join()
