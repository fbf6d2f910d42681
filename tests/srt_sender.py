"""A sender over SRT that stops, stalls and comes back on command, with pictures of which every one is known."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread

import av

from clipstream.media.live.address import LiveAddress
from clipstream.media.live.srt_library import SrtError, SrtSocket
from clipstream.media.live.srt_request import SrtRequest

__all__ = ["Sender", "free_port", "sending"]

PAYLOAD_BYTES = 1316


def free_port() -> int:
    """Return a UDP port on which nothing listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Sender:
    """Sends a clip again and again to one receiver, and then to the next, until it is told to stop.

    Args:
        url: Where to wait for receivers, with `mode=listener`, or whom to call.
        clip: What to send; nothing, but the connection is made, where it is None.
        rate_hz: Pictures a second.

    Attributes:
        sending: Set while there is a receiver.
        stalled: To be set while nothing shall be sent.
    """

    def __init__(self, url: str, clip: Path | None, rate_hz: int) -> None:
        self._request, self._clip, self._period_s = SrtRequest.of(LiveAddress.parse(url)), clip, 1 / rate_hz
        self.sending, self.stalled, self._stop, self._drop = Event(), Event(), Event(), Event()
        self._thread = Thread(target=self._run, name="sender")
        self._thread.start()

    def drop(self) -> None:
        """Close the connection; another one may be made."""
        self._drop.set()

    def close(self) -> None:
        """Close everything."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._drop.clear()
            with contextlib.suppress(SrtError), self._connected() as connection:
                if connection is not None:
                    self.sending.set()
                    self._send(connection)
            self.sending.clear()

    @contextmanager
    def _connected(self) -> Iterator[SrtSocket | None]:
        (family, _, _, _, place), *_ = socket.getaddrinfo(
            self._request.host, self._request.port, type=socket.SOCK_DGRAM
        )
        first = SrtSocket(self._request.flags)
        connection: SrtSocket | None = None
        try:
            if self._request.listens:
                first.listen(family, place)
                while not self._stop.is_set() and connection is None:
                    connection = first.accept() if first.ready(0.05) else None
                first.close()
            elif first.connect(family, place, float("inf")):
                connection = first
            yield connection
        finally:
            for one in filter(None, (first, connection)):
                one.close()

    def _send(self, connection: SrtSocket) -> None:
        if self._clip is None:
            while not self._over(self._period_s):
                pass
            return
        with (
            av.open(_Pieces(connection, self.drop), "w", format="mpegts") as target,
            av.open(str(self._clip)) as source,
        ):
            copies = {track.index: target.add_stream_from_template(track) for track in source.streams}
            base_s = Fraction(0)
            while True:
                source.seek(0)
                for packet in source.demux():
                    if packet.dts is None:
                        continue
                    shift = round(base_s / (packet.time_base or 1))
                    packet.pts, packet.dts = (packet.pts or 0) + shift, packet.dts + shift
                    if packet.stream.type == "video" and self._over(self._period_s):
                        return
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
                base_s += Fraction(source.duration or 0, av.time_base)

    def _over(self, wait_s: float) -> bool:
        over = self._stop.wait(wait_s) or self._drop.is_set()
        while self.stalled.is_set() and not over:
            over = self._stop.wait(wait_s) or self._drop.is_set()
        return over


class _Pieces:
    """A file whose content goes out in messages, and is lost when nobody takes them any more."""

    def __init__(self, connection: SrtSocket, lost: Callable[[], None]) -> None:
        self._connection, self._lost = connection, lost

    def write(self, data: bytes) -> int:
        for place in range(0, len(data), PAYLOAD_BYTES):
            piece = bytes(data[place : place + PAYLOAD_BYTES])
            try:
                self._connection._call("sendmsg", piece, len(piece), -1, 1)
            except SrtError:
                self._lost()
        return len(data)


@contextmanager
def sending(url: str, clip: Path | None, rate_hz: int = 15) -> Iterator[Sender]:
    """Give a sender, and close it."""
    sender = Sender(url, clip, rate_hz)
    try:
        yield sender
    finally:
        sender.close()
