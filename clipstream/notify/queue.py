"""Messages for one target, in a folder: what waits survives the process, and what is settled is remembered a while."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import BinaryIO

from clipstream.report.files import write_atomically, writing

__all__ = ["Queue"]

_WAITING, _DELIVERED, _GIVEN_UP = ".json", ".delivered", ".failed"
_NAME = re.compile(r"\d{9}-\w+\.(json|delivered|failed)")
_REMEMBERED = 1000

_LOOK_S = 1.0
"""How often to look for what other processes put, and whether the one that delivers is gone."""


class Queue:
    """Messages in the order in which they were put, each a file `NUMBER-KEY.json`.

    A settled message is renamed to `.delivered` or `.failed`. The last thousand of these stay, so that a message that
    is put again, as after a run that died, is known.

    The folder is all there is to know, so that several threads and processes may put messages into it; but only one
    process delivers them, until it ends: the file `owner` is locked by it, and `lock` by whoever changes something.

    Args:
        folder: Where they are, made if needed.

    Raises:
        OutputError: The folder cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = Condition()
        self._ended = False
        self._owner: BinaryIO | None = None
        self._stuck: set[str] = set()
        with writing(folder), self._alone():
            for half in folder.glob(".*.part"):
                half.unlink(missing_ok=True)

    def __len__(self) -> int:
        try:
            return len(self._waiting())
        except OSError:
            return 0

    def put(self, key: str, body: bytes) -> None:
        """Add a message, on disk when this returns; one whose key is known is passed over.

        Raises:
            OutputError: It cannot be written.
        """
        with writing(self._folder), self._alone():
            there = self._names()
            if any(_key(name) == key for name in there):
                return
            number = int(there[-1].partition("-")[0]) + 1 if there else 1
            with write_atomically(self._folder / f"{number:09d}-{key}{_WAITING}", durable=True) as temporary:
                temporary.write_bytes(body)
        with self._changed:
            self._changed.notify_all()

    def first(self) -> tuple[Path, str] | None:
        """Return file and key of the oldest message, waiting for one, and until no other process delivers.

        `None` when none is left after `end`, or another process delivers what is left.
        """
        with self._changed:
            while True:
                try:
                    if self._owns() and (waiting := self._waiting()):
                        return self._folder / waiting[0], _key(waiting[0])
                except OSError:
                    pass  # perhaps it can be read when looked at again; who ends now would tell nobody any more
                if self._ended:
                    return None
                self._changed.wait(_LOOK_S)

    def settle(self, path: Path, *, delivered: bool) -> None:
        """Take a message out.

        Raises:
            OSError: Its file cannot be renamed; the next process will find it waiting.
        """
        try:
            with self._alone():
                path.replace(path.with_suffix(_DELIVERED if delivered else _GIVEN_UP))
                settled = [name for name in self._names() if not name.endswith(_WAITING)]
                for oldest in settled[:-_REMEMBERED]:
                    (self._folder / oldest).unlink(missing_ok=True)
        except OSError:
            self._stuck.add(path.name)
            raise

    def end(self) -> None:
        """Let `first` wait no more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def release(self) -> None:
        """Let another process deliver."""
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep all others, in this process and elsewhere, from changing the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _owns(self) -> bool:
        """Say whether this process is the one that delivers, which it becomes where no other is."""
        if self._owner is None:
            owner = (self._folder / "owner").open("ab")
            try:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner.close()
                return False
            self._owner = owner
        return True

    def _waiting(self) -> list[str]:
        with self._alone():
            return [name for name in self._names() if name.endswith(_WAITING) and name not in self._stuck]

    def _names(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name))


def _key(name: str) -> str:
    return name.partition("-")[2].partition(".")[0]
