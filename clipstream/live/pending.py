"""Highlights that were found and have no clip yet, kept on disk so that the next start finishes them."""

import json
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from threading import Lock

import structlog

from clipstream.errors import OutputError
from clipstream.report.files import write_atomically
from clipstream.report.records import from_json, to_json
from clipstream.results import Interval

__all__ = ["PendingHighlights"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Noted:
    highlights: tuple[Interval, ...] = ()


class PendingHighlights:
    """The highlights of one live stream that are still to be cut, in a small file that is written whole at each change.

    They are kept apart from a run's saved state, which only the same settings go on with: a highlight that was found is
    cut whatever the settings of the next run are. A file that cannot be written is said once, and costs nothing but
    that; one that cannot be read holds nothing.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._failing, self._lock = path, False, Lock()
        self._pending: dict[int, Interval] = {}
        with suppress(OSError, ValueError):
            noted = from_json(_Noted, json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))
            self._pending = {one.number: one for one in noted.highlights}

    def all(self) -> tuple[Interval, ...]:
        """Return them in the order in which they were found."""
        with self._lock:
            return tuple(self._pending.values())

    def add(self, interval: Interval) -> None:
        """Note a highlight, by its number."""
        with self._lock:
            self._pending[interval.number] = interval
            self._write()

    def remove(self, number: int) -> None:
        """Forget a highlight, if it is there: its clip is in the manifest."""
        with self._lock:
            if self._pending.pop(number, None) is not None:
                self._write()

    def _write(self) -> None:
        try:
            with write_atomically(self._path) as temporary:
                temporary.write_text(json.dumps(to_json(_Noted(tuple(self._pending.values())))), encoding="utf-8")
        except OutputError as error:
            if not self._failing:
                _log.warning("pending_not_saved", error=str(error))
            self._failing = True
        else:
            self._failing = False
