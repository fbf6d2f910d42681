"""What is still to be written of a stream, worked off in order in the threads of a pool."""

from abc import ABC, abstractmethod
from threading import Condition

from clipstream.errors import StoppedError
from clipstream.output.context import OutputContext
from clipstream.results import Interval, StreamSummary

__all__ = ["OutputQueue"]

_SUMMARY = 0
"""Stands for the summary among the numbers of highlights, which count from 1."""


class OutputQueue(ABC):
    """Works off the highlights of a stream and its summary, one at a time, beside the dataflow.

    `pending` is what a snapshot has to remember: an item leaves it only when its files are there.

    Args:
        context: The run's.
        stream: The stream's name.
    """

    def __init__(self, context: OutputContext, stream: str) -> None:
        self._context, self._stream = context, stream
        self._changed = Condition()
        self._pending: list[Interval | StreamSummary] = []
        self._known: set[int] = set()
        self._working = False

    def add(self, item: Interval | StreamSummary) -> None:
        """Take a highlight to cut, or the summary that ends the stream. Returns at once."""
        number = item.number if isinstance(item, Interval) else _SUMMARY
        with self._changed:
            if number in self._known:
                return
            if isinstance(item, Interval):
                self._context.tally.found(self._stream, number)
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

    @abstractmethod
    def _cut(self, interval: Interval) -> None:
        """Write the clip of a highlight."""

    @abstractmethod
    def _finish(self, summary: StreamSummary) -> None:
        """Write what ends a stream."""

    @abstractmethod
    def _failed(self, item: Interval | StreamSummary, error: Exception) -> None:
        """Take note of what could not be written."""
