"""A program that works on live streams, watched from outside, and what it should have found."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import av
import av.error
import numpy as np

from clipstream.testing import RtspServer, make_scene, read_number

__all__ = [
    "EVERY_S",
    "MOMENT_S",
    "Occurrence",
    "Watch",
    "footage",
    "medians",
    "numbers_in",
    "occurrences",
    "slope_an_hour",
    "watching",
]

EVERY_S, MOMENT_S, LENGTH_S = 10, 2.0, 60
"""Something happens for so long, so often, in footage of such a length."""
_FIRST_S = 5
_AROUND_S = 2.0
_WORK = Path(__file__).with_name("live_work.py")


@dataclass
class Watch:
    """What a program told, in order, and what it cost.

    Attributes:
        told: Its lines.
        cpu_s: Processor time, once it is over.
    """

    told: list[dict[str, Any]] = field(default_factory=list)
    cpu_s: float = 0.0
    _changed: Condition = field(default_factory=Condition)

    def add(self, line: str) -> None:
        """Take in a line."""
        with self._changed:
            self.told.append(json.loads(line))
            self._changed.notify_all()

    def of(self, event: str, **facts: Any) -> list[dict[str, Any]]:
        """Return what was told of an event so far, where `facts` hold."""
        with self._changed:
            told = list(self.told)
        return [one for one in told if one["event"] == event and all(one.get(name) == facts[name] for name in facts)]

    def wait(self, event: str, since_s: float, timeout_s: float = 30, **facts: Any) -> float:
        """Wait for something to be told that happened after a time, and return how long after."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._after(event, since_s, facts), timeout_s):
                raise TimeoutError(f"waited {timeout_s:g} s in vain for {event} {facts}; last: {self.told[-3:]}")
            return float(self._after(event, since_s, facts)[0]["at_s"]) - since_s

    def _after(self, event: str, since_s: float, facts: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            one
            for one in self.told
            if one["event"] == event and one["at_s"] > since_s and all(one.get(name) == facts[name] for name in facts)
        ]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A moment that was shown.

    Attributes:
        at_s: When its last frame was sent, on the monotonic clock.
        frames: Its frames, by number in the footage.
        whole: Whether it and what surrounds it was sent to one client, with nothing amiss.
    """

    at_s: float
    frames: range
    whole: bool


def footage(path: Path, width_px: int, height_px: int, rate_hz: int, bit_rate: str = "1500k") -> Path:
    """Make a minute in which every frame has its number and something happens every ten seconds, or find it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        small = path.with_stem(f"{path.stem}.small")
        moments = [(start_s, start_s + MOMENT_S) for start_s in range(_FIRST_S, LENGTH_S, EVERY_S)]
        make_scene(small, moments_s=moments, duration_s=LENGTH_S, rate_hz=rate_hz, gop=2 * rate_hz, b_frames=0)
        part = path.with_stem(f"{path.stem}.part")
        coded = f"-c:v libx264 -preset veryfast -bf 0 -g {2 * rate_hz} -b:v {bit_rate} -c:a copy"
        how = f"-vf scale={width_px}:{height_px} {coded}"
        subprocess.run(
            ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(small), *how.split(), str(part)], check=True
        )
        small.unlink()
        part.rename(path)
    return path


@contextmanager
def watching(
    out: Path, options: dict[str, Any], cameras: dict[str, str], files: Sequence[Path] = ()
) -> Iterator[Watch]:
    """Start the program; it is stopped, and has written everything, when the block is left."""
    watch = Watch()
    command = [
        sys.executable,
        str(_WORK),
        str(out),
        json.dumps(options),
        json.dumps([str(file.resolve()) for file in files]),
        *(f"{name}={cameras[name]}" for name in cameras),
    ]
    as_command_line = os.environ | {"MALLOC_ARENA_MAX": "1"}  # which sees to that itself, before it imports anything
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=as_command_line) as process:

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                watch.add(line)

        reader = Thread(target=read)
        reader.start()
        try:
            yield watch
        finally:
            process.terminate()
            reader.join()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            watch.cpu_s = used.ru_utime + used.ru_stime


def occurrences(server: RtspServer, rate_hz: int) -> list[Occurrence]:
    """Return every moment that a server has shown the whole of, in order."""
    sent = [one for one in server.sent if one.kind == "video"]
    total, around = LENGTH_S * rate_hz, round(_AROUND_S * rate_hz)
    steps = [
        earlier.client == later.client and (later.number - earlier.number) % total == 1 and later.fate == "sent"
        for earlier, later in pairwise(sent)
    ]
    found = []
    for place, one in enumerate(sent):
        if (one.number + 1 - round((_FIRST_S + MOMENT_S) * rate_hz)) % (EVERY_S * rate_hz):
            continue
        length = round(MOMENT_S * rate_hz)
        before, after = place - length - around, place + around
        if before < 0 or after >= len(sent):
            continue
        frames = range(one.number + 1 - length, one.number + 1)
        found.append(Occurrence(one.at_s, frames, all(steps[before:after])))
    return found


def numbers_in(clip: Path) -> list[int]:
    """Return the numbers of all frames of a clip that can be decoded: a camera may have sent some that cannot."""
    numbers: list[int] = []
    with av.open(str(clip)) as container:
        for packet in container.demux(container.streams.video):
            with suppress(av.error.InvalidDataError):
                numbers += [read_number(frame.to_ndarray(format="gray").astype(np.uint8)) for frame in packet.decode()]
    return numbers


def medians(at_s: Sequence[float], values: Sequence[float], count: int) -> tuple[list[float], list[float]]:
    """Return the middle of each of so many equal spans of time, and the median of the values in it."""
    edges_s = np.linspace(at_s[0], at_s[-1], count + 1)
    spans = np.split(np.asarray(values), np.searchsorted(at_s, edges_s[1:-1]))
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2
    kept = [(float(at), float(np.median(span))) for at, span in zip(middles_s, spans, strict=True) if len(span)]
    return [at for at, _ in kept], [value for _, value in kept]


def slope_an_hour(at_s: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return how much a value grows an hour, as the line through all of it tells, and the standard error of that."""
    (slope, _), variances = np.polyfit(np.asarray(at_s) - at_s[0], np.asarray(values), 1, cov=True)
    return float(slope) * 3600, math.sqrt(variances[0, 0]) * 3600
