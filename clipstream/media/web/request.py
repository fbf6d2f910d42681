"""One request over HTTP, and its answer: whoever trickles one is not waited for."""

import socket
import ssl
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from math import inf
from threading import Event, Timer
from time import monotonic
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from clipstream.media.live.address import AddressCheck, Credentials, LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.troubles import UNREACHABLE, Trouble

__all__ = ["PLAYLIST_BYTES", "PLAYLIST_MARK", "Answer", "ask", "behind", "read_within", "tls_context", "web_trouble"]

PLAYLIST_MARK = b"#EXTM3U"
"""How every playlist begins."""
PLAYLIST_BYTES = 16 << 20
"""No more of a playlist is read: that is a year of segments."""

_CHUNK_BYTES = 1 << 18

_STATUS: Mapping[int, Trouble] = {
    401: Trouble.UNAUTHORISED,
    403: Trouble.FORBIDDEN,
    404: Trouble.NOT_FOUND,
    410: Trouble.NOT_FOUND,
}
_TROUBLES: tuple[tuple[type[Exception], Trouble], ...] = (
    (ssl.SSLCertVerificationError, Trouble.CERTIFICATE),
    (socket.gaierror, Trouble.UNKNOWN_HOST),
    (TimeoutError, Trouble.SILENT),
    (ConnectionRefusedError, Trouble.REFUSED),
    (ConnectionError, Trouble.LOST),
)


class Answer(HTTPResponse):
    """An answer that can be broken off.

    Attributes:
        connection: On what it comes.
    """

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.connection = sock


def ask(
    address: LiveAddress,
    options: ConnectionOptions,
    headers: Mapping[str, str] | None = None,
    until_s: float = inf,
) -> Answer:
    """Send a request for an address, with its user and password if it is asked for them, and return the answer.

    Raises:
        OSError: Or HTTPException: there is no good answer, or none by `until_s` on the monotonic clock, wherever
            redirections lead (TimeoutError); see `web_trouble`.
        InputError: What the check of `options` raised about a redirection.
    """
    parts = urlsplit(address.reveal())
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username:
        passwords.add_password(None, url, unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.build_opener(
        _Http(until_s),
        _Https(until_s, tls_context(options)),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
        _Redirects(options.check),
    )
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - an address is http or https here
    response: Answer = opener.open(request, timeout=options.stall_s)
    return response


def behind(address: LiveAddress, url: str) -> LiveAddress:
    """Return the address to which an answer belongs, with the user and password of the same host."""
    parts, found = urlsplit(address.reveal()), LiveAddress.parse(url)
    if not parts.username or (found.host, found.port) != (address.host, address.port):
        return found
    user, password = unquote(parts.username), unquote(parts.password or "")
    return found.joined(Credentials({found.host: (user, password)}))


def tls_context(options: ConnectionOptions) -> ssl.SSLContext:
    """Return whom to trust."""
    context = ssl.create_default_context(cafile=str(options.certificates) if options.certificates else None)
    if not options.check_certificate:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def read_within(response: Answer, most_bytes: int, until_s: float) -> bytes:
    """Return what is left of an answer, `most_bytes` at most.

    Raises:
        OSError: Or HTTPException: it broke off, or was not over at `until_s` on the monotonic clock (TimeoutError).
    """
    got = bytearray()
    with _broken_off(response.connection, until_s):
        while len(got) < most_bytes and (chunk := response.read1(min(most_bytes - len(got), _CHUNK_BYTES))):
            got += chunk
    return bytes(got)


def web_trouble(error: Exception) -> Trouble:
    """Tell what an error of `ask`, or of reading an answer, means."""
    if isinstance(error, HTTPError):
        return _STATUS.get(error.code, Trouble.SERVER)
    reason = error.reason if isinstance(error, URLError) else error
    if getattr(reason, "errno", None) in UNREACHABLE:
        return Trouble.UNREACHABLE
    return next((trouble for kind, trouble in _TROUBLES if isinstance(reason, kind)), Trouble.SERVER)


class _InTime(HTTPConnection):
    """A connection whose limit is for the head of an answer, too, and not for each of its bytes alone."""

    response_class = Answer

    def __init__(self, host: str, *, until_s: float, **how: Any) -> None:
        super().__init__(host, **how)
        self._until_s = until_s

    def connect(self) -> None:
        stall_s, left_s = self.timeout or 0.0, self._until_s - monotonic()
        if left_s <= 0:
            raise TimeoutError("no time is left")
        self.timeout = min(stall_s, left_s)
        super().connect()
        self.timeout = stall_s
        self.sock.settimeout(stall_s)  # what is behind an address may be read for longer than it was asked for

    def getresponse(self) -> HTTPResponse:
        with _broken_off(self.sock, min(monotonic() + 2 * (self.timeout or 0.0), self._until_s)):
            return super().getresponse()


class _InTimeTls(_InTime, HTTPSConnection):
    pass


@contextmanager
def _broken_off(connection: socket.socket, until_s: float) -> Iterator[None]:
    """Break a connection off, and raise TimeoutError, unless what is within is over in time."""
    over = Event()
    timer = Timer(until_s - monotonic(), _break_off, (connection, over))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if over.is_set():
            raise TimeoutError("an answer that goes on and on")


def _break_off(connection: socket.socket, over: Event) -> None:
    over.set()
    with suppress(OSError):  # it was over just now
        connection.shutdown(socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, until_s: float) -> None:
        super().__init__()
        self._until_s = until_s

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_InTime, until_s=self._until_s), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, until_s: float, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._until_s, self._trusted = until_s, context

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_InTimeTls, until_s=self._until_s), req, context=self._trusted)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, check: AddressCheck | None) -> None:
        self._check = check

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if self._check is not None:
            self._check(LiveAddress.parse(newurl))
        fp.close()  # urllib would read it to its end, and there may be none
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # HTTPMessage
