"""A disk that fills: recordings give way first, leave room to everything else, and come back by themselves."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import av
import av.container
import pytest
from live_factory import play, record, segments_in
from structlog.testing import capture_logs

from clipstream.media.probe import open_media
from clipstream.media.recording.archive import Archive
from clipstream.media.recording.disk_space import SPARE_BYTES, lacking_bytes
from clipstream.media.recording.recorder import Recorder
from clipstream.media.recording.recording import Recording
from clipstream.media.recording.segments import Segment
from clipstream.testing.media import Sound, Video, even_times, make_clip

LONG_S, MUCH = Fraction(10_000), 10**10
BLOCK = 1_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mov"
    return make_clip(path, Video(even_times(200, 8), gop=8, b_frames=0), Sound([(0, 1)]))


@pytest.fixture(scope="module")
def camera(clip: Path) -> Iterator[av.container.InputContainer]:
    with open_media(clip) as container:
        yield container


@dataclass
class Disk:
    """A disk of 10 MB, of which a tenth is to be spared, in the place of the real one.

    Attributes:
        folder: What is in it counts as it grows.
        others: Bytes that others have put there.
        least: The least that was free when it was asked for.
    """

    folder: Path
    others: int = 0
    size: int = 10_000_000
    least: int = 10_000_000

    @property
    def free(self) -> int:
        return max(self.size - self.others - sum(path.stat().st_size for path in self.folder.rglob("*.*")), 0)

    def statvfs(self, _: Path) -> SimpleNamespace:
        self.least = min(self.least, self.free)
        return SimpleNamespace(f_blocks=self.size // BLOCK, f_frsize=BLOCK, f_bavail=self.free // BLOCK)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(tmp_path)
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    return made


def events(logs: Sequence[Mapping[str, object]]) -> list[object]:
    return [log["event"] for log in logs]


def test_a_large_disk_is_left_a_fixed_room_and_a_small_one_a_tenth(tmp_path: Path, disk: Disk) -> None:
    disk.size, disk.others = 100 * SPARE_BYTES, 99 * SPARE_BYTES
    assert lacking_bytes(tmp_path) == 0
    assert lacking_bytes(tmp_path, 1_000_000) == 1_000_000
    assert lacking_bytes(tmp_path, resuming=True) == SPARE_BYTES // 2
    disk.size, disk.others = 10_000_000, 9_400_000
    assert lacking_bytes(tmp_path) == 400_000


def test_a_disk_that_does_not_tell_its_size_is_taken_to_have_room(tmp_path: Path, disk: Disk) -> None:
    disk.size = 0
    assert lacking_bytes(tmp_path, 1_000_000) == 0


def test_the_oldest_history_goes_first_and_is_as_long_as_before_once_there_is_room(
    camera: av.container.InputContainer, tmp_path: Path, disk: Disk
) -> None:
    recorder = Recorder(tmp_path, Fraction(20), MUCH)
    recorder.begin(camera, Fraction(0))
    with capture_logs() as logs:
        record(recorder, camera, range(30), size=1_000)
        assert segments_in(tmp_path)[0].start_s == 8
        disk.others = 8_500_000
        record(recorder, camera, range(30, 60), size=1_000)
        assert segments_in(tmp_path)[0].start_s > 40
        assert events(logs) == ["recording_shortened"]
        disk.others = 0
        record(recorder, camera, range(60, 90), size=1_000)
        assert segments_in(tmp_path)[0].start_s == 68
        assert events(logs) == ["recording_shortened", "recording_at_full_length"]
    (span,) = Recording(tmp_path).available()
    assert span.is_growing
    assert recorder.lost_packets == 0


def test_recording_stops_before_it_takes_what_others_need_and_resumes_when_there_is_room(
    camera: av.container.InputContainer, tmp_path: Path, disk: Disk
) -> None:
    recorder = Recorder(tmp_path, LONG_S, MUCH)
    recorder.begin(camera, Fraction(0))
    release = recorder.hold(Fraction(0))
    disk.others = 8_000_000
    with capture_logs() as logs:
        record(recorder, camera, range(60), size=1_000)
        (held,) = Recording(tmp_path).available()
        assert 20 < held.end_s < 40
        assert not held.is_growing
        assert disk.least > 900_000
        assert events(logs) == ["recording_stopped"]
        assert "all but full" in str(logs[0]["reason"])
        assert recorder.lost_packets == 60 * 30 - held.end_s * 30
        release()
        record(recorder, camera, range(60, 70), size=1_000)
    assert events(logs) == ["recording_stopped", "recording_shortened", "recording_resumed"]
    assert Recording(tmp_path).covers(Fraction(60), Fraction(69))


def test_recording_does_not_stop_and_go_by_turns_where_there_is_just_too_little(
    camera: av.container.InputContainer, tmp_path: Path, disk: Disk
) -> None:
    recorder = Recorder(tmp_path, LONG_S, MUCH)
    recorder.begin(camera, Fraction(0))
    with capture_logs() as logs:
        disk.others = 9_100_000
        record(recorder, camera, range(4))
        disk.others = 8_900_000
        record(recorder, camera, range(4, 20))
        assert events(logs) == ["recording_stopped"]
        disk.others = 8_500_000
        record(recorder, camera, range(20, 40))
    assert events(logs) == ["recording_stopped", "recording_resumed"]


def frames_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def test_what_waits_to_be_kept_gives_way_to_what_clips_may_need(clip: Path, tmp_path: Path, disk: Disk) -> None:
    with Recorder(tmp_path / "measured", LONG_S, MUCH) as recorder:
        play(recorder, clip)
    whole = disk.size - disk.free
    disk.others = 9_000_000 - whole - whole // 2
    with (
        capture_logs() as logs,
        Recorder(tmp_path / "cam", LONG_S, MUCH, keep_everything=tmp_path / "kept") as recorder,
    ):
        play(recorder, clip)
        assert events(logs) == ["recording_shortened"]
        assert recorder.lost_packets == 0
        disk.others = 0
    assert [log for log in logs if log["event"] == "recording_kept_again" and log["lost_segments"]]


@dataclass
class Kept:
    """What keeps everything, on a disk that has no room at first.

    Attributes:
        archive: It.
        segments: 20 seconds of a recording.
        folder: Where the files go.
        let_go: Set when it lets go of what it held, as it has tried.
    """

    archive: Archive
    segments: list[Segment]
    folder: Path
    let_go: Event

    def take(self, segments: list[Segment]) -> None:
        """Hand over some segments to be made a file."""
        for segment in segments:
            self.archive.take(segment)
        self.archive.flush()

    def frames(self) -> list[int]:
        """Return how many frames each file has."""
        counts = []
        for path in sorted(self.folder.iterdir()):
            with av.open(str(path)) as container:
                counts.append(sum(1 for packet in container.demux(video=0) if packet.size))
        return counts


@pytest.fixture
def kept(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    with Recorder(tmp_path / "cam", LONG_S, MUCH) as recorder:
        play(recorder, clip, until_s=Fraction(20))
    answers = chain([1], repeat(0))
    monkeypatch.setattr("clipstream.media.recording.archive.lacking_bytes", lambda *_: next(answers))
    let_go = Event()
    archive = Archive(tmp_path / "kept", lambda *_: let_go.set)
    yield Kept(archive, segments_in(tmp_path / "cam"), tmp_path / "kept", let_go)
    archive.close()


def test_what_there_was_no_room_to_keep_is_kept_with_what_comes_next(kept: Kept) -> None:
    with capture_logs() as logs:
        kept.take(kept.segments[:2])
        assert kept.let_go.wait(10)
        assert kept.frames() == []
        kept.take(kept.segments[2:])
        kept.archive.close()
    assert kept.frames() == [4 * 8, 16 * 8]
    assert events(logs) == ["recording_not_kept", "recording_kept_again"]
    assert logs[1]["lost_segments"] == 0


def test_a_file_that_is_under_way_for_ever_holds_nothing_back_and_keeps_nobody_from_ending(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(tmp_path / "cam", LONG_S, MUCH) as recorder:
        play(recorder, clip, until_s=Fraction(20))
    segments = segments_in(tmp_path / "cam")
    answers, now_s, held = Event(), [0.0], list[Fraction]()

    def hold(start_s: Fraction, _end_s: Fraction) -> Callable[[], None]:
        held.append(start_s)
        return lambda: held.remove(start_s)

    def hang(*_: object) -> None:
        answers.wait()

    monkeypatch.setattr("clipstream.media.recording.archive.join_segments", hang)
    monkeypatch.setattr("clipstream.media.recording.archive.monotonic", lambda: now_s[0])
    monkeypatch.setattr("clipstream.media.recording.archive._CLOSE_S", 0)
    archive = Archive(tmp_path / "kept", hold)
    with capture_logs() as logs:
        for segment in segments[:4]:
            archive.take(segment)
            archive.flush()
        assert held == [segment.start_s for segment in segments[:4]]
        now_s[0] = 61
        archive.take(segments[4])
        assert held == []
        archive.close()
    assert events(logs) == ["recording_not_kept", "recording_not_kept"]
    answers.set()


def test_of_what_waits_for_room_to_be_kept_only_that_is_lost_which_is_gone(kept: Kept) -> None:
    with capture_logs() as logs:
        kept.take(kept.segments[:2])
        assert kept.let_go.wait(10)
        kept.segments[0].path.unlink()
        kept.take(kept.segments[2:])
        kept.archive.close()
    assert kept.frames() == [2 * 8, 16 * 8]
    assert logs[1]["lost_segments"] == 1
