"""Stopping on signals, with nothing left half-done; and what is said of a run that broke."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from types import FrameType

from clipstream.errors import ClipstreamError

__all__ = ["stop_on_signals", "why_broken"]


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
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).splitlines() or [""]
    if isinstance(error, ClipstreamError):
        return lines[0]
    if found := re.search(r'SqliteFailure\(.*Some\("([^"]+)"\)', str(error)):
        return (
            f"progress could not be saved ({found[1]}): make room, allow writing, or choose another folder with --out."
        )
    return f"the run broke off ({type(error).__name__}: {lines[0]}); the same command goes on with what is there."
