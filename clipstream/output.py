"""What a run leaves in `OUT/STREAM/`: clips as they are found, and the tables, the report and the manifest in the end.

One `StreamOutput` a stream works in the threads of a pool, so that cutting never holds up the dataflow. Everything is
named by what it holds and appears whole or not at all: doing it again after a crash gives the same files.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from threading import Condition
from typing import Literal

import structlog

from clipstream.cutting import chosen_suffix
from clipstream.errors import ClipstreamError, InputError, StoppedError
from clipstream.log import traceback_of
from clipstream.media.cut import join_clips
from clipstream.media.cutting import ClipResult, ClipSpec, Cutter
from clipstream.media.inputs import STATE_FOLDER
from clipstream.media.probe import MediaInfo, probe
from clipstream.media.thumbnails import thumbnail_jpeg
from clipstream.report.files import write_atomically, writing
from clipstream.report.manifest import (
    Manifest,
    Reel,
    Source,
    describe,
    read_manifest,
    reason_sentence,
    seconds,
    write_manifest,
)
from clipstream.report.page import REPORT_NAME, write_report
from clipstream.report.records import from_json, to_json
from clipstream.report.tables import TABLE_NAMES, write_features, write_highlights, write_scores
from clipstream.results import Interval, StreamSummary
from clipstream.saving import Saving
from clipstream.settings import Settings
from clipstream.timing import clock

__all__ = ["CLIP_RECORDS", "OutputContext", "StreamOutput", "clip_name", "finished_manifest"]

CLIP_RECORDS = "clips"
"""Folder in the state folder that remembers which clips of an unfinished run are whole."""

_REEL = "reel"
_CLIP_NAME = re.compile(rf"(\d{{3,}}_\d{{6,}}\.\d{{3}}|{_REEL})\.(mp4|m4a|mov|mkv|webm|ts)")
_HALF_WRITTEN = re.compile(rf"\.(\d{{3,}}_\d{{6,}}\.\d{{3}}|{_REEL})\..*")

_SUMMARY = 0
"""Stands for the summary among the numbers of highlights, which count from 1."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OutputContext:
    """What the outputs of a run have in common.

    Attributes:
        out: The output folder.
        settings: The run's.
        left_out: Features that could not be used, and why.
        cutter: What cuts the clips.
        pool: Where clips are cut and files written: as many streams at a time as it has threads.
        stopped: Asked often; once true, work is given up and nothing half-done stays.
        clip_written: Told of every clip as it appears.
        stream_written: Told when all of a stream is written.
        saving: What writes the tables that `--save` asks for, if anything is to.
    """

    out: Path
    settings: Settings
    left_out: tuple[tuple[str, str], ...]
    cutter: Cutter
    pool: Executor
    stopped: Callable[[], bool]
    clip_written: Callable[[str, Interval, Path], None]
    stream_written: Callable[[str, Manifest], None]
    saving: Saving | None = None


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


def clip_name(interval: Interval, suffix: str) -> str:
    """Return the file name of a highlight's clip: its number and where in the source it starts."""
    return f"{interval.number:03d}_{clock(interval.start_ms, separator='')}{suffix}"


class StreamOutput:
    """Everything that is written for one stream.

    `source_fingerprint` is what `source` was before it was analysed; empty where it could not be read.

    Items are worked off in order, one at a time. `pending` is what a snapshot has to remember: an item leaves it only
    when its files are there.
    """

    def __init__(self, context: OutputContext, stream: str, source: Path, source_fingerprint: str) -> None:
        self._context, self._stream, self._source = context, stream, source
        self._folder = context.out / stream
        self._records = context.out / STATE_FOLDER / CLIP_RECORDS / stream
        self._media: MediaInfo | None = None
        self._fingerprint = source_fingerprint
        with suppress(InputError):  # what cannot be read is reported by the source, with an end that says so
            self._media = probe(source)
        self._changed = Condition()
        self._pending: list[Interval | StreamSummary] = []
        self._known: set[int] = set()
        self._working = False
        self._clips: dict[int, ClipResult] = {}
        self._uncut: dict[int, str] = {}

    def add(self, item: Interval | StreamSummary) -> None:
        """Take a highlight to cut, or the summary that ends the stream. Returns at once."""
        number = item.number if isinstance(item, Interval) else _SUMMARY
        with self._changed:
            if number in self._known:
                return
            self._known.add(number)
            self._pending.append(item)
            if self._working:
                return
            self._working = True
        self._context.pool.submit(self._work)

    def pending(self) -> tuple[Interval | StreamSummary, ...]:
        """Return what is not written yet."""
        with self._changed:
            return tuple(self._pending)

    def close(self) -> None:
        """Wait until everything is written, or given up because the run was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: not self._working)

    def _work(self) -> None:
        try:
            self._work_off()
        except BaseException:
            with self._changed:  # whoever waits must not wait for ever
                self._working = False
                self._changed.notify_all()
            raise

    def _work_off(self) -> None:
        while (item := self._next()) is not None:
            try:
                if isinstance(item, Interval):
                    self._cut(item)
                else:
                    self._finish(item)
            except StoppedError:
                continue  # it stays pending, and there is no next
            except Exception as error:  # noqa: BLE001 - one stream's output must not end the others' run
                self._failed(item, error)
            with self._changed:
                self._pending.remove(item)

    def _next(self) -> Interval | StreamSummary | None:
        with self._changed:
            if self._pending and not self._context.stopped():
                return self._pending[0]
            self._working = False
            self._changed.notify_all()
            return None

    def _cut(self, interval: Interval) -> None:
        suffix = chosen_suffix(self._context.settings, self._media or probe(self._source))
        target = self._folder / "clips" / clip_name(interval, suffix)
        identity = f"{self._fingerprint} {self._context.settings.fingerprint()} {interval.start_ms}-{interval.end_ms}"
        result = self._recorded(interval, identity, target)
        if result is None:
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
            spec = ClipSpec(
                source=self._source,
                target=target,
                start_s=Fraction(interval.start_ms, 1000),
                end_s=Fraction(interval.end_ms, 1000),
                metadata={
                    "title": f"{self._stream} {interval.number}",
                    "comment": (
                        f"{clock(interval.start_ms)} to {clock(interval.end_ms)} of {_printable(self._source.name)}: "
                        f"{reason_sentence(interval.reasons)}"
                    ),
                },
                fingerprint=self._fingerprint,
            )
            result = self._context.cutter.cut(spec, self._context.stopped)
            self._record(interval, identity, result)
        self._clips[interval.number] = result
        _tell(self._context.clip_written, self._stream, interval, result.path)

    def _finish(self, summary: StreamSummary) -> None:
        for interval in summary.intervals:
            if interval.number not in self._clips and interval.number not in self._uncut:
                self._cut_or_say_why(interval)
        reel = self._join()
        thumbnails = {}
        for interval in summary.intervals:
            picture = thumbnail_jpeg(self._source, Fraction(interval.peak_ms, 1000))
            if picture is not None:
                thumbnails[interval.number] = picture
            if self._context.stopped():
                raise StoppedError("stopped while the report was written; run the same command again to go on.")
        manifest = self._manifest(summary, reel)
        saving = self._context.saving
        if saving:
            saved = saving.write(self._folder, manifest, len(summary.values), self._media, self._context.stopped)
            manifest = replace(manifest, saved=saved)
        self._remove_strangers(manifest)
        write_highlights(self._folder, manifest)
        write_features(self._folder, summary)
        write_scores(self._folder, summary)
        write_report(self._folder, manifest, summary, thumbnails)
        write_manifest(self._folder, manifest)  # last: it says that everything else is there
        if saving:
            saving.discard(self._stream)
        _tell(self._context.stream_written, self._stream, manifest)

    def _join(self) -> Reel | None:
        if not (self._context.settings.join and self._clips):
            return None
        clips = [self._clips[number].path for number in sorted(self._clips)]
        target = clips[0].with_name(f"{_REEL}{clips[0].suffix}")
        try:
            made = join_clips(clips, target, self._context.stopped, {"title": f"{self._stream}, highlights"})
        except StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - said in the manifest; the clips are there all the same
            return Reel(notes=(_in_words(error),))
        return Reel(
            file=f"clips/{target.name}",
            duration_s=seconds(made.end_s - made.start_s),
            frames=made.frames,
            copied=made.copied,
            method=made.method,
            notes=made.notes,
        )

    def _manifest(self, summary: StreamSummary, reel: Reel | None = None) -> Manifest:
        error = None
        if self._uncut:
            first = self._uncut[min(self._uncut)]
            error = f"{len(self._uncut)} of {len(summary.intervals)} clips could not be cut: {first}"
        elif reel and not reel.file:
            error = f"the clips are there, but could not be joined: {reel.notes[0]}"
        elif summary.end.problem and not summary.end.duration_s:
            error = summary.end.problem
        source = Source(
            path=_printable(str(self._source)),
            name=_printable(self._source.name),
            size_bytes=self._media.size_bytes if self._media else None,
            fingerprint=self._fingerprint,
            streams=self._media.tracks if self._media else (),
        )
        return describe(
            summary,
            source,
            self._context.settings,
            left_out=self._context.left_out,
            clips=self._clips,
            uncut=self._uncut,
            reel=reel,
            error=error,
        )

    def _cut_or_say_why(self, interval: Interval) -> None:
        try:
            self._cut(interval)
        except StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - said in the manifest
            self._failed(interval, error)

    def _failed(self, item: Interval | StreamSummary, error: Exception) -> None:
        message = _in_words(error)
        kind: Literal["clip", "report"] = "clip" if isinstance(item, Interval) else "report"
        _log.debug(  # the outcome says it to the user
            "output_failed",
            stream=self._stream,
            what=kind,
            error=message,
            exc_info=traceback_of(error),
        )
        if isinstance(item, Interval):
            self._uncut[item.number] = message
        else:
            failed = replace(self._manifest(item), status="failed", error=message)
            _tell(self._context.stream_written, self._stream, failed)

    def _recorded(self, interval: Interval, identity: str, target: Path) -> ClipResult | None:
        try:
            record = from_json(_ClipRecord, json.loads(self._record_path(interval).read_text(encoding="utf-8")))
            if record.identity != identity or target.with_name(record.name).stat().st_size != record.size_bytes:
                return None
            return ClipResult(
                path=target.with_name(record.name),
                start_s=Fraction(record.start_s),
                end_s=Fraction(record.end_s),
                frames=record.frames,
                copied=record.copied,
                method=record.method,
                notes=record.notes,
            )
        except (OSError, ValueError):
            return None

    def _record(self, interval: Interval, identity: str, result: ClipResult) -> None:
        record = _ClipRecord(
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
        with write_atomically(self._record_path(interval)) as temporary:
            temporary.write_text(json.dumps(to_json(record)), encoding="utf-8")

    def _record_path(self, interval: Interval) -> Path:
        return self._records / f"{interval.number:03d}.json"

    def _remove_strangers(self, manifest: Manifest) -> None:
        """Remove clips of an earlier run with other settings, and what a killed run left half-written.

        What `main cut` makes is named in another way, and stays.
        """
        folder = self._folder / "clips"
        for path in folder.iterdir() if folder.is_dir() else ():
            if f"clips/{path.name}" in manifest.files:
                continue
            if _CLIP_NAME.fullmatch(path.name) or _HALF_WRITTEN.fullmatch(path.name):
                path.unlink(missing_ok=True)
        if not manifest.highlights and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _tell(callback: Callable[..., None], *news: object) -> None:
    """Call back; who listens and fails, on a closed terminal say, does not make a written file unwritten."""
    try:
        callback(*news)
    except Exception as error:  # noqa: BLE001 - whatever a listener does wrong
        _log.debug("listener_failed", error=str(error), exc_info=traceback_of(error))


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, ClipstreamError) else f"{type(error).__name__}: {error}"


def _printable(path: str) -> str:
    """Return a path as text that any file can hold: what in it is no UTF-8 becomes a replacement character."""
    return os.fsencode(path).decode("utf-8", "replace")


def finished_manifest(
    out: Path, stream: str, source_fingerprint: str, settings: Settings, features: Sequence[str]
) -> Manifest | None:
    """Return the manifest of a stream that is finished with the same source, settings and features, if it is.

    A stream that lacks a clip, a table or its report is not finished: somebody removed them.
    """
    folder = out / stream
    manifest = read_manifest(folder)
    if (
        manifest is not None
        and manifest.status == "complete"
        and manifest.source.fingerprint == source_fingerprint
        and manifest.settings_fingerprint == settings.fingerprint()
        and [feature.name for feature in manifest.features] == list(features)
        and all((folder / name).is_file() for name in (REPORT_NAME, *TABLE_NAMES, *manifest.files))
    ):
        return manifest
    return None
