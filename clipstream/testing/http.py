"""A loopback HTTP server for HLS and plain files that answers late, wrongly or not at all on command."""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from time import monotonic

from clipstream.testing.loopback import LoopbackServer
from clipstream.testing.playlist import LivePlaylist, Playlist, make_segments

__all__ = ["Answered", "HttpServer"]

_REMEMBERED = 10_000
_PLAYLIST_TYPE, _SEGMENT_TYPE, _FILE_TYPE = "application/vnd.apple.mpegurl", "video/mp2t", "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and what was said to it.

    Attributes:
        path: What was asked for, without the leading slash.
        status: HTTP status.
        at_s: When, on the monotonic clock.
    """

    path: str
    status: int
    at_s: float


@dataclass(slots=True)
class _Failure:
    status: int
    times: int
    matching: str


@dataclass(slots=True)
class _Cut:
    size: int
    times: int
    matching: str


class HttpServer(LoopbackServer):
    """Playlists, segments and files on 127.0.0.1, over HTTP/1.1 with ranges and connections that stay.

    Args:
        certificate: File with certificate and key in PEM, to speak HTTPS.

    >>> with HttpServer() as server:                                                # doctest: +SKIP
    ...     container = av.open(server.add_live("cam", clip, speed=4))
    """

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(certificate)
        self._playlists: dict[str, Playlist] = {}
        self._files: dict[str, Path] = {}
        self._redirects: dict[str, str] = {}
        self._failures: list[_Failure] = []
        self._answered: deque[Answered] = deque(maxlen=_REMEMBERED)
        self._cuts: list[_Cut] = []
        self._delay_s = 0.0
        self._answering = asyncio.Event()
        self._answering.set()

    @property
    def answered(self) -> tuple[Answered, ...]:
        """What was asked and answered, in order: the last 10,000."""
        with self._changed:
            return tuple(self._answered)

    def url_of(self, path: str) -> str:
        """Return the address of a path, whether something is there or not."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/{path}"

    def add_file(self, path: str, file: Path) -> str:
        """Serve a file, with ranges, and return its address."""
        self._soon(lambda: self._files.update({path: file}))
        return self.url_of(path)

    def add_vod(self, name: str, *clips: Path, segment_s: float = 1.0) -> str:
        """Serve a whole playlist of clips, a discontinuity between them, and return its address."""
        playlist = Playlist(make_segments(clips, segment_s))
        self._soon(lambda: self._playlists.update({name: playlist}))
        return self.url_of(f"{name}/index.m3u8")

    def add_live(
        self, name: str, *clips: Path, segment_s: float = 1.0, window: int = 3, speed: float = 1.0, loop: bool = False
    ) -> str:
        """Serve a playlist that slides over clips, a discontinuity between them, and return its address.

        Its clock begins with the first request. With `speed=0` it goes on by `publish` alone. It ends after the last
        clip; with `loop` it begins again instead, with a discontinuity.
        """
        playlist = LivePlaylist(make_segments(clips, segment_s), window=window, speed=speed, loop=loop)
        self._soon(lambda: self._playlists.update({name: playlist}))
        return self.url_of(f"{name}/index.m3u8")

    def publish(self, name: str, count: int = 1) -> None:
        """Add the next segments of a live playlist now."""
        self._soon(lambda: self._live(name).publish(count))

    def end(self, name: str) -> None:
        """End a live playlist now."""
        self._soon(lambda: self._live(name).end())

    def stall(self) -> None:
        """Answer nothing until `resume()`; connections stay."""
        self._soon(self._answering.clear)

    def resume(self) -> None:
        """Answer again, what was asked meanwhile included."""
        self._soon(self._answering.set)

    def slow(self, delay_s: float) -> None:
        """Answer everything this much later."""

        def act() -> None:
            self._delay_s = delay_s

        self._soon(act)

    def fail(self, status: int, times: int = 1, *, matching: str = "") -> None:
        """Answer the next `times` requests whose path contains `matching` with an error."""
        self._soon(lambda: self._failures.append(_Failure(status, times, matching)))

    def cut_short(self, size: int, times: int = 1, *, matching: str = "") -> None:
        """Close the connection after `size` bytes of the next `times` answers whose path contains `matching`."""
        self._soon(lambda: self._cuts.append(_Cut(size, times, matching)))

    def redirect(self, path: str, url: str) -> str:
        """Send whoever asks for a path to another address, and return its own."""
        self._soon(lambda: self._redirects.update({path: url}))
        return self.url_of(path)

    def _begin_anew(self) -> None:
        self._failures.clear()
        self._cuts.clear()
        self._delay_s = 0.0
        self._answering.set()

    def _live(self, name: str) -> LivePlaylist:
        playlist = self._playlists[name]
        if not isinstance(playlist, LivePlaylist):
            raise TypeError(f"{name} is whole already; add it with add_live to publish it piece by piece")
        return playlist

    def _soon(self, action: Callable[[], object]) -> None:
        async def run() -> None:
            action()

        self._do(run)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
            method, target = [*head.split(), "", ""][:2]
            await self._answering.wait()
            await asyncio.sleep(self._delay_s)
            path = target.partition("?")[0].strip("/")
            status, kind, body = self._find(path)
            headers = {"Content-Type": kind, "Accept-Ranges": "bytes"}
            whole = len(body)
            if status == HTTPStatus.OK and (
                found := re.search(r"^range: *bytes=(\d+)-(\d*)", head, re.IGNORECASE | re.MULTILINE)
            ):
                first, last = int(found[1]), min(int(found[2] or whole), whole - 1)
                status, body = HTTPStatus.PARTIAL_CONTENT, body[first : last + 1]
                headers["Content-Range"] = f"bytes {first}-{last}/{whole}"
                if first >= whole:
                    status, headers["Content-Range"] = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{whole}"
            if (url := self._redirects.get(path)) is not None:
                status, headers["Location"] = HTTPStatus.FOUND, url
            headers["Content-Length"] = str(len(body))
            cut = next((one for one in self._cuts if one.times > 0 and one.matching in path), None)
            if cut is not None:
                cut.times -= 1
                body = body[: cut.size]
            lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + (b"" if method == "HEAD" else body))
            with self._changed:
                self._answered.append(Answered(path, int(status), monotonic()))
                self._changed.notify_all()
            await writer.drain()
            if cut is not None:
                return

    def _find(self, path: str) -> tuple[int, str, bytes]:
        """Return status, type and body of what is under a path."""
        for failure in self._failures:
            if failure.times > 0 and failure.matching in path:
                failure.times -= 1
                return failure.status, "text/plain", b""
        if (file := self._files.get(path)) is not None:
            return HTTPStatus.OK, _FILE_TYPE, file.read_bytes()
        name, _, leaf = path.rpartition("/")
        if (playlist := self._playlists.get(name)) is not None:
            if leaf == "index.m3u8":
                return HTTPStatus.OK, _PLAYLIST_TYPE, playlist.text().encode()
            number = leaf.removesuffix(".ts")
            if number.isdecimal() and (segment := playlist.segment(int(number))) is not None:
                return HTTPStatus.OK, _SEGMENT_TYPE, segment.data
        return HTTPStatus.NOT_FOUND, "text/plain", b""


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
