"""SRT for an FFmpeg that lacks it: a connection over libsrt, read as a file of MPEG-TS."""

import errno
import socket
from collections.abc import Mapping
from time import monotonic

from clipstream.errors import InputError
from clipstream.media.live.address import LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.srt_library import LOOKS_EVERY_S, Place, SrtError, SrtSocket, load_library
from clipstream.media.live.srt_request import SrtRequest
from clipstream.media.live.troubles import UNREACHABLE, ConnectionProblem, Trouble

__all__ = ["SrtReading", "check_srt"]

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

    Attributes:
        until_s: Until when reading waits, on the monotonic clock; to be put off as it goes on.
        trouble: Why there is no more, once there is not.

    Raises:
        ConnectionProblem: It cannot be made, or nobody calls in time.
        InputError: What the address asks for cannot be right.
    """

    def __init__(self, address: LiveAddress, options: ConnectionOptions) -> None:
        request = SrtRequest.of(address)
        opened = _opened(request, monotonic() + options.open_s)
        if isinstance(opened, Trouble):
            raise ConnectionProblem(address, opened)
        self._socket = opened
        self.trouble: Trouble | None = None
        self._held = b""
        self._flowing = False
        self._heard_s = monotonic()
        self.until_s = self._heard_s + options.open_s

    def read(self, size: int, /) -> bytes:
        """Return what has come, `size` bytes at most; waits for the first of it."""
        try:
            while not self._held and self.trouble is None:
                self._take()
        except SrtError:
            if not self._held:
                self.trouble = Trouble.LOST if monotonic() - self._heard_s > _LOST_AFTER_S else Trouble.ENDED
        given, self._held = self._held[:size], self._held[size:]
        return given

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _take(self) -> None:
        if not self._socket.ready(LOOKS_EVERY_S):
            if monotonic() > self.until_s:
                self.trouble = Trouble.STALLED if self._flowing else Trouble.SILENT
            return
        while len(self._held) < _MOST_BYTES and (message := self._socket.receive()):
            self._held += message
            self._flowing, self._heard_s = True, monotonic()


def check_srt(address: LiveAddress) -> None:
    """Refuse what no waiting makes readable: options that cannot be right, and a machine without libsrt.

    Raises:
        ConnectionProblem: There is no libsrt.
        InputError: An option is unknown, or has a value that cannot be right.
    """
    request = SrtRequest.of(address)
    try:
        load_library()
    except OSError:
        raise ConnectionProblem(address, Trouble.NO_LIBRARY) from None
    try:
        SrtSocket(request.flags).close()
    except SrtError as error:
        raise InputError(f"{address}: libsrt does not take this value of option {error.flag}; give another.") from None


def _opened(request: SrtRequest, until_s: float) -> SrtSocket | Trouble:
    try:
        host = request.host or "0.0.0.0"  # noqa: S104 - who asks to listen without a host means everywhere
        found = socket.getaddrinfo(host, request.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return Trouble.UNKNOWN_HOST
    places = [(family, place) for family, _, _, _, place in found]
    try:
        if request.listens:
            return _called(request, *places[0], until_s)
        for family, place in places[:-1]:
            called = _calling(request, family, place, min(monotonic() + _CALLED_S, until_s))
            if isinstance(called, SrtSocket):
                return called
        return _calling(request, *places[-1], until_s)
    except FileNotFoundError:
        return Trouble.NO_LIBRARY


def _calling(request: SrtRequest, family: int, place: Place, until_s: float) -> SrtSocket | Trouble:
    """Call a sender."""
    connected = False
    calling = SrtSocket(request.flags)
    try:
        connected = calling.connect(family, place, until_s)
        if connected:
            return calling
        return _REFUSALS.get(calling.refusal, Trouble.REFUSED)
    except SrtError as error:
        return _trouble(error)
    finally:
        if not connected:
            calling.close()


def _called(request: SrtRequest, family: int, place: Place, until_s: float) -> SrtSocket | Trouble:
    """Wait for a sender to call, and let no other in."""
    listening = SrtSocket(request.flags)
    try:
        listening.listen(family, place)
        while not listening.ready(LOOKS_EVERY_S):
            if monotonic() > until_s:
                return Trouble.UNCALLED
        return listening.accept()
    except SrtError as error:
        return _trouble(error)
    finally:
        listening.close()


def _trouble(error: SrtError) -> Trouble:
    return Trouble.BUSY if error.code in _IN_USE else _ERRORS.get(error.errno or 0, Trouble.REFUSED)
