"""RTSP 1.0 as far as a camera needs it (RFC 2326): requests, answers, and who may ask (RFC 2617)."""

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Guard", "Request", "Scheme", "answer", "read_request"]

Scheme = Literal["basic", "digest"]
"""How a client proves that it knows the password."""

_REASONS = {
    200: "OK",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    454: "Session Not Found",
    461: "Unsupported Transport",
}
_REALM, _NONCE = "clipstream", "5ca1ab1e"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks; names of headers are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """The path of its address, without the leading slash and a trailing one."""
        return re.sub(r"^rtsps?://[^/]*", "", self.url).partition("?")[0].strip("/")


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Return the next request; what clients report of reception in between is passed over.

    Raises:
        asyncio.IncompleteReadError: The connection ended.
    """
    while (first := await reader.readexactly(1)) == b"$":
        head = await reader.readexactly(3)
        await reader.readexactly(int.from_bytes(head[1:], "big"))
    head = first + await reader.readuntil(b"\r\n\r\n")
    start, *lines = head.decode(errors="replace").strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    await reader.readexactly(int(headers.get("content-length", 0)))
    method, url = [*start.split(), "", ""][:2]
    return Request(method, url, headers)


def answer(request: Request, status: int = 200, body: str = "", **headers: str) -> bytes:
    """Return an answer; `Content_Base` and the like become headers."""
    if body:
        headers["Content_Length"] = str(len(body))
    lines = [f"RTSP/1.0 {status} {_REASONS[status]}", f"CSeq: {request.headers.get('cseq', '0')}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may watch.

    Attributes:
        user: Name.
        password: Password.
        scheme: How it is asked for.
    """

    user: str
    password: str
    scheme: Scheme

    def lets_in(self, request: Request) -> bool:
        """Say whether a request carries the right credentials."""
        kind, _, rest = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != self.scheme:
            return False
        if self.scheme == "basic":
            given, expected = rest, base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        else:
            fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            who = _md5(f"{self.user}:{_REALM}:{self.password}")
            what = _md5(f"{request.method}:{fields.get('uri', '')}")
            given, expected = fields.get("response", ""), _md5(f"{who}:{_NONCE}:{what}")
        return hmac.compare_digest(given, expected)

    @property
    def challenge(self) -> str:
        """What is said to a client that brings no credentials or wrong ones."""
        if self.scheme == "basic":
            return f'Basic realm="{_REALM}"'
        return f'Digest realm="{_REALM}", nonce="{_NONCE}"'


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
