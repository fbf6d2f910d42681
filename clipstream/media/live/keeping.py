"""Everything that is recorded, in ordinary files of a minute each, beside what is kept for clips."""

import re
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import structlog

from clipstream.errors import CutError, OutputError
from clipstream.media.live.material import join_segments
from clipstream.media.live.room import lacking_bytes
from clipstream.media.live.segments import Segment

__all__ = ["Keeper"]

_FILE_S = 60
_NAME = re.compile(r".*_(\d{8,})-(\d{8,})\.[a-z0-9]+")

_log = structlog.get_logger()


class Keeper:
    """Joins finished segments to files named by their date, in a thread of its own.

    Segments that are in a file already, as its name says, are not taken again; `hold` keeps the others until that was
    tried. Where there is no room or no permission for a file, it is tried again with the next, and until that succeeds
    nothing is held, so that clips go first. The room that recordings leave is left by these files, too.

    Attributes:
        last_number: Number of the last segment that is in a file.

    Raises:
        OutputError: The folder cannot be made.
    """

    def __init__(self, folder: Path, hold: Callable[[Fraction], Callable[[], None]]) -> None:
        self._folder, self._hold = folder, hold
        self._group: list[Segment] = []
        self._waiting: deque[tuple[Segment, ...]] = deque()
        self._lost = self._told_lost = 0
        self._failing, self._holding = False, True
        self._release: Callable[[], None] | None = None
        self._worker = ThreadPoolExecutor(1, "keep-recording")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot hold the recording ({error.strerror}); allow writing, or choose another folder."
            ) from error
        self.last_number = max((int(name[2]) for name in names if name), default=0)

    def take(self, segment: Segment) -> None:
        """Take a finished segment."""
        if segment.number <= self.last_number:
            return
        self.last_number = segment.number
        if self._group and self._group[0].header.run != segment.header.run:
            self.flush()
        if not self._group and self._holding:
            self._release = self._hold(segment.start_s)
        self._group.append(segment)
        if segment.end_s - self._group[0].start_s >= _FILE_S:
            self.flush()

    def flush(self) -> None:
        """Make a file of what there is."""
        if self._group:
            self._worker.submit(self._write, tuple(self._group), self._release)
            self._group, self._release = [], None

    def let_go(self) -> None:
        """Hold nothing any more, until a file is written again: room is needed."""
        self._holding = False
        if self._release is not None:
            self._release()
            self._release = None

    def close(self) -> None:
        """Make a file of what there is, and wait for it."""
        self.flush()
        self._worker.shutdown()

    def _write(self, segments: tuple[Segment, ...], release: Callable[[], None] | None) -> None:
        self._waiting.append(segments)
        try:
            while self._waiting:
                self._join(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            if not self._failing:
                reason = str(error) if isinstance(error, OutputError) else f"{self._folder}: {error.strerror}."
                _log.error("recording_not_kept", folder=str(self._folder), reason=reason, next="it is tried again.")
            self._failing, self._holding = True, False
        else:
            if self._failing or self._lost > self._told_lost:
                _log.warning("recording_kept_again", folder=str(self._folder), lost_segments=self._lost)
            self._failing, self._holding, self._told_lost = False, True, self._lost
        finally:
            if release is not None:
                release()

    def _join(self, segments: tuple[Segment, ...]) -> None:
        left = [segment for segment in segments if segment.path.exists()]
        if left and lacking_bytes(self._folder, sum(segment.size for segment in left)):
            raise OutputError(f"{self._folder}: cannot hold more (the disk is all but full); make room.")
        try:
            if left:
                name = f"{left[0].header.date:%Y-%m-%dT%H-%M-%SZ}_{left[0].number:08d}-{left[-1].number:08d}"
                join_segments(left, self._folder, name)
        except CutError as error:
            _log.error("recording_not_kept", folder=str(self._folder), reason=str(error))
            left = []
        self._lost += len(segments) - len(left)
