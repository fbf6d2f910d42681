"""One request over HTTP, and its answer: whoever trickles one is not waited for."""

import errno
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from threading import Event, Timer
from time import monotonic
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from clipstream.media.live.address import AddressCheck, Credentials, LiveAddress
from clipstream.media.live.troubles import ConnectionOptions, Trouble

__all__ = ["PLAYLIST_BYTES", "PLAYLIST_MARK", "ask", "behind", "read_within", "tls_context", "web_trouble"]

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
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


def ask(
    address: LiveAddress,
    options: ConnectionOptions,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """Send a request for an address, with its user and password if it is asked for them, and return the answer.

    Raises:
        OSError: Or HTTPException: there is no good answer; see `web_trouble`.
        InputError: What the check of `options` raised about a redirection.
    """
    parts = urlsplit(address.reveal())
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username:
        passwords.add_password(None, url, unquote(parts.username), unquote(parts.password or ""))
    opener = urllib.request.build_opener(
        _Http(),
        _Https(tls_context(options)),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
        _Redirects(options.check),
    )
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - an address is http or https here
    response: HTTPResponse = opener.open(request, timeout=options.stall_s)
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


def read_within(response: HTTPResponse, most_bytes: int, until_s: float) -> bytes:
    """Return what is left of an answer, `most_bytes` at most.

    Raises:
        OSError: Or HTTPException: it broke off, or was not over at `until_s` on the monotonic clock (TimeoutError).
    """
    got = bytearray()
    while len(got) < most_bytes and (chunk := response.read1(min(most_bytes - len(got), _CHUNK_BYTES))):
        got += chunk
        if monotonic() > until_s:
            raise TimeoutError("an answer that goes on and on")
    return bytes(got)


def web_trouble(error: Exception) -> Trouble:
    """Tell what an error of `ask`, or of reading an answer, means."""
    if isinstance(error, HTTPError):
        return _STATUS.get(error.code, Trouble.SERVER)
    reason = error.reason if isinstance(error, URLError) else error
    if getattr(reason, "errno", None) in _UNREACHABLE:
        return Trouble.UNREACHABLE
    return next((trouble for kind, trouble in _TROUBLES if isinstance(reason, kind)), Trouble.SERVER)


class _InTime(HTTPConnection):
    """A connection whose limit is for the head of an answer, too, and not for each of its bytes alone."""

    def getresponse(self) -> HTTPResponse:
        over = Event()
        timer = Timer(2 * (self.timeout or 0.0), _break_off, (self.sock, over))
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()
            if over.is_set():
                raise TimeoutError("an answer whose head goes on and on")


class _InTimeTls(_InTime, HTTPSConnection):
    pass


def _break_off(connection: socket.socket, over: Event) -> None:
    over.set()
    with suppress(OSError):  # it was over just now
        connection.shutdown(socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_InTime, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._trusted = context

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_InTimeTls, req, context=self._trusted)


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
