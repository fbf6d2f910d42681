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
from clipstream.media.live.connection import LiveConnection
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.media.recording.disk_space import lacking_bytes
from clipstream.media.web.request import ask, web_trouble
from clipstream.media.web.web_media import WebMedia

__all__ = ["Fetched", "fetch"]

_CHUNK_BYTES = 1 << 18
_TRIES = 5
_PAUSE_S = 0.5
"""Before the second try; twice as long before each that follows without a byte in between."""

_ROOM_ASKED_BYTES = 1 << 22
"""How much is written between two looks at the room that is left on the disk."""

_LONGER = 2
"""A playlist that gives more than so many times what it states, and a minute, has no end."""
_LONGER_S = 60

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
) -> Fetched:
    """Fetch media to a file in `folder`, called `name` and a suffix, which is there when all has come.

    A file is byte for byte what the server has, and no longer than it stated. Where a connection breaks off, the next
    goes on behind what has come, and so does the next call after an interruption; what does not come after five tries
    in a row is missing. Of a playlist, the pictures and the sound of its best variant are copied without encoding them
    again; a discontinuity follows what is before it without a gap, and segments that cannot be had are left out.

    Args:
        media: What, and where.
        folder: Where to; made if needed.
        name: What to call it.
        told: Told now and then which share has come, 0 to 1.
        stop: Once set, what has come of a file is kept for the next call, and a playlist is given up.
        options: How to connect.

    Raises:
        ConnectionProblem: Nothing came.
        OutputError: The file cannot be written, or would leave less room on the disk than recordings do.
        StoppedError: `stop` was set.
    """
    options = options or ConnectionOptions()
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f".{name}.*"):
            if old.name != _part(folder, name, media).name:
                old.unlink(missing_ok=True)
    one = _Fetch(media, folder, name, told, stop, options)
    return one.bytes() if media.kind == "file" else one.packets()


@dataclass(frozen=True, slots=True)
class _Fetch:
    media: WebMedia
    folder: Path
    name: str
    told: Callable[[float], None]
    stop: Event
    options: ConnectionOptions

    def bytes(self) -> Fetched:
        size, part = self.media.size_bytes or 0, _part(self.folder, self.name, self.media)
        with _writing(part):
            part.touch()
        self._check_room(size - part.stat().st_size)
        tries, trouble = 0, Trouble.LOST
        most = have = part.stat().st_size
        too_long = False
        while have < size and not too_long and tries < _TRIES and not self.stop.is_set():
            if tries and self.stop.wait(_PAUSE_S * 2 ** (tries - 1)):
                break
            try:
                too_long = self._go_on(part, have, size)
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
        if too_long:
            short = (
                f"truncated: the server sent more than the {size / 1e6:.1f} MB that it stated; the rest was left out"
            )
        return Fetched(target, short if have < size or too_long else None)

    def packets(self) -> Fetched:
        for suffix in _SUFFIXES:
            try:
                return self._copy(self.folder / f"{self.name}{suffix}")
            except CutError as error:
                refusal = error
        raise refusal

    def _go_on(self, part: Path, have: int, size: int) -> bool:
        """Add what comes, and return whether more came than there is."""
        with ask(self.media.address, self.options, {"Range": f"bytes={have}-"} if have else {}) as response:
            goes_on = (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
            with _writing(part):
                file = part.open("ab" if goes_on else "wb")
            with file:
                have = file.tell()
                while not self.stop.is_set() and (chunk := response.read1(_CHUNK_BYTES)):
                    with _writing(part):
                        file.write(chunk[: size - have])
                    have += len(chunk)
                    self.told(min(have / size, 1.0))
                    if have > size:
                        return True
        return False

    def _check_room(self, wanted_bytes: int) -> None:
        with _writing(self.folder):
            lacking = lacking_bytes(self.folder, max(wanted_bytes, 0))
        if lacking:
            raise OutputError(f"{self.folder}: the disk lacks {lacking / 1e6:.0f} MB for what is fetched; make room.")

    def _copy(self, target: Path) -> Fetched:
        with LiveConnection(self.media.address, self.options) as connection:
            chosen = [track for track in (connection.video, connection.audio) if track is not None]
            for stream in connection.container.streams:
                if stream not in chosen:
                    stream.discard = Discard.all
            claimed_s = Fraction(connection.container.duration or 0, av.time_base)
            with Output(target, {}) as output:
                tracks = {track.index: _added(output, track) for track in chosen}
                end_s, missing_s = self._pour(connection, output, tracks, claimed_s)
                output.commit()
        if _is_beyond(claimed_s, end_s):
            return Fetched(target, f"truncated: more came than the {float(claimed_s):.1f} s in the playlist")
        if claimed_s - end_s > max(_HOLE_S, _ROUNDED * claimed_s):
            missing_s += claimed_s - end_s
        said = f"truncated: {float(missing_s):.1f} s of the {float(claimed_s):.1f} s in the playlist did not come"
        return Fetched(target, said if missing_s else None)

    def _pour(
        self, connection: LiveConnection, output: Output, tracks: dict[int, Stream], claimed_s: Fraction
    ) -> tuple[Fraction, Fraction]:
        """Copy packets on one line of time; return its end, and how much of it is missing in between."""
        clock, missing_s, unasked_bytes = LiveClock(), Fraction(0), _ROOM_ASKED_BYTES
        clock.connect({index: connection.container.streams[index].time_base or Fraction(1) for index in tracks}, FILE)
        try:
            for packet in connection:
                if self.stop.is_set():
                    raise StoppedError(_STOPPED)
                if packet.stream_index not in tracks:
                    continue
                unasked_bytes += packet.size
                if unasked_bytes > _ROOM_ASKED_BYTES:
                    self._check_room(_ROOM_ASKED_BYTES)
                    unasked_bytes = 0
                hole_s = _place(clock, packet)
                missing_s += hole_s if hole_s > _HOLE_S else 0
                packet.stream = tracks[packet.stream_index]
                output.write(packet)
                if _is_beyond(claimed_s, clock.end_s):
                    break
                self.told(float(min(clock.end_s / claimed_s, Fraction(1))) if claimed_s else 0.0)
        except ConnectionProblem as problem:
            if not clock.end_s or problem.trouble is Trouble.BARRED:
                raise
        return clock.end_s, missing_s


def _is_beyond(claimed_s: Fraction, end_s: Fraction) -> bool:
    return bool(claimed_s) and end_s > _LONGER * claimed_s + _LONGER_S


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
