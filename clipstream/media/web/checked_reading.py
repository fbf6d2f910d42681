"""Streams whose addresses strangers choose: what FFmpeg would open unseen is checked first."""

import io
import re
import socket
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Protocol
from urllib.parse import urlsplit

from clipstream.errors import InputError, InputNotFoundError
from clipstream.media.live.address import AddressCheck, LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.media.web.request import (
    PLAYLIST_BYTES,
    PLAYLIST_MARK,
    ask,
    behind,
    read_within,
    tls_context,
    web_trouble,
)

__all__ = ["CheckedReading", "check_connection"]

_REDIRECTED = re.compile(rb"RTSP/1\.\d 3")
_HEAD_BYTES = 4096


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class CheckedReading:
    """Opens over HTTP what FFmpeg asks for, the playlists that it loads again and again, keys and segments alike.

    FFmpeg itself connects to nothing then. Nothing is raised into it, since it goes on and the error would come up at
    another place: what cannot be had, or has not come by `until_s`, is empty, as FFmpeg takes missing segments.

    Args:
        address: The stream.
        options: How to connect.
        check: Asked about every address, redirections included.
        until_s: Until when on the monotonic clock.

    Attributes:
        url: Where the stream is, behind all redirections; what it names without a host is there, too.
        until_s: Until when on the monotonic clock; to be put off as reading goes on.
        is_playlist: Whether the stream is a playlist of HLS: FFmpeg would go by its type or name, and sees none.
        trouble: Why the latest that could not be had could not; `BARRED` stays.
        interruption: What came up in between that is not about the stream, such as KeyboardInterrupt.
    """

    def __init__(self, address: LiveAddress, options: ConnectionOptions, check: AddressCheck, until_s: float) -> None:
        self._options, self._check = options, check
        self.until_s = until_s
        self.trouble: Trouble | None = None
        self.interruption: BaseException | None = None
        self.url = address.reveal()
        self._first: _Readable | None = None
        self._first = self._had(self.url, {})
        self.is_playlist = isinstance(self._first, io.BytesIO) and self.trouble is None

    def open(self, url: str, _flags: int, told: Mapping[str, str]) -> _Readable:
        """Return what is behind a URL, for `io_open` of PyAV."""
        first, self._first = self._first, None
        return first or self._had(url, told)

    def verdict(self, trouble: Trouble | None) -> Trouble | None:
        """Return what was wrong where FFmpeg, which does not see it, speaks of `trouble`, or of none.

        Raises:
            BaseException: The interruption, if there was one.
        """
        if self.interruption is not None:
            raise self.interruption
        return self.trouble if trouble is not None or self.trouble is Trouble.BARRED else None

    def check_time(self) -> None:
        """Raise TimeoutError if no time is left."""
        if self.interruption is not None or monotonic() > self.until_s:
            raise TimeoutError("no time is left")

    def failed(self, error: BaseException) -> None:
        """Note why something cannot be had."""
        if not isinstance(error, (OSError, HTTPException, ValueError)):
            self.interruption = error
        elif self.trouble is not Trouble.BARRED:
            self.trouble = _trouble(error)

    def _had(self, url: str, told: Mapping[str, str]) -> _Readable:
        try:
            return self._opened(url, told)
        except BaseException as error:  # noqa: BLE001 - PyAV would lose an interruption
            self.failed(error)
            return io.BytesIO()

    def _opened(self, url: str, told: Mapping[str, str]) -> _Readable:
        self.check_time()
        if urlsplit(url).scheme not in {"http", "https"}:
            raise InputError("only HTTP can be checked")
        address = LiveAddress.parse(url)
        self._check(address)
        first, end = int(told.get("offset", 0)), int(told.get("end_offset", 0))
        ranged = {"Range": f"bytes={first}-{end - 1 if end else ''}"} if first or end else {}
        response = ask(address, self._options, ranged, self.until_s)
        if first and response.status != HTTPStatus.PARTIAL_CONTENT:
            response.close()
            raise OSError("the server gives no part of a file")
        if self._first is None and url == self.url:
            self.url = behind(address, response.url).reveal()
        head = read_within(response, len(PLAYLIST_MARK), self.until_s)
        if head != PLAYLIST_MARK:
            return _Body(self, head, response)
        with response:
            return io.BytesIO(head + read_within(response, PLAYLIST_BYTES, self.until_s))


class _Body:
    """What is behind a URL, as it comes."""

    def __init__(self, reading: CheckedReading, head: bytes, response: HTTPResponse) -> None:
        self._reading, self._head, self._response = reading, head, response

    def read(self, size: int, /) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        if head:
            return head
        try:
            self._reading.check_time()
            return self._response.read1(size)
        except BaseException as error:  # noqa: BLE001 - PyAV would lose an interruption
            self._reading.failed(error)
            return b""

    def close(self) -> None:
        self._response.close()


def check_connection(address: LiveAddress, options: ConnectionOptions, check: AddressCheck) -> None:
    """Check what FFmpeg is about to connect to by itself, and refuse an RTSP server that sends elsewhere.

    Such a server is asked the first things that FFmpeg asks. One that answers FFmpeg differently, or only after a
    password, is not found out.

    Raises:
        ConnectionProblem: It must not be asked, sends elsewhere, or gives no answer in time.
    """
    try:
        check(address)
    except InputError as error:
        raise ConnectionProblem(address, _trouble(error)) from None
    if address.scheme not in {"rtsp", "rtsps"}:
        return
    parts = urlsplit(address.reveal())
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        with _connected(address, options) as connection:
            answer = b""
            for number, method in enumerate(("OPTIONS", "DESCRIBE"), start=1):
                connection.sendall(f"{method} {url} RTSP/1.0\r\nCSeq: {number}\r\n\r\n".encode())
                answer = _head(connection, monotonic() + options.open_s)
                if _REDIRECTED.match(answer):
                    break
    except OSError as error:
        trouble = web_trouble(error)
    else:
        if not _REDIRECTED.match(answer):
            return
        trouble = Trouble.BARRED
    raise ConnectionProblem(address, trouble)


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, InputNotFoundError):
        return Trouble.UNKNOWN_HOST
    return Trouble.BARRED if isinstance(error, InputError) else web_trouble(error)


def _connected(address: LiveAddress, options: ConnectionOptions) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout=options.open_s)
    if address.scheme != "rtsps":
        return plain
    with plain:
        return tls_context(options).wrap_socket(plain, server_hostname=address.host)


def _head(connection: socket.socket, until_s: float) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got and len(got) < _HEAD_BYTES:
        chunk = connection.recv(_HEAD_BYTES)
        if not chunk:
            raise ConnectionResetError("the server hung up")
        got += chunk
        if monotonic() > until_s:
            raise TimeoutError("an answer that goes on and on")
    return got
