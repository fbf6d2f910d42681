"""The library of SRT, libsrt, called through its C API: that of the PyAV wheels has none, any FFmpeg of a system has.

Reference: https://github.com/Haivision/srt/blob/master/docs/API/API-functions.md, for versions 1.4 and 1.5.
"""

import atexit
import ctypes
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from ctypes.util import find_library
from functools import cache
from threading import Event, Lock
from time import monotonic
from typing import Any

from clipstream.media.live.srt_request import SrtFlag

__all__ = ["LOOKS_EVERY_S", "Place", "SrtClosedError", "SrtError", "SrtSocket", "load_library"]

_NAMES = ("srt", "srt-gnutls", "srt-openssl")
_HOMEBREW = ("/opt/homebrew/lib/libsrt.dylib", "/usr/local/lib/libsrt.dylib")
_FUNCTIONS = (
    *("startup", "cleanup", "setloglevel", "create_socket", "close", "bind", "listen", "accept", "connect", "recvmsg"),
    *("setsockflag", "getsockstate", "getlasterror", "getrejectreason"),
    *("epoll_create", "epoll_update_usock", "epoll_uwait", "epoll_release"),
)
_SILENT = 0

LOOKS_EVERY_S = 0.1
"""So long, at most, does a call of libsrt take, so that whoever closes a socket does not wait."""

_RCVSYN, _SNDSYN, _IPV6ONLY = 2, 1, 54
_NO = struct.pack("=i", 0)
_INCOMING, _CONNECTION = ctypes.c_int(0x1 | 0x8), ctypes.c_int(0x4 | 0x8)
"""What is waited for: SRT_EPOLL_IN or SRT_EPOLL_OUT, and SRT_EPOLL_ERR."""
_CONNECTED = 5
_TIMED_OUT, _NOTHING_YET, _LOST = 6003, 6002, 2001
_MESSAGE_BYTES = 1456
"""No message in live mode is longer."""
_CLOSED = 5004
"""SRT_EINVSOCK: what libsrt says of a socket that is closed."""

Place = tuple[Any, ...]
"""An address as the `socket` module has it: host and port of IPv4, and two numbers more of IPv6."""


class SrtError(OSError):
    """A call of libsrt that failed.

    Attributes:
        code: Its `SRT_ERRNO`; `errno` is the number of the system, or 0.
        flag: Name of the flag that was not taken, where it was one.
    """

    def __init__(self, code: int, number: int = 0, flag: str | None = None) -> None:
        super().__init__(number, f"libsrt: {code}")
        self.code, self.flag = code, flag


class SrtClosedError(SrtError):
    """The socket was closed here: by its own `close`, or because the program ends."""

    def __init__(self) -> None:
        super().__init__(_CLOSED)


class _Event(ctypes.Structure):
    _fields_ = (("socket", ctypes.c_int), ("events", ctypes.c_int))


_open: set["SrtSocket"] = set()
_counting = Lock()
_over = Event()


@cache
def load_library() -> Any:
    """Return libsrt, started.

    Raises:
        OSError: There is none on this machine, or one that is too old.
    """
    found = [path for path in map(find_library, _NAMES) if path] or (_HOMEBREW if sys.platform == "darwin" else ())
    for path in found:
        with suppress(OSError, AttributeError):
            native = ctypes.CDLL(path)
            for name in _FUNCTIONS:
                getattr(native, f"srt_{name}")
            native.srt_epoll_uwait.argtypes = (ctypes.c_int, ctypes.POINTER(_Event), ctypes.c_int, ctypes.c_int64)
            native.srt_setloglevel(_SILENT)  # stderr is no place for what a stream does
            native.srt_startup()
            atexit.register(_shut_down, native)
            return native
    raise FileNotFoundError("no libsrt")


class SrtSocket:
    """A socket of libsrt. Nothing it does takes longer than what it is told to wait, and any thread may close it.

    Args:
        flags: Its options.

    Raises:
        SrtError: It cannot be made so.
    """

    def __init__(self, flags: Iterable[SrtFlag] = (), *, _accepted: int | None = None) -> None:
        self._native = load_library()
        self._buffer = ctypes.create_string_buffer(_MESSAGE_BYTES)
        self._event = _Event()
        self._closed = False
        # Held during every call, so that closing frees nothing under one.
        self._use = Lock()
        with _counting:
            self._check_open()
            self._socket = self._checked(self._native.srt_create_socket() if _accepted is None else _accepted)
            self._epoll = self._native.srt_epoll_create()
            _open.add(self)
        try:
            self._checked(self._epoll)
            if _accepted is None:
                self._set(_RCVSYN, _NO)
                self._set(_SNDSYN, _NO)
            for flag in flags:
                self._set(flag.number, flag.value, flag.name)
            self._wait_for(_INCOMING)
        except SrtError:
            self.close()
            raise

    @property
    def refusal(self) -> int:
        """Why a call failed: an `SRT_REJECT_REASON`, or a code of the other side from 1000."""
        return int(self._call("getrejectreason"))

    def connect(self, family: int, place: Place, until_s: float, stop: Event = _over) -> bool:
        """Call somebody, and return whether that made a connection; `refusal` tells why not, 0 if it took too long.

        Args:
            family: Of the address, `AF_INET` or `AF_INET6`.
            place: The address.
            until_s: Until when to wait, on the monotonic clock.
            stop: Ends the wait once it is set.

        Raises:
            SrtError: There is no way to there.
        """
        self._wait_for(_CONNECTION)
        self._call("connect", *_native_place(family, place))
        while not self.ready(LOOKS_EVERY_S):
            if monotonic() > until_s or stop.is_set():
                return False
        self._wait_for(_INCOMING)
        return bool(self._call("getsockstate") == _CONNECTED)

    def listen(self, family: int, place: Place) -> None:
        """Take calls at an address; `ready` tells when there is one.

        Raises:
            SrtError: It is in use, is none of this machine's, or must not be taken.
        """
        if family == socket.AF_INET6:
            self._set(_IPV6ONLY, _NO)
        self._call("bind", *_native_place(family, place))
        self._call("listen", 1)

    def accept(self) -> "SrtSocket":
        """Return the socket of a call that came."""
        return SrtSocket(_accepted=self._call("accept", None, None))

    def ready(self, wait_s: float) -> bool:
        """Wait until there is something to do or to find out, and return whether there is.

        Raises:
            SrtError: It is closed, or libsrt has removed it.
        """
        try:
            with self._use:
                self._check_open()
                found = self._native.srt_epoll_uwait(self._epoll, self._event, 1, round(wait_s * 1000))
                return bool(self._checked(found) > 0)
        except SrtError as error:
            if error.code != _TIMED_OUT:
                raise
            return False

    def receive(self) -> bytes:
        """Return the next message, `b""` if there is none yet.

        Raises:
            SrtError: There will be none any more.
        """
        try:
            length = self._call("recvmsg", self._buffer, _MESSAGE_BYTES)
        except SrtError as error:
            if error.code != _NOTHING_YET:
                raise
            return b""
        if length == 0:
            raise SrtError(_LOST)  # as a file of `transtype=file` ends
        return ctypes.string_at(self._buffer, length)

    def close(self) -> None:
        """Close it, for good. Waits for a call of another thread to be over."""
        self._closed = True
        with self._use, _counting:
            if self in _open:
                _open.discard(self)
                self._native.srt_close(self._socket)
                self._native.srt_epoll_release(self._epoll)

    def _call(self, name: str, *arguments: Any) -> Any:
        with self._use:
            self._check_open()
            return self._checked(getattr(self._native, f"srt_{name}")(self._socket, *arguments))

    def _checked(self, result: int) -> int:
        if result >= 0:
            return result
        number = ctypes.c_int(0)
        raise SrtError(self._native.srt_getlasterror(ctypes.byref(number)), number.value)

    def _check_open(self) -> None:
        if self._closed or _over.is_set():
            raise SrtClosedError

    def _wait_for(self, events: ctypes.c_int) -> None:
        with self._use:
            self._check_open()
            self._checked(self._native.srt_epoll_update_usock(self._epoll, self._socket, ctypes.byref(events)))

    def _set(self, number: int, value: bytes, name: str | None = None) -> None:
        try:
            self._call("setsockflag", number, value, len(value))
        except SrtError as error:
            error.flag = name
            raise


def _native_place(family: int, place: Place) -> tuple[bytes, int]:
    """Return a `sockaddr_in` or `sockaddr_in6`, and its length."""
    host, port, *rest = place
    packed = struct.pack("!H", port)
    if family == socket.AF_INET6:
        flow, scope = rest or (0, 0)
        host = str(host).partition("%")[0]
        packed += struct.pack("!I", flow) + socket.inet_pton(family, host) + struct.pack("=I", scope)
    else:
        packed += socket.inet_pton(family, host) + bytes(8)
    # The systems that come from BSD put the length before the family.
    head = struct.pack("=BB", len(packed) + 2, family) if sys.platform == "darwin" else struct.pack("=H", family)
    return head + packed, len(head + packed)


def _shut_down(native: Any) -> None:
    """Close what threads that nobody waits for have open: they must not be in libsrt when it ends with the process."""
    _over.set()
    for one in tuple(_open):
        one.close()
    native.srt_cleanup()
