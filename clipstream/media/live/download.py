"""Media with an end, fetched to a file: a file byte by byte, a playlist packet by packet, on one line of time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any

import av.packet
from av.stream import Discard, Stream

from clipstream.errors import CutError, InputError, OutputError, StoppedError
from clipstream.media.cut.output import Output
from clipstream.media.live.clock import FILE, LiveClock
from clipstream.media.live.connection import ConnectionOptions, ConnectionProblem, LiveConnection, Trouble
from clipstream.media.live.web import AddressCheck, WebMedia, ask, web_trouble

__all__ = ["Fetched", "fetch"]

_CHUNK_BYTES = 1 << 18
_TRIES = 5
_PAUSE_S = 0.5
"""Before the second try; twice as long before each that follows without a byte in between."""

_STOPPED = "stopped while it was fetched; run the same command again to go on."

_SUFFIXES = (".mp4", ".mov", ".nut")
"""Containers for the packets of a playlist, in order of preference: all keep times exactly."""

_HOLE_S = Fraction(1, 2)
_ROUNDED = Fraction(1, 100)
"""Playlists round what their segments last: only what is short by more than both, at the end, is missing."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched.

    Attributes:
        path: The file.
        problem: What is missing in it, in one line.
    """

    path: Path
    problem: str | None = None


def fetch(
    media: WebMedia,
    folder: Path,
    name: str,
    *,
    told: Callable[[float], None],
    stop: Event,
    options: ConnectionOptions | None = None,
    check: AddressCheck | None = None,
) -> Fetched:
    """Fetch media to a file in `folder`, called `name` and a suffix, which is there when all has come.

    A file is byte for byte what the server has. Where a connection breaks off, the next goes on behind what has come,
    and so does the next call after an interruption; what does not come after five tries in a row is missing. Of a
    playlist, the pictures and the sound of its best variant are copied without encoding them again; a discontinuity
    follows what is before it without a gap, and segments that cannot be had are left out.

    Args:
        media: What, and where.
        folder: Where to; made if needed.
        name: What to call it.
        told: Told now and then which share has come, 0 to 1.
        stop: Once set, what has come of a file is kept for the next call, and a playlist is given up.
        options: How to connect.
        check: As in `find_media`.

    Raises:
        ConnectionProblem: Nothing came.
        OutputError: The file cannot be written.
        StoppedError: `stop` was set.
    """
    options = options or ConnectionOptions()
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f".{name}.*"):
            if old.name != _part(folder, name, media).name:
                old.unlink(missing_ok=True)
    one = _Fetch(media, folder, name, told, stop, options, check)
    return one.bytes() if media.kind == "file" else one.packets()


@dataclass(frozen=True, slots=True)
class _Fetch:
    media: WebMedia
    folder: Path
    name: str
    told: Callable[[float], None]
    stop: Event
    options: ConnectionOptions
    check: AddressCheck | None

    def bytes(self) -> Fetched:
        size, part = self.media.size_bytes or 0, _part(self.folder, self.name, self.media)
        with _writing(part):
            part.touch()
        tries, trouble = 0, Trouble.LOST
        most = have = part.stat().st_size
        while have < size and tries < _TRIES and not self.stop.is_set():
            if tries and self.stop.wait(_PAUSE_S * 2 ** (tries - 1)):
                break
            try:
                self._go_on(part, have, size)
            except (OSError, HTTPException) as error:
                if isinstance(error, InputError | OutputError):
                    raise
                trouble = web_trouble(error)
            have = part.stat().st_size
            most, tries = max(most, have), 0 if have > most else tries + 1
        if self.stop.is_set() and have < size:
            raise StoppedError(_STOPPED)
        if size and not have:
            raise ConnectionProblem(self.media.address, trouble)
        target = self.folder / f"{self.name}{self.media.suffix}"
        with _writing(target):
            part.replace(target)
        short = f"truncated: {have / 1e6:.1f} of {size / 1e6:.1f} MB came before the server broke off"
        return Fetched(target, short if have < size else None)

    def packets(self) -> Fetched:
        for suffix in _SUFFIXES:
            try:
                return self._copy(self.folder / f"{self.name}{suffix}")
            except CutError as error:
                refusal = error
        raise refusal

    def _go_on(self, part: Path, have: int, size: int) -> None:
        with ask(self.media.address, self.options, self.check, {"Range": f"bytes={have}-"} if have else {}) as response:
            goes_on = (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
            with _writing(part):
                file = part.open("ab" if goes_on else "wb")
            with file:
                while not self.stop.is_set() and (chunk := response.read1(_CHUNK_BYTES)):
                    with _writing(part):
                        file.write(chunk)
                    self.told(min(file.tell() / size, 1.0))

    def _copy(self, target: Path) -> Fetched:
        with LiveConnection(self.media.address, self.options) as connection:
            chosen = [track for track in (connection.video, connection.audio) if track is not None]
            for stream in connection.container.streams:
                if stream not in chosen:
                    stream.discard = Discard.all
            claimed_s = Fraction(connection.container.duration or 0, av.time_base)
            clock, missing_s = LiveClock(), Fraction(0)
            clock.connect({track.index: track.time_base or Fraction(1) for track in chosen}, FILE)
            with Output(target, {}) as output:
                tracks = {track.index: _added(output, track) for track in chosen}
                try:
                    for packet in connection:
                        if self.stop.is_set():
                            raise StoppedError(_STOPPED)
                        if packet.stream_index not in tracks:
                            continue
                        hole_s = _place(clock, packet)
                        missing_s += hole_s if hole_s > _HOLE_S else 0
                        packet.stream = tracks[packet.stream_index]
                        output.write(packet)
                        self.told(float(min(clock.end_s / claimed_s, Fraction(1))) if claimed_s else 0.0)
                except ConnectionProblem:
                    if not clock.end_s:
                        raise
                output.commit()
        if claimed_s - clock.end_s > max(_HOLE_S, _ROUNDED * claimed_s):
            missing_s += claimed_s - clock.end_s
        said = f"truncated: {float(missing_s):.1f} s of the {float(claimed_s):.1f} s in the playlist did not come"
        return Fetched(target, said if missing_s else None)


def _added(output: Output, like: Stream) -> Stream:
    stream = output.container.add_stream_from_template(like, opaque=True)
    stream.time_base = like.time_base or Fraction(1, av.time_base)
    return stream


def _place(clock: LiveClock, packet: "av.packet.Packet[Any]") -> Fraction:
    """Put a packet on the line of time, and return how far it is behind all before it."""
    end_s = clock.end_s
    # The clock of the world has no say in it: everything was there before.
    place = clock.place(packet.stream_index, packet.pts, packet.dts, packet.duration or 0, at_s=0.0, unix_s=0.0)
    packet.dts, packet.pts = place.dts, place.dts if place.pts is None else place.pts
    return place.dts * (packet.time_base or Fraction(1)) - end_s


def _part(folder: Path, name: str, media: WebMedia) -> Path:
    return folder / f".{name}.{media.identity}.part"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}); make room, allow writing, or choose another folder."
        ) from error
