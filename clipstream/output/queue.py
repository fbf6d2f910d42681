"""What is still to be written of a stream, worked off in order in the threads of a pool."""

from abc import ABC, abstractmethod
from threading import Condition
from time import monotonic

import structlog

from clipstream.errors import OutputError, StoppedError
from clipstream.log import traceback_of
from clipstream.output.context import OutputContext, in_words
from clipstream.results import Interval, StreamSummary

__all__ = ["OutputQueue"]

_SUMMARY = 0
"""Stands for the summary among the numbers of highlights, which count from 1."""


_log = structlog.get_logger()

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0
"""Between two tries to write where that failed; the pauses double."""


class OutputQueue(ABC):
    """Works off the highlights of a stream and its summary, one at a time, beside the dataflow.

    `pending` is what a snapshot has to remember: an item leaves it only when its files are there.

    Args:
        context: The run's.
        stream: The stream's name.
        patient: Whether what cannot be written now (`OutputError`) is tried again, with pauses and behind what else is
            pending, until the queue is closed. Otherwise it has failed, like what cannot be done at all.
    """

    def __init__(self, context: OutputContext, stream: str, *, patient: bool = False) -> None:
        self._context, self._stream = context, stream
        self._patient = patient
        self._waiting: set[int] = set()
        self._pause_s = self._again_s = 0.0
        self._changed = Condition()
        self._pending: list[Interval | StreamSummary] = []
        self._working = False

    def add(self, item: Interval | StreamSummary) -> None:
        """Take a highlight to cut, or the summary that ends the stream. Returns at once."""
        number = _number(item)
        with self._changed:
            if any(_number(one) == number for one in self._pending):
                return
            if isinstance(item, Interval):
                self._context.tally.found(self._stream, number)
            self._pending.append(item)
        self.go_on()

    def go_on(self) -> None:
        """Work on what is pending, if nobody does and it is time to; call this now and then. Returns at once."""
        with self._changed:
            if self._working or not self._is_time():
                return
            self._working = True
        self._context.pool.submit(self._work)

    def pending(self) -> tuple[Interval | StreamSummary, ...]:
        """Return what is not written yet."""
        with self._changed:
            return tuple(self._pending)

    def close(self) -> None:
        """Wait until everything is written, or given up because the run was stopped; what failed has one more try."""
        with self._changed:
            self._patient = False
            self._again_s = 0.0
        self.go_on()
        with self._changed:
            self._changed.wait_for(lambda: not self._working)

    def _work(self) -> None:
        try:
            self._work_off()
        except BaseException as error:
            self._tell_of(error)
            with self._changed:  # whoever waits must not wait for ever
                self._working = False
                self._changed.notify_all()
            raise

    def _work_off(self) -> None:
        while (item := self._next()) is not None:
            patient, works = self._patient, False
            try:
                works = self._settle(item, patient=patient)
            except StoppedError:
                continue  # it stays pending, and there is no next
            except Exception as error:  # noqa: BLE001 - nobody reads the pool's futures, and what comes next must come
                if patient and isinstance(error, OutputError):
                    self._put_off(item, error)
                    continue
                self._tell_of(error)
            self._take_out(item, works=works)

    def _settle(self, item: Interval | StreamSummary, *, patient: bool) -> bool:
        """Write an item or take note of its failure; say whether writing works."""
        try:
            if isinstance(item, Interval):
                self._cut(item)
            else:
                self._finish(item)
        except StoppedError:
            raise
        except Exception as error:
            unwritable = isinstance(error, OutputError)
            if patient and unwritable:
                raise
            self._failed(item, error)  # one stream's output must not end the others' run
            return not unwritable
        return True

    def _tell_of(self, error: BaseException) -> None:
        _log.error("output_failed", stream=self._stream, error=in_words(error))
        _log.debug("output_failure", stream=self._stream, exc_info=traceback_of(error))

    def _take_out(self, item: Interval | StreamSummary, *, works: bool) -> None:
        with self._changed:
            self._pending.remove(item)
            self._pause_s = 0.0
            waited = _number(item) in self._waiting
            self._waiting.discard(_number(item))
            goes_on = waited and works and not self._waiting
        if goes_on:
            _log.info("output_goes_on", stream=self._stream)

    def _put_off(self, item: Interval | StreamSummary, error: OutputError) -> None:
        with self._changed:
            self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
            self._again_s = monotonic() + self._pause_s if self._patient else 0.0  # closed meanwhile: the last try
            self._pending.remove(item)
            ends = bool(self._pending) and isinstance(self._pending[-1], StreamSummary)
            self._pending.insert(len(self._pending) - ends, item)
            log = _log.debug if self._waiting else _log.error
            self._waiting.add(_number(item))
        log("output_waits", stream=self._stream, error=str(error), next="it is tried again.")

    def _next(self) -> Interval | StreamSummary | None:
        with self._changed:
            if self._is_time():
                return self._pending[0]
            self._working = False
            self._changed.notify_all()
            return None

    def _is_time(self) -> bool:
        return bool(self._pending) and not self._context.stopped() and monotonic() >= self._again_s

    @abstractmethod
    def _cut(self, interval: Interval) -> None:
        """Write the clip of a highlight."""

    @abstractmethod
    def _finish(self, summary: StreamSummary) -> None:
        """Write what ends a stream."""

    @abstractmethod
    def _failed(self, item: Interval | StreamSummary, error: Exception) -> None:
        """Take note of what could not be written.

        Raises:
            OutputError: Not even that can be written; see `patient`.
        """


def _number(item: Interval | StreamSummary) -> int:
    return item.number if isinstance(item, Interval) else _SUMMARY
