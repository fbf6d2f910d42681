"""What cannot be written for a while: it stays pending, holds nothing up, and is tried again."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from clipstream.errors import CutError, OutputError
from clipstream.media.cut import SmartCutter
from clipstream.output import OutputContext, OutputQueue
from clipstream.results import Interval, StreamSummary
from clipstream.settings import Settings

Summaries = Callable[..., StreamSummary]
Item = Interval | StreamSummary

FULL = OutputError("clips: cannot be written (No space left on device): free some space.")


class AtOnce(Executor):
    """A pool that works where it is asked to."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        fn(*args, **kwargs)
        return Future()


@dataclass
class Clock:
    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Disk:
    """Where things are written, in the order given in `tried`, but for those that `refuses` names.

    Attributes:
        refuses: By number, 0 for the summary, why something cannot be written.
        full: Whether nothing at all can be, not even what failed.
    """

    refuses: dict[int, BaseException] = field(default_factory=dict)
    full: bool = False
    stopped: bool = False
    tried: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)


class UnspeakableError(Exception):
    """Of which not even a note can be made."""


class Queue(OutputQueue):
    def __init__(self, disk: Disk, *, patient: bool = True) -> None:
        context = OutputContext(
            out=Path(),
            settings=Settings(),
            left_out=(),
            cutter=SmartCutter(),
            pool=AtOnce(),
            stopped=lambda: disk.stopped,
            clip_written=lambda *_: None,
            stream_written=lambda *_: None,
        )
        super().__init__(context, "cam", patient=patient)
        self._disk = disk

    def _cut(self, interval: Interval) -> None:
        self._write(interval.number)

    def _finish(self, summary: StreamSummary) -> None:
        self._write(0)

    def _failed(self, item: Item, error: Exception) -> None:
        if self._disk.full:
            raise FULL
        if isinstance(error, UnspeakableError):
            raise error
        self._disk.failed.append(number_of(item))

    def _write(self, number: int) -> None:
        self._disk.tried.append(number)
        if self._disk.full:
            raise FULL
        if (error := self._disk.refuses.get(number)) is not None:
            raise error

    def left(self) -> list[int]:
        return [number_of(item) for item in self.pending()]


def number_of(item: Item) -> int:
    return item.number if isinstance(item, Interval) else 0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("clipstream.output.queue.monotonic", made)
    return made


@pytest.fixture
def found(make_summary: Summaries) -> list[Item]:
    """Return two highlights and the summary that ends their stream."""
    summary = make_summary()
    return [*summary.intervals, summary]


def test_what_cannot_be_written_now_waits_behind_the_rest_and_is_written_later(found: list[Item], clock: Clock) -> None:
    disk = Disk(refuses={1: FULL})
    queue = Queue(disk)
    with capture_logs() as logs:
        for item in found:
            queue.add(item)
        assert queue.left() == [1, 2, 0]
        clock.now_s += 1
        queue.go_on()
        assert queue.left() == [2, 1, 0]
        clock.now_s += 2
        queue.go_on()
        assert queue.left() == [1, 0]
        disk.refuses.clear()
        clock.now_s += 1
        queue.go_on()
    assert queue.left() == []
    assert disk.failed == []
    assert [log["event"] for log in logs if log["log_level"] != "debug"] == ["output_waits", "output_goes_on"]


def test_what_is_pending_is_not_taken_twice(found: list[Item]) -> None:
    queue = Queue(Disk(refuses={1: FULL}))
    for item in (found[0], found[1], found[0]):
        queue.add(item)
    assert queue.left() == [1, 2]


def test_pauses_between_tries_double_up_to_the_longest(found: list[Item], clock: Clock) -> None:
    disk = Disk(refuses={1: FULL})
    queue = Queue(disk)
    queue.add(found[0])
    times_s = []
    for _ in range(600):
        clock.now_s += 0.1
        before = len(disk.tried)
        queue.go_on()
        if len(disk.tried) > before:
            times_s.append(clock.now_s)
    pauses_s = [round(later - earlier) for earlier, later in zip([1_000.0, *times_s], times_s, strict=False)]
    assert pauses_s[:6] == [1, 2, 4, 8, 15, 15]


def test_what_cannot_be_cut_at_all_is_not_tried_again(found: list[Item]) -> None:
    disk = Disk(refuses={1: CutError("cam: nothing is recorded.")})
    queue = Queue(disk)
    queue.add(found[0])
    assert (disk.tried, disk.failed, queue.left()) == ([1], [1], [])


def test_a_failure_of_which_no_note_can_be_made_waits_for_that(found: list[Item], clock: Clock) -> None:
    disk = Disk(refuses={1: CutError("cam: nothing is recorded.")}, full=True)
    queue = Queue(disk)
    queue.add(found[0])
    assert queue.left() == [1]
    disk.full = False
    clock.now_s += 1
    queue.go_on()
    assert (disk.failed, queue.left()) == ([1], [])


def test_a_failure_of_which_no_note_can_ever_be_made_is_told_and_holds_nothing_up(found: list[Item]) -> None:
    disk = Disk(refuses={1: UnspeakableError("twice.")})
    queue = Queue(disk)
    with capture_logs() as logs:
        for item in found:
            queue.add(item)
    assert (disk.tried, queue.left()) == ([1, 2, 0], [])
    (told,) = (log for log in logs if log["log_level"] == "error")
    assert (told["stream"], told["error"]) == ("cam", "UnspeakableError: twice.")


def test_what_ends_the_work_for_good_is_told_for_nobody_reads_what_the_pool_returns(found: list[Item]) -> None:
    queue = Queue(Disk(refuses={1: SystemExit("no more.")}))
    with capture_logs() as logs, pytest.raises(SystemExit):
        queue.add(found[0])
    assert [log["error"] for log in logs if log["log_level"] == "error"] == ["SystemExit: no more."]


def test_closing_tries_everything_once_more_and_then_it_has_failed(found: list[Item]) -> None:
    disk = Disk(refuses={1: FULL, 2: FULL})
    queue = Queue(disk)
    for item in found:
        queue.add(item)
    disk.tried.clear()
    queue.close()
    assert disk.tried == [1, 2, 0]
    assert (disk.failed, queue.left()) == ([1, 2], [])


def test_closing_ends_even_when_nothing_at_all_can_be_written(found: list[Item]) -> None:
    queue = Queue(Disk(full=True))
    for item in found:
        queue.add(item)
    queue.close()
    assert queue.left() == []


def test_a_run_that_is_stopped_remembers_what_still_waits(found: list[Item]) -> None:
    disk = Disk(refuses={1: FULL})
    queue = Queue(disk)
    for item in found:
        queue.add(item)
    disk.stopped = True
    queue.close()
    assert queue.left() == [1, 2, 0]


def test_without_patience_what_cannot_be_written_has_failed(found: list[Item]) -> None:
    disk = Disk(refuses={1: FULL})
    queue = Queue(disk, patient=False)
    queue.add(found[0])
    assert (disk.failed, queue.left()) == ([1], [])
