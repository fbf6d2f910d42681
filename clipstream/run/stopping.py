"""Stopping on signals, with nothing left half-done; and what is said of a run that broke."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from types import FrameType

from clipstream.errors import ClipstreamError, OutputError

__all__ = ["is_out_of_room", "stop_on_signals", "why_broken"]

_NO_ROOM = re.compile(r"SqliteFailure\(Error { code: (DiskFull|SystemIoFailure, extended_code: 4874)\b")
"""How SQLite says that the disk is full, be it for the store or for the memory beside it (SQLITE_IOERR_SHMSIZE)."""


@contextmanager
def stop_on_signals(stop: Event) -> Iterator[list[int]]:
    """Set `stop` on SIGINT and SIGTERM instead of dying; gives a list of the signals received.

    A second SIGINT is an impatient user and raises KeyboardInterrupt. Outside the main thread this does nothing.
    """
    received: list[int] = []
    if current_thread() is not main_thread():
        yield received
        return

    def on_signal(number: int, _: FrameType | None) -> None:
        received.append(number)
        stop.set()
        if received.count(signal.SIGINT) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def why_broken(error: BaseException) -> str:
    """Say in one line why the flow ended before its time."""
    error = _cause(error)
    lines = str(error).splitlines() or [""]
    if isinstance(error, ClipstreamError):
        return lines[0]
    if found := re.search(r'SqliteFailure\(.*Some\("([^"]+)"\)', str(error)):
        return (
            f"progress could not be saved ({found[1]}): make room, allow writing, or choose another folder with --out."
        )
    return f"the run broke off ({type(error).__name__}: {lines[0]}); the same command goes on with what is there."


def is_out_of_room(error: BaseException) -> bool:
    """Say whether the flow ended because something could not be written: what was saved before is good."""
    error = _cause(error)
    return isinstance(error, OutputError) or _NO_ROOM.search(str(error)) is not None


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None and not isinstance(error, ClipstreamError):
        error = error.__cause__
    return error
