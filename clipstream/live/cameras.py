"""What reads and records the live streams of a run."""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from threading import Lock, Thread

import structlog

from clipstream.live.overload import Overload, Shedding
from clipstream.live.pending import PendingHighlights
from clipstream.media.inputs import RECORDINGS, STATE_FOLDER
from clipstream.media.live.address import LiveInput
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.feed import LiveFeed
from clipstream.media.live.status import FeedStatus
from clipstream.media.pictures import DecodeMode
from clipstream.media.recording.recorder import Recorder
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.report.files import write_atomically, writing
from clipstream.results import Interval
from clipstream.settings import Settings
from clipstream.timing import SLICE_S, slice_start

__all__ = ["Camera", "Cameras", "kept_s"]

_PENDING = "pending"

_RESUMED_SLICES = 60
"""After so many new slices, a moment that an interruption cut off has been given out."""

_BEHIND_S = 60
"""So late, at most, is it known where a moment begins: what waits to be analysed, 50 s of HLS, and quiet behind the
moment."""

_log = structlog.get_logger()


def kept_s(settings: Settings) -> Fraction:
    """Return how much of a stream is kept: as much as is wanted, but no less than the longest clip needs."""
    return max(Fraction(settings.keep_s), _reach_s(settings) + Fraction(settings.context_after_s) + _BEHIND_S)


def _reach_s(settings: Settings) -> Fraction:
    """Return how far before what is looked at a clip may begin that is not given out yet."""
    return Fraction(settings.max_length_s) + Fraction(settings.context_before_s) + Fraction(settings.window_s)


class Camera:
    """One live stream while it is read: its feed, its recorder, and how much of it is looked at."""

    def __init__(self, stream: str, feed: LiveFeed, recorder: Recorder, release: Callable[[], None] | None) -> None:
        self._stream, self._feed, self._recorder, self._release = stream, feed, recorder, release
        self._overload = Overload()
        self._taken = 0
        self._closing: Thread | None = None

    @property
    def status(self) -> FeedStatus:
        """How its feed is doing."""
        return self._feed.status

    @property
    def shedding(self) -> Shedding:
        """What is left out of the analysis at the moment."""
        return self._overload.shedding

    def take(self, *, ending: bool) -> list[Slice]:
        """Return the slices that are there, perhaps none; once `ending`, the last of them carries the end."""
        if ending:
            self.close()
        slices = self._feed.take()
        before, status = self._overload.shedding, self._feed.status
        waiting = 0 if self._feed.waits else status.queued
        shedding = self._overload.note(waiting, status.dropped, time.monotonic(), status.burst_s)
        if shedding is not before:
            self._feed.set_rate(shedding.divisor, keyframes=shedding is Shedding.KEYFRAMES)
            event = "stream_overloaded" if shedding > before else "stream_recovers"
            _log.warning(event, stream=self._stream, left_out=shedding.name.lower(), dropped=status.dropped)
        self._taken += len(slices)
        if self._release and self._taken > _RESUMED_SLICES:
            self._release()
            self._release = None
        return [replace(item, live=True, lean=shedding >= Shedding.LIGHT) for item in slices]

    def close(self) -> None:
        """Stop reading; what is recorded stays. Returns at once: the end comes among what is taken."""
        if self._closing is None:
            # A server that does not answer, or a disk that is slow, is no business of the other streams.
            self._closing = Thread(target=self._close, name=f"close {self._stream}", daemon=True)
            self._closing.start()

    def wait_closed(self) -> None:
        """Stop reading, and wait until everything is recorded."""
        self.close()
        if self._closing is not None:
            self._closing.join()

    def _close(self) -> None:
        self._feed.close()
        self._recorder.close()


class Cameras:
    """The live streams of a run.

    Stream time begins when a stream is read for the first time into an output folder, and goes on through every
    restart, so that a time in it is a date and no two clips have the same.

    Args:
        inputs: The streams.
        settings: The run's.
        needs: What the features want of every slice.
    """

    def __init__(self, inputs: Sequence[LiveInput], settings: Settings, needs: MediaNeeds) -> None:
        self.inputs = {item.stream: item for item in inputs}
        self._settings, self._needs = settings, needs
        state = Path(settings.out) / STATE_FOLDER
        self._folder = state / RECORDINGS
        self._pending = {stream: PendingHighlights(state / _PENDING / f"{stream}.json") for stream in self.inputs}
        self._until_s = math.inf if settings.for_s is None else time.monotonic() + settings.for_s
        self._open: dict[str, Camera] = {}
        self._recorders: dict[str, Recorder] = {}
        self._releases: dict[tuple[str, int], Callable[[], None]] = {}
        self._dates: dict[str, float] = {}
        self._lock = Lock()
        if (least_s := kept_s(settings)) > settings.keep_s:
            _log.warning(
                "more_is_kept", wanted_s=settings.keep_s, kept_s=float(least_s), reason="the longest clip needs it"
            )

    @property
    def over(self) -> bool:
        """Whether the time is up for which they were to be read."""
        return time.monotonic() >= self._until_s

    def open(self, stream: str, n: int) -> Camera:
        """Begin to read and record a stream, from slice `n` on if that is still to come."""
        settings, folder = self._settings, self.recording(stream)
        began_unix_s = self.began_unix_s(stream)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        recorder = Recorder(
            folder,
            keep_s=kept_s(settings),
            keep_bytes=round(settings.keep_size * 1e9),
            keep_everything=Path(settings.record) / stream if settings.record else None,
        )
        with self._lock:
            self._recorders[stream] = recorder
            for pending in self._pending[stream].all():
                self._releases[stream, pending.number] = _hold(recorder, pending)
        release = None
        if n:
            release = recorder.hold(max(slice_start(n) - _reach_s(settings), Fraction(0)))
        feed = LiveFeed(
            self.inputs[stream].address,
            stream,
            self._needs,
            mode=DecodeMode.of(settings),
            options=ConnectionOptions(
                udp=settings.rtsp_transport == "udp",
                stall_s=settings.stall_s,
                check=self.inputs[stream].check,
            ),
            sink=recorder,
            # A clock that runs fast has taken stream time past the world's: never go back behind what is recorded.
            start_slice=max(
                n, math.floor((time.time() - began_unix_s) / float(SLICE_S)), math.ceil(recorder.end_s / SLICE_S)
            ),
            began_unix_s=began_unix_s,
        )
        camera = Camera(stream, feed, recorder, release)
        with self._lock:
            self._open[stream] = camera
        return camera

    def recording(self, stream: str) -> Path:
        """Return the folder of a stream's recording."""
        return self._folder / stream

    def pending(self, stream: str) -> tuple[Interval, ...]:
        """Return the highlights that are held, those of earlier runs first, which may have had other settings."""
        return self._pending[stream].all()

    def hold(self, stream: str, interval: Interval) -> None:
        """Keep what a highlight needs of the recording, through any restart, until it is released by its number."""
        with self._lock:
            self._pending[stream].add(interval)
            if (recorder := self._recorders.get(stream)) is not None:
                self._releases[stream, interval.number] = _hold(recorder, interval)

    def release(self, stream: str, number: int) -> None:
        """Let go of a highlight: its clip is in the manifest and announced, or cannot be cut."""
        with self._lock:
            self._pending[stream].remove(number)
            release = self._releases.pop((stream, number), None)
        if release is not None:
            release()

    def date_of(self, stream: str, time_s: Fraction) -> datetime | None:
        """Return the date of an instant by what is recorded next to it; `None` where nothing is recorded now."""
        recorder = self._recorders.get(stream)
        return recorder.date_of(time_s) if recorder else None

    def unrecorded(self, stream: str) -> int:
        """Return how many packets of a stream could not be recorded."""
        recorder = self._recorders.get(stream)
        return recorder.lost_packets if recorder else 0

    def statuses(self) -> list[tuple[FeedStatus, Shedding]]:
        """Return how each stream that is read is doing."""
        with self._lock:
            cameras = list(self._open.values())
        return [(camera.status, camera.shedding) for camera in cameras]

    def close(self) -> None:
        """Stop reading and recording, and wait for it."""
        with self._lock:
            cameras = list(self._open.values())
        for camera in cameras:
            camera.close()
        for camera in cameras:
            camera.wait_closed()

    def began_unix_s(self, stream: str) -> float:
        """Return the date of stream time 0, which is now for a stream that is new to the output folder."""
        with self._lock:
            if stream not in self._dates:
                self._dates[stream] = _remembered_date(self._folder / f"{stream}.json")
            return self._dates[stream]


def _hold(recorder: Recorder, interval: Interval) -> Callable[[], None]:
    return recorder.hold(Fraction(interval.start_ms, 1000), Fraction(interval.end_ms, 1000))


def _remembered_date(path: Path) -> float:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return float(json.loads(path.read_text(encoding="utf-8"))["began_unix_s"])
    began_unix_s = time.time()
    with write_atomically(path, durable=True) as temporary:
        temporary.write_text(json.dumps({"began_unix_s": began_unix_s}), encoding="utf-8")
    return began_unix_s
