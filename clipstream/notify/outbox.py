"""The outbox: what others are to be told is on disk first, and delivered from there for as long as it takes."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

import structlog

from clipstream.notify.message import Message
from clipstream.notify.queue import Queue
from clipstream.notify.targets import Command, DeliveryFailure, Target, Webhook

__all__ = ["Outbox", "Patience", "QueueStatus"]

_REAPED_S = 1.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How failures are answered.

    Attributes:
        first_s: The longest that the first wait may be; the next are twice as long each.
        longest_s: The longest of all.
        give_up_s: Age at which a message is given up, once it has failed again.
        failing_s: For how long nothing must have been delivered, by this process, before age gives up anything: what
            waited while the machine was off is old, and has not been tried.
    """

    first_s: float = 1.0
    longest_s: float = 60.0
    give_up_s: float = 86_400.0
    failing_s: float = 3_600.0

    def wait_s(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row, shortened at random by a half at most."""
        longest_s = min(self.first_s * 2.0 ** min(failures - 1, 30), self.longest_s)
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - keeps programs out of step, and no secret


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """What became of the messages for one target, since the outbox was opened.

    Attributes:
        target: Name of the target, without secrets.
        waiting: Messages that are not delivered yet, those of former runs and of others among them.
        delivered: Messages that were, by this one.
        failures: Tries that failed.
        given_up: Messages that never will be.
    """

    target: str
    waiting: int = 0
    delivered: int = 0
    failures: int = 0
    given_up: int = 0


class Outbox:
    """Tells others of highlights, each in the order of posting, whatever happens to the others or to this process.

    Every target has a folder and a thread. A message is on disk before `post` returns, and is delivered at least once:
    again only when the process dies between the delivery and the note of it, and then with the same key. What waits
    from former runs is delivered first. Where several processes share a folder, one of them delivers for all, for each
    target the first that came; when it is gone, another does.

    Args:
        folder: Where the messages wait. A target has a folder in it that bears its name.
        commands: Programs to run (see `Command`).
        webhooks: URLs to post to (see `Webhook`).
        patience: How failures are answered.

    Raises:
        UsageError: A command or URL cannot be right.
        OutputError: The folder cannot be made or read.
    """

    def __init__(
        self,
        folder: Path,
        commands: Sequence[str] = (),
        webhooks: Sequence[str] = (),
        patience: Patience | None = None,
    ) -> None:
        targets: list[Target] = [*map(Command, commands), *map(Webhook, webhooks)]
        named = {target.name: target for target in targets}
        self._stop = Event()
        self._lanes = [_Lane(folder, target, patience or Patience(), self._stop) for target in named.values()]
        for lane in self._lanes:
            lane.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def post(self, message: Message) -> None:
        """Put a message into the outbox; on disk when this returns, delivered later. One posted before is passed over.

        Raises:
            OutputError: It cannot be written.
        """
        body = message.encode()
        for lane in self._lanes:
            lane.queue.put(message.key, body)

    def status(self) -> tuple[QueueStatus, ...]:
        """Return how the targets are doing."""
        return tuple(lane.status() for lane in self._lanes)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what can be delivered at once, within `timeout_s`; the rest is left to the next run.

        A command that still runs then is killed, and is run again by the next run.
        """
        until_s = time.monotonic() + timeout_s
        for lane in self._lanes:
            lane.finish()
        for lane in self._lanes:
            lane.thread.join(max(0.0, until_s - time.monotonic()))
        self._stop.set()
        for lane in self._lanes:
            lane.thread.join(_REAPED_S)
            if waiting := len(lane.queue):
                _log.warning("messages_wait", target=lane.target.name, waiting=waiting)


class _Lane:
    """Delivers to one target, in a thread."""

    def __init__(self, folder: Path, target: Target, patience: Patience, stop: Event) -> None:
        self.target, self.queue = target, Queue(folder / target.name)
        # A daemon: an answer that never comes must not keep the program.
        self.thread = Thread(name=target.name, target=self._run, daemon=True)
        self._patience, self._stop = patience, stop
        self._finishing = Event()
        self._delivered = self._failures = self._given_up = 0
        self._failing_since_s: float | None = None

    def status(self) -> QueueStatus:
        return QueueStatus(self.target.name, len(self.queue), self._delivered, self._failures, self._given_up)

    def finish(self) -> None:
        """End when nothing is left, or with the next try that fails."""
        self._finishing.set()
        self.queue.end()

    def _run(self) -> None:
        try:
            while (first := self.queue.first()) and self._settle(*first) and not self._stop.is_set():
                pass
        finally:
            self.queue.release()

    def _settle(self, path: Path, key: str) -> bool:
        """Deliver a message or give it up; `False` leaves it to the next run."""
        failures = 0
        while True:
            last = self._finishing.is_set()
            if (failure := self._attempt(path, key)) is None:
                break
            if self._stop.is_set():
                return False
            failures += 1
            self._failures += 1
            if failure.final or failures == self.target.tries or self._has_waited_enough(path):
                self._given_up += 1
                _log.error("message_given_up", target=self.target.name, key=key, why=failure.reason, tries=failures)
                self._take_out(path, delivered=False)
                return True
            log = _log.warning if failures == 1 else _log.debug
            log("message_not_delivered", target=self.target.name, key=key, why=failure.reason, tries=failures)
            if last:
                return False
            self._finishing.wait(self._patience.wait_s(failures))
        self._failing_since_s = None
        self._delivered += 1
        _log.info("message_delivered", target=self.target.name, key=key, tries=failures + 1)
        self._take_out(path, delivered=True)
        return True

    def _attempt(self, path: Path, key: str) -> DeliveryFailure | None:
        try:
            return self.target.deliver(path, key, self._stop)
        except FileNotFoundError:
            return DeliveryFailure("its file is gone from the outbox", final=True)
        except Exception as error:  # noqa: BLE001 - a thread that dies would silently tell nobody any more
            return DeliveryFailure(f"{type(error).__name__} in delivering it")

    def _has_waited_enough(self, path: Path) -> bool:
        """Say whether a message that failed is too old, and was not merely left alone for as long."""
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        if now_s - self._failing_since_s < self._patience.failing_s:
            return False
        try:
            return time.time() - path.stat().st_mtime > self._patience.give_up_s
        except OSError:
            return True

    def _take_out(self, path: Path, *, delivered: bool) -> None:
        try:
            self.queue.settle(path, delivered=delivered)
        except OSError as error:
            _log.warning("outbox_not_tidied", target=self.target.name, why=error.strerror)
