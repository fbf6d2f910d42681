"""What an HTTP address leads to, told before it is read: a file, a finished playlist, or a stream without end."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from itertools import islice
from pathlib import PurePosixPath
from time import monotonic
from typing import Literal
from urllib.parse import urljoin, urlsplit

from clipstream.errors import InputError
from clipstream.media.inputs import MEDIA_SUFFIXES
from clipstream.media.live.address import LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.media.web.request import PLAYLIST_BYTES, PLAYLIST_MARK, ask, behind, read_within, web_trouble

__all__ = ["WebMedia", "find_media", "media_suffix"]

_DASH = "application/dash+xml"
_URI_ATTRIBUTE = re.compile(r'URI="([^"]*)"')
_PATIENCE = 6
"""Finding out may take so many times as long as a stall: half a minute, as a rule."""
_MOST = 100
"""So many playlists of one, and hosts in one, are looked at before it is read; what is read is checked as it is."""


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


def find_media(address: LiveAddress, options: ConnectionOptions | None = None) -> WebMedia | None:
    """Return the media with an end that an `http` or `https` address leads to; `None` where it leads to a stream.

    What states its length is a file; a playlist of HLS has an end when it says so (RFC 8216, 4.3.3.4). Manifests of
    DASH are left to whoever reads streams.

    Args:
        address: Where to ask.
        options: How to connect; its check is asked about this address, where redirections lead, and what playlists
            name.

    Raises:
        ConnectionProblem: It cannot be read, or not in time.
        InputError: What the check raised, or a playlist that names what cannot be checked.
    """
    options = options or ConnectionOptions()
    if options.check is not None:
        options.check(address)
    until_s = monotonic() + _PATIENCE * options.stall_s
    try:
        with ask(address, options, until_s=until_s) as response:
            found = behind(address, response.url)
            head = read_within(response, len(PLAYLIST_MARK), until_s)
            length = response.headers.get("Content-Length") or ""
            if head != PLAYLIST_MARK:
                dash = response.headers.get_content_type() == _DASH or urlsplit(response.url).path.endswith(".mpd")
                if dash and options.check is not None:
                    raise ConnectionProblem(address, Trouble.BARRED)
                if dash or not length.isdecimal():
                    return None
                told = (length, response.headers.get("ETag"), response.headers.get("Last-Modified"))
                return WebMedia(found, "file", _digest(address, *told), int(length), media_suffix(found))
            text = (head + read_within(response, PLAYLIST_BYTES, until_s)).decode(errors="replace")
        texts = [text, *_lists_in(text, found, options, until_s)]
    except (OSError, HTTPException) as error:
        if isinstance(error, InputError):
            raise
        trouble = web_trouble(error)
    else:
        ends = any("#EXT-X-ENDLIST" in one for one in texts)
        return WebMedia(found, "playlist", _digest(address, *texts)) if ends else None
    raise ConnectionProblem(address, trouble)


def media_suffix(address: LiveAddress) -> str:
    """Return the suffix of what an address names, in small letters, if it is one of media files; `""` otherwise."""
    suffix = PurePosixPath(urlsplit(address.reveal()).path).suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ""


def _lists_in(text: str, where: LiveAddress, options: ConnectionOptions, until_s: float) -> Iterator[str]:
    """Give the playlists that a playlist of playlists names: all where each is to be checked, or else the first."""
    named = _checked(text, where, options, until_s)
    if "#EXT-X-STREAM-INF" not in text:
        return
    for one in named[: _MOST if options.check is not None else 1]:
        with ask(one, options, until_s=until_s) as response:
            inner = read_within(response, PLAYLIST_BYTES, until_s).decode(errors="replace")
        _checked(inner, one, options, until_s)
        yield inner


def _checked(text: str, where: LiveAddress, options: ConnectionOptions, until_s: float) -> list[LiveAddress]:
    """Return the addresses that a playlist names, its hosts checked."""
    try:
        urls = [urljoin(where.reveal(), uri).replace(" ", "%20") for uri in _named(text)]
        named = [LiveAddress.parse(url) for url in urls if urlsplit(url).scheme in {"http", "https"}]
    except (InputError, ValueError):
        raise ConnectionProblem(where, Trouble.NOT_MEDIA) from None
    if options.check is not None:
        other = next((url for url in urls if urlsplit(url).scheme not in {"http", "https"}), None)
        if other is not None or "METHOD=AES-128" in text:
            raise ConnectionProblem(where, Trouble.BARRED)
        for one in islice({(one.scheme, one.host, one.port): one for one in named}.values(), _MOST):
            if monotonic() > until_s:
                raise TimeoutError("names that take long to look up")
            options.check(one)
    return named


def _named(text: str) -> Iterable[str]:
    """Give what a playlist names, lists and segments before sound, keys and the like."""
    lines = [line.strip() for line in text.splitlines()]
    yield from (line for line in lines if line and not line.startswith("#"))
    for line in lines:
        if line.startswith("#EXT"):
            yield from _URI_ATTRIBUTE.findall(line)


def _digest(address: LiveAddress, *told: str | None) -> str:
    return hashlib.sha256(repr((str(address), told)).encode()).hexdigest()[:16]
