"""What an HTTP address leads to, told before it is read: a file, a finished playlist, or a stream without end."""

import errno
import hashlib
import re
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import PurePosixPath
from typing import IO, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urljoin, urlsplit

from clipstream.errors import InputError
from clipstream.media.inputs import MEDIA_SUFFIXES
from clipstream.media.live.address import Credentials, LiveAddress
from clipstream.media.live.connection import ConnectionOptions, ConnectionProblem, Trouble

__all__ = ["AddressCheck", "WebMedia", "ask", "find_media", "media_suffix", "web_trouble"]

AddressCheck = Callable[[LiveAddress], None]
"""Raises InputError for an address that must not be asked."""

_MARK = b"#EXTM3U"
_DASH = "application/dash+xml"
_PLAYLIST_BYTES = 16 << 20
_URI_ATTRIBUTE = re.compile(r'URI="([^"]*)"')
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


@dataclass(frozen=True, slots=True)
class WebMedia:
    """Media that have an end, at an HTTP address.

    Attributes:
        address: Where they are, behind all redirections.
        kind: One file, or a playlist of many.
        identity: Short digest that changes when the media do, as far as the server tells.
        size_bytes: Size of the file; `None` for a playlist.
        suffix: That of the file, in small letters, where it is one of media; `""` otherwise.
    """

    address: LiveAddress
    kind: Literal["file", "playlist"]
    identity: str
    size_bytes: int | None = None
    suffix: str = ""


def find_media(
    address: LiveAddress, options: ConnectionOptions | None = None, check: AddressCheck | None = None
) -> WebMedia | None:
    """Return the media with an end that an `http` or `https` address leads to; `None` where it leads to a stream.

    What states its length is a file; a playlist of HLS has an end when it says so (RFC 8216, 4.3.3.4). Manifests of
    DASH are left to whoever reads streams.

    Args:
        address: Where to ask.
        options: How to connect.
        check: Asked about every address before it is: this one, where redirections lead, and what playlists name.

    Raises:
        ConnectionProblem: It cannot be read.
        InputError: What `check` raised.
    """
    options = options or ConnectionOptions()
    if check is not None:
        check(address)
    try:
        with ask(address, options, check) as response:
            found = _behind(address, response.url)
            head = response.read(len(_MARK))
            length = response.headers.get("Content-Length") or ""
            if head != _MARK:
                dash = response.headers.get_content_type() == _DASH or urlsplit(response.url).path.endswith(".mpd")
                if dash and check is not None:
                    # What it names is asked for by FFmpeg, and nobody would check that.
                    raise ConnectionProblem(address, Trouble.UNSUPPORTED)
                if dash or not length.isdecimal():
                    return None
                told = (length, response.headers.get("ETag"), response.headers.get("Last-Modified"))
                return WebMedia(found, "file", _digest(address, *told), int(length), media_suffix(found))
            text = (head + response.read(_PLAYLIST_BYTES)).decode(errors="replace")
        texts = [text, *_lists_in(text, found, options, check)]
    except (OSError, HTTPException) as error:
        if isinstance(error, InputError):
            raise
        trouble = web_trouble(error)
    else:
        ends = any("#EXT-X-ENDLIST" in one for one in texts)
        return WebMedia(found, "playlist", _digest(address, *texts)) if ends else None
    raise ConnectionProblem(address, trouble)


def ask(
    address: LiveAddress,
    options: ConnectionOptions,
    check: AddressCheck | None = None,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """Send a request for an address, with its user and password if it is asked for them, and return the answer.

    Raises:
        OSError: Or HTTPException: there is no good answer; see `web_trouble`.
        InputError: What `check` raised about a redirection.
    """
    parts = urlsplit(address.reveal())
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username:
        passwords.add_password(None, url, unquote(parts.username), unquote(parts.password or ""))
    context = ssl.create_default_context(cafile=str(options.certificates) if options.certificates else None)
    if not options.check_certificate:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
        _Redirects(check),
    )
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - an address is http or https here
    response: HTTPResponse = opener.open(request, timeout=options.stall_s)
    return response


def web_trouble(error: Exception) -> Trouble:
    """Tell what an error of `ask`, or of reading an answer, means."""
    if isinstance(error, HTTPError):
        return _STATUS.get(error.code, Trouble.SERVER)
    reason = error.reason if isinstance(error, URLError) else error
    if getattr(reason, "errno", None) in _UNREACHABLE:
        return Trouble.UNREACHABLE
    return next((trouble for kind, trouble in _TROUBLES if isinstance(reason, kind)), Trouble.SERVER)


def media_suffix(address: LiveAddress) -> str:
    """Return the suffix of what an address names, in small letters, if it is one of media files; `""` otherwise."""
    suffix = PurePosixPath(urlsplit(address.reveal()).path).suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, check: AddressCheck | None) -> None:
        self._check = check

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if self._check is not None:
            self._check(LiveAddress.parse(newurl))
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # HTTPMessage


def _lists_in(text: str, where: LiveAddress, options: ConnectionOptions, check: AddressCheck | None) -> Iterator[str]:
    """Give the playlists that a playlist of playlists names: all where each is to be checked, or else the first."""
    named = list(_named(text, where))
    if check is not None:
        for host in {(one.scheme, one.host, one.port): one for one in named}.values():
            check(host)
    if "#EXT-X-STREAM-INF" not in text:
        return
    for one in named if check is not None else named[:1]:
        with ask(one, options, check) as response:
            inner = response.read(_PLAYLIST_BYTES).decode(errors="replace")
        if check is not None:
            for segment in {(each.scheme, each.host, each.port): each for each in _named(inner, one)}.values():
                check(segment)
        yield inner


def _named(text: str, where: LiveAddress) -> Iterator[LiveAddress]:
    """Give the addresses of a playlist, those of lists and segments before those of sound, keys and the like."""
    lines = [line.strip() for line in text.splitlines()]
    uris = [line for line in lines if line and not line.startswith("#")]
    uris += [uri for line in lines if line.startswith("#EXT") for uri in _URI_ATTRIBUTE.findall(line)]
    for uri in uris:
        url = urljoin(where.reveal(), uri)
        if urlsplit(url).scheme in {"http", "https"}:
            yield LiveAddress.parse(url.replace(" ", "%20"))


def _behind(address: LiveAddress, url: str) -> LiveAddress:
    """Return the address to which an answer belongs, with the user and password of the same host."""
    parts, found = urlsplit(address.reveal()), LiveAddress.parse(url)
    if not parts.username or (found.host, found.port) != (address.host, address.port):
        return found
    user, password = unquote(parts.username), unquote(parts.password or "")
    return found.joined(Credentials({found.host: (user, password)}))


def _digest(address: LiveAddress, *told: str | None) -> str:
    return hashlib.sha256(repr((str(address), told)).encode()).hexdigest()[:16]
