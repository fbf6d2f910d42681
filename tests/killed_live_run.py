"""A run over cameras that dies by SIGKILL when so many highlights are found of each and none is cut yet.

Arguments: OUT COUNT URL…
"""

import os
import signal
import sys
from pathlib import Path
from threading import Event

from scenes import LIGHT

from clipstream.cli import main
from clipstream.live import Cameras, LiveOutput
from clipstream.results import Interval


def main_until_killed() -> None:
    out, count, *urls = sys.argv[1:]
    plain = Cameras.hold

    def hold(self: Cameras, stream: str, interval: Interval) -> None:
        plain(self, stream, interval)
        if all(len(self.pending(each)) >= int(count) for each in self.inputs):
            os.kill(os.getpid(), signal.SIGKILL)

    def cut(self: LiveOutput, interval: Interval) -> None:
        Event().wait()

    Cameras.hold, LiveOutput._cut = hold, cut  # type: ignore[method-assign]
    features = [argument for name in LIGHT for argument in ("--features", name)]
    main([*urls, *features, "--percentile", "0", "-o", str(Path(out))])


if __name__ == "__main__":
    signal.alarm(100)
    main_until_killed()
