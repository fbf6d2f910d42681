"""What may keep a live stream from being read."""

import errno
from enum import Enum

from clipstream.errors import InputError
from clipstream.media.live.address import LiveAddress

__all__ = ["UNREACHABLE", "ConnectionProblem", "Trouble"]

UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL})
"""Numbers of errors of a host that no packet gets to."""


class Trouble(Enum):
    """What keeps a stream from being read; the value says it in words, and what to do."""

    REFUSED = "the connection is refused; check the port, and that the stream is on"
    NOT_FOUND = "there is no such stream at this host; check the path"
    UNAUTHORISED = "user or password is missing or wrong; give the right ones"
    FORBIDDEN = "access is forbidden; check the rights of the user"
    ENCRYPTION = "the passphrase is wrong, or only one side has one; give that of the other side"
    UNKNOWN_HOST = "the name of the host is not known; check it, and the network"
    UNREACHABLE = "the host cannot be reached; check the address and the network"
    CERTIFICATE = "the certificate is not to be trusted; renew it, or name the file of who issued it in SSL_CERT_FILE"
    SILENT = "there is no answer in time; check that the host is on and sends"
    UNCALLED = "nobody has called yet; let the sender call this port, with the same passphrase if there is one"
    SERVER = "the server answers with an error; look at its own log"
    NOT_MEDIA = "what comes is no media that can be read; check the address"
    UNDECODABLE = "nothing in it can be decoded; let it send H.264, HEVC or AAC"
    UNSUPPORTED = "this kind of stream is not supported by the FFmpeg in use; let it be sent in another way"
    NO_PROTOCOL = "the FFmpeg within PyAV was built without this protocol; let it be sent by RTSP, RTMP, HLS or UDP"
    NO_LIBRARY = (
        "SRT needs the library libsrt; install it with apt install ffmpeg, dnf install srt-libs or brew install srt"
    )
    NO_DEVICE = "there is no such device; plug the camera in, or check the name"
    BARRED = (
        "it leads to where a job may not go, or is encrypted, DASH or the like, where that cannot be checked; "
        "allow private addresses if this is meant"
    )
    BUSY = "another program is using it; end that one"
    STALLED = "nothing comes any more, though the connection stays"
    ENDED = "the other side ended the stream"
    LOST = "the connection was lost"
    CLOSED = "this program has closed it"
    CHANGED = "the codec or the size of the pictures changed"


class ConnectionProblem(InputError):  # noqa: N818 - half of these are everyday events, and no errors
    """A connection that cannot be made, or is over.

    Attributes:
        trouble: What it is.
    """

    def __init__(self, address: LiveAddress, trouble: Trouble) -> None:
        self.trouble = trouble
        super().__init__(f"{address}: {trouble.value}.")
