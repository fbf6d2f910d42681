"""What a program costs: time on the clock, processor time, and the most memory it held."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Usage", "measure"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run of a program took.

    Attributes:
        wall_s: Time on the clock.
        cpu_s: Processor time of all its threads.
        peak_mb: Most memory it, or the largest program it started, held at a time; resident, in 10⁶ bytes. Linux counts
            from what the process that measures holds, so that has to be little.
        start_s: Time on the clock that the program left out of `wall_s`: starting, and ending.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    start_s: float = 0.0


def measure(command: Sequence[str]) -> Usage:
    """Run a program to its end.

    A program whose last line is an object of `wall_s` and `cpu_s` has measured itself, from after its start to before
    its end; what it says goes.

    Raises:
        subprocess.CalledProcessError: It failed; what it wrote to stderr has been shown.
    """
    before_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)  # the one call that tells the memory of this child alone
        process.returncode = os.waitstatus_to_exitcode(status)
    elapsed_s = time.perf_counter() - before_s
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    peak_mb = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    if said.endswith("}\n"):
        own = json.loads(said.splitlines()[-1])
        return Usage(own["wall_s"], own["cpu_s"], peak_mb, elapsed_s - own["wall_s"])
    return Usage(elapsed_s, used.ru_utime + used.ru_stime, peak_mb)
