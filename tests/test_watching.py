"""What is shown while a run goes: speed, time left, and a line a stream."""

from collections.abc import Callable
from fractions import Fraction
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from clipstream.cli.watching import LineWatcher, LiveWatcher, Pace, QuietWatcher
from clipstream.report.description import describe
from clipstream.report.manifest import Source
from clipstream.results import Interval, StreamSummary
from clipstream.run.watchers import Outcome, Watcher
from clipstream.settings import Settings

INTERVAL = Interval("match", 1, 1000, 4000, 2000, 3.0)


def test_a_pace_tells_speed_and_time_left_from_where_a_resumed_stream_began() -> None:
    pace = Pace(Fraction(100))
    assert pace.speed(5.0) is pace.left_s(5.0) is None
    pace.move(Fraction(40), 10.0)
    assert pace.speed(10.0) is pace.speed(12.0) is None
    pace.move(Fraction(60), 14.0)
    assert (pace.speed(14.0), pace.left_s(14.0)) == (5.0, 8.0)
    assert pace.speed(20.0) == 2.0
    pace.move(Fraction(100), 22.0)
    assert (pace.speed(22.0), pace.speed(99.0), pace.left_s(99.0)) == (5.0, 5.0, 0.0)


def test_a_pace_of_unknown_length_has_a_speed_but_no_time_left() -> None:
    pace = Pace(None)
    pace.move(Fraction(0), 0.0)
    pace.move(Fraction(9), 3.0)
    assert (pace.speed(3.0), pace.left_s(3.0)) == (3.0, None)


def test_a_terminal_shows_a_line_a_stream_until_it_is_finished(make_summary: Callable[..., StreamSummary]) -> None:
    manifest = describe(make_summary(), Source("match.mp4", "match.mp4"), Settings())
    drawn = StringIO()
    console = Console(file=drawn, width=120, force_terminal=True, color_system=None)
    times = iter([0.0, 2.0, 2.0, 2.0])
    watcher = LiveWatcher(console, lambda: next(times))
    watcher.started("match", Fraction(60))
    watcher.progressed("match", Fraction(0))
    watcher.progressed("match", Fraction(20))
    console.print(watcher.lines())
    line = drawn.getvalue()
    for part in ("match", "00:00:20 / 00:01:00", "10.0×", "4s left", "looking"):
        assert part in line
    watcher.clip_written("match", INTERVAL, Path("clip.mp4"))
    watcher.finished(Outcome("match", Path("match.mp4"), Path("out/match"), "done", None, manifest))
    console.print(watcher.lines())
    assert drawn.getvalue().removeprefix(line).split("\n")[0] == "match: 2 highlights in out/match"
    assert "looking" not in drawn.getvalue().removeprefix(line)


def test_a_live_stream_says_that_it_warms_up_and_when_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    told, drawn = LineWatcher(), StringIO()
    console = Console(file=drawn, width=120)
    shown = LiveWatcher(console)
    for watcher in (told, shown):
        watcher.started("gate", None)
        watcher.warming_up("gate", 10)
    console.print(shown.lines())
    for watcher in (told, shown):
        watcher.warming_up("gate", 0)
    console.print(shown.lines())
    assert capsys.readouterr().err.splitlines()[1:] == [
        "gate: warming up: nothing is given out for 10 s",
        "gate: warmed up: what is usual is known roughly, and better from minute to minute",
    ]
    before, after = drawn.getvalue().splitlines()
    assert "warming up" in before
    assert "starting" in after


@pytest.mark.parametrize("watcher", [QuietWatcher(), LineWatcher(), LiveWatcher(Console(stderr=True))])
def test_every_watcher_survives_a_stream_that_never_started(watcher: Watcher) -> None:
    watcher.progressed("match", Fraction(1))
    watcher.clip_written("match", INTERVAL, Path("clip.mp4"))
    watcher.finished(Outcome("match", Path("match.mp4"), Path("out/match"), "stopped"))
