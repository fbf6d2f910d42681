"""A journal: what was observed slice by slice, appended as it is seen, and whole again after any interruption."""

import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from clipstream.features.base import Observation
from clipstream.report.files import write_atomically, writing

__all__ = ["Journal"]

_MAGIC = b"clipstream/journal/1 "
_HEAD = struct.Struct("<IIII")
"""Before every record: checksum of all that follows it, number of the slice, lengths of the light part and of the
details."""

_ABSENT = -1


class Journal:
    """The observations of one feature in one stream, in a file that only ever grows.

    A record that was cut short by a crash fails its checksum, and it and what follows it are cut off before the next is
    appended. A slice that is seen again after an interruption is appended again, and the last record counts. Whoever
    appends is alone; nothing stays open between two calls. Memory: 8 bytes a slice while it is read.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sound = False

    def begin(self, identity: str) -> None:
        """Make the file, or keep what it holds if that was begun with the same `identity`, of 64 characters.

        Raises:
            OutputError: It cannot be written.
        """
        header = _header(identity)
        with suppress(OSError), self._path.open("rb") as file:
            if file.read(len(header)) == header:
                return
        with write_atomically(self._path) as temporary:
            temporary.write_bytes(header)

    @property
    def begun(self) -> bool:
        """Whether there is a file to append to."""
        return self._path.is_file()

    def append(self, n: int, observation: Observation) -> None:
        """Add what was observed in slice `n`; once this returns, killing the process does not undo it.

        Raises:
            OutputError: It cannot be written.
        """
        with writing(self._path):
            if not self._sound:
                self._cut_torn_tail()
                self._sound = True
            with self._path.open("ab") as file:
                file.write(_packed(n, observation))

    def observations(self) -> Iterator[tuple[int, Observation | None]]:
        """Yield what was observed in each slice up to the last one there is, in order; `None` where that is missing.

        Raises:
            OSError: The file cannot be read.
        """
        with self._path.open("rb") as file:
            places = array("q")
            for n, place in _records(file):
                places.extend([_ABSENT] * (n + 1 - len(places)))
                places[n] = place
            for n, place in enumerate(places):
                yield n, None if place == _ABSENT else _read(file, place)

    def remove(self) -> None:
        """Take the file away."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _cut_torn_tail(self) -> None:
        with self._path.open("r+b") as file:
            for _ in _records(file):
                pass
            file.truncate()


def _header(identity: str) -> bytes:
    return _MAGIC + identity.encode() + b"\n"


def _packed(n: int, observation: Observation) -> bytes:
    light, details = observation.light, observation.details
    head = _HEAD.pack(0, n, len(light), len(details))
    body = b"".join((head[4:], light, details))
    return zlib.crc32(body).to_bytes(4, "little") + body


def _records(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield number and place of every whole record from the first on, and leave the file where the last one ends."""
    place = file.seek(len(_header("0" * 64)))
    while (record := _whole(file)) is not None:
        n, light, details = record
        yield n, place
        place += _HEAD.size + len(light) + len(details)
    file.seek(place)


def _read(file: BinaryIO, place: int) -> Observation | None:
    file.seek(place)
    record = _whole(file)
    return None if record is None else Observation(*record[1:])


def _whole(file: BinaryIO) -> tuple[int, bytes, bytes] | None:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    checksum, n, light_bytes, details_bytes = _HEAD.unpack(head)
    body_bytes = light_bytes + details_bytes
    if body_bytes > os.fstat(file.fileno()).st_size - file.tell():  # before so much memory is asked for
        return None
    body = file.read(body_bytes)
    if zlib.crc32(body, zlib.crc32(head[4:])) != checksum:
        return None
    return n, body[:light_bytes], body[light_bytes:]
