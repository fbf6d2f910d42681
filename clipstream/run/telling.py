"""Who is told how a run goes: programs and web services of each clip, and Prometheus of everything that is counted."""

from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import structlog

from clipstream.live import Cameras
from clipstream.media.inputs import STATE_FOLDER
from clipstream.media.slices import Slice
from clipstream.metrics import Metrics, StreamStatus
from clipstream.notify import Message, Outbox
from clipstream.notify.targets import Command, Webhook
from clipstream.output import ClipTally
from clipstream.output.context import tell
from clipstream.report.manifest import MANIFEST_NAME
from clipstream.results import Interval
from clipstream.run.watchers import WarmUpWatcher
from clipstream.settings import Settings
from clipstream.timing import SLICE_S, WARM_UP_S

__all__ = ["Telling"]

_OUTBOX = "outbox"

_log = structlog.get_logger()


class Telling:
    """Tells others while a run goes, as far as `settings` ask for it.

    Args:
        settings: The run's.
        cameras: Its live streams, if it has some.
        watcher: Told of warming up, if it is a `WarmUpWatcher`.

    Attributes:
        tally: Where its clips are to be counted.

    Raises:
        UsageError: A command or an address cannot be right.
        OutputError: The outbox cannot be made, or the port is taken.
    """

    def __init__(self, settings: Settings, cameras: Cameras | None, watcher: object = None) -> None:
        self._out, self._cameras, self._watcher = Path(settings.out), cameras, watcher
        self.tally = ClipTally()
        self._lock = Lock()
        self._warming: dict[str, bool] = {}
        self._reached_s: dict[str, Fraction] = {}
        self._outbox: Outbox | None = None
        with ExitStack() as stack:
            if settings.on_clip or settings.webhook:
                folder = self._out / STATE_FOLDER / _OUTBOX
                self._outbox = stack.enter_context(Outbox(folder, settings.on_clip, settings.webhook))
            if settings.metrics is not None:
                queues = self._outbox.status if self._outbox else tuple
                metrics = stack.enter_context(Metrics(settings.metrics, self.statuses, queues))
                _log.info("metrics_served", url=metrics.url)
            self._open = stack.pop_all()

    @staticmethod
    def check(settings: Settings) -> None:
        """Refuse, before anything is begun, what could not be told.

        Raises:
            UsageError: A command or an address cannot be right.
        """
        for command in settings.on_clip:
            Command(command)
        for url in settings.webhook:
            Webhook(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
        """Announce a clip. It is on disk when this returns, and delivered even if the process dies now.

        Raises:
            OutputError: It cannot be put into the outbox now. Of targets that have it, none is told twice.
        """
        if self._outbox is None:
            return
        began = None  # as a clock that never drifted would tell it now
        if interval.date_ms is not None:
            began = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=interval.date_ms - interval.start_ms)
        self._outbox.post(Message.of(interval, path, self._out / stream / MANIFEST_NAME, began))

    def slice_taken(self, item: Slice) -> None:
        """Count a slice that goes into the analysis."""
        with self._lock:
            self._reached_s[item.stream] = item.start_s

    def warming_up(self, stream: str, warming: bool) -> None:
        """Take in whether it is not known yet what is usual in a stream, and say it of a live one."""
        with self._lock:
            changed = self._warming.get(stream, False) is not warming
            self._warming[stream] = warming
        if self._cameras is None or stream not in self._cameras.inputs or not changed:
            return
        seconds = WARM_UP_S if warming else 0.0
        _log.info("warming_up" if warming else "warmed_up", stream=stream, seconds=seconds)
        if isinstance(self._watcher, WarmUpWatcher):
            tell(self._watcher.warming_up, stream, seconds)

    def statuses(self) -> list[StreamStatus]:
        """Return how each stream is doing."""
        live = {feed.stream: (feed, shedding) for feed, shedding in self._cameras.statuses()} if self._cameras else {}
        with self._lock:
            warming, reached_s = dict(self._warming), dict(self._reached_s)
        found = []
        for stream in sorted(live.keys() | reached_s.keys()):
            at_s = reached_s.get(stream)
            failures, _ = self.tally.failures(stream)
            failed = sum(one.slices for one in failures)
            if stream not in live or self._cameras is None:
                found.append(StreamStatus(stream, clips=self.tally.counts(stream), failed_measurements=failed))
                continue
            feed, shedding = live[stream]
            lag_s = None if at_s is None else max(float(feed.now_s - at_s - SLICE_S), 0.0)
            segments = _sizes(self._cameras.recording(stream))
            found.append(
                StreamStatus(
                    stream,
                    feed=feed,
                    shedding=shedding,
                    lag_s=lag_s,
                    warming_up=warming.get(stream, True),
                    clips=self.tally.counts(stream),
                    recorded_bytes=sum(segments),
                    recorded_segments=len(segments),
                    unrecorded_packets=self._cameras.unrecorded(stream),
                    failed_measurements=failed,
                )
            )
        return found


def _sizes(folder: Path) -> list[int]:
    sizes = []
    for path in folder.glob("*.packets"):
        with suppress(FileNotFoundError):  # renamed or pruned meanwhile
            sizes.append(path.stat().st_size)
    return sizes
