"""A segment of a recording: what its packets span, told as they are written and found again after a crash."""

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

from clipstream.media.recording.packet_file import FOOTER, HEADER, TEMPLATE, PacketWriter, read_footer, records

__all__ = [
    "Extent",
    "Header",
    "Segment",
    "TrackNote",
    "date_at",
    "finish",
    "open_path",
    "salvage",
    "segment_paths",
    "stored",
]

_NAME = re.compile(r"(\.?)(\d{8,})\.packets")
_LAG_S = 1
"""Sound this far behind pictures is taken to have stopped: it holds nothing back. Pictures always do."""
_TIMED = frozenset({"video", "audio"})
_USUAL_RATE_HZ = 25
_HOLE_S = 2
"""Pictures (or without them, sound) that stay away for longer are a hole, unless frames are further apart anyway."""


@dataclass(frozen=True, slots=True)
class TrackNote:
    """A track of a recording.

    Attributes:
        index: Its number in the live stream, by which its packets go.
        kind: `"video"`, `"audio"`, …
        time_base: Seconds in a tick of its times.
        rate_hz: Frames a second on average; 0 where unknown.
        is_main: Whether it is the one whose keyframes segments begin with; without video, the first track of sound.
    """

    index: int
    kind: str
    time_base: Fraction
    rate_hz: Fraction
    is_main: bool


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a segment before its first packet.

    Attributes:
        run: Number of the connection, or of the part of it in which codecs and sizes stayed the same.
        offset_s: Stream time of PTS 0.
        date: Wall-clock time of its first keyframe.
        tracks: Its tracks.
        reached: Up to which tick each track was complete when the segment before it ended.
        ended: At which tick the main track ended in the segment before it.
    """

    run: int
    offset_s: Fraction
    date: datetime
    tracks: tuple[TrackNote, ...]
    reached: tuple[int | None, ...]
    ended: int | None = None

    def encode(self) -> bytes:
        """Return it as JSON."""
        tracks = [(t.index, t.kind, str(t.time_base), str(t.rate_hz), t.is_main) for t in self.tracks]
        return json.dumps(
            {
                "run": self.run,
                "offset_s": str(self.offset_s),
                "date": self.date.isoformat(),
                "tracks": tracks,
                "reached": self.reached,
                "ended": self.ended,
            }
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Header":
        """Return what `encode` made into JSON."""
        told = json.loads(data)
        tracks = (
            TrackNote(index, kind, Fraction(base), Fraction(rate), main)
            for index, kind, base, rate, main in told["tracks"]
        )
        return cls(
            told["run"],
            Fraction(told["offset_s"]),
            datetime.fromisoformat(told["date"]),
            tuple(tracks),
            tuple(told["reached"]),
            told["ended"],
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a recording in one file. Times are stream time.

    Attributes:
        path: The file.
        number: Segments are numbered in the order in which they were recorded.
        header: What was known at its beginning.
        start_s: When its first keyframe is shown, or without video, its first sound is heard.
        end_s: When the last of its packets stops being shown or heard.
        shown_s: When the last of its pictures stops being shown; without video, the same.
        complete_s: Nothing that is recorded later in this run comes before.
        size: Bytes of the file.
        holes: From when to when nothing was sent, the first perhaps before the segment.
    """

    path: Path
    number: int
    header: Header
    start_s: Fraction
    end_s: Fraction
    shown_s: Fraction
    complete_s: Fraction
    size: int
    holes: tuple[tuple[Fraction, Fraction], ...] = ()


class _Reach:
    """What the packets of one track span, in its ticks."""

    __slots__ = ("complete", "end", "newest", "start")

    def __init__(self, reached: int | None) -> None:
        self.start: int | None = None
        self.end: int | None = None
        self.newest: int | None = None
        self.complete = reached


class Extent:
    """What the packets of a segment span, kept in integers while they are written."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._reaches = {note.index: _Reach(at) for note, at in zip(header.tracks, header.reached, strict=True)}
        self._is_video = {note.index: note.kind == "video" for note in header.tracks}
        self._main = next(note for note in header.tracks if note.is_main)
        self._hole = math.ceil(max(_HOLE_S, 4 / (self._main.rate_hz or 4)) / self._main.time_base)
        self._holes: list[tuple[int, int]] = []
        self._frame = math.ceil(1 / (self._main.rate_hz or _USUAL_RATE_HZ) / self._main.time_base)

    @property
    def is_empty(self) -> bool:
        """Whether no packet of the main track is in it."""
        return self._reaches[self._main.index].start is None

    @property
    def reached(self) -> tuple[int | None, ...]:
        """Up to which tick each track is complete."""
        return tuple(reach.complete for reach in self._reaches.values())

    @property
    def ended(self) -> int | None:
        """At which tick the main track ends."""
        return self._reaches[self._main.index].end

    def add(self, track: int, pts: int, dts: int | None, duration: int) -> None:
        """Count a packet."""
        reach = self._reaches[track]
        if track == self._main.index:
            # A picture of which it is not said how long it is shown is shown all the same.
            duration = duration or (self._frame if self._is_video[track] else 0)
            before = self._header.ended if reach.end is None else reach.end
            if before is not None and pts - before > self._hole:
                self._holes.append((before, pts))
        if reach.start is None:
            reach.start = reach.end = pts
        if pts + duration > (reach.end or 0):
            reach.end = pts + duration
        if not self._is_video[track]:
            complete = pts + duration
        elif dts is not None:
            complete = dts
        elif reach.newest is None or pts > reach.newest:
            # Frames without decoding times: those between two that were each the latest so far come right after them.
            complete, reach.newest = reach.newest if reach.newest is not None else pts - 1, pts
        else:
            return
        if reach.complete is None or complete > reach.complete:
            reach.complete = complete

    def main_s(self, pts: int) -> Fraction:
        """Return the stream time of a PTS of the main track."""
        return pts * self._main.time_base + self._header.offset_s

    def describe(self, path: Path, number: int, size: int) -> Segment:
        """Return the segment as it is now; it has a packet of the main track."""
        offset_s = self._header.offset_s
        bases = {note.index: note.time_base for note in self._header.tracks}
        ends = [reach.end * bases[index] for index, reach in self._reaches.items() if reach.end is not None]
        complete = {
            note.index: reach.complete * note.time_base
            for note, reach in zip(self._header.tracks, self._reaches.values(), strict=True)
            if reach.complete is not None and note.kind in _TIMED
        }
        latest_s = max(complete.values())
        holding = [at_s for index, at_s in complete.items() if index == self._main.index or at_s >= latest_s - _LAG_S]
        start, end = self._reaches[self._main.index].start, self._reaches[self._main.index].end
        assert start is not None
        assert end is not None
        return Segment(
            path=path,
            number=number,
            header=self._header,
            start_s=self.main_s(start),
            end_s=max(ends) + offset_s,
            shown_s=self.main_s(end),
            complete_s=min(holding) + offset_s,
            size=size,
            holes=tuple((self.main_s(start), self.main_s(end)) for start, end in self._holes),
        )


def segment_paths(folder: Path) -> list[tuple[int, Path, bool]]:
    """Return number, path and whether it is finished, of all segments in a folder, in the order of recording."""
    with os.scandir(folder) as entries:
        matches = [(_NAME.fullmatch(entry.name), Path(entry.path)) for entry in entries]
    return sorted((int(match[2]), path, not match[1]) for match, path in matches if match)


def open_path(folder: Path, number: int, *, finished: bool = False) -> Path:
    """Return the name of a segment: hidden until it is finished."""
    return folder / f"{'' if finished else '.'}{number:08d}.packets"


def stored(path: Path, number: int) -> Segment | None:
    """Read what a finished segment says of itself; `None` where it is not whole.

    Raises:
        OSError: It cannot be read.
    """
    footer = read_footer(path)
    if footer is None:
        return None
    told = json.loads(footer)
    return Segment(
        path=path,
        number=number,
        header=Header.decode(json.dumps(told["header"]).encode()),
        start_s=Fraction(told["start_s"]),
        end_s=Fraction(told["end_s"]),
        shown_s=Fraction(told.get("shown_s", told["end_s"])),
        complete_s=Fraction(told["complete_s"]),
        size=path.stat().st_size,
        holes=tuple((Fraction(start), Fraction(end)) for start, end in told["holes"]),
    )


def footer_of(segment: Segment) -> bytes:
    """Return what a finished segment says of itself, as JSON."""
    return json.dumps(
        {
            "header": json.loads(segment.header.encode()),
            "start_s": str(segment.start_s),
            "end_s": str(segment.end_s),
            "shown_s": str(segment.shown_s),
            "complete_s": str(segment.complete_s),
            "holes": [(str(start), str(end)) for start, end in segment.holes],
        }
    ).encode()


def date_at(segments: Sequence[Segment], time_s: Fraction) -> datetime:
    """Return the date of an instant by the segment that has it, or else the nearest; by the last of several.

    Args:
        segments: At least one, in the order of recording, in which stream time goes on.
        time_s: The instant.
    """
    nearest, least_s = segments[-1], None
    for one in reversed(segments):
        away_s = max(one.start_s - time_s, time_s - one.end_s, Fraction(0))
        if least_s is None or away_s < least_s:
            nearest, least_s = one, away_s
        if one.end_s <= time_s or not away_s:
            break  # what is asked for lies near the end, as a rule, and all before is further away
    return nearest.header.date + timedelta(seconds=float(time_s - nearest.start_s))


def salvage(folder: Path, path: Path, number: int) -> Segment | None:
    """Finish a segment that was left unfinished, with the packets that are whole; without any, remove it.

    Raises:
        OSError: It cannot be read or written.
    """
    data = path.read_bytes()
    extent: Extent | None = None
    whole = 0
    for record in records(data):
        if record.track == HEADER:
            extent = Extent(Header.decode(bytes(record.data)))
        elif record.track == FOOTER or extent is None:
            break
        elif record.track != TEMPLATE:
            extent.add(record.track, record.pts, record.dts, record.duration)
        whole = record.end
    if extent is None or extent.is_empty:
        path.unlink()
        return None
    return finish(PacketWriter(path, whole), extent, folder, path, number)


def finish(writer: PacketWriter, extent: Extent, folder: Path, path: Path, number: int) -> Segment:
    """Close a segment, and give it its name: only now does it count as whole.

    Raises:
        OSError: It cannot be written.
    """
    target = open_path(folder, number, finished=True)
    segment = extent.describe(target, number, writer.size)
    writer.finish(footer_of(segment))
    path.replace(target)
    return segment
