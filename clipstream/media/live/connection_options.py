"""How to connect to a live stream."""

from dataclasses import dataclass
from pathlib import Path

from clipstream.media.live.address import AddressCheck

__all__ = ["ConnectionOptions"]


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How to connect.

    Attributes:
        udp: Ask RTSP servers to send over UDP; over TCP, nothing is lost on the way.
        open_s: How long connecting and finding out what the stream holds may take, each.
        stall_s: After how long without a packet, at most, a connection is given up; HLS has four times as long.
        check_certificate: Whether the certificate of a TLS server has to be right.
        certificates: File of the authorities that are trusted, instead of the system's.
        check: Asked about every address before it is, wherever a server or a playlist leads; `None` to go anywhere.
    """

    udp: bool = False
    open_s: float = 5.0
    stall_s: float = 5.0
    check_certificate: bool = True
    certificates: Path | None = None
    check: AddressCheck | None = None
