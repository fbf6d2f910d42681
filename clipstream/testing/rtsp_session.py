"""One client of the loopback RTSP server: what it asks, and the packets it is sent."""

import asyncio
import re
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from time import monotonic
from typing import Protocol

from clipstream.testing.camera import Camera, Cursor, Fate, Sent
from clipstream.testing.programme import Track, Unit
from clipstream.testing.rtp import UNTIMED, Sender, describe, payloads
from clipstream.testing.rtsp_messages import Guard, Request, answer, read_request

__all__ = ["RtspSession"]

_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
_SESSION = "c11b5"
_REPORT_EVERY_S = 5
_FLIP = bytes(byte ^ 0x5A for byte in range(256))
_BEYOND = b"\x00\x01"
"""A slice that begins thus starts at a block, or refers to a parameter set, numbered far beyond what there is: without
it some flipped slices still decode, to anything."""


class _Wire(Protocol):
    """How the packets of one track reach the client."""

    def send(self, packet: bytes, *, control: bool = False) -> None:
        """Send an RTP packet, or with `control` an RTCP one."""

    def close(self) -> None:
        """Give back what it holds."""


class _Interleaved:
    """Packets within the RTSP connection itself (RFC 2326, 10.12)."""

    def __init__(self, writer: asyncio.StreamWriter, channel: int) -> None:
        self._writer, self._channel = writer, channel

    def send(self, packet: bytes, *, control: bool = False) -> None:
        self._writer.write(struct.pack(">cBH", b"$", self._channel + control, len(packet)) + packet)

    def close(self) -> None:
        """Hold nothing."""


class _Datagrams:
    """Packets over UDP, to two ports that the client named."""

    def __init__(self, client_port: int) -> None:
        self._client_port = client_port
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for one in self._sockets:
            one.bind(("127.0.0.1", 0))
            one.setblocking(False)

    @property
    def ports(self) -> str:
        return "-".join(str(one.getsockname()[1]) for one in self._sockets)

    def send(self, packet: bytes, *, control: bool = False) -> None:
        # As on a network, what does not get through is lost.
        with suppress(OSError):
            self._sockets[control].sendto(packet, ("127.0.0.1", self._client_port + control))

    def close(self) -> None:
        for one in self._sockets:
            one.close()


class RtspSession:
    """A connection, from its first request to its end.

    Args:
        reader: What the client says.
        writer: What it is told.
        cameras: By path.
        guard: Who may watch, if not everyone.
        record: Told of every unit that was sent or left out.
        number_client: Gives the number of a client that begins to play.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        cameras: Mapping[str, Camera],
        *,
        guard: Guard | None,
        record: Callable[[Sent], None],
        number_client: Callable[[], int],
    ) -> None:
        self.lose_frames = self.corrupt_frames = 0
        self._reader, self._writer = reader, writer
        self._cameras, self._guard = cameras, guard
        self._record, self._number_client = record, number_client
        self._wires: dict[int, _Wire] = {}
        self._camera: Camera | None = None
        self._playing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer requests until the client leaves."""
        while True:
            request = await read_request(self._reader)
            self._writer.write(self._answer(request))
            await self._writer.drain()
            if request.method == "TEARDOWN":
                return
            if request.method == "PLAY" and self._camera is not None and self._playing is None:
                self._playing = asyncio.create_task(self._play(self._camera))

    async def close(self) -> None:
        """Send nothing more."""
        try:
            if self._playing is not None:
                self._playing.cancel()
                await asyncio.gather(self._playing, return_exceptions=True)
        finally:  # the server that stops cancels this, too
            for wire in self._wires.values():
                wire.close()

    def stop(self) -> None:
        """Close the connection."""
        if self._playing is not None:
            self._playing.cancel()
        self._writer.close()

    def _answer(self, request: Request) -> bytes:
        if request.method == "OPTIONS":
            return answer(request, Public=_METHODS)
        if self._guard is not None and not self._guard.lets_in(request):
            return answer(request, 401, WWW_Authenticate=self._guard.challenge)
        path, track = re.sub(r"/track\d+$", "", request.path), re.search(r"/track(\d+)$", request.path)
        camera, index = self._cameras.get(path), int(track[1]) if track else 0
        if camera is None or index >= len(camera.programme.tracks):
            return answer(request, 404)
        return self._answer_of(camera, request, index)

    def _answer_of(self, camera: Camera, request: Request, track: int) -> bytes:
        match request.method:
            case "DESCRIBE":
                kind, base = "application/sdp", f"{request.url.rstrip('/')}/"
                return answer(request, body=describe(camera.programme), Content_Type=kind, Content_Base=base)
            case "SETUP":
                return self._set_up(request, camera, track)
            case "PLAY" if not self._wires:
                return answer(request, 454)
            case "PLAY" | "TEARDOWN" | "GET_PARAMETER":
                return answer(request, Session=_SESSION)
            case _:
                return answer(request, 405)

    def _set_up(self, request: Request, camera: Camera, track: int) -> bytes:
        asked = request.headers.get("transport", "")
        agreed = asked
        if found := re.search(r"interleaved=(\d+)", asked):
            self._wires[track] = _Interleaved(self._writer, int(found[1]))
        elif (found := re.search(r"client_port=(\d+)", asked)) and "TCP" not in asked:
            if track in self._wires:  # it asks again, for other ports
                self._wires[track].close()
            wire = self._wires[track] = _Datagrams(int(found[1]))
            agreed = f"{asked};server_port={wire.ports}"
        else:
            return answer(request, 461)
        self._camera = camera
        return answer(request, Transport=agreed, Session=f"{_SESSION};timeout=60")

    async def _play(self, camera: Camera) -> None:
        senders = {index: Sender(index, camera.programme.tracks[index]) for index in self._wires}
        untimed = camera.untimed_frames
        reported_s: Fraction | None = None
        camera.players.add(self)
        client, cursor = self._number_client(), Cursor()
        try:
            while (due := await camera.next_unit(cursor)) is not None:
                unit, stream_s = due
                if (sender := senders.get(unit.track)) is None:
                    continue
                if reported_s is None or not 0 <= stream_s - reported_s < _REPORT_EVERY_S:
                    reported_s = stream_s
                    for one in senders.values():
                        self._wires[one.index].send(one.report(stream_s), control=True)
                kind, stamp = sender.track.kind, sender.stamp(stream_s)
                if kind == "video" and untimed:
                    untimed, stamp = untimed - 1, UNTIMED
                fate = self._send(sender, unit, stamp)
                what = camera.name, client, kind, unit.number, unit.pts_s, stream_s
                self._record(Sent(*what, monotonic(), unit.keyframe, fate))
                await self._writer.drain()
                await asyncio.sleep(0)  # a client that is behind lets others have their turn
            for one in senders.values():
                self._wires[one.index].send(one.goodbye(), control=True)
            self._writer.close()
        except ConnectionError:
            pass  # the reading side sees it too, and ends the session
        finally:
            camera.players.discard(self)

    def _send(self, sender: Sender, unit: Unit, stamp: int) -> Fate:
        fate: Fate = "sent"
        if sender.track.kind == "video":
            if self.lose_frames:
                self.lose_frames -= 1
                fate = "lost"
            elif self.corrupt_frames:
                self.corrupt_frames -= 1
                fate = "corrupt"
                unit = replace(unit, parts=_corrupted(sender.track, unit.parts))
        pieces = list(payloads(sender.track, unit))
        for index, piece in enumerate(pieces):
            packet = sender.packet(piece, stamp, last=index == len(pieces) - 1)
            if fate != "lost":
                self._wires[sender.index].send(packet)
        return fate


def _corrupted(track: Track, parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the NAL units of a picture with every byte of its slices flipped but their headers'."""
    h264 = track.name == "H264"
    size, pictures = (1, range(1, 6)) if h264 else (2, range(32))
    kinds = [part[0] & 0x1F if h264 else part[0] >> 1 & 0x3F for part in parts]
    flipped = (
        part[:size] + _BEYOND + part[size + len(_BEYOND) :].translate(_FLIP) if kind in pictures else part
        for kind, part in zip(kinds, parts, strict=True)
    )
    # Without a delimiter a parser counts slices that it cannot read to the picture before, which then suffers as well.
    return (b"\x09\xf0" if h264 else b"\x46\x01\x50", *flipped)
