"""What others are told of a highlight. `docs/notifications.md` documents each field."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Self

from clipstream.report.description import reason_sentence
from clipstream.report.records import to_json
from clipstream.results import Interval

__all__ = ["SCHEMA", "Message"]

SCHEMA = "clipstream/message/1"
"""The schema's name and version. A field may be added without a new version; none changes its meaning or goes."""


@dataclass(frozen=True, slots=True)
class Message:
    """A highlight whose clip is on disk.

    Attributes:
        key: Names the highlight. The same in every delivery of it, and when the run that found it is repeated from a
            saved state; another for any other highlight.
        stream: Name of the stream.
        number: Its number in the manifest.
        clip: The clip's file, an absolute path.
        start_s: Where the highlight starts, in seconds of stream time, context included.
        end_s: Where it ends.
        peak_s: Where the score is highest.
        start_date: `start_s` as a date in UTC, ISO 8601 with milliseconds; `None` for what has no date, as a file.
        end_date: `end_s` likewise.
        peak_date: `peak_s` likewise.
        score: Mean of its best half window, in robust standard deviations above usual.
        reason: Why it stands out, in one sentence.
        manifest: The manifest that lists it, an absolute path.
        schema: `SCHEMA`.
    """

    key: str
    stream: str
    number: int
    clip: str
    start_s: Decimal
    end_s: Decimal
    peak_s: Decimal
    start_date: str | None
    end_date: str | None
    peak_date: str | None
    score: float
    reason: str
    manifest: str
    schema: str = SCHEMA

    @classmethod
    def of(cls, interval: Interval, clip: Path, manifest: Path, began: datetime | None = None) -> Self:
        """Describe a highlight.

        Args:
            interval: The highlight.
            clip: Its clip.
            manifest: The manifest that lists it.
            began: When stream time was 0, with its time zone. It is part of the key, so a run that is repeated has to
                say the same.
        """
        times_ms = (interval.start_ms, interval.end_ms, interval.peak_ms)
        start_date, end_date, peak_date = (_date(began, time_ms) for time_ms in times_ms)
        start_s, end_s, peak_s = (Decimal(time_ms).scaleb(-3) for time_ms in times_ms)
        named = (interval.stream, interval.number, *times_ms, start_date)
        return cls(
            key=hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32],
            stream=interval.stream,
            number=interval.number,
            clip=str(clip.absolute()),
            start_s=start_s,
            end_s=end_s,
            peak_s=peak_s,
            start_date=start_date,
            end_date=end_date,
            peak_date=peak_date,
            score=interval.score,
            reason=reason_sentence(interval.reasons),
            manifest=str(manifest.absolute()),
        )

    def encode(self) -> bytes:
        """Return the message as it is sent: one JSON object in UTF-8."""
        return json.dumps(to_json(self), indent=2).encode() + b"\n"


def _date(began: datetime | None, time_ms: int) -> str | None:
    if began is None:
        return None
    date = began.astimezone(UTC) + timedelta(milliseconds=time_ms)
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
