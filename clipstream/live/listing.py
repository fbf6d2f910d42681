"""The list of a live stream's highlights, which grows for weeks: in memory and in the two files that hold it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

import structlog

from clipstream.report.files import writing
from clipstream.report.manifest import (
    MANIFEST_NAME,
    Highlight,
    Manifest,
    encode_highlight,
    parse_manifest,
    write_manifest,
)
from clipstream.report.tables import highlight_row, write_rows
from clipstream.results import Interval

__all__ = ["Listing", "earlier_manifest"]

_Span = tuple[Decimal, Decimal]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Listed:
    highlight: Highlight
    line: str
    row: str

    @classmethod
    def of(cls, highlight: Highlight) -> "_Listed":
        return cls(highlight, encode_highlight(highlight), highlight_row(highlight))


class Listing:
    """The highlights of a live stream so far, in order of time, and the files that list them.

    Both files are written whole for every highlight, so that each is right at any moment. Each highlight is put into
    text but once: with ten thousand of them, doing it anew took a second, and writing what is known takes a twentieth.
    The manifest survives a power cut, for it cannot be made again.

    Args:
        folder: The stream's folder in the output folder.
        manifest: What is known so far.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._head = replace(manifest, highlights=())
        self._listed = {_span(one): _Listed.of(one) for one in manifest.highlights}

    @property
    def manifest(self) -> Manifest:
        """The manifest as it is now."""
        return replace(self._head, highlights=tuple(one.highlight for one in self._listed.values()))

    def find(self, interval: Interval) -> Highlight | None:
        """Return the highlight of this very span, if it is listed."""
        listed = self._listed.get((Decimal(interval.start_ms).scaleb(-3), Decimal(interval.end_ms).scaleb(-3)))
        return listed.highlight if listed else None

    def add(self, highlight: Highlight) -> Highlight:
        """List a highlight, in place of one of the same span, and return it with its number.

        Raises:
            OutputError: The files cannot be written; it is listed all the same, and they are with the next.
        """
        self._listed.pop(_span(highlight), None)
        last = next(reversed(self._listed.values()), None)
        numbered = replace(highlight, number=last.highlight.number + 1 if last else 1)
        self._listed[_span(numbered)] = _Listed.of(numbered)
        source = self._head.source
        source = replace(source, duration_s=max(numbered.end_s, source.duration_s))
        self._head = replace(self._head, source=source)
        self.write()
        return numbered

    def write(self, status: Literal["running", "stopped"] = "running") -> None:
        """Write both files.

        Raises:
            OutputError: One cannot be written.
        """
        listed = self._listed.values()
        write_rows(self._folder, (one.row for one in listed))
        manifest = replace(self._head, status=status)
        write_manifest(self._folder, manifest, lines=(one.line for one in listed), durable=True)


def earlier_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in a live stream's folder, `None` when there is none.

    One that is damaged is kept under another name, with a warning: it cannot be made again, and somebody may mend it.

    Raises:
        OutputError: It is damaged and cannot be renamed.
    """
    path = folder / MANIFEST_NAME
    try:
        return parse_manifest(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        now = datetime.now(UTC)
        aside = path.with_name(f"{MANIFEST_NAME}.damaged-{now:%Y-%m-%dT%H-%M-%S}.{now.microsecond // 1000:03d}Z")
        with writing(path):
            path.rename(aside)
        _log.warning("manifest_damaged", stream=folder.name, kept_as=aside.name, why=str(error.__cause__ or error))
        return None


def _span(one: Highlight) -> _Span:
    return one.start_s, one.end_s
