"""What is measured: programs that run side by side, and what comes of comparing two of them."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from benchmarks.footage import Footage
from benchmarks.processes import Usage

__all__ = ["MEASURES", "Measure", "Seen", "Trial", "compare", "trials", "work"]

_WORK = Path(__file__).with_name("work.py")


@dataclass(frozen=True, slots=True)
class Trial:
    """A program to run.

    Attributes:
        command: The program and its arguments.
        media_s: Seconds of media it goes through.
        once: Whether one run is enough, as for memory, which hardly varies.
    """

    command: tuple[str, ...]
    media_s: float
    once: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of the table.

    Attributes:
        name: What it is asked for by.
        text: What it says.
        goal: What is wanted of it.
        of: The trial that is judged.
        against: The trial beside it; `None` where the figure stands for itself.
        kind: `"speed"`: how many times as fast `of` is, or than real time. `"cost"`: how much longer it takes, in
            percent. `"share"`: what part of the processor time it takes. `"memory"`: how many times the memory it
            holds, or megabytes.
    """

    name: str
    text: str
    goal: str
    of: str
    against: str | None
    kind: Literal["speed", "cost", "share", "memory"] = "speed"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a measure: by the clock (or the memory), and by processor time where that means something."""

    figure: str
    by_cpu: str


MEASURES = (
    Measure("full", "every frame decoded, half of them looked at, against ffmpeg", "≥ 0.95 ×", "half", "ffmpeg"),
    Measure("full", "… and every frame looked at", "≥ 0.95 ×", "full", "ffmpeg"),
    Measure("skip", "with skipping, the default, against ffmpeg", "≥ 1.5 ×", "skip", "ffmpeg"),
    Measure("scan", "`--scan`, against ffmpeg", "≥ 10 ×", "scan", "ffmpeg"),
    Measure("dataflow", "the dataflow, over a plain loop: with skipping", "≤ 10 %", "skip", "loop", "cost"),
    Measure("dataflow", "… every frame", "≤ 10 %", "full", "full-loop", "cost"),
    Measure("memory", "peak memory of the analysis, long against short", "≤ 1.1 ×", "skip-long", "skip", "memory"),
    Measure("memory", "… of the long one", "< 400 MB", "skip-long", None, "memory"),
    Measure("memory", "… of the whole command, clips and report too", "≤ 1.1 ×", "main-long", "main", "memory"),
    Measure("memory", "… of the long one", "< 400 MB", "main-long", None, "memory"),
    Measure("workers", "four files, 2 workers against 1, one decoder thread a file", "≥ 1.5 ×", "four-2", "four-1"),
    Measure("workers", "… with the default threads, where one worker has both cores", "", "four-auto-2", "four-auto-1"),
)


def trials(footage: Footage, out: Path) -> dict[str, Trial]:
    """Return every trial by name; what they write goes below `out`."""
    short, long = str(footage.short), str(footage.long)
    short_s, long_s = footage.short_s, footage.long_s
    four, four_s = [short] * 4, 4 * footage.short_s
    ffmpeg = ("ffmpeg", "-v", "error", "-nostdin", "-threads", "2", "-i", short, "-f", "null", "-")
    return {
        "ffmpeg": Trial(ffmpeg, short_s),
        # More than half of the rate, so that no frame can be skipped.
        "half": Trial(work("flow", [short], analysis_fps=16), short_s),
        "full": Trial(work("flow", [short], analysis_fps=0), short_s),
        "full-loop": Trial(work("loop", [short], analysis_fps=0), short_s),
        "skip": Trial(work("flow", [short]), short_s),
        "loop": Trial(work("loop", [short]), short_s),
        "scan": Trial(work("flow", [long], scan=True), long_s),
        "skip-long": Trial(work("flow", [long]), long_s, once=True),
        "main": Trial(_main(short, out / "short"), short_s, once=True),
        "main-long": Trial(_main(long, out / "long"), long_s, once=True),
        "four-1": Trial(work("flow", four, workers=1, decode_threads=1), four_s),
        "four-2": Trial(work("flow", four, workers=2, decode_threads=1), four_s),
        "four-auto-1": Trial(work("flow", four, workers=1), four_s),
        "four-auto-2": Trial(work("flow", four, workers=2), four_s),
    }


def compare(measure: Measure, runs: Mapping[str, Sequence[Usage]], of: Mapping[str, Trial]) -> Seen:
    """Return the median over the rounds of what a measure compares; the runs of a round stood side by side."""
    mine, other = runs[measure.of], runs[measure.against] if measure.against else ()
    if measure.kind == "memory":
        held_mb = median(usage.peak_mb for usage in mine)
        return Seen(f"{held_mb / median(usage.peak_mb for usage in other):.2f} ×" if other else f"{held_mb:.0f} MB", "")
    if measure.against is None:
        media_s = of[measure.of].media_s
        return Seen(
            f"{median(media_s / a.wall_s for a in mine):.2f} ×", f"{median(media_s / a.cpu_s for a in mine):.2f} ×"
        )
    # How much more media went through in the same time.
    media = of[measure.of].media_s / of[measure.against].media_s
    pairs = list(zip(mine, other, strict=True))
    by_clock = median(media * b.wall_s / a.wall_s for a, b in pairs)
    by_cpu = median(media * b.cpu_s / a.cpu_s for a, b in pairs)
    if measure.kind == "share":
        return Seen(f"{1 / by_cpu:.2f}", "")
    if measure.kind == "cost":
        return Seen(f"{100 / by_clock - 100:+.0f} %", f"{100 / by_cpu - 100:+.0f} %")
    return Seen(f"{by_clock:.2f} ×", f"{by_cpu:.2f} ×")


def work(kind: str, files: Iterable[str], **options: object) -> tuple[str, ...]:
    """Return the command that does some work on files; see `work.py`."""
    return (sys.executable, str(_WORK), kind, json.dumps(options), *files)


def _main(file: str, out: Path) -> tuple[str, ...]:
    from_work = ("--features", "audio", "--features", "motion", "--features", "shots")
    return (sys.executable, "-m", "clipstream", file, "-o", str(out), "--quiet", "--force", "--top", "3", *from_work)
