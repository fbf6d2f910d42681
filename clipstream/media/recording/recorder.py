"""The writing side of a recording: packets as they come, in segments cut at keyframes, the oldest of which go."""

import errno
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av.container
import structlog
from av.packet import Packet

from clipstream.errors import OutputError
from clipstream.media.recording.archive import Archive
from clipstream.media.recording.disk_space import lacking_bytes
from clipstream.media.recording.holds import Holds
from clipstream.media.recording.packet_file import HEADER, TEMPLATE, PacketWriter
from clipstream.media.recording.segments import (
    Extent,
    Header,
    Segment,
    TrackNote,
    date_at,
    finish,
    open_path,
    salvage,
    segment_paths,
    stored,
)
from clipstream.media.recording.templates import make_template, new_parameter_sets, note_tracks, open_template

__all__ = ["Recorder"]

_EARLY = Fraction(3, 4)
"""A keyframe that comes after this share of a segment's length begins the next: keyframes are rarely spaced exactly."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Run:
    """Packets that can be joined: of one connection, one set of codecs, one size."""

    number: int
    offset_s: Fraction
    tracks: tuple[TrackNote, ...]
    main: TrackNote
    indices: frozenset[int]
    template: bytes
    date_of: Callable[[Fraction], float | None] | None = None
    parameter_sets: bytes | None = None


@dataclass(slots=True)
class _Open:
    """The segment that is being written."""

    writer: PacketWriter
    extent: Extent
    path: Path
    number: int
    started_s: Fraction
    date: datetime


class Recorder:
    """Records a stream into a folder of its own, within limits of time and bytes.

    `begin`, `write` and `end` belong to the thread that reads the stream. They never wait for anything but the file
    system's own memory, and never raise for what the stream or the disk does: a disk that fails is logged once and
    tried again at every keyframe, while the oldest segments go on leaving. `hold` may be called from anywhere.

    What a process that was killed left unfinished is finished first: a segment loses no packet that was written whole.
    Stream time has to go on where it was, for `keep_s` to count; the dates in `Recording.available` tell by how much.
    Whoever still needs what was recorded then holds it before `begin`.

    Args:
        folder: The folder, made if needed. Nobody else may record into it.
        keep_s: How much is kept: segments that end longer ago go.
        keep_bytes: How many bytes are kept, at most; the oldest segments go first.
        segment_s: Length of a segment, at least: it is cut at the next keyframe of the pictures.
        keep_everything: A folder for everything that is recorded, in ordinary files of a minute each.

    Raises:
        OutputError: The folder cannot be made or read.
    """

    def __init__(
        self,
        folder: Path,
        keep_s: Fraction,
        keep_bytes: int,
        segment_s: Fraction = Fraction(2),
        keep_everything: Path | None = None,
    ) -> None:
        self._folder, self._keep_s, self._keep_bytes = folder, keep_s, keep_bytes
        self._least_s = segment_s * _EARLY
        self._holds = Holds()
        self._run: _Run | None = None
        self._open: _Open | None = None
        self._reached: tuple[int | None, ...] = ()
        self._ended: int | None = None
        self._left_out: tuple[str, ...] = ()
        self._failing = self._started = self._shortened = False
        self._lost = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._segments = _take_stock(folder)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot hold the recording ({error.strerror}); allow writing, or choose another folder."
            ) from error
        self._next = max((segment.number for segment in self._segments), default=0) + 1
        self._runs = max((segment.header.run for segment in self._segments), default=0)
        self._archive = Archive(keep_everything, self.hold) if keep_everything else None
        if self._archive:
            self._next = max(self._next, self._archive.last_number + 1)
            for segment in self._segments:
                self._archive.take(segment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def end_s(self) -> Fraction:
        """Where what is recorded ends, in stream time; 0 where nothing is."""
        return max((segment.end_s for segment in self._segments), default=Fraction(0))

    @property
    def lost_packets(self) -> int:
        """How many packets could not be written, or had no time."""
        return self._lost

    def date_of(self, time_s: Fraction) -> datetime | None:
        """Return the date of an instant by what is recorded next to it, from memory; `None` where nothing is.

        This may be called from anywhere.
        """
        now, segments = self._open, tuple(self._segments)
        if now is not None and (time_s >= now.started_s or not segments):
            return now.date + timedelta(seconds=float(time_s - now.started_s))
        return date_at(segments, time_s) if segments else None

    def begin(
        self,
        container: av.container.InputContainer,
        offset_s: Fraction,
        date_of: Callable[[Fraction], float | None] | None = None,
        *,
        rate_hz: Fraction | None = None,
    ) -> None:
        """Take the packets of a connection from now on, PTS 0 being at `offset_s` of stream time.

        Every segment has a date of its own, as `date_of` tells, so that none is off by what a source's clock drifts.

        The container is needed during this call alone. Stream time must not run backwards. What follows cannot be
        joined to what came before. Recording starts with the next keyframe of the pictures.
        """
        self.end()
        tracks, left_out = note_tracks(container.streams, rate_hz)
        if left_out != self._left_out and left_out:
            _log.warning("tracks_not_recorded", folder=self._folder.name, tracks=left_out)
        self._left_out = left_out
        main = next((track for track in tracks if track.is_main), None)
        if main is None:
            return
        indices = frozenset(track.index for track in tracks)
        template = make_template([container.streams[track.index] for track in tracks])
        self._runs += 1
        self._run = _Run(self._runs, offset_s, tracks, main, indices, template, date_of)
        self._forget(self._run)
        self._started = False

    def write(self, packet: "Packet[Any]") -> None:
        """Record a packet of any track, in the order in which they come."""
        run = self._run
        if run is None or not packet.size or packet.stream_index not in run.indices:
            return
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None:
            self._lost += 1
            return
        if packet.stream_index == run.main.index and (packet.is_keyframe or run.main.kind != "video"):
            self._at_keyframe(packet, pts)
        if self._open is None:
            # Nothing is decoded before the first keyframe; afterwards, the disk refuses.
            self._lost += self._started
            return
        try:
            self._open.writer.packet(packet, pts)
        except OSError as error:
            self._lost += 1
            self._fail(error)
        else:
            self._open.extent.add(packet.stream_index, pts, packet.dts, packet.duration or 0)

    def end(self) -> None:
        """Finish the segment: the connection is over."""
        self._finish(self._open)
        self._open = self._run = None
        if self._archive:
            self._archive.flush()

    def close(self) -> None:
        """Finish everything, waiting for the files of `keep_everything`."""
        self.end()
        if self._archive:
            self._archive.close()

    def hold(self, start_s: Fraction, end_s: Fraction | None = None) -> Callable[[], None]:
        """Keep what a clip of this span needs, beyond all limits, until the returned function is called.

        Without an end it is everything from `start_s` on. What else was recorded goes as ever.
        """
        return self._holds.add(start_s, end_s)

    def _forget(self, run: _Run) -> None:
        """Let what comes next follow nothing."""
        self._reached, self._ended = (None,) * len(run.tracks), None

    def _at_keyframe(self, packet: "Packet[Any]", pts: int) -> None:
        run = self._run
        assert run is not None
        self._started = True
        now_s = pts * run.main.time_base + run.offset_s
        if run.main.kind == "video":
            sets = new_parameter_sets(packet)
            if sets is not None and sets != run.parameter_sets:
                run = self._renew(run, sets)
        before = self._open
        if before is not None and now_s - before.started_s < self._least_s:
            return
        if before is not None:
            self._reached, self._ended = before.extent.reached, before.extent.ended
        # The next is there before the last is finished: to those who look, the run never seems to be over in between.
        try:
            self._make_room(now_s)
            self._start(run, now_s)
        except OSError as error:
            self._finish(before)
            self._open = None
            self._fail(error)
        else:
            self._finish(before)

    def _renew(self, run: _Run, sets: bytes) -> _Run:
        """Go on with other parameter sets: as another run, if there were some before."""
        if run.parameter_sets is not None or self._open is not None:
            self._finish(self._open)
            self._open = None
            self._runs += 1
            self._forget(run)
        with open_template(run.template) as like:
            template = make_template(like.streams, sets)
        self._run = replace(run, number=self._runs, parameter_sets=sets, template=template)
        return self._run

    def _start(self, run: _Run, now_s: Fraction) -> None:
        number, path = self._next, open_path(self._folder, self._next)
        unix_s = run.date_of(now_s) if run.date_of else None
        date = datetime.now(UTC) if unix_s is None else datetime.fromtimestamp(unix_s, UTC)
        header = Header(run.number, run.offset_s, date, run.tracks, self._reached, self._ended)
        writer = PacketWriter(path)
        try:
            writer.note(HEADER, header.encode())
            writer.note(TEMPLATE, run.template)
        except OSError:
            writer.close()
            path.unlink(missing_ok=True)
            raise
        self._next += 1
        self._open = _Open(writer, Extent(header), path, number, now_s, date)
        if self._failing:
            _log.info("recording_resumed", folder=self._folder.name, lost_packets=self._lost)
            self._failing = False

    def _finish(self, segment: _Open | None) -> None:
        if segment is None:
            return
        try:
            if segment.extent.is_empty:
                segment.writer.close()
                segment.path.unlink(missing_ok=True)
            else:
                self._add(finish(segment.writer, segment.extent, self._folder, segment.path, segment.number))
        except OSError as error:
            segment.writer.close()
            self._fail(error)

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        if self._archive:
            self._archive.take(segment)

    def _fail(self, error: OSError) -> None:
        if not self._failing:
            _log.error(
                "recording_stopped",
                folder=self._folder.name,
                reason=f"{self._folder}: cannot be written ({error.strerror}); make room or allow writing. "
                "Reading goes on, and recording is tried again at every keyframe.",
            )
        self._failing = True
        if (now := self._open) is not None:
            # What was written whole stays readable where it is, and is finished as soon as there is room.
            now.writer.close()
            self._open = None
        if self._run is not None:
            # What comes next does not follow what was lost.
            self._runs += 1
            self._run = replace(self._run, number=self._runs)
            self._forget(self._run)

    def _make_room(self, now_s: Fraction) -> None:
        """Let go of the oldest segments as the limits and the disk ask for it; finish those that a full disk left.

        Raises:
            OSError: The disk is full, even so.
        """
        lacking = self._prune(now_s, lacking_bytes(self._folder, resuming=self._failing))
        if lacking > 0 and self._archive:
            self._archive.let_go()
            lacking = self._prune(now_s, lacking)
        if self._failing:
            self._salvage()
        if lacking > 0:
            needed_mb = math.ceil(lacking / 1_000_000)
            raise OSError(errno.ENOSPC, f"the disk is all but full: {needed_mb} MB more have to be free")

    def _prune(self, now_s: Fraction, lacking: int) -> int:
        """Let go of segments that are too old or too many, or lie where others lack room; return how much still is."""
        was_lacking = lacking > 0
        due = early = 0
        total = sum(segment.size for segment in self._segments) + (self._open.writer.size if self._open else 0)
        place = 0
        while place < len(self._segments):
            oldest = self._segments[place]
            is_due = oldest.end_s <= now_s - self._keep_s or total > self._keep_bytes
            if not is_due and lacking <= 0:
                break
            total -= oldest.size
            remove = partial(oldest.path.unlink, missing_ok=True)
            if not self._holds.unless_held(oldest.start_s, oldest.end_s, remove):
                place += 1  # beyond the limits, which are for the rest
                continue
            lacking -= oldest.size
            del self._segments[place]
            due, early = due + is_due, early + (not is_due)
        if early and not self._shortened:
            _log.warning("recording_shortened", folder=self._folder.name, reason="the disk is all but full; make room.")
            self._shortened = True
        elif due and self._shortened and not was_lacking:
            _log.info("recording_at_full_length", folder=self._folder.name)
            self._shortened = False
        return lacking

    def _salvage(self) -> None:
        for number, path, is_finished in segment_paths(self._folder):
            if not is_finished:
                try:
                    segment = salvage(self._folder, path, number)
                except OSError:
                    break
                if segment:
                    self._add(segment)
        self._segments.sort(key=lambda segment: segment.number)


def _take_stock(folder: Path) -> list[Segment]:
    """Return the segments of a folder, those finished that were left unfinished, those removed that hold nothing.

    Raises:
        OSError: The folder cannot be read.
    """
    segments = []
    for number, path, is_finished in segment_paths(folder):
        segment = (stored(path, number) if is_finished else None) or salvage(folder, path, number)
        if segment is not None:
            segments.append(segment)
    return segments
