"""Messages for one target, in a folder: what waits survives the process, and what is settled is remembered a while."""

import os
import re
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Condition

from clipstream.report.files import write_atomically, writing

__all__ = ["Queue"]

_WAITING, _DELIVERED, _GIVEN_UP = ".json", ".delivered", ".failed"
_NAME = re.compile(r"\d{9}-\w+\.(json|delivered|failed)")
_REMEMBERED = 1000


class Queue:
    """Messages in the order in which they were put, each a file `NUMBER-KEY.json`.

    A settled message is renamed to `.delivered` or `.failed`. The last thousand of these stay, so that a message that
    is put again, as after a run that died, is known. Safe to use from several threads, but not from two processes.

    Args:
        folder: Where they are, made if needed.

    Raises:
        OutputError: The folder cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = Condition()
        self._ended = False
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for half in folder.glob(".*.part"):
                half.unlink(missing_ok=True)
            there = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
        self._waiting = deque(path for path in there if path.suffix == _WAITING)
        self._settled = deque(path for path in there if path.suffix != _WAITING)
        self._keys = {_key(path) for path in there}
        self._next = max((int(path.name.partition("-")[0]) for path in there), default=0) + 1

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, key: str, body: bytes) -> None:
        """Add a message, on disk when this returns; one whose key is known is passed over.

        Raises:
            OutputError: It cannot be written.
        """
        with self._changed:
            if key in self._keys:
                return
            path = self._folder / f"{self._next:09d}-{key}{_WAITING}"
            with write_atomically(path) as temporary, temporary.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            _keep_names(self._folder)
            self._next += 1
            self._keys.add(key)
            self._waiting.append(path)
            self._changed.notify_all()

    def first(self) -> tuple[Path, str] | None:
        """Return file and key of the oldest message, waiting for one; `None` when none is left after `end`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            return (self._waiting[0], _key(self._waiting[0])) if self._waiting else None

    def settle(self, *, delivered: bool) -> None:
        """Take the oldest message out.

        Raises:
            OSError: Its file cannot be renamed; the next process will find it waiting.
        """
        with self._changed:
            path = self._waiting.popleft()
            settled = path.with_suffix(_DELIVERED if delivered else _GIVEN_UP)
            path.replace(settled)
            self._settled.append(settled)
            while len(self._settled) > _REMEMBERED:
                oldest = self._settled.popleft()
                self._keys.discard(_key(oldest))
                oldest.unlink(missing_ok=True)

    def end(self) -> None:
        """Let `first` wait no more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _key(path: Path) -> str:
    return path.stem.partition("-")[2]


def _keep_names(folder: Path) -> None:
    """Let the new name survive a power cut; not every file system can promise that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
