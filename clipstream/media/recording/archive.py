"""Everything that is recorded, in ordinary files of a minute each, beside what is kept for clips."""

import re
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic

import structlog

from clipstream.errors import OutputError
from clipstream.media.recording.disk_space import lacking_bytes
from clipstream.media.recording.material import join_segments
from clipstream.media.recording.segments import Segment

__all__ = ["Archive"]

_FILE_S = 60
_HANGS_S = 60
_CLOSE_S = 10
_NAME = re.compile(r".*_(\d{8,})-(\d{8,})\.[a-z0-9]+")

_log = structlog.get_logger()


class Archive:
    """Joins finished segments to files named by their date, in a thread of its own.

    Segments that are in a file already, as its name says, are not taken again; `hold` keeps the span of each of the
    others until that was tried. Where there is no room or no permission for a file, it is tried again with the next;
    one that is under way for a minute is waited for. Until that succeeds nothing is held, so that clips go first. The
    room that recordings leave is left by these files, too.

    Attributes:
        last_number: Number of the last segment that is in a file.

    Raises:
        OutputError: The folder cannot be made.
    """

    def __init__(self, folder: Path, hold: Callable[[Fraction, Fraction], Callable[[], None]]) -> None:
        self._folder, self._hold = folder, hold
        self._group: list[Segment] = []
        self._waiting: deque[tuple[Segment, ...]] = deque()
        self._lost = self._told_lost = 0
        self._failing, self._holding = False, True
        self._lock = Lock()
        self._releases: dict[int, Callable[[], None]] = {}
        self._given_s: deque[float] = deque()
        self._given: SimpleQueue[tuple[Segment, ...] | None] = SimpleQueue()
        # A daemon: a file system that hangs must not keep the program.
        self._worker = Thread(target=self._work, name="keep-recording", daemon=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = [_NAME.fullmatch(path.name) for path in folder.iterdir()]
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot hold the recording ({error.strerror}); allow writing, or choose another folder."
            ) from error
        self.last_number = max((int(name[2]) for name in names if name), default=0)
        self._worker.start()

    def take(self, segment: Segment) -> None:
        """Take a finished segment."""
        if segment.number <= self.last_number:
            return
        self.last_number = segment.number
        if self._group and self._group[0].header.run != segment.header.run:
            self.flush()
        self._notice_hanging()
        if self._holding:
            with self._lock:
                self._releases[segment.number] = self._hold(segment.start_s, segment.end_s)
        self._group.append(segment)
        if segment.end_s - self._group[0].start_s >= _FILE_S:
            self.flush()

    def flush(self) -> None:
        """Make a file of what there is."""
        if self._group:
            with self._lock:
                self._given_s.append(monotonic())
            self._given.put(tuple(self._group))
            self._group = []

    def let_go(self) -> None:
        """Hold nothing any more, until a file is written again: room is needed."""
        self._holding = False
        with self._lock:
            self._release(*self._releases)

    def close(self) -> None:
        """Make a file of what there is, and wait for it a while; what is not in one then, the next start takes."""
        self.flush()
        self._given.put(None)
        self._worker.join(_CLOSE_S)
        if self._worker.is_alive():
            self._tell(f"{self._folder}: takes no file at the moment.", "what is left is tried at the next start.")

    def _notice_hanging(self) -> None:
        with self._lock:
            hangs = bool(self._given_s) and monotonic() - self._given_s[0] > _HANGS_S
        if hangs and self._holding:
            self._tell(f"{self._folder}: a file has been under way for a minute.", "it is waited for.")
            self._failing = True
            self.let_go()

    def _tell(self, reason: str, what_next: str) -> None:
        _log.error("recording_not_kept", folder=str(self._folder), reason=reason, next=what_next)

    def _release(self, *numbers: int) -> None:
        for number in numbers:
            if (release := self._releases.pop(number, None)) is not None:
                release()

    def _work(self) -> None:
        while (segments := self._given.get()) is not None:
            self._write(segments)
            with self._lock:
                self._given_s.popleft()
                self._release(*(segment.number for segment in segments))

    def _write(self, segments: tuple[Segment, ...]) -> None:
        self._waiting.append(segments)
        try:
            while self._waiting:
                self._join(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            if not self._failing:
                reason = str(error) if isinstance(error, OutputError) else f"{self._folder}: {error.strerror}."
                self._tell(reason, "it is tried again.")
            self._failing, self._holding = True, False
        else:
            if self._failing or self._lost > self._told_lost:
                _log.warning("recording_kept_again", folder=str(self._folder), lost_segments=self._lost)
            self._failing, self._holding, self._told_lost = False, True, self._lost

    def _join(self, segments: tuple[Segment, ...]) -> None:
        left = [segment for segment in segments if segment.path.exists()]
        if left and lacking_bytes(self._folder, sum(segment.size for segment in left)):
            raise OutputError(f"{self._folder}: cannot hold more (the disk is all but full); make room.")
        try:
            if left:
                name = f"{left[0].header.date:%Y-%m-%dT%H-%M-%SZ}_{left[0].number:08d}-{left[-1].number:08d}"
                join_segments(left, self._folder, name)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - these segments are lost; a thread that dies would keep none
            _log.error("recording_not_kept", folder=str(self._folder), reason=str(error))
            left = []
        self._lost += len(segments) - len(left)
