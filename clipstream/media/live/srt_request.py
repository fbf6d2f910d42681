"""What an `srt://` address asks for: the options of FFmpeg's srt protocol, as the flags of libsrt."""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from clipstream.errors import InputError
from clipstream.media.live.address import LiveAddress

__all__ = ["SrtFlag", "SrtRequest", "without_passphrase"]

_MODES = ("caller", "listener")
_TRANSMISSIONS = ("live", "file")
_KEY_BYTES = (0, 16, 24, 32)
_SHORTEST_PASSPHRASE, _LONGEST_PASSPHRASE = 10, 79
_MICROSECONDS_IN_MS = 1000
_DEFAULT = -1
"""What FFmpeg takes for an option that is not given."""

_NAME = re.compile(r"[a-z_]{2,24}")
"""What may be shown of an option that nobody knows: the rest of a passphrase with an & in it may look like one."""


@dataclass(frozen=True, slots=True, repr=False)
class SrtFlag:
    """An option of a socket of libsrt. Its value may be a secret and is not shown.

    Attributes:
        name: As the address has it.
        number: Its `SRT_SOCKOPT`.
        value: As libsrt takes it.
    """

    name: str
    number: int
    value: bytes

    def __repr__(self) -> str:
        return f"SrtFlag({self.name!r})"


@dataclass(frozen=True, slots=True)
class SrtRequest:
    """What to do, and with which flags, in the order in which they have to be set.

    Attributes:
        host: Whom to call; where to listen, `""` for every address of this machine.
        port: The same.
        listens: Whether to wait for a sender that calls.
        flags: The options.
    """

    host: str
    port: int
    listens: bool
    flags: tuple[SrtFlag, ...]

    @property
    def passphrase(self) -> str | None:
        """The passphrase, if there is one."""
        return next((flag.value.decode() for flag in self.flags if flag.name == "passphrase"), None)

    @classmethod
    def of(cls, address: LiveAddress) -> "SrtRequest":
        """Read an address, whose password, if it has one, is the passphrase.

        How long is waited is none of its business: `timeout` and `listen_timeout` are known, and change nothing.

        Raises:
            InputError: An option is unknown or has a value that cannot be right, or there is no port.
        """
        if address.port is None:
            raise InputError(f"{address}: the address names no port; write srt://HOST:PORT.")
        parts = urlsplit(address.reveal(), allow_fragments=False)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.password:
            asked.setdefault("passphrase", unquote(parts.password))
        if "mode" in asked and asked["mode"] not in _MODES:
            raise InputError(f"{address}: option mode cannot be that; it is caller or listener.")
        flags = [_flag(address, name, text) for name, text in asked.items() if name != "mode"]
        # What kind of transmission it is sets other options, too: those that were given come after it.
        chosen = sorted((flag for flag in flags if flag is not None), key=lambda flag: flag.number != _TRANSMISSION)
        return cls(address.host, address.port, address.listens, tuple(chosen))


def without_passphrase(address: LiveAddress) -> str:
    """Return the address for an FFmpeg that is told the passphrase as an option: whole but for that and the user.

    In a URL it passes over the user and his password, and takes `passphrase=` as it stands, `%20` and all (libsrt.c).
    """
    parts = urlsplit(address.reveal(), allow_fragments=False)
    query = "&".join(pair for pair in parts.query.split("&") if pair.partition("=")[0] != "passphrase")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query).geturl()


def _flag(address: LiveAddress, name: str, text: str) -> SrtFlag | None:
    if name not in _OPTIONS:
        shown = name if _NAME.fullmatch(name) and text else "…"
        raise InputError(f"{address}: there is no option {shown}; write & as %26, and see ffmpeg -h protocol=srt.")
    number, kind, what = _OPTIONS[name]
    try:
        value = kind(text)
    except (ValueError, struct.error):
        raise InputError(f"{address}: option {name} cannot be that; it is {what}.") from None
    return SrtFlag(name, number, value) if number is not None and value is not None else None


def _number(text: str, code: str, divisor: int = 1) -> bytes | None:
    number = int(text, 0)
    if number < _DEFAULT:
        raise ValueError(text)
    return None if number == _DEFAULT else struct.pack(code, number // divisor)


def _int(text: str) -> bytes | None:
    return _number(text, "=i")


def _long(text: str) -> bytes | None:
    return _number(text, "=q")


def _microseconds(text: str) -> bytes | None:
    return _number(text, "=i", _MICROSECONDS_IN_MS)


def _linger(text: str) -> bytes | None:
    seconds = int(text)
    return None if seconds == _DEFAULT else struct.pack("=ii", seconds > 0, seconds)


def _switch(text: str) -> bytes:
    return struct.pack("=i", ("0", "1").index(text))


def _text(text: str) -> bytes:
    return text.encode()


def _passphrase(text: str) -> bytes | None:
    value = text.encode()
    if value and not _SHORTEST_PASSPHRASE <= len(value) <= _LONGEST_PASSPHRASE:
        raise ValueError(len(value))
    return value or None


def _key_length(text: str) -> bytes:
    return struct.pack("=i", _KEY_BYTES[_KEY_BYTES.index(int(text))])


def _transmission(text: str) -> bytes:
    return struct.pack("=i", _TRANSMISSIONS.index(text))


_Kind = Callable[[str], bytes | None]
_COUNT, _TIME, _YES_NO = "a whole number", "a whole number of microseconds", "0 or 1"
_TRANSMISSION = 50

_OPTIONS: Mapping[str, tuple[int | None, _Kind, str]] = {
    "connect_timeout": (36, _int, "a whole number of milliseconds"),
    "enforced_encryption": (53, _switch, _YES_NO),
    "ffs": (4, _int, _COUNT),
    "inputbw": (24, _long, _COUNT),
    "iptos": (30, _int, _COUNT),
    "ipttl": (29, _int, _COUNT),
    "kmpreannounce": (52, _int, _COUNT),
    "kmrefreshrate": (51, _int, _COUNT),
    "latency": (23, _microseconds, _TIME),
    "linger": (7, _linger, "a whole number of seconds"),
    "listen_timeout": (None, _long, _TIME),
    "lossmaxttl": (42, _int, _COUNT),
    "maxbw": (16, _long, _COUNT),
    "messageapi": (48, _switch, _YES_NO),
    "minversion": (45, _int, _COUNT),
    "mss": (0, _int, _COUNT),
    "nakreport": (33, _switch, _YES_NO),
    "oheadbw": (25, _int, _COUNT),
    "passphrase": (26, _passphrase, "10 to 79 characters long, & in it written as %26"),
    "payload_size": (49, _int, _COUNT),
    "pbkeylen": (27, _key_length, "0, 16, 24 or 32"),
    "peerlatency": (44, _microseconds, _TIME),
    "pkt_size": (49, _int, _COUNT),
    "rcvbuf": (6, _int, _COUNT),
    "rcvlatency": (43, _microseconds, _TIME),
    "recv_buffer_size": (9, _int, _COUNT),
    "send_buffer_size": (8, _int, _COUNT),
    "smoother": (47, _text, "live or file"),
    "snddropdelay": (32, _microseconds, _TIME),
    "sndbuf": (5, _int, _COUNT),
    "srt_streamid": (46, _text, "up to 512 characters"),
    "streamid": (46, _text, "up to 512 characters"),
    "timeout": (None, _long, _TIME),
    "tlpktdrop": (31, _switch, _YES_NO),
    "transtype": (_TRANSMISSION, _transmission, "live or file"),
    "tsbpd": (22, _switch, _YES_NO),
    "tsbpddelay": (23, _microseconds, _TIME),
}
"""By the names of FFmpeg: the numbers of libsrt (`SRT_SOCKOPT` of srt.h), and what they take."""
