"""Measure live streams against cameras on this machine that fail on command, and print the table.

uv run python benchmarks/live.py                      # all of it, but for the soak
uv run python benchmarks/live.py latency --minutes 1  # these lines, shorter
uv run python benchmarks/live.py soak --minutes 20    # a fault every twenty seconds
uv run python benchmarks/live.py passes --clip FILE   # a file over and over
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

from benchmarks.footage import CACHE
from benchmarks.live_passes import passes
from benchmarks.live_watch import (
    MOMENT_S,
    Occurrence,
    Watch,
    footage,
    medians,
    numbers_in,
    occurrences,
    slope_an_hour,
    watching,
)
from clipstream.testing import RtspServer

__all__ = ["main"]

Line = tuple[str, str, str]
"""What is measured, what is wanted, what was seen."""

_USUAL_MINUTES = {"latency": 3, "recovery": 3, "cameras": 1, "soak": 20, "passes": 10}
_CONTEXT_S = 1.0
_WARM_UP_S = 10.0
"""For so long nothing is given out, since it is not known what is usual."""
_STEADY_S = 6.0
"""A connection that ran for less does not count as one that works."""
_FAULT_EVERY_S = 20.0
_WARM_S = 1300.0
"""After so long, all that is remembered for a time or up to a number is full: ten minutes of recording and of what is
usual, and a hundred highlights."""
_pause = Event()


def latency(out: Path, minutes: float) -> list[Line]:
    """Time clips from the end of what they show to their being whole on disk."""
    clip = footage(CACHE / "live-720p30.mp4", 1280, 720, 30)
    with RtspServer(clip) as server:
        with watching(out, {"percentile": 0}, {"cam": server.url}) as watch:
            begun_s = watch.wait("camera", 0, state="running")
            _pause.wait(60 * minutes)
        shown = occurrences(server, 30)
    waits_s, exact = [], 0
    offsets: set[int] = set()
    for told in watch.of("clip"):
        numbers = numbers_in(Path(told["path"]))
        moment = _shown(told, numbers, shown)
        if moment is None or moment.at_s < begun_s + _WARM_UP_S:
            continue
        waits_s.append(told["at_s"] - moment.at_s - _CONTEXT_S)
        # Every clip asks for a half-second, and a moment is shown every ten: the same frame each time.
        offsets.add((numbers[0] - moment.frames[0]) % 1800)
        exact += 1
    asked = sum(one.whole and one.at_s > begun_s + _WARM_UP_S for one in shown)
    p99_s = sorted(waits_s)[-1 - len(waits_s) // 100]
    return [
        ("end of a moment → its clip whole on disk, p99", "≤ 2.0 s", f"{p99_s:.2f} s, median {median(waits_s):.2f} s"),
        ("… of so many moments, all found", "", f"{exact} of {asked}"),
        ("… first frame, before the moment", "the same", f"{sorted(1800 - offset for offset in offsets)} frames"),
    ]


def recovery(out: Path, minutes: float) -> list[Line]:
    """Time how a stall and an outage are seen and overcome."""
    clip = footage(CACHE / "live-360p15.mp4", 640, 360, 15, "400k")
    seen_s, retry_s, again_s = [], [], []
    with RtspServer(clip) as server, watching(out, {}, {"cam": server.url}) as watch:
        watch.wait("camera", 0, state="running")
        for _ in range(max(2, round(2 * minutes))):
            _pause.wait(_STEADY_S)
            at_s = time.monotonic()
            server.stall()
            seen_s.append(watch.wait("camera", at_s, state="stalled"))
            retry_s.append(watch.wait("camera", at_s + seen_s[-1], attempts=1))
            server.resume()
            watch.wait("camera", at_s, state="running")
            _pause.wait(_STEADY_S)
            at_s = time.monotonic()
            server.refuse()
            server.drop()
            lost_s = watch.wait("camera", at_s, state="waiting")
            retry_s.append(watch.wait("camera", at_s + lost_s, attempts=1))
            _pause.wait(8)
            server.accept()
            again_s.append(watch.wait("camera", time.monotonic(), state="running"))
    return [
        ("a stall is seen, at worst", "≤ 5 s", f"{max(seen_s):.2f} s"),
        ("first retry, at worst", "≤ 1 s", f"{max(retry_s):.2f} s"),
        (
            "running again after the server is back, at worst",
            "≤ 3 s",
            f"{max(again_s):.2f} s, median {median(again_s):.2f} s",
        ),
    ]


def cameras(out: Path, minutes: float) -> list[Line]:
    """Read eight cameras at once and more, and tell what was dropped and what it cost."""
    clip = footage(CACHE / "live-720p15.mp4", 1280, 720, 15, "800k")
    lines: list[Line] = []
    for count in (8, 12):
        with RtspServer(clip, path="cam0") as server:
            for number in range(1, count):
                server.add(f"cam{number}", clip, start_at_s=60 * number / count)
            urls = {f"cam{number}": server.url_of(f"cam{number}") for number in range(count)}
            own_s, begun_s = time.process_time(), time.monotonic()
            with watching(out / str(count), {}, urls) as watch:
                for name in urls:
                    watch.wait("camera", 0, stream=name, state="running")
                _pause.wait(60 * minutes)
            took_s = time.monotonic() - begun_s
            server_cpu = (time.process_time() - own_s) / took_s
        dropped = sum(max((one["dropped"] for one in watch.of("camera", stream=name)), default=0) for name in urls)
        shedding = any(one["shedding"] != "NOTHING" for one in watch.of("camera"))
        looked = "less looked at" if shedding else "all looked at"
        seen = f"{dropped} slices dropped, {looked}, {len(watch.of('clip'))} clips"
        cost = f"processor {100 * watch.cpu_s / took_s:.0f} %, the server beside it {100 * server_cpu:.0f} %"
        lines.append((f"{count} cameras of 720p15, motion and audio", "0" if count == 8 else "", f"{seen}; {cost}"))
    return lines


def soak(out: Path, minutes: float, seed: int = 1) -> list[Line]:
    """Run for long with a fault every twenty seconds, and tell what was lost, and what memory did."""
    clip = footage(CACHE / "live-180p15.mp4", 320, 180, 15, "200k")
    faults = random.Random(seed)  # noqa: S311 - of a seeded list
    shown: dict[float, Occurrence] = {}
    done: list[str] = []
    with RtspServer(clip) as server, watching(out, {"percentile": 0}, {"cam": server.url}) as watch:
        watch.wait("camera", 0, state="running")
        end_s = time.monotonic() + 60 * minutes
        while time.monotonic() < end_s:
            _pause.wait(_FAULT_EVERY_S / 2)
            done.append(_fault(server, faults))
            _pause.wait(_FAULT_EVERY_S / 2)
            shown |= {one.at_s: one for one in occurrences(server, 15)}
        _pause.wait(10)
        shown |= {one.at_s: one for one in occurrences(server, 15)}
    return _judged(watch, list(shown.values()), done, minutes)


def _fault(server: RtspServer, choice: random.Random) -> str:
    acts: dict[str, Callable[[], object]] = {
        "drop": server.drop,
        "reset": lambda: server.drop(reset=True),
        "short stall": lambda: _while(server.stall, 2, server.resume),
        "long stall": lambda: _while(server.stall, 8, server.resume),
        "restart": lambda: server.restart(down_s=2),
        "refusal": lambda: _while(lambda: _go_away(server), 4, server.accept),
        "jump forwards": lambda: server.jump(choice.uniform(5, 500)),
        "jump backwards": lambda: server.jump(-choice.uniform(1, 5)),
        "lost frames": lambda: server.lose(5),
        "corrupt frames": lambda: server.corrupt(5),
        "slowness": lambda: _while(lambda: server.slow(3), 3, lambda: server.slow(1)),
    }
    name = choice.choice(sorted(acts))
    print(f"{time.monotonic():.1f} {name}", file=sys.stderr)
    acts[name]()
    return name


def _go_away(server: RtspServer) -> None:
    server.refuse()
    server.drop()


def _while(begin: Callable[[], object], seconds: float, end: Callable[[], object]) -> None:
    begin()
    _pause.wait(seconds)
    end()


def _judged(watch: Watch, shown: list[Occurrence], faults: list[str], minutes: float) -> list[Line]:
    shots: dict[float, int] = {}
    spans, blind = [], 0
    for told in watch.of("clip"):
        numbers = numbers_in(Path(told["path"]))
        spans.append((told["start_ms"], told["end_ms"]))
        if not numbers:
            blind += 1
            print(f"no picture in {told}", file=sys.stderr)
        moment = _shown(told, numbers, shown)
        if moment is not None:
            shots[moment.at_s] = shots.get(moment.at_s, 0) + 1
    overlaps = sum(earlier[1] > later[0] for earlier, later in pairwise(sorted(spans)))
    whole = [one for one in shown if one.whole]
    lost = [round(one.at_s - watch.told[0]["at_s"], 1) for one in whole if one.at_s not in shots]
    twice = sum(count > 1 for count in shots.values()) + overlaps
    holds = watch.of("holds")
    warm = [one for one in holds if one["at_s"] - holds[0]["at_s"] > min(_WARM_S, 60 * minutes / 2)]
    at_s = [one["at_s"] for one in warm]
    # Each clip takes some megabytes for a moment, and gives back others that were free.
    minutes_s, held_mb = medians(at_s, [one["bytes"] / 1e6 for one in warm], max(5, round((at_s[-1] - at_s[0]) / 60)))
    memory, error = slope_an_hour(minutes_s, held_mb)
    files, _ = slope_an_hour(at_s, [one["files"] for one in warm])
    held = f"{held_mb[0]:.1f} MB in the first warm minute, {held_mb[-1]:.1f} MB in the last"
    kinds = ", ".join(f"{name} {faults.count(name)}" for name in sorted(set(faults)))
    return [
        (
            f"{minutes:g} minutes, a fault every 20 s: moments outside gaps lost",
            "0",
            f"{len(lost)} of {len(whole)} {lost}",
        ),
        ("… clips twice", "0", f"{twice} of {len(spans)}"),
        ("… clips without a picture", "0", f"{blind}"),
        ("… memory", "< 1 MB/h", f"{memory:+.1f} ± {error:.1f} MB/h ({held})"),
        ("… file descriptors", "flat", f"{files:+.1f}/h, {max(one['files'] for one in warm)} at most"),
        ("… faults", "", kinds),
    ]


def _shown(told: dict[str, Any], numbers: list[int], shown: list[Occurrence]) -> Occurrence | None:
    """Return the moment that a clip shows whole: of those with its frames, the one of its date."""
    here = set(numbers)
    name = Path(told["path"]).stem.removesuffix("Z")
    date_s = datetime.fromisoformat(f"{name[:10]}T{name[11:].replace('-', ':')}+00:00").timestamp()
    began_s = date_s - time.time() + time.monotonic()
    fitting = [one for one in shown if set(one.frames) <= here]
    close = [one for one in fitting if abs(one.at_s - MOMENT_S - _CONTEXT_S - began_s) < 15]
    return min(close, key=lambda one: abs(one.at_s - MOMENT_S - _CONTEXT_S - began_s), default=None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure live streams against cameras that fail on command.")
    names = f"{', '.join(_USUAL_MINUTES)}; without any, all but soak and passes"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--minutes", type=float, help="how long, instead of what is usual for each")
    parser.add_argument("--clip", type=Path, help="what passes shows over and over")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.names) - set(_USUAL_MINUTES)):
        parser.error(f"there is no line {unknown[0]!r}; there are {', '.join(_USUAL_MINUTES)}")
    if "passes" in asked.names and not asked.clip:
        parser.error("passes needs a --clip of some seconds")
    measures: dict[str, Callable[[Path, float], list[Line]]] = {
        "latency": latency,
        "recovery": recovery,
        "cameras": cameras,
        "soak": soak,
        "passes": partial(passes, file=asked.clip),
    }
    print("| name | measure | wanted | seen |\n| --- | --- | --- | --- |")
    for name in asked.names or ["latency", "recovery", "cameras"]:
        with tempfile.TemporaryDirectory() as out:
            for what, wanted, seen in measures[name](Path(out), asked.minutes or _USUAL_MINUTES[name]):
                print(f"| `{name}` | {what} | {wanted} | {seen} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
