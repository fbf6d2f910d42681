"""A run that dies at a chosen event, to be started in a process of its own.

Arguments: OUT EVENT SIGNAL WORKERS FILE…

Events are counted over slices read, clips written, and looks at whether to go on cutting (several a clip).
"""

import itertools
import os
import signal
import sys
from fractions import Fraction
from pathlib import Path

from scenes import LIGHT

from clipstream import Input, Outcome, Settings, run_job
from clipstream.media import cut
from clipstream.media.cutter import ClipResult, ClipSpec
from clipstream.results import Interval


class Killer:
    """Counts events and sends this process a signal at one of them."""

    def __init__(self, at: int, number: int) -> None:
        self._count, self._at, self._number = itertools.count(1), at, number

    def event(self) -> None:
        if next(self._count) == self._at:
            os.kill(os.getpid(), self._number)

    def started(self, stream: str, duration_s: Fraction | None) -> None: ...

    def progressed(self, stream: str, media_s: Fraction) -> None:
        self.event()

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
        self.event()

    def finished(self, outcome: Outcome) -> None:
        self.event()


def main() -> None:
    out, at, number, workers, *files = sys.argv[1:]
    killer = Killer(int(at), int(number))
    plain = cut.SmartCutter.cut

    def counted(self: cut.SmartCutter, spec: ClipSpec, cancelled) -> ClipResult:  # type: ignore[no-untyped-def] # noqa: ANN001
        def asked() -> bool:
            killer.event()
            return bool(cancelled())

        return plain(self, spec, asked)

    cut.SmartCutter.cut = counted  # type: ignore[method-assign]
    settings = Settings(features=LIGHT, out=out, top=2, workers=int(workers))
    outcomes = run_job([Input(Path(file).stem, Path(file)) for file in files], settings, killer)
    sys.stdout.write(" ".join(outcome.state for outcome in outcomes))


if __name__ == "__main__":
    signal.alarm(100)
    main()
