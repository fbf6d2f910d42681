"""How a run goes, on stderr: a live line a stream on a terminal, a line at start and finish elsewhere."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Lock

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clipstream.report.description import reason_sentence
from clipstream.results import Interval
from clipstream.run.watchers import Outcome, Watcher
from clipstream.settings.option import duration_text
from clipstream.timing import clock, to_ms

__all__ = ["LineWatcher", "LiveWatcher", "Pace", "QuietWatcher", "finish_line", "print_error", "watching"]

_NAME_CELLS = 32
_BAR_CELLS = 24
_REFRESHES_HZ = 8


def print_error(message: str, console: Console | None = None) -> None:
    """Print one line of error on stderr, above live lines where there are some."""
    line = f"clipstream: {' '.join(message.split())}"
    if console is None:
        sys.stderr.write(line + "\n")
    else:
        console.print(Text(line, style="red"), soft_wrap=True)


@dataclass(slots=True)
class Pace:
    """How far and how fast a stream is read.

    Attributes:
        begun_s: When its first progress was told, by the clock of the caller.
        moved_s: When its last was told.
        first_s: Media time of that first progress: a resumed stream does not begin at 0.
        duration_s: How long it is, if that is known.
        media_s: Media time it has come to.
        clips: Clips written so far.
        warming_up: Whether it is not known yet what is usual.
    """

    duration_s: Fraction | None
    begun_s: float | None = None
    moved_s: float = 0.0
    first_s: Fraction = Fraction(0)
    media_s: Fraction = Fraction(0)
    clips: int = 0
    warming_up: bool = False

    def move(self, media_s: Fraction, now_s: float) -> None:
        """Take in that the stream has come to `media_s`."""
        if self.begun_s is None:
            self.begun_s, self.first_s = now_s, media_s
        self.moved_s = now_s
        self.media_s = max(self.media_s, media_s)

    @property
    def read_out(self) -> bool:
        """Whether its end has been read, so that only deciding and cutting are left."""
        return self.duration_s is not None and self.media_s >= self.duration_s

    def speed(self, now_s: float) -> float | None:
        """Return media seconds a second, `None` before that can be told. It stays as it is once all is read."""
        until_s = self.moved_s if self.read_out else now_s
        if self.begun_s is None or until_s <= self.begun_s or self.media_s <= self.first_s:
            return None
        return float(self.media_s - self.first_s) / (until_s - self.begun_s)

    def left_s(self, now_s: float) -> float | None:
        """Return the seconds until its end is read, `None` where unknown."""
        speed = self.speed(now_s)
        if speed is None or self.duration_s is None:
            return None
        return max(0.0, float(self.duration_s - self.media_s)) / speed


class QuietWatcher:
    """Says nothing but what went wrong."""

    console: Console | None = None

    def started(self, stream: str, duration_s: Fraction | None) -> None:
        """Take in that a stream begins."""

    def progressed(self, stream: str, media_s: Fraction) -> None:
        """Take in how far it is."""

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
        """Take in that a clip is there."""

    def fetching(self, stream: str, share: float) -> None:
        """Take in how much of it is fetched."""

    def warming_up(self, stream: str, seconds: float) -> None:
        """Take in for how long nothing is given out, as it is not known what is usual."""

    def finished(self, outcome: Outcome) -> None:
        """Print the error, if it is one."""
        if outcome.state == "bad_input":
            print_error(outcome.message or f"{outcome.source}: cannot be used.", self.console)
        elif outcome.state == "failed":
            print_error(f"{outcome.source}: {outcome.message or 'failed.'}", self.console)


class LineWatcher(QuietWatcher):
    """Prints a line when a stream begins and one when it ends, and one for each clip of a stream without an end."""

    def __init__(self) -> None:
        self._endless: set[str] = set()
        self._fetched: set[str] = set()

    def fetching(self, stream: str, share: float) -> None:  # noqa: ARG002 - the Protocol's
        """Print a line when a stream begins to be fetched."""
        if stream not in self._fetched:
            self._fetched.add(stream)
            sys.stderr.write(f"{stream}: fetching\n")

    def started(self, stream: str, duration_s: Fraction | None) -> None:
        """Print the line that begins a stream."""
        if duration_s is None:
            self._endless.add(stream)
        length = f", {clock(to_ms(duration_s))} long" if duration_s is not None else ""
        sys.stderr.write(f"{stream}: started{length}\n")

    def warming_up(self, stream: str, seconds: float) -> None:
        """Print a line when that begins, and one when it is over."""
        begun = f"warming up: nothing is given out for {seconds:g} s"
        over = "warmed up: what is usual is known roughly, and better from minute to minute"
        sys.stderr.write(f"{stream}: {begun if seconds else over}\n")

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
        """Print the line of a clip, which may be the only sign of a camera for days."""
        if stream in self._endless:
            sys.stderr.write(f"{stream}: {path}: {reason_sentence(interval.reasons)}\n")

    def finished(self, outcome: Outcome) -> None:
        """Print the line that ends it."""
        super().finished(outcome)
        if line := finish_line(outcome):
            sys.stderr.write(line + "\n")


class LiveWatcher(QuietWatcher):
    """Keeps a line a stream up to date while it is worked on, and leaves one line behind.

    Args:
        console: Where to draw.
        now: Gives seconds that only ever grow.
    """

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self.console: Console = console
        self._now = now
        self._paces: dict[str, Pace] = {}
        self._fetched: dict[str, float] = {}
        self._lock = Lock()

    def started(self, stream: str, duration_s: Fraction | None) -> None:
        """Add its line."""
        with self._lock:
            self._fetched.pop(stream, None)
            self._paces[stream] = Pace(duration_s)

    def fetching(self, stream: str, share: float) -> None:
        """Show how much of it is fetched."""
        with self._lock:
            self._fetched[stream] = share

    def progressed(self, stream: str, media_s: Fraction) -> None:
        """Move its line on."""
        with self._lock:
            if stream in self._paces:
                self._paces[stream].move(media_s, self._now())

    def warming_up(self, stream: str, seconds: float) -> None:
        """Say it on its line."""
        with self._lock:
            if stream in self._paces:
                self._paces[stream].warming_up = seconds > 0

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None:  # noqa: ARG002 - the Protocol's
        """Count the clip on its line."""
        with self._lock:
            if stream in self._paces:
                self._paces[stream].clips += 1

    def finished(self, outcome: Outcome) -> None:
        """Replace its line by what came of it."""
        with self._lock:
            self._paces.pop(outcome.stream, None)
            self._fetched.pop(outcome.stream, None)
        super().finished(outcome)
        if line := finish_line(outcome):
            self.console.print(Text(line), soft_wrap=True)

    def lines(self) -> RenderableType:
        """Return the lines as they are now."""
        now_s = self._now()
        table = Table.grid(padding=(0, 2))
        for column in range(6):
            table.add_column(no_wrap=True, justify="right" if column in {1, 3, 4} else "left")
        with self._lock:
            for stream, share in self._fetched.items():
                bar = ProgressBar(1.0, share, width=_BAR_CELLS)
                table.add_row(_name(stream), f"{share:.0%}", bar, "", "", "fetching")
            for stream, pace in self._paces.items():
                table.add_row(*_cells(stream, pace, now_s))
        return table


def finish_line(outcome: Outcome) -> str | None:
    """Return what a finished stream leaves behind in one line; `None` where an error or the end says it all."""
    if outcome.manifest is None or outcome.state not in {"done", "already_done"}:
        return None
    count = len(outcome.manifest.highlights)
    found = f"{count or 'no'} highlight{'' if count == 1 else 's'}"
    again = ", finished before," if outcome.state == "already_done" else ""
    return f"{outcome.stream}: {found}{again} in {outcome.folder}"


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watcher]:
    """Give a watcher that suits where stderr goes; its lines are gone when the block ends."""
    console = Console(stderr=True, highlight=False)
    if quiet:
        yield QuietWatcher()
    elif not console.is_terminal:
        yield LineWatcher()
    else:
        watcher = LiveWatcher(console)
        with Live(
            console=console, get_renderable=watcher.lines, refresh_per_second=_REFRESHES_HZ, transient=True,
            redirect_stdout=False,
        ):  # fmt: skip
            yield watcher


def _name(stream: str) -> Text:
    name = Text(stream, style="bold", overflow="ellipsis")
    name.truncate(_NAME_CELLS, overflow="ellipsis")
    return name


def _cells(stream: str, pace: Pace, now_s: float) -> list[RenderableType]:
    at = _clock(pace.media_s)
    bar: RenderableType = ""
    if pace.duration_s:
        at = f"{at} / {_clock(pace.duration_s)}"
        bar = ProgressBar(float(pace.duration_s), float(min(pace.media_s, pace.duration_s)), width=_BAR_CELLS)
    speed, left_s = pace.speed(now_s), pace.left_s(now_s)
    clips = f"{pace.clips} clip{'' if pace.clips == 1 else 's'}" if pace.clips else ""
    state = clips or ("deciding" if pace.read_out else "looking" if pace.begun_s is not None else "starting")
    if pace.warming_up:
        state = "warming up"
    return [
        _name(stream),
        at,
        bar,
        f"{speed:.1f}×" if speed else "",
        f"{duration_text(math.ceil(left_s))} left" if left_s else "",
        state,
    ]


def _clock(time_s: Fraction) -> str:
    return clock(to_ms(time_s)).split(".")[0]
