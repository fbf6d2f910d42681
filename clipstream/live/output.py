"""What a live stream leaves in `OUT/STREAM/`: clips soon after they happened, and a manifest that grows."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from threading import Event

import numpy as np
import structlog
from numpy.typing import NDArray

from clipstream.errors import NotRecordedError, OutputError, StoppedError
from clipstream.features.base import FeatureInfo
from clipstream.live.cameras import Cameras
from clipstream.live.listing import Listing, earlier_manifest
from clipstream.log import traceback_of
from clipstream.media.cutter import ClipSpec
from clipstream.media.recording.recording import Recording, RecordingCutter
from clipstream.media.slices import StreamEnd
from clipstream.media.thumbnails import thumbnail_jpeg
from clipstream.memory import give_back_memory
from clipstream.output.context import OutputContext, in_words, tell
from clipstream.output.queue import OutputQueue
from clipstream.report.description import describe, describe_failures, describe_highlight, reason_sentence
from clipstream.report.files import make_durable, writing
from clipstream.report.manifest import Highlight, Manifest, Source, read_manifest, write_manifest
from clipstream.report.page import write_report
from clipstream.report.tables import write_features, write_highlights, write_scores
from clipstream.results import Interval, StreamSummary

__all__ = ["LiveOutput"]

_POLL_S = 0.05
_RECORDED_WITHIN_S = 20
_REPORTED_SLICES = 24 * 7200
_THUMBNAILS = 200

_log = structlog.get_logger()


class LiveOutput(OutputQueue):
    """Everything that is written for one live stream.

    A highlight is in the manifest as soon as its clip is there, and is not cut again after that. Until then the cameras
    hold it, and the next run finishes it, whatever its settings. Clips are named by the date at which they start.

    Args:
        context: The run's; its cutter is given recordings to cut from.
        stream: The stream's name.
        cameras: Who reads and records it.
        features: What is used, for the manifest.
    """

    def __init__(self, context: OutputContext, stream: str, cameras: Cameras, features: Sequence[FeatureInfo]) -> None:
        super().__init__(context, stream, patient=True)
        self._cameras, self._features = cameras, tuple(features)
        self._folder = context.out / stream
        self._address = str(cameras.inputs[stream].address)
        self._recording = Recording(cameras.recording(stream))
        self._cutter = RecordingCutter(context.cutter)
        self._listing = Listing(self._folder, self._begun())
        self._ended = False
        self._failures: dict[int, str] = {}
        left = cameras.pending(stream)
        # Runs with other settings number theirs from 1, too: here each has the next number that no other has.
        self._numbers = count(max((one.number for one in left), default=0) + 1)
        for one in left:
            super().add(one)

    def add(self, item: Interval | StreamSummary) -> None:
        """Take a highlight to cut, or the summary that ends the stream. Returns at once."""
        if isinstance(item, Interval):
            if any(_within(item, one.start_ms, one.end_ms) for one in self.pending() if isinstance(one, Interval)):
                return  # from before an interruption, or found again after it
            date_ms = round(self._date(item.start_ms).timestamp() * 1000) if item.date_ms is None else item.date_ms
            item = replace(item, number=next(self._numbers), date_ms=date_ms)
            self._cameras.hold(self._stream, item)
        super().add(item)

    def close(self) -> None:
        """Wait until everything is written, or given up because the run was stopped; the manifest says which."""
        super().close()
        if not self._ended:
            self._note_failures()
            try:
                self._listing.stop()
            except OutputError as error:
                _log.warning("output_failed", stream=self._stream, error=str(error))

    def _cut(self, interval: Interval) -> None:
        known = self._listed(interval)
        if known is None or known.clip is None:
            self._await(interval)
            result = self._cutter.cut(self._spec(interval), self._context.stopped)
            give_back_memory()  # encoders leave holes in it, 40 MB of them after a thousand clips
            make_durable(result.path)  # before it is listed, and so never cut again
            known = self._append(interval, describe_highlight(interval, result))
        # Told again after a crash, which may have come before it was told: who listens knows what it was told already.
        tell(self._context.clip_written, self._stream, _as_listed(interval, known), self._folder / str(known.clip))
        self._context.tally.written(self._stream, interval.number)
        self._failures.pop(interval.number, None)
        self._cameras.release(self._stream, interval.number)

    def _finish(self, summary: StreamSummary) -> None:
        summary = _padded(summary, until=_REPORTED_SLICES)
        manifest = self._whole(summary, self._listing.highlights)
        if not summary.first:
            thumbnails = {}
            for one in manifest.highlights[-_THUMBNAILS:]:
                picture = self._thumbnail(one)
                if picture is not None:
                    thumbnails[one.number] = picture
                if self._context.stopped():
                    raise StoppedError("stopped while the report was written; run the same command again to go on.")
            write_features(self._folder, summary)
            write_scores(self._folder, summary)
            write_report(self._folder, manifest, summary, thumbnails)
        write_highlights(self._folder, manifest)
        write_manifest(self._folder, manifest, durable=True)
        self._ended = True
        tell(self._context.stream_written, self._stream, manifest)

    def _failed(self, item: Interval | StreamSummary, error: Exception) -> None:
        message = in_words(error)
        if isinstance(item, Interval):
            if not isinstance(error, NotRecordedError):
                self._failures[item.number] = message
            known = self._listed(item)
            if known is None or known.clip is None:
                self._append(item, describe_highlight(item, None, message))
                self._cameras.release(self._stream, item.number)
            # Otherwise its clip could not be announced: it stays pending, and the next run does it.
            self._context.tally.failed(self._stream, item.number)
        else:
            self._ended = True
            failed = replace(self._whole(item, self._known()), status="failed", error=message)
            tell(self._context.stream_written, self._stream, failed)
        _log.warning("output_failed", stream=self._stream, error=message)
        _log.debug("output_failure", stream=self._stream, exc_info=traceback_of(error))

    def _whole(self, summary: StreamSummary, found: tuple[Highlight, ...]) -> Manifest:
        """Return the manifest of the stream that has ended, the highlights ranked."""
        best = sorted(found, key=lambda one: (-one.score, -one.peak_score, one.start_s))
        ranks = {one.number: rank for rank, one in enumerate(best, start=1)}
        error = summary.end.problem if not summary.end.frames and summary.end.problem else None
        if self._failures:
            first = self._failures[min(self._failures)]
            error = f"{len(self._failures)} of {len(found)} clips could not be cut or announced: {first}"
        whole = describe(summary, self._source(), self._context.settings, left_out=self._context.left_out, error=error)
        return replace(whole, highlights=tuple(replace(one, rank=ranks[one.number]) for one in found))

    def _begun(self) -> Manifest:
        """Return the manifest of what the stream has given so far, in this run and in those before."""
        earlier = self._of_this_source(earlier_manifest(self._folder))
        settings = self._context.settings
        fresh = describe(
            _nothing_yet(self._stream, self._features, settings.floor),
            self._source(),
            settings,
            left_out=self._context.left_out,
        )
        return replace(fresh, status="running", highlights=tuple(replace(one, rank=None) for one in earlier))

    def _known(self) -> tuple[Highlight, ...]:
        """Return the highlights so far; where they cannot be read back, those of the manifest that is on disk."""
        try:
            return self._listing.highlights
        except OutputError:
            return self._of_this_source(read_manifest(self._folder))

    def _of_this_source(self, manifest: Manifest | None) -> tuple[Highlight, ...]:
        return manifest.highlights if manifest is not None and manifest.source.path == self._address else ()

    def _source(self) -> Source:
        return Source(path=self._address, name=self._stream)

    def _await(self, interval: Interval) -> None:
        """Wait until everything of a highlight is recorded, or it is clear that no more will come."""
        end_s, pause = Fraction(interval.end_ms, 1000), Event()
        for _ in range(round(_RECORDED_WITHIN_S / _POLL_S)):
            if not self._recording.may_reach(end_s):
                return  # what is missing lies in a gap
            if self._context.stopped():
                raise StoppedError("stopped before a clip was recorded; run the same command again to go on.")
            pause.wait(_POLL_S)

    def _spec(self, interval: Interval) -> ClipSpec:
        settings, date = self._context.settings, _date_of(interval)
        suffix = ".mp4" if settings.container == "source" else f".{settings.container}"
        # Two may have one date where the world's clock was set back.
        dates = (date + timedelta(milliseconds=more) for more in count())
        names = (f"clips/{at:%Y-%m-%dT%H-%M-%S}.{at.microsecond // 1000:03d}Z{suffix}" for at in dates)
        target = self._folder / next(name for name in names if not self._listing.has_clip(name))
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        return ClipSpec(
            source=self._recording.folder,
            target=target,
            start_s=Fraction(interval.start_ms, 1000),
            end_s=Fraction(interval.end_ms, 1000),
            metadata={
                "title": f"{self._stream} {_iso(date)}",
                "comment": reason_sentence(interval.reasons),
                "creation_time": _iso(date),
            },
        )

    def _date(self, time_ms: int) -> datetime:
        """Return the date of a stream time: as it is recorded, or else by the time since the stream was first read."""
        at_s = Fraction(time_ms, 1000)
        recorded = self._cameras.date_of(self._stream, at_s)
        if recorded is None:
            with suppress(OSError):  # of a folder that cannot be read, cutting tells
                recorded = self._recording.date_of(at_s)
        began = datetime.fromtimestamp(self._cameras.began_unix_s(self._stream), UTC)
        return recorded or began + timedelta(milliseconds=time_ms)

    def _append(self, interval: Interval, highlight: Highlight) -> Highlight:
        self._note_failures()
        dated = replace(highlight, date=_iso(_date_of(interval)))
        return self._listing.add(dated, instead_of=self._listed(interval))

    def _listed(self, interval: Interval) -> Highlight | None:
        return self._listing.find(interval.peak_ms, _date_ms(interval))

    def _note_failures(self) -> None:
        self._listing.note(describe_failures(*self._context.tally.failures(self._stream)))

    def _thumbnail(self, one: Highlight) -> bytes | None:
        if one.clip is None or one.clip_start_s is None:
            return None
        return thumbnail_jpeg(self._folder / one.clip, max(Fraction(one.peak_s - one.clip_start_s), Fraction(0)))


def _within(interval: Interval, start_ms: int, end_ms: int) -> bool:
    """Say whether a highlight is the one of a span: found again after a crash, it may end elsewhere."""
    return start_ms <= interval.peak_ms < end_ms


def _as_listed(interval: Interval, one: Highlight) -> Interval:
    """Return a highlight as the manifest has it, so that it is told in the same words each time."""
    return replace(
        interval,
        number=one.number,
        start_ms=_ms(one.start_s),
        end_ms=_ms(one.end_s),
        peak_ms=_ms(one.peak_s),
        score=one.score,
        reasons=one.reasons,
        peak_score=one.peak_score,
        date_ms=round(datetime.fromisoformat(one.date).timestamp() * 1000) if one.date else interval.date_ms,
    )


def _ms(time_s: Decimal) -> int:
    return int(time_s.scaleb(3))


def _date_of(interval: Interval) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=_date_ms(interval))


def _date_ms(interval: Interval) -> int:
    assert interval.date_ms is not None, "it was dated when it was taken"
    return interval.date_ms


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _nothing_yet(stream: str, features: tuple[FeatureInfo, ...], floor: float) -> StreamSummary:
    none: NDArray[np.float32] = np.zeros(0, np.float32)
    return StreamSummary(
        stream=stream,
        features=features,
        values=none.reshape(0, sum(len(info.signals) for info in features)),
        feature_scores=none.reshape(0, len(features)),
        scores=none,
        noticeable=none,
        window_scores=none,
        window_spans_s=np.zeros((0, 2)),
        threshold=math.nan,
        floor=floor,
        intervals=(),
        errors=0,
        end=StreamEnd(Fraction(0)),
    )


def _padded(summary: StreamSummary, until: int) -> StreamSummary:
    """Return a summary that begins at 0, where that is not too long: what was forgotten is missing in it."""
    if not summary.first or summary.first + len(summary.scores) > until:
        return summary

    def after_a_gap(values: NDArray[np.float32]) -> NDArray[np.float32]:
        gap = np.full((summary.first, *values.shape[1:]), np.nan, np.float32)
        return np.concatenate((gap, values))

    return replace(
        summary,
        first=0,
        values=after_a_gap(summary.values),
        feature_scores=after_a_gap(summary.feature_scores),
        scores=after_a_gap(summary.scores),
        noticeable=after_a_gap(summary.noticeable),
    )
