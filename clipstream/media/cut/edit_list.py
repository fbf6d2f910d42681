"""The end of a track's edit list, moved: FFmpeg writes where edits begin, but ends them with the last frame."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

__all__ = ["end_track_at"]

_PARENTS = {b"moov", b"trak", b"edts"}


def end_track_at(path: Path, number: int, end_s: Fraction) -> None:
    """Let track `number` (from 0) of an MP4 or MOV file end at `end_s` of its presentation; what follows stays hidden.

    Only the durations of the last edit and of the track's header are written (ISO/IEC 14496-12, 8.6.6 and 8.3.2).

    Raises:
        OSError: The file cannot be changed.
        ValueError: The track has no edit list.
    """
    with path.open("r+b") as file:
        boxes = list(_boxes(file, 0, path.stat().st_size))
        scale = next(_u32(file, at + 20 if _version(file, at) else at + 12) for kind, at, _ in boxes if kind == b"mvhd")
        duration = round(end_s * scale)
        track = -1
        for kind, at, _ in boxes:
            track += kind == b"tkhd"
            if track != number:
                continue
            if kind == b"tkhd":
                _set_duration(file, at, 28 if _version(file, at) else 20, duration)
            elif kind == b"elst":
                count, wide = _u32(file, at + 4), _version(file, at)
                size = 20 if wide else 12
                earlier = sum(_duration(file, at, 8 + size * entry) for entry in range(count - 1))
                _set_duration(file, at, 8 + size * (count - 1), duration - earlier)
                return
    raise ValueError(f"{path.name}: track {number} has no edit list")


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Give kind, position of the payload and end of every box, parents before what they hold."""
    at = start
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        payload = at + 8
        if size == 1:
            size, payload = struct.unpack(">Q", file.read(8))[0], at + 16
        box_end = at + size if size else end
        yield kind, payload, box_end
        if kind in _PARENTS:
            yield from _boxes(file, payload, box_end)
        at = box_end


def _version(file: BinaryIO, at: int) -> int:
    file.seek(at)
    return file.read(1)[0]


def _u32(file: BinaryIO, at: int) -> int:
    file.seek(at)
    return int.from_bytes(file.read(4), "big")


def _duration(file: BinaryIO, box: int, offset: int) -> int:
    wide = _version(file, box)
    file.seek(box + offset)
    return int.from_bytes(file.read(8 if wide else 4), "big")


def _set_duration(file: BinaryIO, box: int, offset: int, duration: int) -> None:
    wide = _version(file, box)
    file.seek(box + offset)
    file.write(duration.to_bytes(8 if wide else 4, "big"))
