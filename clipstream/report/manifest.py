"""The manifest: what was found in one stream, with which settings, and why. `docs/manifest.md` documents each field."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from clipstream.errors import InputError
from clipstream.report.files import write_atomically
from clipstream.report.records import from_json, to_json
from clipstream.results import Reason

__all__ = [
    "MANIFEST_NAME",
    "SCHEMA",
    "FailedFeature",
    "Highlight",
    "LeftOut",
    "Manifest",
    "Reel",
    "Source",
    "UsedFeature",
    "UsedSignal",
    "decode_highlight",
    "encode_highlight",
    "parse_manifest",
    "read_manifest",
    "write_manifest",
]

SCHEMA = "clipstream/manifest/1"
"""The schema's name and version. A field may be added without a new version; none changes its meaning or goes."""

MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Source:
    """What the highlights were cut from.

    Attributes:
        path: As it was given, credentials removed.
        name: Its last part, for people.
        size_bytes: Size of the file; `None` for what is no file.
        fingerprint: What tells this content from another; empty where there is none.
        duration_s: Media time that was decoded.
        claimed_duration_s: What the container says, if it says.
        streams: Each track in words: `"video h264 1920×1080, 29.97 fps"`.
        problem: What was wrong with it, in one line: it is truncated, …
    """

    path: str
    name: str
    size_bytes: int | None = None
    fingerprint: str = ""
    duration_s: Decimal = Decimal("0.000")
    claimed_duration_s: Decimal | None = None
    streams: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class UsedSignal:
    """A number that a feature measured: column of `features.parquet`, its meaning, unit and share in the feature."""

    name: str
    label: str
    unit: str
    weight: float


@dataclass(frozen=True, slots=True)
class UsedFeature:
    """A feature that was used, its share in the score as it was set, what it measured, and by which model if by one."""

    name: str
    weight: float
    signals: tuple[UsedSignal, ...]
    about: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A feature that would have been used but could not, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class FailedFeature:
    """A feature that failed on the way: in how many slices (half seconds), of how many, and the first error."""

    name: str
    slices: int
    of_slices: int
    error: str

    @property
    def sentence(self) -> str:
        """All of it in words: `"pose failed in 1,200 of 14,400 slices: MemoryError"`."""
        return f"{self.name} failed in {self.slices:,} of {self.of_slices:,} slices: {self.error}"


@dataclass(frozen=True, slots=True)
class Highlight:
    """A moment worth keeping, and its clip.

    Attributes:
        number: Place in time, from 1.
        rank: 1 for the best of the stream.
        start_s: Where it starts in the source, with context.
        end_s: Where it ends.
        peak_s: Where the score is highest.
        start: `start_s` as `HH:MM:SS.mmm`.
        end: `end_s` likewise.
        peak: `peak_s` likewise.
        score: Mean of its best half window, in robust standard deviations above usual: what it is ranked by.
        peak_score: Score of the half-second that stands out most.
        reason: Why, in one sentence.
        reasons: The same as numbers, the largest share first.
        clip: The clip's file, relative to the manifest; `None` when it could not be cut.
        clip_start_s: Media time of the clip's first frame.
        clip_end_s: Media time at which its last frame stops being shown.
        frames: Video frames in the clip.
        copied: How many of them are the source's own, not encoded again.
        method: How it was cut, in one phrase.
        notes: What to know about the clip – encoded whole, and why – or why there is none.
        date: Date of `start_s` in ISO 8601, of a live stream.
    """

    number: int
    rank: int | None
    start_s: Decimal
    end_s: Decimal
    peak_s: Decimal
    start: str
    end: str
    peak: str
    score: float
    peak_score: float
    reason: str
    reasons: tuple[Reason, ...] = ()
    clip: str | None = None
    clip_start_s: Decimal | None = None
    clip_end_s: Decimal | None = None
    frames: int | None = None
    copied: int | None = None
    method: str | None = None
    notes: tuple[str, ...] = ()
    date: str | None = None


@dataclass(frozen=True, slots=True)
class Reel:
    """All clips of the stream in one file, in order of time, where that was asked for.

    Attributes:
        file: The file, relative to the manifest; `None` when the clips could not be joined.
        duration_s: How long it is.
        frames: Video frames in it.
        copied: How many of them are the clips' own, not encoded again.
        method: How it was made, in one phrase.
        notes: What to know about it, or why there is none.
    """

    file: str | None = None
    duration_s: Decimal | None = None
    frames: int | None = None
    copied: int | None = None
    method: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about one stream: a finished file, or a live stream so far.

    Attributes:
        stream: Name of the stream, which is also its folder's.
        source: What it was.
        status: `"complete"`, or `"failed"` when `error` says why it is not; of a live stream also `"running"`, and
            `"stopped"` when it was before its end.
        error: One line.
        settings: Every option's value, as `Settings.as_dict()` gives them.
        settings_fingerprint: `Settings.fingerprint()`: equal where the result would be.
        features: What was used.
        left_out: What could not be.
        failures: What was used and failed on the way.
        threshold: What a window's score had to reach; NaN where nothing was judged.
        floor: The absolute part of it.
        explanation: One sentence when there is no highlight: why not.
        highlights: In order of time.
        reel: Their clips joined, if that was asked for and there are any.
        saved: Files of what `--save` asked for, relative to the manifest.
        errors: Packets, frames and feature calls that failed.
        clipstream_version: Who wrote this.
        schema: `SCHEMA`.
    """

    stream: str
    source: Source
    status: Literal["complete", "failed", "running", "stopped"] = "complete"
    error: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    settings_fingerprint: str = ""
    features: tuple[UsedFeature, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    failures: tuple[FailedFeature, ...] = ()
    threshold: float = float("nan")
    floor: float = float("nan")
    explanation: str | None = None
    highlights: tuple[Highlight, ...] = ()
    reel: Reel | None = None
    saved: tuple[str, ...] = ()
    errors: int = 0
    clipstream_version: str = field(default_factory=lambda: version("clipstream"))
    schema: str = SCHEMA

    @property
    def ranked(self) -> tuple[Highlight, ...]:
        """The highlights, best first; those without a rank last, in order of time."""
        return tuple(sorted(self.highlights, key=lambda one: (one.rank is None, one.rank or 0)))

    @property
    def media_errors(self) -> int:
        """Of the errors, those of packets and frames, which no entry of `failures` tells of."""
        return max(self.errors - sum(one.slices for one in self.failures), 0)  # a running stream's are not counted yet

    @property
    def files(self) -> tuple[str, ...]:
        """The clips, the reel and what was saved, relative to the manifest."""
        reel = self.reel.file if self.reel else None
        return tuple(filter(None, (*(one.clip for one in self.highlights), reel, *self.saved)))


def encode_highlight(one: Highlight) -> str:
    """Return a highlight as the manifest has it: a line of JSON."""
    return json.dumps(to_json(one), ensure_ascii=False, allow_nan=False)


def decode_highlight(line: str) -> Highlight:
    """Return the highlight that `encode_highlight` made a line of."""
    return from_json(Highlight, json.loads(line, parse_float=Decimal))


def write_manifest(
    folder: Path, manifest: Manifest, *, lines: Iterable[str] | None = None, durable: bool = False
) -> Path:
    """Write `manifest.json` into the stream's folder and return its path.

    Args:
        folder: The stream's folder.
        manifest: What to write.
        lines: Instead of its highlights, as `encode_highlight` gave them before.
        durable: Whether it has to survive a power cut, because it cannot be made again.

    Raises:
        OutputError: It cannot be written.
    """
    path = folder / MANIFEST_NAME
    lines = map(encode_highlight, manifest.highlights) if lines is None else lines
    with write_atomically(path, durable=durable) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_parts(replace(manifest, highlights=()), lines))
    return path


def _parts(manifest: Manifest, lines: Iterable[str]) -> Iterator[str]:
    document = to_json(manifest)
    text = json.dumps({"schema": document.pop("schema"), **document}, ensure_ascii=False, allow_nan=False, indent=2)
    before, here, after = text.partition('\n  "highlights": [')  # no text in it has a line break of its own
    yield before + here
    for place, line in enumerate(lines):
        yield f"{',' if place else ''}\n    {line}"
    yield f"\n  {after}\n"


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in the stream's folder; `None` when there is none, or none that can be trusted."""
    try:
        return parse_manifest((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def parse_manifest(text: str) -> Manifest:
    """Return the manifest that `text` holds. Nothing in it is executed, and no file is touched.

    Raises:
        InputError: The text is no JSON, of another schema, or has a field that is missing or of a wrong type.
    """
    try:
        return _parsed(text)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise InputError(f"no clipstream manifest ({error}): run the input again with --force.") from error


def _parsed(text: str) -> Manifest:
    manifest = from_json(Manifest, json.loads(text, parse_float=Decimal, parse_constant=_refuse))
    if manifest.schema != SCHEMA:
        raise ValueError(f"its schema is {manifest.schema!r}, known is {SCHEMA!r}")
    for name in manifest.files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ValueError(f"it names {name!r}, outside its own folder")
    return manifest


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
