"""What a live stream's highlights become, with a cutter that only pretends."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from threading import Event

import av.container
import pytest
from live_factory import made_up

from clipstream.cut_choice import chosen_cutter
from clipstream.live import Cameras, LiveOutput
from clipstream.media.cutter import ClipResult, ClipSpec, Cutter
from clipstream.media.live.address import LiveAddress, LiveInput
from clipstream.media.probe import open_media
from clipstream.media.recording.recorder import Recorder
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.output import OutputContext
from clipstream.report.manifest import read_manifest
from clipstream.results import Interval
from clipstream.settings import Settings
from clipstream.testing import wait_until
from clipstream.testing.media import Video, even_times, make_clip

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MOMENT = Interval("cam", 1, 10_250, 14_000, 12_000, 5.0)


class Pretender:
    """Writes something in place of a clip, and counts."""

    def __init__(self, _: Cutter | None = None) -> None:
        self.cuts: list[str] = []

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        assert not cancelled()
        self.cuts.append(spec.target.name)
        spec.target.write_text(f"{spec.start_s} {spec.end_s}", encoding="utf-8")
        return ClipResult(spec.target, spec.start_s, spec.end_s, 2, "pretended", (), 1)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[av.container.InputContainer]:
    clip = make_clip(tmp_path_factory.mktemp("clip") / "clip.mov", Video(even_times(30), b_frames=0))
    with open_media(clip) as container:
        yield container


@pytest.fixture
def cutter(monkeypatch: pytest.MonkeyPatch) -> Pretender:
    pretender = Pretender()
    monkeypatch.setattr("clipstream.live.output.RecordingCutter", lambda _: pretender)
    return pretender


def record(camera: av.container.InputContainer, out: Path, start_s: int, date: datetime) -> None:
    """Record 20 seconds that begin at a stream time and a date."""
    with Recorder(out / ".clipstream" / "recordings" / "cam", Fraction(10**6), 10**9) as recorder:
        unix_s = date.timestamp() - start_s
        recorder.begin(camera, Fraction(0), lambda time_s: unix_s + float(time_s))
        for second in range(start_s, start_s + 21):
            recorder.write(made_up(camera, second * 90_000, keyframe=True))


def take(out: Path, *found: Interval, stopped: bool = False) -> list[Interval]:
    """Let a run of its own take highlights, and return what it told; one that is stopped cuts none."""
    settings, stop, told = Settings(out=str(out)), Event(), list[Interval]()
    cameras = Cameras([LiveInput("cam", LiveAddress.parse("rtsp://camera/1"))], settings, MediaNeeds())
    if stopped:
        stop.set()
    with ThreadPoolExecutor(1) as pool:
        context = OutputContext(
            out=out,
            settings=settings,
            left_out=(),
            cutter=chosen_cutter(settings),
            pool=pool,
            stopped=stop.is_set,
            clip_written=lambda _, interval, __: told.append(interval),
            stream_written=lambda *_: None,
        )
        output = LiveOutput(context, "cam", cameras, ())
        for interval in found:
            output.add(interval)
        output.close()
    return told


def pending(out: Path) -> list[dict[str, object]]:
    noted = json.loads((out / ".clipstream" / "pending" / "cam.json").read_text("utf-8"))
    return list(noted["highlights"])


def test_a_clip_is_named_by_the_recorded_date_not_by_the_time_since_the_stream_began(
    camera: av.container.InputContainer, cutter: Pretender, tmp_path: Path
) -> None:
    record(camera, tmp_path, 0, NOON)
    record(camera, tmp_path, 86_486, NOON + timedelta(days=1))  # a clock that runs 0.1 % fast
    told = take(tmp_path, MOMENT, replace(MOMENT, number=2, start_ms=86_489_000, end_ms=86_492_000, peak_ms=86_490_000))
    assert cutter.cuts == ["2026-06-01T12-00-10.250Z.mp4", "2026-06-02T12-00-03.000Z.mp4"]
    manifest = read_manifest(tmp_path / "cam")
    assert manifest is not None
    assert [one.date for one in manifest.highlights] == ["2026-06-01T12:00:10.250Z", "2026-06-02T12:00:03.000Z"]
    assert [datetime.fromtimestamp((one.date_ms or 0) / 1000, UTC) for one in told] == [
        NOON + timedelta(seconds=10.25),
        NOON + timedelta(days=1, seconds=3),
    ]


def test_a_highlight_is_dated_from_memory_while_its_camera_is_recorded(
    cutter: Pretender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def remembered(_: Cameras, stream: str, time_s: Fraction) -> datetime:
        asked.append((stream, time_s))
        return NOON

    monkeypatch.setattr(Cameras, "date_of", remembered)
    monkeypatch.delattr("clipstream.live.output.Recording.date_of")
    (told,) = take(tmp_path, MOMENT)
    assert told.date_ms == NOON.timestamp() * 1000
    assert asked == [("cam", Fraction(41, 4))]
    assert cutter.cuts == ["2026-06-01T12-00-00.000Z.mp4"]


def test_without_a_recording_the_time_since_the_stream_began_is_the_date(cutter: Pretender, tmp_path: Path) -> None:
    began = tmp_path / ".clipstream" / "recordings" / "cam.json"
    began.parent.mkdir(parents=True)
    began.write_text(json.dumps({"began_unix_s": NOON.timestamp()}), "utf-8")
    take(tmp_path, MOMENT)
    assert cutter.cuts == ["2026-06-01T12-00-10.250Z.mp4"]


def test_where_the_worlds_clock_was_set_back_two_clips_of_one_date_have_two_names(
    camera: av.container.InputContainer, cutter: Pretender, tmp_path: Path
) -> None:
    record(camera, tmp_path, 0, NOON)
    record(camera, tmp_path, 30, NOON)
    take(tmp_path, MOMENT, replace(MOMENT, number=2, start_ms=40_250, end_ms=44_000, peak_ms=42_000))
    assert cutter.cuts == ["2026-06-01T12-00-10.250Z.mp4", "2026-06-01T12-00-10.251Z.mp4"]


def test_what_was_found_but_not_cut_is_cut_by_the_next_run_under_the_name_it_would_have_had(
    camera: av.container.InputContainer, cutter: Pretender, tmp_path: Path
) -> None:
    record(camera, tmp_path, 0, NOON)
    assert take(tmp_path, MOMENT, stopped=True) == []
    (noted,) = pending(tmp_path)
    assert noted["start_ms"] == MOMENT.start_ms
    for path in (tmp_path / ".clipstream" / "recordings" / "cam").iterdir():
        path.unlink()
    record(camera, tmp_path, 0, NOON + timedelta(seconds=1))
    (told,) = take(tmp_path)
    assert told.date_ms == noted["date_ms"]
    assert cutter.cuts == ["2026-06-01T12-00-10.250Z.mp4"]
    assert pending(tmp_path) == []
    assert take(tmp_path) == []


def test_other_settings_count_from_one_again_and_neither_run_loses_a_highlight(
    camera: av.container.InputContainer, cutter: Pretender, tmp_path: Path
) -> None:
    record(camera, tmp_path, 0, NOON)
    take(tmp_path, MOMENT, stopped=True)
    told = take(tmp_path, replace(MOMENT, start_ms=15_000, end_ms=18_000, peak_ms=16_000))
    assert len(cutter.cuts) == 2
    assert [(one.number, one.start_ms) for one in told] == [(1, 10_250), (2, 15_000)]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_highlight_that_is_found_again_after_a_crash_and_ends_elsewhere_then_is_the_same(
    camera: av.container.InputContainer, cutter: Pretender, tmp_path: Path, *, stopped: bool
) -> None:
    record(camera, tmp_path, 0, NOON)
    before = take(tmp_path, MOMENT, stopped=stopped)
    again = take(tmp_path, replace(MOMENT, end_ms=14_500, peak_ms=12_500, score=6.0))
    assert len(cutter.cuts) == 1
    assert [replace(one, number=1) for one in again] == (before or [replace(again[0], number=1)])
    assert again[0].end_ms == MOMENT.end_ms


def test_the_same_stream_time_at_another_date_is_another_highlight(
    camera: av.container.InputContainer, cutter: Pretender, tmp_path: Path
) -> None:
    record(camera, tmp_path, 0, NOON)
    take(tmp_path, MOMENT)
    for path in (tmp_path / ".clipstream" / "recordings" / "cam").iterdir():  # as who removes the state folder does
        path.unlink()
    record(camera, tmp_path, 0, NOON + timedelta(hours=1))
    take(tmp_path, MOMENT)
    assert cutter.cuts == ["2026-06-01T12-00-10.250Z.mp4", "2026-06-01T13-00-10.250Z.mp4"]


def test_a_stream_whose_clock_ran_ahead_never_goes_on_before_what_is_recorded(
    camera: av.container.InputContainer, tmp_path: Path
) -> None:
    record(camera, tmp_path, 86_486, NOON)
    address = LiveAddress.parse("rtsp://127.0.0.1:9/nobody")
    cameras = Cameras([LiveInput("cam", address)], Settings(out=str(tmp_path)), MediaNeeds())
    watched = cameras.open("cam", 0)
    taken: list[Slice] = []

    def ended() -> bool:
        taken.extend(watched.take(ending=True))
        return bool(taken)

    wait_until(ended)
    cameras.close()

    assert taken[-1].start_s >= 86_486 + 20


def test_a_list_that_is_damaged_costs_no_run(cutter: Pretender, tmp_path: Path) -> None:
    noted = tmp_path / ".clipstream" / "pending" / "cam.json"
    noted.parent.mkdir(parents=True)
    noted.write_text('{"highlights": [{"stream": 3', "utf-8")
    take(tmp_path, MOMENT)
    assert len(cutter.cuts) == 1
