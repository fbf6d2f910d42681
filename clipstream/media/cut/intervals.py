"""Lists of spans to cut: from a table, from a manifest, from what is typed."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from clipstream.errors import UsageError
from clipstream.media.cutter import ClipSpec
from clipstream.timing import clock, to_ms

__all__ = ["CutSpan", "parse_time", "plan_clips", "read_intervals"]

_TIME = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d{1,2}):)?(?P<seconds>\d+(?:\.\d*)?|\.\d+)")


@dataclass(frozen=True, slots=True)
class CutSpan:
    """A span to cut, in media time, and the title its clip gets.

    Raises:
        UsageError: It ends before it starts, or starts before 0.
    """

    start_s: Fraction
    end_s: Fraction
    title: str = ""

    def __post_init__(self) -> None:
        if self.start_s < 0 or self.end_s <= self.start_s:
            raise UsageError(
                f"a clip from {float(self.start_s):g} s to {float(self.end_s):g} s is empty: end it after its start."
            )


def parse_time(text: str) -> Fraction:
    """Read a time as seconds (`12.5`) or as a clock (`1:02:03.5`), exactly.

    >>> parse_time("1:02.5")
    Fraction(125, 2)

    Raises:
        UsageError: It is neither.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no time: write seconds, such as 12.5, or H:MM:SS.")
    parts = match.groupdict(default="0")
    return 3600 * int(parts["hours"]) + 60 * int(parts["minutes"]) + Fraction(parts["seconds"])


def read_intervals(path: Path) -> tuple[CutSpan, ...]:
    """Read spans from a CSV file with the columns `start_s` and `end_s`, or from a manifest, in order of time.

    A manifest's highlights keep their titles; a table may have a column `title`.

    Raises:
        UsageError: The file is absent, is neither, or a row of it is no span.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such list of intervals.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the list of intervals cannot be read ({error}).") from error
    rows = _manifest_rows(path, text) if text.lstrip().startswith("{") else _table_rows(path, text)
    spans = [_span(path, number, row) for number, row in enumerate(rows, 1)]
    if not spans:
        raise UsageError(f"{path}: there is no interval in it.")
    return tuple(sorted(spans, key=lambda span: (span.start_s, span.end_s)))


def plan_clips(
    source: Path, spans: Sequence[CutSpan], folder: Path, suffix: str, fingerprint: str = ""
) -> tuple[ClipSpec, ...]:
    """Return what to cut, clips named by where they start and end: the same span is always the same file.

    Spans that are alike to the millisecond count once. `fingerprint` is as in `ClipSpec`.
    """
    named: dict[str, CutSpan] = {}
    for span in spans:
        named.setdefault(f"{_compact(span.start_s)}-{_compact(span.end_s)}{suffix}", span)
    return tuple(
        ClipSpec(
            source=source,
            target=folder / name,
            start_s=span.start_s,
            end_s=span.end_s,
            metadata={"title": span.title or f"{source.stem}, {clock(to_ms(span.start_s))}"},
            fingerprint=fingerprint,
        )
        for name, span in named.items()
    )


def _compact(time_s: Fraction) -> str:
    return clock(to_ms(time_s), separator="")


def _manifest_rows(path: Path, text: str) -> list[Mapping[str, Any]]:
    try:
        rows = json.loads(text)["highlights"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise UsageError(f"{path}: no manifest of clipstream: it lists no highlights.") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path}: no manifest of clipstream: its highlights are no list.")
    return rows


def _table_rows(path: Path, text: str) -> list[Mapping[str, Any]]:
    reader = csv.DictReader(text.splitlines())
    missing = {"start_s", "end_s"} - set(reader.fieldnames or ())
    if missing:
        raise UsageError(f"{path}: the table has no column {min(missing)}; it needs start_s and end_s.")
    return list(reader)


def _span(path: Path, number: int, row: Mapping[str, Any]) -> CutSpan:
    try:
        return CutSpan(parse_time(str(row["start_s"])), parse_time(str(row["end_s"])), str(row.get("title") or ""))
    except (KeyError, UsageError) as error:
        raise UsageError(f"{path}: interval {number}: {error}") from None
