"""What a recorder keeps, what it lets go, and what it does when the process or the disk fails it."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av.container
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_factory import FRAME, made_up, packet_records, record, segments_in
from structlog.testing import capture_logs

from clipstream.errors import OutputError
from clipstream.media.probe import open_media
from clipstream.media.recording.holds import NEEDED_AFTER_S, NEEDED_BEFORE_S, Holds
from clipstream.media.recording.recorder import Recorder
from clipstream.media.recording.recording import Recording
from clipstream.media.recording.segments import segment_paths
from clipstream.testing.media import Sound, Video, even_times, make_clip

LONG_S, MUCH = Fraction(10_000), 10**10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mov"
    return make_clip(path, Video(even_times(300), b_frames=0), Sound([(0, 10)], codec="pcm_s16le", rate_hz=8_000))


@pytest.fixture(scope="module")
def camera(clip: Path) -> Iterator[av.container.InputContainer]:
    with open_media(clip) as container:
        yield container


def starts_s(folder: Path) -> list[Fraction]:
    return [segment.start_s for segment in segments_in(folder)]


def test_segments_older_than_what_is_kept_go(camera: av.container.InputContainer, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, Fraction(10), MUCH)
    recorder.begin(camera, Fraction(100))
    record(recorder, camera, range(60))
    assert starts_s(tmp_path) == [148, 150, 152, 154, 156]
    (span,) = Recording(tmp_path).available()
    assert span.start_s == 148
    assert span.is_growing


def test_segments_beyond_the_bytes_that_are_kept_go(camera: av.container.InputContainer, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, LONG_S, 500_000)
    recorder.begin(camera, Fraction(0))
    record(recorder, camera, range(60), size=2_000)
    assert starts_s(tmp_path)[-1] == 56
    assert 300_000 < sum(path.stat().st_size for path in tmp_path.iterdir()) < 700_000


@pytest.mark.parametrize(("keep_s", "keep_bytes"), [(Fraction(4), MUCH), (LONG_S, 20_000)])
def test_what_a_moment_needs_stays_until_it_is_let_go_whatever_runs_out(
    camera: av.container.InputContainer, tmp_path: Path, keep_s: Fraction, keep_bytes: int
) -> None:
    recorder = Recorder(tmp_path, keep_s, keep_bytes)
    recorder.begin(camera, Fraction(0))
    record(recorder, camera, range(7))
    release = recorder.hold(Fraction(5), Fraction(9))
    later = recorder.hold(Fraction(20), Fraction(25))
    record(recorder, camera, range(7, 40))
    assert starts_s(tmp_path)[:7] == [4, 6, 8, 18, 20, 22, 24]
    assert starts_s(tmp_path)[7] > 30
    release()
    record(recorder, camera, range(40, 44))
    assert starts_s(tmp_path)[:4] == [18, 20, 22, 24]
    later()
    record(recorder, camera, range(44, 48))
    assert starts_s(tmp_path)[0] == 42


def test_what_is_held_counts_towards_no_limit_of_what_comes_after_it(
    camera: av.container.InputContainer, tmp_path: Path
) -> None:
    for name in ("with", "without"):
        recorder = Recorder(tmp_path / name, LONG_S, 300_000)
        recorder.begin(camera, Fraction(0))
        if name == "with":
            recorder.hold(Fraction(0), Fraction(19))
        record(recorder, camera, range(60), size=1_000)
    usual = starts_s(tmp_path / "without")
    assert len(usual) > 2
    assert starts_s(tmp_path / "with") == [*range(0, 20, 2), *usual]


def test_where_a_part_between_two_that_are_held_was_let_go_there_is_a_gap(
    camera: av.container.InputContainer, tmp_path: Path
) -> None:
    recorder, recording = Recorder(tmp_path, Fraction(4), MUCH), Recording(tmp_path)
    recorder.begin(camera, Fraction(0))
    recorder.hold(Fraction(5), Fraction(7))
    record(recorder, camera, range(39))
    before, after = recording.available()
    assert (before.start_s, before.end_s, before.is_growing) == (Fraction(4), Fraction(8), False)
    assert (after.start_s, after.is_growing) == (Fraction(34), True)
    assert recording.covers(Fraction(5), Fraction(7))
    assert not recording.covers(Fraction(5), Fraction(33))


def test_everything_from_an_instant_on_is_held_where_no_end_is_said(
    camera: av.container.InputContainer, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path, Fraction(4), MUCH)
    recorder.begin(camera, Fraction(0))
    release = recorder.hold(Fraction(5))
    record(recorder, camera, range(40))
    assert starts_s(tmp_path) == list(range(4, 38, 2))
    release()
    record(recorder, camera, range(40, 44))
    assert starts_s(tmp_path)[0] > 30


SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 9)).map(lambda span: (Fraction(span[0]), Fraction(sum(span)))),
    max_size=8,
)


@given(spans=SPANS, released=st.sets(st.integers(0, 7)), asked=SPANS)
def test_what_is_held_is_what_somebody_holds(
    spans: list[tuple[Fraction, Fraction]], released: set[int], asked: list[tuple[Fraction, Fraction]]
) -> None:
    holds = Holds()
    releases = [holds.add(*span) for span in spans]
    for place in released & set(range(len(spans))):
        releases[place]()
        releases[place]()
    left = [span for place, span in enumerate(spans) if place not in released]
    for start_s, end_s in asked:
        expected = any(
            held_s - NEEDED_BEFORE_S < end_s and start_s <= until_s + NEEDED_AFTER_S for held_s, until_s in left
        )
        assert holds.touch(start_s, end_s) == expected


def test_limits_hold_for_what_an_earlier_run_recorded(camera: av.container.InputContainer, tmp_path: Path) -> None:
    for start_s in (0, 100):
        with Recorder(tmp_path, Fraction(10), MUCH) as recorder:
            recorder.begin(camera, Fraction(start_s))
            record(recorder, camera, range(6))
    assert starts_s(tmp_path) == [100, 102, 104]


def test_nothing_is_recorded_before_the_first_keyframe(camera: av.container.InputContainer, tmp_path: Path) -> None:
    with Recorder(tmp_path, LONG_S, MUCH) as recorder:
        recorder.begin(camera, Fraction(0))
        for n in range(60):
            recorder.write(made_up(camera, n * FRAME, keyframe=n == 20))
    assert len(list(packet_records(tmp_path))) == 40
    assert recorder.lost_packets == 0


def test_packets_without_a_time_are_counted(camera: av.container.InputContainer, tmp_path: Path) -> None:
    with Recorder(tmp_path, LONG_S, MUCH) as recorder:
        recorder.begin(camera, Fraction(0))
        timeless = made_up(camera, 0, keyframe=True)
        timeless.pts = timeless.dts = None
        recorder.write(timeless)
        recorder.end()
        recorder.end()
    assert recorder.lost_packets == 1
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from fractions import Fraction
from pathlib import Path
from live_factory import play
from clipstream.media.recording.recorder import Recorder
print(play(Recorder(Path(sys.argv[2]), Fraction(1000), 10**9), Path(sys.argv[1]), until_s=Fraction(5)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(clip: Path, tmp_path: Path) -> tuple[Path, int]:
    """Return the folder of a recorder that was killed after five seconds, and how many packets it had been given."""
    folder = tmp_path / "camera"
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", KILLED, clip, folder], env=surroundings, capture_output=True, text=True, check=False
    )
    assert run.returncode == -signal.SIGKILL
    return folder, int(run.stdout)


def test_a_killed_recorder_loses_no_packet(killed: tuple[Path, int]) -> None:
    folder, given = killed
    (before,) = Recording(folder).available()
    assert not all(finished for _, _, finished in segment_paths(folder))
    recorder = Recorder(folder, LONG_S, MUCH)
    assert all(finished for _, _, finished in segment_paths(folder))
    assert len(list(packet_records(folder))) == given
    (after,) = Recording(folder).available()
    assert after.start_s == 0
    assert not after.is_growing
    assert before.end_s <= after.end_s
    assert recorder.lost_packets == 0


@pytest.mark.parametrize("damage", ["torn", "changed", "never begun"])
def test_of_a_damaged_end_all_packets_before_are_kept(killed: tuple[Path, int], damage: str) -> None:
    folder, given = killed
    number, path, _ = segment_paths(folder)[-1]
    data = bytearray(path.read_bytes())
    if damage == "torn":
        path.write_bytes(data[:-5])
    elif damage == "changed":
        data[-5] ^= 1
        path.write_bytes(data)
    else:
        (folder / f".{number + 1:08d}.packets").touch()
    Recorder(folder, LONG_S, MUCH)
    assert len(list(packet_records(folder))) == given - (damage != "never begun")
    assert all(finished for _, _, finished in segment_paths(folder))


class Disk:
    """A disk with little room, in the place of what writes to the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        self.free = free
        self._write = os.write
        monkeypatch.setattr(os, "writev", lambda file, parts: self.write(file, b"".join(map(bytes, parts))))
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        if not self.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._write(file, data[: self.free])
        self.free -= taken
        return taken


def test_a_full_disk_is_told_once_and_recording_goes_on_when_there_is_room(
    camera: av.container.InputContainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path, LONG_S, MUCH)
    recorder.begin(camera, Fraction(0))
    with capture_logs() as logs:
        disk = Disk(monkeypatch, free=30_000)
        record(recorder, camera, range(20))
        assert [log["event"] for log in logs] == ["recording_stopped"]
        assert "No space left on device" in logs[0]["reason"]
        assert "\n" not in logs[0]["reason"]
        disk.free = 10**9
        record(recorder, camera, range(20, 30))
        assert [log["event"] for log in logs] == ["recording_stopped", "recording_resumed"]
    first, second = Recording(tmp_path).available()
    assert first.start_s == 0
    assert 3 < first.end_s < 9
    assert second.start_s == 20
    assert recorder.lost_packets == 600 - first.end_s * 30
    recorder.close()
    assert all(finished for _, _, finished in segment_paths(tmp_path))


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot hold the recording"):
        Recorder(tmp_path / "file" / "camera", LONG_S, MUCH)


@settings(max_examples=25, deadline=None)
@given(
    connections=st.lists(
        st.lists(st.tuples(st.booleans(), st.sampled_from([1, 1, 1, 1, 2, 30, 59, 100, 300])), min_size=1, max_size=40),
        min_size=1,
        max_size=4,
    ),
    looks=st.sets(st.integers(0, 160), max_size=5),
)
def test_what_is_available_is_what_came_after_each_first_keyframe_but_for_holes(
    connections: list[list[tuple[bool, int]]],
    looks: set[int],
    camera: av.container.InputContainer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("spans")
    recorder, recording = Recorder(folder, LONG_S, MUCH), Recording(folder)
    expected: list[list[Fraction]] = []
    at = 0
    for frames in connections:
        recorder.begin(camera, Fraction(0))
        started, before = False, 0
        for keyframe, step in frames:
            at += step
            started = started or keyframe
            recorder.write(made_up(camera, at * FRAME, keyframe=keyframe))
            if started:
                if not expected or not before or at - before > 61:
                    expected.append([Fraction(at, 30), Fraction(0)])
                expected[-1][1] = Fraction(at + 1, 30)
                before = at
            if at in looks:
                seen = [(span.start_s, span.end_s) for span in recording.available()]
                ends = [(start_s, end_s) for start_s, end_s in expected]
                growing = started and ends[-1][1] - Fraction(1, 30)
                assert seen == (ends if not started else [*ends[:-1], (ends[-1][0], growing)])
    recorder.end()
    assert [[span.start_s, span.end_s] for span in recording.available()] == expected
    assert [[span.start_s, span.end_s] for span in Recording(folder).available()] == expected
