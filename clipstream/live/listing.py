"""The list of a live stream's highlights, which grows for weeks: in memory and in the two files that hold it."""

from bisect import insort
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import structlog

from clipstream.report.files import writing
from clipstream.report.manifest import (
    MANIFEST_NAME,
    FailedFeature,
    Highlight,
    Manifest,
    encode_highlight,
    parse_manifest,
    write_manifest,
)
from clipstream.report.tables import highlight_row, write_rows

__all__ = ["Listing", "earlier_manifest"]

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

    Their numbers are the order in which they were listed, and stay: what had to wait for its clip comes with a later
    number at an earlier place.

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
        self._listed = sorted(map(_Listed.of, manifest.highlights), key=_when)

    @property
    def highlights(self) -> tuple[Highlight, ...]:
        """What is listed, in order of time."""
        return tuple(one.highlight for one in self._listed)

    def add(self, highlight: Highlight, instead_of: Highlight | None = None) -> Highlight:
        """List a highlight in both files, perhaps in place of one of `highlights`; return it with the next number.

        Raises:
            OutputError: A file cannot be written; then it is not listed.
        """
        listed = [one for one in self._listed if one.highlight is not instead_of]
        number = max((one.highlight.number for one in listed), default=0) + 1
        numbered = replace(highlight, number=number)
        insort(listed, _Listed.of(numbered), key=_when)
        source = self._head.source
        source = replace(source, duration_s=max(numbered.end_s, source.duration_s))
        head = replace(self._head, source=source)
        self._write(head, listed)
        self._head, self._listed = head, listed
        return numbered

    def note(self, failures: tuple[FailedFeature, ...]) -> None:
        """Take note of the features that failed so far, for when the files are written next."""
        self._head = replace(self._head, failures=failures)

    def stop(self) -> None:
        """Say in the manifest that the stream was stopped.

        Raises:
            OutputError: A file cannot be written.
        """
        self._write(replace(self._head, status="stopped"), self._listed)

    def _write(self, head: Manifest, listed: Collection[_Listed]) -> None:
        write_rows(self._folder, (one.row for one in listed))
        write_manifest(self._folder, head, lines=(one.line for one in listed), durable=True)


def _when(one: _Listed) -> tuple[str, Decimal]:
    """Return what highlights are in order of: dates, because stream time begins anew where the state folder goes."""
    return one.highlight.date or "", one.highlight.start_s


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
