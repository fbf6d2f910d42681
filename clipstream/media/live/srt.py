"""SRT for an FFmpeg that lacks it: a connection over libsrt, read as a file of MPEG-TS."""

import errno
import socket
from collections.abc import Mapping
from threading import Event
from time import monotonic

from clipstream.errors import InputError
from clipstream.media.live.address import LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.srt_library import (
    LOOKS_EVERY_S,
    Place,
    SrtClosedError,
    SrtError,
    SrtSocket,
    load_library,
)
from clipstream.media.live.srt_request import SrtRequest
from clipstream.media.live.troubles import UNREACHABLE, ConnectionProblem, Trouble

__all__ = ["SrtReading", "check_srt", "has_library"]

_CALLED_S = 1.0
"""Of a name with several addresses, each but the last is called for so long: several ways there and back."""

_MOST_BYTES = 24 * 1316
"""So much is taken at once, at most, of what has come: PyAV asks for 32 KB."""

_LOST_AFTER_S = 4.5
"""Whoever is not heard for five seconds is lost to libsrt (SRTO_PEERIDLETIMEO); one who goes says so."""

_REFUSALS: Mapping[int, Trouble] = {
    0: Trouble.SILENT,
    10: Trouble.ENCRYPTION,
    11: Trouble.ENCRYPTION,
    16: Trouble.SILENT,
    17: Trouble.ENCRYPTION,
    1401: Trouble.UNAUTHORISED,
    1403: Trouble.FORBIDDEN,
    1404: Trouble.NOT_FOUND,
}
"""By `SRT_REJECT_REASON` (srt.h), and `SRT_REJX_…` (access_control.h) of who looks at the streamid."""

_ERRORS: Mapping[int, Trouble] = {
    errno.EADDRINUSE: Trouble.BUSY,
    errno.EACCES: Trouble.FORBIDDEN,
    errno.EPERM: Trouble.FORBIDDEN,
} | dict.fromkeys(UNREACHABLE, Trouble.UNREACHABLE)
_IN_USE = frozenset({5011, 5015})
"""SRT_EDUPLISTEN and SRT_EBINDCONFLICT: by another socket of this program."""


class SrtReading:
    """A connection that is read like a file, for PyAV. Nothing is raised into it: what does not come is its end.

    Args:
        address: Whom to call, or where to wait for a call.
        options: How long that may take.
        stop: Ends every wait once it is set.

    Attributes:
        until_s: Until when there is something to read, on the monotonic clock, whatever comes; to be put off as it
            goes on.
        trouble: Why there is no more, once there is not; `SILENT` if the time was over.
        interruption: What came up in between that is not about the stream, such as KeyboardInterrupt.

    Raises:
        ConnectionProblem: It cannot be made, or nobody calls in time.
        InputError: What the address asks for cannot be right.
    """

    def __init__(self, address: LiveAddress, options: ConnectionOptions, stop: Event | None = None) -> None:
        self._stop = stop or Event()
        opened = _opened(address, monotonic() + options.open_s, self._stop)
        if isinstance(opened, Trouble):
            raise ConnectionProblem(address, opened)
        self._socket = opened
        self.trouble: Trouble | None = None
        self.interruption: BaseException | None = None
        self._held = b""
        self._heard_s = monotonic()
        self.until_s = self._heard_s + options.open_s

    def read(self, size: int, /) -> bytes:
        """Return what has come, `size` bytes at most; waits for the first of it."""
        try:
            while not self._held and self.trouble is None:
                # Asked whether something comes or not: a sender without pictures may go on with stuffing for ever.
                if monotonic() > self.until_s or self._stop.is_set():
                    self.trouble = Trouble.SILENT
                else:
                    self._take()
        except SrtClosedError:
            self.trouble = Trouble.CLOSED
        except SrtError:
            if not self._held:
                self.trouble = Trouble.LOST if monotonic() - self._heard_s > _LOST_AFTER_S else Trouble.ENDED
        except BaseException as error:  # noqa: BLE001 - PyAV would lose an interruption
            self.interruption, self.trouble, self._held = error, Trouble.CLOSED, b""
        given, self._held = self._held[:size], self._held[size:]
        return given

    def verdict(self, trouble: Trouble | None) -> Trouble | None:
        """Return what was wrong where FFmpeg, which does not see it, speaks of `trouble`, and `None` where of none.

        Raises:
            BaseException: The interruption, if there was one.
        """
        if self.interruption is not None:
            raise self.interruption
        return self.trouble if trouble is not None else None

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _take(self) -> None:
        if not self._socket.ready(LOOKS_EVERY_S):
            return
        while len(self._held) < _MOST_BYTES and (message := self._socket.receive()):
            self._held += message
            self._heard_s = monotonic()


def check_srt(address: LiveAddress) -> None:
    """Refuse what no waiting makes readable: options that cannot be right, and a machine without libsrt.

    Raises:
        ConnectionProblem: There is no libsrt.
        InputError: An option is unknown, or has a value that cannot be right.
    """
    request = SrtRequest.of(address)
    if not has_library():
        raise ConnectionProblem(address, Trouble.NO_LIBRARY)
    _made(address, request).close()


def has_library() -> bool:
    """Say whether this machine has libsrt."""
    try:
        load_library()
    except OSError:
        return False
    return True


def _made(address: LiveAddress, request: SrtRequest) -> SrtSocket:
    try:
        return SrtSocket(request.flags)
    except SrtError as error:
        if error.flag is None or isinstance(error, SrtClosedError):
            raise
        raise InputError(f"{address}: libsrt does not take this value of option {error.flag}; give another.") from None


def _opened(address: LiveAddress, until_s: float, stop: Event) -> SrtSocket | Trouble:
    request = SrtRequest.of(address)
    try:
        host = request.host or "0.0.0.0"  # noqa: S104 - who asks to listen without a host means everywhere
        found = socket.getaddrinfo(host, request.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return Trouble.UNKNOWN_HOST
    places = [(family, place) for family, _, _, _, place in found]
    try:
        if request.listens:
            return _called(_made(address, request), *places[0], until_s, stop)
        for family, place in places[:-1]:
            soon_s = min(monotonic() + _CALLED_S, until_s)
            called = _calling(_made(address, request), family, place, soon_s, stop)
            if isinstance(called, SrtSocket):
                return called
        return _calling(_made(address, request), *places[-1], until_s, stop)
    except FileNotFoundError:
        return Trouble.NO_LIBRARY
    except SrtError as error:
        return _trouble(error)


def _calling(calling: SrtSocket, family: int, place: Place, until_s: float, stop: Event) -> SrtSocket | Trouble:
    """Call a sender."""
    connected = False
    try:
        connected = calling.connect(family, place, until_s, stop)
        if connected:
            return calling
        return _REFUSALS.get(calling.refusal, Trouble.REFUSED)
    except SrtError as error:
        return _trouble(error)
    finally:
        if not connected:
            calling.close()


def _called(listening: SrtSocket, family: int, place: Place, until_s: float, stop: Event) -> SrtSocket | Trouble:
    """Wait for a sender to call, and let no other in."""
    try:
        listening.listen(family, place)
        while not listening.ready(LOOKS_EVERY_S):
            if monotonic() > until_s or stop.is_set():
                return Trouble.UNCALLED
        return listening.accept()
    finally:
        listening.close()


def _trouble(error: SrtError) -> Trouble:
    if isinstance(error, SrtClosedError):
        return Trouble.CLOSED
    return Trouble.BUSY if error.code in _IN_USE else _ERRORS.get(error.errno or 0, Trouble.REFUSED)
