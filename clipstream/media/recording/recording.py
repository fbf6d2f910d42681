"""The reading side of a recording: what it has, and clips cut from it, while it is being written or long after."""

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path

from clipstream.errors import NotRecordedError, OutputError
from clipstream.media.cut.cutters import SmartCutter
from clipstream.media.cutter import ClipResult, ClipSpec, Cutter
from clipstream.media.recording.holds import NEEDED_AFTER_S, NEEDED_BEFORE_S
from clipstream.media.recording.material import Material, join_segments
from clipstream.media.recording.packet_file import FOOTER, HEADER, TEMPLATE, records
from clipstream.media.recording.segments import Extent, Header, Segment, date_at, open_path, segment_paths, stored

__all__ = ["Recorded", "Recording", "RecordingCutter"]

_LISTINGS = 3


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stretch of stream time that was recorded without a gap.

    Attributes:
        start_s: Its first frame.
        end_s: Everything before it is there.
        date: Wall-clock time of `start_s`.
        is_growing: Whether it may go on.
    """

    start_s: Fraction
    end_s: Fraction
    date: datetime
    is_growing: bool


class Recording:
    """What a recorder has written to a folder, in this process or another, now or before.

    Every question looks at the folder again; what is known of finished segments is kept. Safe to ask from several
    threads at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._finished: dict[int, Path] = {}
        self._known: dict[int, Segment] = {}
        self._tails: dict[int, _Tail] = {}
        self._gaps: set[tuple[int, int]] = set()
        self._newest = 0

    def available(self) -> tuple[Recorded, ...]:
        """Return what there is, in the order of recording."""
        return tuple(span for span, _ in self._spans())

    def date_of(self, time_s: Fraction) -> datetime | None:
        """Return the date of an instant by what is recorded next to it; `None` where nothing is recorded at all.

        Each segment has its own date: what the source's clock drifts in a day is in none of them.
        """
        with self._lock:
            segments, _ = self._look()
        return date_at(segments, time_s) if segments else None

    def covers(self, start_s: Fraction, end_s: Fraction) -> bool:
        """Say whether everything between two instants is there: a clip of it can be cut now."""
        return any(span.start_s <= start_s and end_s <= span.end_s for span in self.available())

    def may_reach(self, time_s: Fraction) -> bool:
        """Say whether something is being written that has not come to an instant yet.

        This may be asked often: while it is so, the newest segment alone is looked at, of 43,200 in a day.
        """
        with self._lock:
            if not self._is_growing():
                return False
            segment = self._tails[self._newest].look()
        return segment is None or segment.complete_s < time_s

    @contextmanager
    def material(self, start_s: Fraction, end_s: Fraction) -> Iterator[Material]:
        """Give a file of the part of the recording that has most of a span; it is gone when the block is left.

        It starts with the keyframe at or before the span, and ends with the segment that has its end, or as far as that
        is written. Parts that a gap divides, of sizes or codecs that differ, are never joined.

        Raises:
            NotRecordedError: Nothing of the span is recorded.
            CutError: It is gone.
            OutputError: The file cannot be written.
        """
        _, segments = self._choose(start_s, end_s)
        with self._scratch() as scratch:
            yield join_segments(segments, scratch, self.folder.name)

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool], cutter: Cutter) -> ClipResult:
        """Cut a clip whose times are stream time, and say what was written in stream time; see `Cutter.cut`.

        Of a span that was not recorded without a gap, the longest part becomes the clip, and the notes say what is
        missing.

        Raises:
            NotRecordedError: Nothing of the span was recorded, or no picture where there are pictures.
        """
        span, segments = self._choose(spec.start_s, spec.end_s)
        start_s, end_s = max(spec.start_s, span.start_s), min(spec.end_s, span.end_s)
        with self._scratch() as scratch:
            material = join_segments(segments, scratch, self.folder.name)
            part = replace(
                spec,
                source=material.path,
                start_s=start_s - material.zero_s,
                end_s=end_s - material.zero_s,
                fingerprint="",
            )
            result = cutter.cut(part, cancelled)
        if not result.frames and any(track.kind == "video" for track in segments[0].header.tracks):
            result.path.unlink(missing_ok=True)
            raise NotRecordedError(
                f"{self.folder.name}: no picture was recorded between {float(start_s):.3f} s and {float(end_s):.3f} s; "
                "look at what the camera sends, or make clips longer."
            )
        notes = (*result.notes, *material.notes)
        if missing_s := (start_s - spec.start_s) + (spec.end_s - end_s):
            notes += (f"{float(missing_s):.3g} s of it were not recorded",)
        return replace(
            result, start_s=result.start_s + material.zero_s, end_s=result.end_s + material.zero_s, notes=notes
        )

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        try:
            folder = tempfile.TemporaryDirectory(prefix=".material-", dir=self.folder, ignore_cleanup_errors=True)
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot hold the material of a clip ({error.strerror}); make room or allow writing."
            ) from error
        with folder as path:
            yield Path(path)

    def _choose(self, start_s: Fraction, end_s: Fraction) -> tuple[Recorded, Sequence[Segment]]:
        """Return the stretch that has most of a span, and the segments of it that are needed."""

        def share_s(item: tuple[Recorded, Sequence[Segment]]) -> Fraction:
            return min(end_s, item[0].end_s) - max(start_s, item[0].start_s)

        # Of equal shares the last: what was recorded later is right where an earlier recorder's time was not.
        best = max(reversed(self._spans()), key=share_s, default=None)
        if best is None or share_s(best) <= 0:
            raise NotRecordedError(
                f"{self.folder.name}: nothing is recorded between {float(start_s):.3f} s and {float(end_s):.3f} s; "
                "keep more of it, and see that its disk has room."
            )
        span, segments = best
        first = max(
            (n for n, segment in enumerate(segments) if segment.start_s <= max(start_s, span.start_s)), default=0
        )
        while first > 0 and segments[first - 1].end_s > start_s - NEEDED_BEFORE_S > segments[first - 1].start_s:
            first -= 1
        return span, [segment for segment in segments[first:] if segment.start_s <= end_s + NEEDED_AFTER_S]

    def _spans(self) -> list[tuple[Recorded, Sequence[Segment]]]:
        """Return every stretch with the segments of the run it belongs to."""
        found: list[tuple[Recorded, Sequence[Segment]]] = []
        with self._lock:
            segments, growing = self._look()
        # Where one is let go from between others that are held, there is a gap.
        parts = groupby(enumerate(segments), key=lambda item: (item[1].header.run, item[1].number - item[0]))
        for (run, _), group in parts:
            whole = tuple(segment for _, segment in group)
            is_growing = run == growing and whole[-1] is segments[-1]
            # Sound that goes on without pictures is no part of it: a clip of that would have none.
            end_s = max(segment.complete_s if is_growing else segment.shown_s for segment in whole)
            start_s, holes = whole[0].start_s, [hole for segment in whole for hole in segment.holes]
            for until_s, after_s in holes:
                if until_s > start_s:
                    found.append((Recorded(start_s, until_s, date_at(whole, start_s), False), whole))
                start_s = max(start_s, after_s)
            found.append((Recorded(start_s, end_s, date_at(whole, start_s), is_growing), whole))
        return found

    def _look(self) -> tuple[list[Segment], int | None]:
        """Return all segments as they are now, and the number of the run that may go on."""
        self._list()
        finished = self._read_finished()
        growing = [segment for tail in self._tails.values() if (segment := tail.look()) is not None]
        segments = sorted([*finished, *growing], key=lambda segment: segment.number)
        return segments, growing[-1].header.run if growing else None

    def _read_finished(self) -> Iterable[Segment]:
        for number, path in self._finished.items():
            if number not in self._known:
                with suppress(OSError):  # gone meanwhile
                    if (segment := stored(path, number)) is not None:
                        self._known[number] = segment
        return self._known.values()

    def _is_growing(self) -> bool:
        """Find the newest segment, from the last that was, and say whether it is being written."""
        while True:
            number = self._newest
            path = open_path(self.folder, number)
            is_open = path.exists()  # asked first: the next is there before the last is finished
            if any(open_path(self.folder, number + 1, finished=finished).exists() for finished in (False, True)):
                self._newest += 1
            elif is_open:
                self._tails = {number: self._tails.get(number) or _Tail(path, number)}
                return True
            else:
                self._list()
                self._newest = max((*self._finished, *self._tails), default=0)
                if self._newest == number:
                    return False

    def _list(self) -> None:
        """Take note of the names in the folder."""
        paths = self._list_whole() if self.folder.is_dir() else []
        self._finished = {number: path for number, path, is_finished in paths if is_finished}
        self._known = {number: segment for number, segment in self._known.items() if number in self._finished}
        left = ((number, path) for number, path, is_finished in paths if not is_finished)
        self._tails = {number: self._tails.get(number) or _Tail(path, number) for number, path in left}

    def _list_whole(self) -> list[tuple[int, Path, bool]]:
        for _ in range(_LISTINGS):
            paths = segment_paths(self.folder)
            numbers = [number for number, _, _ in paths]
            gaps = {(number, after) for number, after in pairwise(numbers) if after - number > 1}
            if self._tails.keys() <= set(numbers) and gaps <= self._gaps:
                break
            # A name that changes while a folder is listed may not be seen at all.
        self._gaps = gaps
        return paths


class RecordingCutter:
    """Cuts clips from recordings where a source is the folder of one, and from files otherwise."""

    def __init__(self, cutter: Cutter | None = None) -> None:
        self._cutter = cutter or SmartCutter()
        self._recordings: dict[Path, Recording] = {}

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        """Write `spec.target`; see `Cutter.cut` and, of recordings, `Recording.cut`."""
        if spec.source.is_dir():
            recording = self._recordings.setdefault(spec.source, Recording(spec.source))
            return recording.cut(spec, cancelled, self._cutter)
        return self._cutter.cut(spec, cancelled)


class _Tail:
    """A segment that is being written, read on from where the last look ended."""

    def __init__(self, path: Path, number: int) -> None:
        self._path, self.number = path, number
        self._at = 0
        self._extent: Extent | None = None

    def look(self) -> Segment | None:
        """Return the segment as it is now; `None` while it has nothing."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except OSError:
            # It was finished meanwhile: what was seen of it still holds.
            data = b""
        whole = 0
        for record in records(data):
            if record.track == HEADER:
                self._extent = Extent(Header.decode(bytes(record.data)))
            elif record.track not in {TEMPLATE, FOOTER} and self._extent:
                self._extent.add(record.track, record.pts, record.dts, record.duration)
            whole = record.end
        self._at += whole
        if self._extent is None or self._extent.is_empty:
            return None
        return self._extent.describe(self._path, self.number, self._at)
