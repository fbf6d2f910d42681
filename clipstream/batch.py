"""A batch job: one message says what to work on, and `status.json` says at any time how far that is."""

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

from clipstream.errors import UsageError
from clipstream.media.inputs import STATE_FOLDER, safe_name
from clipstream.report.files import write_atomically, writing
from clipstream.report.records import from_json, to_json
from clipstream.settings.option import JOB_VARIABLE

__all__ = ["STATUS_NAME", "JobMessage", "JobStatus", "now_text", "only_job", "read_status", "write_status"]

STATUS_NAME = "status.json"
_SCHEMA = "clipstream/job/1"
_ADVICE = 'give {"stream_url": "https://…", "stream_id": "…"}'
_LONGEST_ID = 100


@dataclass(frozen=True, slots=True, repr=False)
class JobMessage:
    """What a job is asked to do.

    Attributes:
        stream_url: Where the media are; it may hold secrets, and is never shown.
        stream_id: What the job is called.
    """

    stream_url: str
    stream_id: str

    @classmethod
    def parse(cls, text: str) -> "JobMessage":
        """Read a message; fields that are not known are passed over.

        Raises:
            UsageError: It is empty, no JSON object, or lacks a field, or the id cannot name a folder.
        """
        if not text.strip():
            raise UsageError(f"{JOB_VARIABLE} is empty; {_ADVICE}.")
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            raise UsageError(f"{JOB_VARIABLE} is no JSON; {_ADVICE}.") from None
        if not isinstance(told, dict):
            raise UsageError(f"{JOB_VARIABLE} is no JSON object; {_ADVICE}.")
        for key in ("stream_url", "stream_id"):
            if not isinstance(told.get(key), str) or not told[key].strip():
                raise UsageError(f"{JOB_VARIABLE} has no text as {key}; {_ADVICE}.")
        message = cls(told["stream_url"].strip(), told["stream_id"])
        if len(message.stream_id) > _LONGEST_ID or not re.search(r"\w", message.stream_id):
            raise UsageError(
                f"{JOB_VARIABLE}: the stream_id has to hold a letter or digit, and {_LONGEST_ID} characters at most."
            )
        return message

    @property
    def name(self) -> str:
        """The id as the name of a folder."""
        return safe_name(self.stream_id)

    def __repr__(self) -> str:
        return f"JobMessage(stream_id={self.stream_id!r})"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is; `docs/jobs.md` describes each field.

    Attributes:
        stream_id: As the message has it.
        status: `"SUBMITTED"`, then `"IN_PROGRESS"`, then `"COMPLETED"`, or `"FAILED"` when the exit status is not 0.
        message: What is to be known about it, in one line.
        source: The address, without its secrets; empty where it cannot be read.
        submitted_at: When the job was first taken up, in ISO 8601.
        started_at: When its work began, this time.
        finished_at: When it was over.
        attempts: How often it was taken up.
        exit_status: Of the program, once it is over.
        highlights: How many were found.
        clips: How many of them are on disk as clips.
        duration_s: Seconds of media that were looked at; of a live stream, by the latest attempt, without what did not
            come or was left out.
        for_s: For how long a live stream was to be read; `None` for media that end.
        problem: What was wrong with the media that were looked at all the same: it is truncated, …
        manifest: Path of the manifest, relative to the output folder.
        report: Path of the report likewise.
    """

    stream_id: str
    status: Literal["SUBMITTED", "IN_PROGRESS", "COMPLETED", "FAILED"]
    message: str
    source: str = ""
    submitted_at: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    attempts: int = 1
    exit_status: int | None = None
    highlights: int = 0
    clips: int = 0
    duration_s: float = 0.0
    for_s: float | None = None
    problem: str | None = None
    manifest: str | None = None
    report: str | None = None
    schema: str = _SCHEMA


def write_status(folder: Path, status: JobStatus) -> None:
    """Write `status.json` into the job's folder.

    Raises:
        OutputError: It cannot be written.
    """
    with write_atomically(folder / STATUS_NAME) as temporary:
        temporary.write_text(json.dumps(to_json(status), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def read_status(folder: Path) -> JobStatus | None:
    """Return what `status.json` says; `None` where there is none that can be read."""
    with suppress(OSError, ValueError):
        text = (folder / STATUS_NAME).read_text(encoding="utf-8")
        return from_json(JobStatus, json.loads(text, parse_float=Decimal))
    return None


def now_text() -> str:
    """Return the date in ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def only_job(out: Path, name: str) -> Iterator[None]:
    """Keep other processes from the same job while the block runs.

    Raises:
        UsageError: Another has it.
        OutputError: The output folder cannot be written.
    """
    path = out / STATE_FOLDER / "batch" / f"{name}.lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{name}: another process is at work on this job; wait for it or stop it.") from None
        yield
