"""Measure the main job against a plain decode, beside it, and print the table.

uv run python benchmarks/run.py             # all of it
uv run python benchmarks/run.py full scan   # these lines
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from subprocess import CalledProcessError

from benchmarks.footage import CACHE, Footage, prepare
from benchmarks.measures import MEASURES, Measure, Seen, Trial, compare, trials
from benchmarks.processes import Usage, measure

__all__ = ["conditions", "main", "parser_of", "run_rounds", "table"]

_NAMES = tuple(dict.fromkeys(item.name for item in MEASURES))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for, print the table, and return the exit status."""
    asked = parser_of("Measure the main job against a plain decode, beside it.", _NAMES).parse_args(arguments)
    if shutil.which("ffmpeg") is None:
        print("ffmpeg is not installed, and everything is measured against it: install it first.", file=sys.stderr)
        return 2
    chosen = [item for item in MEASURES if not asked.names or item.name in asked.names]
    try:
        print("preparing footage …", file=sys.stderr)
        footage = prepare(asked.clip, asked.seconds, CACHE)
        with tempfile.TemporaryDirectory() as out:
            programs = trials(footage, Path(out))
            needed = [name for name in programs if any(name in (item.of, item.against) for item in chosen)]
            runs = run_rounds({name: programs[name] for name in needed}, asked.rounds)
    except CalledProcessError as error:
        print(f"{error.cmd[0]} failed; what it wrote is above.", file=sys.stderr)
        return 1
    print(table([(item, compare(item, runs, programs)) for item in chosen]))
    print(conditions(footage, runs, asked.rounds))
    return 0


def run_rounds(programs: Mapping[str, Trial], rounds: int) -> dict[str, list[Usage]]:
    """Run all programs once a round, so that what disturbs one disturbs its neighbours as well."""
    runs: dict[str, list[Usage]] = {name: [] for name in programs}
    for number in range(rounds):
        for name, trial in programs.items():
            if number and trial.once:
                continue
            used = measure(trial.command)
            runs[name].append(used)
            seen = f"{used.wall_s:.2f} s, processor {used.cpu_s:.2f} s, {used.peak_mb:.0f} MB"
            print(f"round {number + 1}: {name}: {seen}", file=sys.stderr)
    return runs


def table(lines: Iterable[tuple[Measure, Seen]]) -> str:
    """Return what was seen as a Markdown table."""
    head = ["| name | measure | wanted | seen | by processor time |", "| --- | --- | --- | --- | --- |"]
    rows = [f"| {item.name} | {item.text} | {item.goal} | {seen.figure} | {seen.by_cpu} |" for item, seen in lines]
    return "\n".join([*head, *rows])


def conditions(footage: Footage, runs: Mapping[str, Sequence[Usage]], rounds: int) -> str:
    """Return in what circumstances it was seen, in a sentence or two."""
    starts_s = [used.start_s for usages in runs.values() for used in usages if used.start_s]
    start = f"; starting took {median(starts_s):.1f} s and is left out" if starts_s else ""
    return (
        f"\nMedians of {rounds} rounds; short is {footage.short_s:g} s, long {footage.long_s:g} s{start}. "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; much above {os.cpu_count()}, others kept them busy: "
        "trust the processor times then."
    )


def parser_of(description: str, names: Sequence[str]) -> argparse.ArgumentParser:
    """Return what parses the arguments of a benchmark: the `names` of its lines, and the footage they go through."""

    def line(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"there is no line {name!r}; there are {', '.join(names)}")
        return name

    parser = argparse.ArgumentParser(description=description)
    lines = f"lines to measure: {', '.join(names)}; default all"
    parser.add_argument("names", nargs="*", type=line, metavar="NAME", help=lines)
    parser.add_argument("--clip", type=Path, help="clip to make the footage from, at least some seconds long")
    parser.add_argument("--seconds", type=float, default=60, help="length of the short footage; the long has ten times")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
