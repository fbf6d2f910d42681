"""What becomes of a live highlight whose clip or announcement cannot be written, and what the run says of it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_output_queue import AtOnce, Clock

from clipstream.cut_choice import chosen_cutter
from clipstream.errors import CutError, NotRecordedError, OutputError
from clipstream.live import Cameras, LiveOutput
from clipstream.media.cutter import ClipResult, ClipSpec, Cutter
from clipstream.media.live.address import LiveAddress, LiveInput
from clipstream.media.slices import MediaNeeds
from clipstream.output import OutputContext
from clipstream.report.manifest import Manifest, read_manifest
from clipstream.results import Interval, StreamSummary
from clipstream.run.telling import Telling
from clipstream.settings import Settings

MOMENT = Interval("cam", 1, 10_250, 14_000, 12_000, 5.0)
FULL = OutputError("clips: cannot be written (No space left on device): free some space.")


@dataclass
class Shaky:
    """Cuts, but for what `refuses` says instead."""

    refuses: Exception | None = None
    cuts: int = 0

    def cut(self, spec: ClipSpec, _cancelled: Callable[[], bool]) -> ClipResult:
        self.cuts += 1
        if self.refuses:
            raise self.refuses
        spec.target.write_text("a clip", encoding="utf-8")
        return ClipResult(spec.target, spec.start_s, spec.end_s, 2, "pretended", (), 1)


@dataclass
class Run:
    """A run's output of one camera, which works where it is asked to."""

    out: Path
    telling: Telling
    endings: list[Manifest] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = Settings(out=str(self.out))
        cameras = Cameras([LiveInput("cam", LiveAddress.parse("rtsp://camera/1"))], settings, MediaNeeds())
        context = OutputContext(
            out=self.out,
            settings=settings,
            left_out=(),
            cutter=chosen_cutter(settings),
            pool=AtOnce(),
            stopped=lambda: False,
            clip_written=self.telling.clip_written,
            stream_written=lambda _, manifest: self.endings.append(manifest),
            tally=self.telling.tally,
        )
        self.output = LiveOutput(context, "cam", cameras, ())

    def ending(self, *items: Interval | StreamSummary) -> Manifest:
        """Take what there is, end, and return the one manifest that was told at the end."""
        for item in items:
            self.output.add(item)
        self.output.close()
        (ending,) = self.endings
        return ending

    @property
    def clips(self) -> list[str | None]:
        manifest = read_manifest(self.out / "cam")
        return [one.clip for one in manifest.highlights] if manifest else []


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("clipstream.output.queue.monotonic", made)
    return made


@pytest.fixture(autouse=True)
def cutter(monkeypatch: pytest.MonkeyPatch) -> Shaky:
    shaky = Shaky()

    def instead(_: Cutter) -> Shaky:
        return shaky

    monkeypatch.setattr("clipstream.live.output.RecordingCutter", instead)
    return shaky


def telling(out: Path) -> Telling:
    return Telling(Settings(out=str(out), webhook=("http://127.0.0.1:9/nobody",)), None)


@dataclass
class Jam:
    """What keeps messages from being written, until it is mended."""

    folder: Path
    mend: Callable[[], None]

    @property
    def messages(self) -> int:
        return len(list(self.folder.rglob("0*.json")))


@pytest.fixture
def jammed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Telling, Jam]]:
    """Return who tells, with an outbox that cannot be written now."""

    def refuse(*_: object) -> None:
        raise FULL

    with telling(tmp_path) as teller, monkeypatch.context() as full:
        full.setattr("clipstream.notify.queue.Queue.put", refuse)
        yield teller, Jam(tmp_path / ".clipstream" / "outbox", full.undo)


def test_a_clip_that_cannot_be_announced_now_is_announced_when_that_can_be_written_and_not_cut_again(
    jammed: tuple[Telling, Jam], tmp_path: Path, clock: Clock, cutter: Shaky
) -> None:
    teller, outbox = jammed
    run = Run(tmp_path, teller)
    run.output.add(MOMENT)
    assert len(run.clips) == 1
    assert (teller.tally.counts("cam").written, len(run.output.pending())) == (0, 1)
    outbox.mend()
    clock.now_s += 1
    run.output.go_on()
    assert (teller.tally.counts("cam").written, run.output.pending()) == (1, ())
    assert (outbox.messages, len(run.clips), cutter.cuts) == (1, 1, 1)


def test_a_clip_that_was_never_announced_stays_in_the_manifest_and_the_next_run_announces_it(
    jammed: tuple[Telling, Jam], tmp_path: Path, cutter: Shaky
) -> None:
    teller, outbox = jammed
    run = Run(tmp_path, teller)
    run.output.add(MOMENT)
    run.output.close()
    (clip,) = run.clips
    assert clip is not None
    outbox.mend()
    with telling(tmp_path) as later:
        again = Run(tmp_path, later)
        again.output.close()
    assert outbox.messages == 1
    assert (again.clips, cutter.cuts) == ([clip], 1)
    with telling(tmp_path) as later:
        assert Run(tmp_path, later).output.pending() == ()


def test_a_run_that_ends_with_a_clip_that_was_never_announced_has_failed(
    jammed: tuple[Telling, Jam], tmp_path: Path, summary: StreamSummary
) -> None:
    teller, outbox = jammed
    ending = Run(tmp_path, teller).ending(MOMENT, summary)
    outbox.mend()
    assert (ending.status, ending.highlights[0].clip is None) == ("failed", False)
    assert str(ending.error).startswith("1 of 1 clips could not be cut or announced: ")


@pytest.fixture
def summary(make_summary: Callable[..., StreamSummary]) -> StreamSummary:
    return make_summary()


@pytest.mark.parametrize("why", [FULL, CutError("cam: the encoder refuses.")])
def test_a_run_whose_clips_could_not_be_cut_or_written_has_failed_and_says_why(
    why: Exception, tmp_path: Path, cutter: Shaky, summary: StreamSummary
) -> None:
    cutter.refuses = why
    with telling(tmp_path) as teller:
        ending = Run(tmp_path, teller).ending(MOMENT, summary)
    assert (ending.status, ending.error) == ("failed", f"1 of 1 clips could not be cut or announced: {why}")
    assert read_manifest(tmp_path / "cam") == ending


def test_a_run_is_complete_though_of_a_highlight_nothing_was_recorded(
    tmp_path: Path, cutter: Shaky, summary: StreamSummary
) -> None:
    cutter.refuses = NotRecordedError("cam: nothing is recorded between 10.250 s and 14.000 s.")
    with telling(tmp_path) as teller:
        run = Run(tmp_path, teller)
        ending = run.ending(MOMENT, summary)
    assert (ending.status, ending.error, run.clips) == ("complete", None, [None])


def test_a_clip_that_could_be_written_after_all_is_no_failure(
    tmp_path: Path, cutter: Shaky, clock: Clock, summary: StreamSummary
) -> None:
    cutter.refuses = FULL
    with telling(tmp_path) as teller:
        run = Run(tmp_path, teller)
        run.output.add(MOMENT)
        cutter.refuses = None
        clock.now_s += 1
        ending = run.ending(summary)
    assert (ending.status, len(ending.highlights)) == ("complete", 1)


def test_a_stream_whose_folder_can_never_be_made_has_failed_and_says_why(
    tmp_path: Path, summary: StreamSummary
) -> None:
    (tmp_path / "cam").symlink_to(tmp_path / "nowhere")
    with telling(tmp_path) as teller:
        ending = Run(tmp_path, teller).ending(MOMENT, summary)
    assert (ending.status, ending.highlights) == ("failed", ())
    assert "a file is where a folder should be" in str(ending.error)


def test_a_stream_whose_highlights_cannot_be_read_back_has_failed_with_those_that_are_on_disk(
    tmp_path: Path, summary: StreamSummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telling(tmp_path) as teller:
        run = Run(tmp_path, teller)
        run.output.add(MOMENT)
        with monkeypatch.context() as damaged:
            damaged.setattr(os, "pread", damage)
            ending = run.ending(summary)
    assert ending.status == "failed"
    assert "Input/output error" in str(ending.error)
    assert [one.clip for one in ending.highlights] == run.clips != []


def test_a_clip_waits_to_be_announced_while_the_list_cannot_be_read_back(
    jammed: tuple[Telling, Jam], tmp_path: Path, cutter: Shaky, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller, outbox = jammed
    run = Run(tmp_path, teller)
    run.output.add(MOMENT)
    outbox.mend()
    with monkeypatch.context() as damaged:
        damaged.setattr(os, "pread", damage)
        clock.now_s += 1
        run.output.go_on()
        assert (len(run.output.pending()), outbox.messages) == (1, 0)
    clock.now_s += 2
    run.output.go_on()
    assert (run.output.pending(), outbox.messages, len(run.clips), cutter.cuts) == ((), 1, 1, 1)


def damage(*_: object) -> bytes:
    raise OSError(5, "Input/output error")
