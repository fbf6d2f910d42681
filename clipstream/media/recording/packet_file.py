"""Packets in a file, one after another as they came: exact, cheap to append to, and readable up to any interruption.

Written by hand, because no container that FFmpeg writes does this for a stream that goes on: a fragmented MP4 moves the
start of tracks and takes no G.711, Matroska rounds times to 1 ms, MPEG-TS takes neither G.711 nor PCM and adds a third
to the size of small packets, NUT loses decoding times. And none of them can be read to the last packet while it grows.

A record is a head, and a payload under one checksum with it. Everything is little-endian.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

__all__ = ["FOOTER", "HEADER", "TEMPLATE", "PacketWriter", "Record", "read_footer", "records"]

HEADER, TEMPLATE, FOOTER = 255, 254, 253
"""Kinds of records that are no packets, in the place of the track's number."""

_HEAD = struct.Struct("<IIBBqqq")
_TRAILER = struct.Struct("<I4s")
_MAGIC = b"CSPK"
_NO_TIME = -(1 << 63)
_KEYFRAME = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the file.

    Attributes:
        track: Number of the track, or the kind of record.
        pts: When it is shown, in ticks of the track.
        dts: When it is decoded, if that is known.
        duration: For how long it is shown; 0 where unknown.
        is_keyframe: Whether decoding can start with it.
        data: The payload.
        end: Where the next record starts in what was read.
    """

    track: int
    pts: int
    dts: int | None
    duration: int
    is_keyframe: bool
    data: memoryview
    end: int


class PacketWriter:
    """Appends records. What was written can be read at once, and outlives the process.

    It does not outlive a loss of power for certain, up to what the kernel had not stored yet (half a minute). To wait
    for the disk with every segment would stall the reading, for much longer than a segment on the cards that
    recorders use; and the checksums tell what is whole.

    Args:
        path: The file, made if it is not there.
        size: How much of what it holds is kept.

    Attributes:
        size: Bytes of the file that are whole.

    Raises:
        OSError: From any method: the file cannot be written. It then holds what it held before.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self.size = size
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)

    def packet(self, packet: "Packet[Stream]", pts: int) -> None:
        """Append a packet that is shown at `pts`."""
        flags = _KEYFRAME * packet.is_keyframe
        dts = _NO_TIME if packet.dts is None else packet.dts
        self._append(packet.stream_index, memoryview(packet), flags, (pts, dts, packet.duration or 0))

    def note(self, kind: int, data: bytes) -> None:
        """Append a record that is no packet."""
        self._append(kind, data)

    def finish(self, footer: bytes) -> None:
        """Append the footer and close the file."""
        self.note(FOOTER, footer)
        trailer = _TRAILER.pack(_HEAD.size + len(footer), _MAGIC)
        self._write([trailer], len(trailer))
        self.close()

    def close(self) -> None:
        """Close the file as it is."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(
        self, kind: int, data: bytes | memoryview, flags: int = 0, times: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
        size = len(data)
        head = _HEAD.pack(0, size, kind, flags, *times)[4:]
        checksum = zlib.crc32(data, zlib.crc32(head)).to_bytes(4, "little")
        self._write([checksum + head, data], _HEAD.size + size)

    def _write(self, parts: list[bytes | memoryview], size: int) -> None:
        try:
            written = os.writev(self._file, parts)
            if written < size:
                # A disk that is almost full takes a part; the rest says why.
                rest = b"".join(bytes(part) for part in parts)[written:]
                while rest:
                    rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self.size)
            os.lseek(self._file, self.size, os.SEEK_SET)
            raise
        self.size += size


def records(data: bytes | memoryview, at: int = 0) -> Iterator[Record]:
    """Give the records from `at` on, up to the first that is not whole."""
    view = memoryview(data)
    while at + _HEAD.size <= len(view):
        checksum, size, track, flags, pts, dts, duration = _HEAD.unpack_from(view, at)
        end = at + _HEAD.size + size
        if end > len(view) or zlib.crc32(view[at + 4 : end]) != checksum:
            return
        yield Record(
            track=track,
            pts=pts,
            dts=None if dts == _NO_TIME else dts,
            duration=duration,
            is_keyframe=bool(flags & _KEYFRAME),
            data=view[at + _HEAD.size : end],
            end=end,
        )
        at = end


def read_footer(path: Path) -> bytes | None:
    """Return the footer of a finished file without reading the rest; `None` where it was never finished.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < _TRAILER.size:
            return None
        file.seek(size - _TRAILER.size)
        length, magic = _TRAILER.unpack(file.read(_TRAILER.size))
        if magic != _MAGIC or length + _TRAILER.size > size:
            return None
        file.seek(size - _TRAILER.size - length)
        found = next(records(file.read(length)), None)
    return bytes(found.data) if found is not None and found.track == FOOTER else None
