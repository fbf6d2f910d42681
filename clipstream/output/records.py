"""Which clips of an unfinished run are whole, so that none is cut again."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from clipstream.media.cutter import ClipResult
from clipstream.report.files import write_atomically
from clipstream.report.records import from_json, to_json

__all__ = ["CLIP_RECORDS", "read_record", "write_record"]

CLIP_RECORDS = "clips"
"""Folder in the state folder that remembers which clips of an unfinished run are whole."""


@dataclass(frozen=True, slots=True)
class _ClipRecord:
    """Remembers a finished clip, so that it is not cut again: what it shows, and what the cutter said."""

    identity: str
    size_bytes: int
    name: str
    start_s: str
    end_s: str
    frames: int
    copied: int
    method: str
    notes: tuple[str, ...]


def read_record(record: Path, identity: str, folder: Path) -> ClipResult | None:
    """Return what the cutter said of a clip in `folder` if it is the one meant, and still there as it was written."""
    try:
        known = from_json(_ClipRecord, json.loads(record.read_text(encoding="utf-8")))
        if known.identity != identity or (folder / known.name).stat().st_size != known.size_bytes:
            return None
        return ClipResult(
            path=folder / known.name,
            start_s=Fraction(known.start_s),
            end_s=Fraction(known.end_s),
            frames=known.frames,
            copied=known.copied,
            method=known.method,
            notes=known.notes,
        )
    except (OSError, ValueError):
        return None


def write_record(record: Path, identity: str, result: ClipResult) -> None:
    """Remember a clip that is whole.

    Raises:
        OutputError: It cannot be written.
    """
    known = _ClipRecord(
        identity=identity,
        size_bytes=result.path.stat().st_size,
        name=result.path.name,
        start_s=str(result.start_s),
        end_s=str(result.end_s),
        frames=result.frames,
        copied=result.copied,
        method=result.method,
        notes=result.notes,
    )
    with write_atomically(record) as temporary:
        temporary.write_text(json.dumps(to_json(known)), encoding="utf-8")
