"""Stopping on signals: what is under way is given up cleanly, and what is finished stays."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from types import FrameType

__all__ = ["stop_on_signals"]


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
