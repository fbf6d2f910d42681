"""The program that is measured on live streams: a run that tells how its cameras are doing.

    python benchmarks/live_work.py OUT '{"for": "60s"}' '["FILE", …]' NAME=URL…

It does what the command line does, and writes a line of JSON for every change of a camera, every clip, and every second
what it holds. Times are monotonic, and so the same in every program on Linux.
"""

import json
import os
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

import clipstream.run.run
from clipstream import Outcome, Settings, run_job
from clipstream.live import Cameras
from clipstream.log import configure_logging
from clipstream.media.inputs import Input
from clipstream.media.live.address import LiveAddress, LiveInput
from clipstream.media.slices import MediaNeeds
from clipstream.results import Interval

_LOOKS_A_SECOND = 100
_PAGE = os.sysconf("SC_PAGE_SIZE")
_telling = Lock()


def tell(event: str, **facts: Any) -> None:
    """Write a line."""
    with _telling:
        print(json.dumps({"event": event, "at_s": monotonic(), **facts}), flush=True)


class Watched(Cameras):
    """Cameras that a thread looks at."""

    def __init__(self, inputs: Sequence[LiveInput], settings: Settings, needs: MediaNeeds) -> None:
        super().__init__(inputs, settings, needs)
        Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        told: dict[str, dict[str, Any]] = {}
        pause = Event()
        for look in range(sys.maxsize):
            for status, shedding in self.statuses():
                now = {
                    "state": status.state.value,
                    "trouble": status.trouble.name if status.trouble else None,
                    "attempts": status.attempts,
                    "connections": status.connections,
                    "dropped": status.dropped,
                    "shedding": shedding.name,
                    "jumps": status.jumps,
                }
                if told.get(status.stream) != now:
                    told[status.stream] = now
                    tell("camera", stream=status.stream, **now)
            if look % _LOOKS_A_SECOND == 0:
                tell("holds", bytes=resident_bytes(), files=len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - once a second
            pause.wait(1 / _LOOKS_A_SECOND)


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


class Telling:
    """Tells of clips."""

    def started(self, stream: str, duration_s: Fraction | None) -> None:
        """Take in that a stream begins."""

    def progressed(self, stream: str, media_s: Fraction) -> None:
        """Take in how far it is."""

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
        """Tell of a clip that is there."""
        tell("clip", stream=stream, path=str(path), start_ms=interval.start_ms, end_ms=interval.end_ms)

    def finished(self, outcome: Outcome) -> None:
        """Tell what came of a stream."""
        duration_s = float(outcome.manifest.source.duration_s) if outcome.manifest else None
        tell("finished", stream=outcome.stream, state=outcome.state, message=outcome.message, duration_s=duration_s)


def main(out: str, options: str, files: str, *cameras: str) -> None:
    """Run until the time is up."""
    settings = Settings.from_mapping({"features": ["motion", "audio"], **json.loads(options), "out": out})
    configure_logging(settings)
    live = [LiveInput(name, LiveAddress.parse(url)) for name, _, url in (camera.partition("=") for camera in cameras)]
    vars(clipstream.run.run)["Cameras"] = Watched  # the one way to see what only the run knows
    run_job([Input(Path(file).stem, Path(file)) for file in json.loads(files)], settings, Telling(), live)


if __name__ == "__main__":
    main(*sys.argv[1:])
