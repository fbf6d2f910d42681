"""Waiting for what another thread does: until it is so, or until it takes too long."""

import threading
from collections.abc import Callable
from time import monotonic

__all__ = ["wait_until"]

_LOOK_EVERY_S = 0.01


def wait_until(
    condition: Callable[[], object], timeout_s: float = 5.0, *, changed: threading.Condition | None = None
) -> None:
    """Return as soon as `condition()` is true.

    Args:
        condition: Asked at once and again after each change; with `changed`, while that is held.
        timeout_s: How long to wait at most.
        changed: Notified by whoever changes the answer. Without it the condition is looked at a hundred times a second.

    Raises:
        TimeoutError: It did not become true in time.
    """
    if changed is not None:
        with changed:
            held = changed.wait_for(condition, timeout_s)
    else:
        deadline_s, pause = monotonic() + timeout_s, threading.Event()
        while not (held := condition()) and monotonic() < deadline_s:
            pause.wait(_LOOK_EVERY_S)
    if not held:
        raise TimeoutError(f"waited {timeout_s:g} s in vain for what the condition asks")
