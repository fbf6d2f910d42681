"""What a file leaves in `OUT/STREAM/`: clips as they are found, and the tables, the report and the manifest in the end.

Everything is named by what it holds and appears whole or not at all: doing it again after a crash gives the same files.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import structlog

from clipstream.cut_choice import chosen_suffix
from clipstream.errors import InputError, StoppedError
from clipstream.features.base import FeatureInfo
from clipstream.log import traceback_of
from clipstream.media.cut import join_clips
from clipstream.media.cutter import ClipResult, ClipSpec
from clipstream.media.inputs import STATE_FOLDER, Input
from clipstream.media.probe import MediaInfo, probe
from clipstream.media.thumbnails import thumbnail_jpeg
from clipstream.output.context import OutputContext, in_words, printable, tell
from clipstream.output.queue import OutputQueue
from clipstream.output.records import CLIP_RECORDS, read_record, write_record
from clipstream.report.description import describe, describe_failures, reason_sentence, seconds
from clipstream.report.files import writing
from clipstream.report.manifest import Manifest, Reel, Source, read_manifest, write_manifest
from clipstream.report.page import REPORT_NAME, write_report
from clipstream.report.tables import TABLE_NAMES, write_features, write_highlights, write_scores
from clipstream.results import Interval, StreamSummary
from clipstream.settings import Settings
from clipstream.timing import clock

__all__ = ["StreamOutput", "clip_name", "finished_manifest"]

_REEL = "reel"
_CLIP_NAME = re.compile(rf"(\d{{3,}}_\d{{6,}}\.\d{{3}}|{_REEL})\.(mp4|m4a|mov|mkv|webm|ts)")
_HALF_WRITTEN = re.compile(rf"\.(\d{{3,}}_\d{{6,}}\.\d{{3}}|{_REEL})\..*")

_log = structlog.get_logger()


def clip_name(interval: Interval, suffix: str) -> str:
    """Return the file name of a highlight's clip: its number and where in the source it starts."""
    return f"{interval.number:03d}_{clock(interval.start_ms, separator='')}{suffix}"


class StreamOutput(OutputQueue):
    """Everything that is written for one file.

    `source_fingerprint` is what the file of `item` was before it was analysed; empty where it could not be read.
    """

    def __init__(self, context: OutputContext, item: Input, source_fingerprint: str) -> None:
        super().__init__(context, item.stream)
        self._item, self._source = item, item.path
        self._folder = context.out / item.stream
        self._records = context.out / STATE_FOLDER / CLIP_RECORDS / item.stream
        self._media: MediaInfo | None = None
        self._fingerprint = source_fingerprint
        with suppress(InputError):  # what cannot be read is reported by the source, with an end that says so
            self._media = probe(item.path)
        self._clips: dict[int, ClipResult] = {}
        self._uncut: dict[int, str] = {}

    def _cut(self, interval: Interval) -> None:
        suffix = chosen_suffix(self._context.settings, self._media or probe(self._source))
        target = self._folder / "clips" / clip_name(interval, suffix)
        identity = f"{self._fingerprint} {self._context.settings.fingerprint()} {interval.start_ms}-{interval.end_ms}"
        result = read_record(self._record_path(interval), identity, target.parent)
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
                        f"{clock(interval.start_ms)} to {clock(interval.end_ms)} of {printable(self._item.name)}: "
                        f"{reason_sentence(interval.reasons)}"
                    ),
                },
                fingerprint=self._fingerprint,
            )
            result = self._context.cutter.cut(spec, self._context.stopped)
            write_record(self._record_path(interval), identity, result)
        self._clips[interval.number] = result
        tell(self._context.clip_written, self._stream, interval, result.path)
        self._context.tally.written(self._stream, interval.number)

    def _finish(self, summary: StreamSummary) -> None:
        left = [one for one in summary.intervals if one.number not in self._clips and one.number not in self._uncut]
        self._context.tally.found(self._stream, *(interval.number for interval in left))
        for interval in left:
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
        tell(self._context.stream_written, self._stream, manifest)

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
            return Reel(notes=(in_words(error),))
        return Reel(
            file=f"clips/{target.name}",
            duration_s=seconds(made.end_s - made.start_s),
            frames=made.frames,
            copied=made.copied,
            method=made.method,
            notes=made.notes,
        )

    def _manifest(self, summary: StreamSummary, reel: Reel | None = None) -> Manifest:
        error = self._why_not_as_asked(summary)
        if self._uncut:
            first = self._uncut[min(self._uncut)]
            error = f"{len(self._uncut)} of {len(summary.intervals)} clips could not be cut or announced: {first}"
        elif reel and not reel.file:
            error = f"the clips are there, but could not be joined: {reel.notes[0]}"
        elif summary.end.problem and not summary.end.duration_s:
            error = summary.end.problem
        source = Source(
            path=printable(self._item.source),
            name=printable(self._item.name),
            size_bytes=self._media.size_bytes if self._media else None,
            fingerprint=self._fingerprint,
            streams=self._media.tracks if self._media else (),
            problem=self._item.problem,
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

    def _why_not_as_asked(self, summary: StreamSummary) -> str | None:
        failures = describe_failures(summary.failures, len(summary.values))
        said = [one.sentence for one in failures if one.name in self._context.asked_for]
        return f"{'; '.join(said)}; the same command does it again." if said else None

    def _cut_or_say_why(self, interval: Interval) -> None:
        try:
            self._cut(interval)
        except StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - said in the manifest
            self._failed(interval, error)

    def _failed(self, item: Interval | StreamSummary, error: Exception) -> None:
        message = in_words(error)
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
            self._context.tally.failed(self._stream, item.number)
        else:
            failed = replace(self._manifest(item), status="failed", error=message)
            tell(self._context.stream_written, self._stream, failed)

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


def finished_manifest(
    out: Path, stream: str, source_fingerprint: str, settings: Settings, features: Sequence[FeatureInfo]
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
        and [(one.name, one.about) for one in manifest.features] == [(one.name, one.about) for one in features]
        and all((folder / name).is_file() for name in (REPORT_NAME, *TABLE_NAMES, *manifest.files))
    ):
        return manifest
    return None
