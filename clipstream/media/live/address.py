"""What the address of a live stream says, and how it is shown without its secrets."""

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from clipstream.errors import InputError, InputNotFoundError, UsageError
from clipstream.media.inputs import MEDIA_SUFFIXES, safe_name

__all__ = [
    "AddressCheck",
    "Credentials",
    "LiveAddress",
    "LiveInput",
    "check_public",
    "is_live",
    "scrub",
    "stream_names",
]

_SCHEMES = frozenset({"http", "https", "rtmp", "rtmps", "rtmpt", "rtp", "rtsp", "rtsps", "srt", "udp"})
_PORTS = {"http": 80, "https": 443, "rtmp": 1935, "rtmps": 443, "rtmpt": 80, "rtsp": 554, "rtsps": 322}
_DEVICE = re.compile(r"/dev/video\d+")
_SHOWN = frozenset({"camera", "channel", "profile", "stream", "streamtype", "subtype", "track", "transportmode"})
"""Parameters of cameras that tell streams apart and are no secret. The value of any other may be one."""

_PASSING = re.compile(
    r"auth|date|expir|hash|hdn|jwt|key|md5|nonce|pass|policy|pwd|rand|secret|session|sig|ticket|time|token|x-amz"
    r"|^(e|s[eiprstv]|sk\w+|spr|srt|t|ts|_)$",
    re.IGNORECASE,
)
"""Names of parameters that let someone in, or say until when: they change, and the stream stays what it is."""

_SRT_STREAM = frozenset({"srt_streamid", "streamid"})
"""All else that an address of SRT asks for is how the stream comes, and not which one."""

# Up to the last @ before a blank or a quote: an unescaped password may hold @ and / itself.
_USERINFO = re.compile(r"""(?<=://)[^\s'"<>]*@""")
_PARAMETERS = re.compile(r"""(://[^\s'"<>?]*\?)[^\s'"<>]*""")


def is_live(argument: str) -> bool:
    """Say whether an argument names a stream and no file. What comes over HTTP may still end (see `LiveConnection`)."""
    scheme = re.match(r"([a-z][a-z0-9+.-]*)://", argument, re.IGNORECASE)
    return bool(_DEVICE.fullmatch(argument)) or (scheme is not None and scheme[1].lower() in _SCHEMES)


def scrub(text: str) -> str:
    """Return a text of others, such as a message of FFmpeg, without the user, password and parameters of any URL.

    >>> scrub("Opening 'http://me:secret@camera/live.m3u8?token=1' for reading")
    "Opening 'http://camera/live.m3u8?…' for reading"
    """
    return _PARAMETERS.sub(r"\1…", _USERINFO.sub("", text))


@dataclass(frozen=True, slots=True, repr=False)
class LiveAddress:
    """Where a live stream is found. Shown or printed, it holds no secret; `reveal` alone gives those away.

    Attributes:
        scheme: Protocol in small letters; `"device"` for a camera of this machine.
        host: Name or number of the machine, `""` for a device.
        port: Its port, where the address or the protocol says.
    """

    scheme: str
    host: str
    port: int | None
    _url: str

    @classmethod
    def parse(cls, text: str) -> "LiveAddress":
        """Read an address.

        Raises:
            InputError: It is none, or lacks what it needs.
        """
        if _DEVICE.fullmatch(text):
            return cls("device", "", None, text)
        scheme = text.partition("://")[0].lower()
        if not is_live(text):
            raise InputError(f"{scheme if '://' in text else 'this'}: no address of a live stream; use rtsp://… or so.")
        try:
            parts = _split(text)
            port = parts.port
            if port is not None and "@" in parts.path and "@" not in parts.netloc:
                raise ValueError  # noqa: TRY301 - what looks like host and port is user and password
        except ValueError:
            # What cannot be taken apart cannot be shown safely either.
            raise InputError(
                f"{scheme}://…: this address cannot be read; write @, : and / in a password as %40, %3A and %2F."
            ) from None
        host = parts.hostname or ""
        if not host and scheme not in {"udp", "rtp", "srt"}:
            raise InputError(f"{scheme}://…: the address names no host; write {scheme}://HOST/PATH.")
        if re.search(r"[\s\x00-\x1f]", text):
            raise InputError(f"{scheme}://{host}…: the address holds blanks; write them as %20.")
        address = cls(scheme, host, port or _PORTS.get(scheme), text)
        if scheme == "srt" and not host and not address.listens:
            raise InputError("srt://…: the address names no host; write srt://HOST:PORT, or srt://:PORT?mode=listener.")
        if scheme == "srt" and parts.path not in {"", "/"}:
            raise InputError(
                "srt://…: SRT knows no path; write srt://HOST:PORT?NAME=VALUE, and @, / and # in a password as %40, "
                "%2F and %23."
            )
        return address

    @property
    def listens(self) -> bool:
        """Whether it waits to be called by who sends, as `srt://:9000?mode=listener` does."""
        return self.scheme == "srt" and ("mode", "listener") in parse_qsl(_split(self._url).query)

    def reveal(self) -> str:
        """Return the address with its secrets, for whoever connects to it and no one else."""
        return self._url

    @property
    def hidden(self) -> tuple[str, str]:
        """What is not shown and tells this stream from others at the same place: the user, and parameters.

        A password or token, which may be another one tomorrow, is not in it.
        """
        parts = _split(self._url)
        told = sorted(
            (key, value)
            for key, value in parse_qsl(parts.query, keep_blank_values=True)
            if (key in _SRT_STREAM if self.scheme == "srt" else key.lower() not in _SHOWN and not _PASSING.search(key))
        )
        return parts.username or "", repr(told) if told else ""

    def joined(self, credentials: "Credentials") -> "LiveAddress":
        """Return the address with the user and password of its host, unless it has its own."""
        parts = _split(self._url)
        known = credentials.of(self.host, self.port)
        if self.scheme == "device" or "@" in parts.netloc or known is None:
            return self
        user, password = (quote(part, safe="") for part in known)
        return replace(self, _url=parts._replace(netloc=f"{user}:{password}@{parts.netloc}").geturl())

    @property
    def name(self) -> str:
        """Name of a stream for it: host, port and path, safe for a file system, without secrets."""
        if self.scheme == "device":
            return safe_name(self._url.removeprefix("/dev/"))
        parts = _split(self._url)
        port = "" if self.port in {None, _PORTS.get(self.scheme)} else str(self.port)
        path = _without_suffix(parts.path.rpartition("@")[2])
        told = [f"{key}-{value}" for key, value in parse_qsl(parts.query) if self._shows(key)]
        return safe_name("-".join(word for word in (self.host, port, path.strip("/"), *told) if word))

    def __str__(self) -> str:
        if self.scheme == "device":
            return self._url
        parts = _split(self._url)
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = host if self.port in {None, _PORTS.get(self.scheme)} else f"{host}:{self.port}"
        # An @ in the path is as likely the end of a password that holds a slash.
        path = f"/…{parts.path.rpartition('@')[2]}" if "@" in parts.path else parts.path
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        shown = "&".join(f"{key}={value}" if self._shows(key) else "…" for key, value in pairs)
        return f"{self.scheme}://{place}{path}" + (f"?{shown}" if shown else "")

    def __repr__(self) -> str:
        return f"LiveAddress({str(self)!r})"

    def _shows(self, parameter: str) -> bool:
        return self.scheme != "srt" and parameter.lower() in _SHOWN


AddressCheck = Callable[[LiveAddress], None]
"""Raises InputError for an address that must not be asked, InputNotFoundError where it cannot tell."""


@dataclass(frozen=True, slots=True)
class LiveInput:
    """A live stream to work on.

    Attributes:
        stream: Its name: the key in the dataflow and the name of its output folder.
        address: Where it is.
        check: Asked about every address before it is, wherever a server or a playlist leads; raises InputError.
    """

    stream: str
    address: LiveAddress
    check: AddressCheck | None = field(default=None, compare=False)


def stream_names(addresses: Iterable[LiveAddress], taken: Collection[str] = ()) -> dict[LiveAddress, str]:
    """Name streams so that each has a name of its own, whatever the order in which they are given.

    Args:
        addresses: The streams; one that is given twice counts once.
        taken: Names that others have.
    """
    names: dict[LiveAddress, str] = {}
    used = {name.casefold() for name in taken}
    for address in sorted(set(addresses), key=LiveAddress.reveal):
        name, number = address.name, 2
        while name.casefold() in used:
            name, number = f"{address.name}-{number}", number + 1
        used.add(name.casefold())
        names[address] = name
    return names


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Users and passwords by host, or by `host:port`, kept out of addresses. Shown, it holds no secret."""

    _known: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Credentials":
        """Read lines of `HOST USER:PASSWORD`, `HOST` with or without a port; `#` begins a comment line.

        Raises:
            UsageError: A line says something else.
        """
        known: dict[str, tuple[str, str]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            host, _, secret = line.strip().partition(" ")
            user, colon, password = secret.strip().partition(":")
            if not user or not colon:
                raise UsageError(f"credentials, line {number}: not understood; write HOST USER:PASSWORD.")
            known[host.lower()] = (user, password)
        return cls(known)

    @classmethod
    def read(cls, path: Path) -> "Credentials":
        """Read such lines from a file.

        Raises:
            UsageError: The file cannot be read, or a line says something else.
        """
        try:
            return cls.parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            problem = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
            raise UsageError(f"{path}: the credentials cannot be read ({problem}).") from None

    @classmethod
    def of_option(cls, text: str) -> "Credentials":
        """Read such lines from a file, or with `env:NAME` from an environment variable.

        Raises:
            UsageError: There is no such file or variable, or a line says something else.
        """
        if not text.startswith("env:"):
            return cls.read(Path(text))
        name = text.removeprefix("env:")
        if name not in os.environ:
            raise UsageError(f"credentials: there is no variable {name}; set it, or name a file.")
        return cls.parse(os.environ[name])

    def of(self, host: str, port: int | None) -> tuple[str, str] | None:
        """Return user and password for a host, those for its very port first."""
        return self._known.get(f"{host}:{port}") or self._known.get(host)

    def __repr__(self) -> str:
        return f"Credentials({len(self._known)} hosts)"


def check_public(address: LiveAddress) -> None:
    """Refuse what leads into this machine or its own network, for jobs whose addresses strangers may choose.

    Every number that the name stands for has to be public. FFmpeg looks the name up again, so this is no wall against
    a name server that answers differently the second time.

    Raises:
        InputError: The address is a device, or private, loopback, link-local or otherwise not public.
        InputNotFoundError: Its name is not known.
    """
    advice = "allow private addresses if this is meant."
    if address.scheme == "device" or not address.host:
        raise InputError(f"{address}: a device of this machine is no address for a job; {advice}")
    try:
        found = socket.getaddrinfo(address.host, address.port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputNotFoundError(f"{address}: the name of the host is not known; check it.") from None
    for *_, place in found:
        number = ipaddress.ip_address(str(place[0]).partition("%")[0])
        mapped = getattr(number, "ipv4_mapped", None) or getattr(number, "sixtofour", None)
        if any(not one.is_global or one.is_multicast for one in (number, mapped) if one is not None):
            raise InputError(f"{address}: the host is in a private network ({number}); {advice}")


def _without_suffix(path: str) -> str:
    stem, dot, suffix = path.rpartition(".")
    return stem if f"{dot}{suffix.lower()}" in MEDIA_SUFFIXES | {".m3u8", ".mpd", ".sdp"} else path


def _split(url: str) -> SplitResult:
    # A streamid of SRT begins with #!:: and is written so.
    return urlsplit(url, allow_fragments=not url.lower().startswith("srt:"))
