"""One connection to a live stream: opened, read packet by packet, and what goes wrong with it told apart."""

import errno
import socket
import ssl
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast

import av
import av.container
import av.error
import av.packet
from av.container import Flags
from av.stream import Discard

from clipstream.media.live.address import LiveAddress
from clipstream.media.live.clock import FILE, IN_PIECES, REAL_TIME, Delivery
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.srt import SrtReading, check_srt, has_library
from clipstream.media.live.srt_request import SrtRequest, without_passphrase
from clipstream.media.live.troubles import UNREACHABLE, ConnectionProblem, Trouble
from clipstream.media.packets import demux
from clipstream.media.probe import ANY_TAGS, PLAIN_FORMATS, average_rate, choose_audio, choose_video, usable
from clipstream.media.web.checked_reading import CheckedReading, check_connection
from clipstream.media.web.request import tls_context
from clipstream.media.web.variants import leave_best_variant

__all__ = ["LiveConnection", "check_protocol"]

_MICRO = 1_000_000
_ANALYSED_S = 1.5
"""A camera that announces a track and sends nothing on it holds up opening for so long."""

_ANALYSED_BEFORE = {"fpsprobesize": "0", "max_ts_probe": "1"}
"""Neither the rate of the pictures nor the order of decoding is looked for: 0.8 s less at 15 Hz."""

_PIECES_STALL = 4
"""A segment of HLS may last several seconds, in which nothing comes: its stalls take as many times as long to see."""

_LOOKS_EVERY_S = 0.12
"""FFmpeg looks every tenth of a second whether it waited for too long: told so much less, it is never late."""

_NEARLY = 0.98
"""Who waited for this share of the time to a stall has seen one: clocks differ a little."""

_NO_TIMES = 0x0080
"""AVFMT_NOTIMESTAMPS: pictures with nothing around them, as in MJPEG over HTTP. FFmpeg counts 25 a second, however many
there are."""
_STAMP_BASE = Fraction(1, 90_000)

_GENERATE_PTS = cast("int", Flags.gen_pts.value)

_NOT_EVERYWHERE = frozenset({"srt"})

_REORDERED_PICTURES = 4
"""Among so many pictures, in the order of decoding, is the one that is shown first."""
_HELD_PACKETS = 100
_USUAL_RATE_HZ = Fraction(25)

_BUSY = frozenset({errno.EBUSY, errno.EADDRINUSE})
_VAGUE = frozenset({errno.EIO, errno.EINVAL})


class LiveConnection:
    """An open connection. Iterate over it for the packets of all tracks; it ends by a `ConnectionProblem` alone.

    Opening and iterating block; use it from one thread. It cannot be interrupted from outside but by `stop`, which SRT
    heeds, and gives up by itself when nothing comes.

    Args:
        address: Where the stream is.
        options: How to connect.
        steady_hz: What an earlier connection said of itself: it is open with the first picture then, and does not wait
            for the dozen that tell their rate.
        stop: Once set, nothing is to be waited for any more.

    Attributes:
        container: The tracks.
        video: The track of pictures in use, if one can be decoded.
        audio: The track of sound in use, if one can be decoded.
        rate_hz: Pictures a second, if known.
        steady_hz: The same, if pictures are shown in the order in which they come.
        delivery: How its packets arrive; `FILE` for one that has an end, where nothing is to be reconnected.
        stall_s: After how long without a packet it is a stall, which is seen within what was asked for.

    Raises:
        ConnectionProblem: It cannot be opened, or nothing in it can be decoded.
    """

    def __init__(
        self,
        address: LiveAddress,
        options: ConnectionOptions | None = None,
        steady_hz: Fraction | None = None,
        stop: Event | None = None,
    ) -> None:
        options = options or ConnectionOptions()
        self._address = address
        pieces = address.scheme in {"http", "https"}
        self.stall_s = options.stall_s * (_PIECES_STALL if pieces else 1) - _LOOKS_EVERY_S
        self._checked = _checked(address, options)
        self._srt = None if _by_ffmpeg(address) else SrtReading(address, options, stop)
        self._reading = self._checked or self._srt
        trouble: Trouble | None = None
        try:
            self.container: av.container.InputContainer = av.open(
                self._srt or (self._checked.url if self._checked is not None else _url(address)),
                mode="r",
                format="mpegts" if self._srt is not None else _format(address, self._checked),
                options=_ffmpeg_options(address, options) | (_ANALYSED_BEFORE if steady_hz else {}),
                timeout=(options.open_s, self.stall_s),
                io_open=self._checked.open if self._checked is not None else None,
                **ANY_TAGS,
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            trouble = _trouble(error, opening=True) or _diagnose(address, options)
            if address.scheme == "device" and trouble is Trouble.NOT_FOUND:
                trouble = Trouble.NO_DEVICE
        if self._srt is not None and (trouble is not None or self._srt.interruption is not None):
            self._srt.close()
        if self._reading is not None:
            trouble = self._reading.verdict(trouble) or trouble
        if trouble is not None:
            # Raised out here, since the text of the error it would carry along holds the whole URL.
            raise ConnectionProblem(address, trouble)
        # It holds packets back until a later one tells their PTS, through a stall and beyond.
        self.container.flags &= ~_GENERATE_PTS
        if self.container.format.name == "hls":
            leave_best_variant(self.container)
        video, audio = choose_video(self.container), choose_audio(self.container)
        self.video = video if usable(video) else None
        self.audio = audio if usable(audio) else None
        if self.video is None and self.audio is None:
            self.close()
            raise ConnectionProblem(address, (self._srt and self._srt.trouble) or Trouble.UNDECODABLE)
        ends = pieces and self.container.duration is not None
        self.rate_hz = self.steady_hz = None
        if video is not None and self.video is not None:
            self.rate_hz = steady_hz or average_rate(video)
            self.steady_hz = None if video.codec_context.has_b_frames else self.rate_hz
        self._stamps = bool(self.container.format.flags & _NO_TIMES) and self.steady_hz is not None and not self.audio
        if self._stamps and self.video is not None:
            self.video.time_base = _STAMP_BASE
        self.delivery: Delivery = FILE if ends else IN_PIECES if self.container.format.name == "hls" else REAL_TIME

    def __iter__(self) -> "Iterator[av.packet.Packet[Any]]":
        return _led_up_to(self._packets(), self.rate_hz, 1 if self.steady_hz else _REORDERED_PICTURES)

    def _packets(self) -> "Iterator[av.packet.Packet[Any]]":
        trouble, asked_s = Trouble.ENDED, self._ask()
        try:
            for packet in demux(self.container):
                waited_s = monotonic() - asked_s
                if self._checked is not None and self._checked.trouble is Trouble.BARRED:
                    break
                if self._stamps and packet.size:
                    packet.pts = packet.dts = round(monotonic() / _STAMP_BASE)
                if packet.size and packet.stream.discard != Discard.all:
                    yield packet
                if waited_s > _NEARLY * self.stall_s:
                    # FFmpeg swallows a timeout while it still has something to give out, and would wait once more.
                    trouble = Trouble.STALLED
                    break
                asked_s = self._ask()
        except (av.error.FFmpegError, OSError) as error:
            # Some protocols call running out of time an input/output error.
            stalled = monotonic() - asked_s > _NEARLY * self.stall_s
            trouble = Trouble.STALLED if stalled else _trouble(error, opening=False) or Trouble.LOST
        else:
            if trouble is Trouble.ENDED:
                trouble = self._end()
        if self._reading is not None and self._reading.verdict(None) is not None:
            trouble = Trouble.BARRED
        raise ConnectionProblem(self._address, trouble)

    def _end(self) -> Trouble:
        """Return what it means that FFmpeg has come to an end."""
        if self._reading is not None and monotonic() > self._reading.until_s:
            return Trouble.STALLED
        trouble = (self._srt and self._srt.trouble) or Trouble.ENDED
        return Trouble.STALLED if trouble is Trouble.SILENT else trouble

    def _ask(self) -> float:
        """Return the time at which a packet is asked for."""
        now_s = monotonic()
        if self._reading is not None:
            self._reading.until_s = now_s + self.stall_s
        return now_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LiveConnection({str(self._address)!r})"

    def close(self) -> None:
        """Close it. Nothing can be read after that."""
        self.container.close()
        if self._srt is not None:
            self._srt.close()


def check_protocol(address: LiveAddress) -> None:
    """Refuse what no waiting makes readable: a protocol that the FFmpeg in use was built without, SRT without libsrt.

    Raises:
        ConnectionProblem: It was, or there is none.
        InputError: What an address of SRT asks for cannot be right.
    """
    if address.scheme not in _NOT_EVERYWHERE:
        return
    if not _by_ffmpeg(address):
        check_srt(address)
    elif not _has_protocol(address.scheme):
        raise ConnectionProblem(address, Trouble.NO_PROTOCOL)
    elif address.scheme == "srt":
        SrtRequest.of(address)


def _by_ffmpeg(address: LiveAddress) -> bool:
    """Say whether FFmpeg connects by itself, as it does to all but SRT."""
    return address.scheme != "srt" or (not has_library() and _has_protocol("srt"))


def _url(address: LiveAddress) -> str:
    return without_passphrase(address) if address.scheme == "srt" else address.reveal()


@cache
def _has_protocol(scheme: str) -> bool:
    try:
        av.open(f"{scheme}://", timeout=_ANALYSED_S).close()
    except av.error.ProtocolNotFoundError:
        return False
    except (av.error.FFmpegError, OSError, ValueError):
        pass
    return True


def _led_up_to(
    packets: "Iterator[av.packet.Packet[Any]]", rate_hz: Fraction | None, enough: int
) -> "Iterator[av.packet.Packet[Any]]":
    """Give the first pictures of a connection, if they have no time, those that lead up to the first that has.

    That one is among the first `enough` that come.

    RTSP tells no time of what comes before the first report of the sender. Put anywhere, a picture would seem to move
    by as much in a moment as in the time between two pictures.
    """
    held: list[av.packet.Packet[Any]] = []
    timed: list[int] = []
    for packet in packets:
        if packet.stream.type == "video" and packet.pts is not None:
            timed.append(packet.pts)
        if not held and not timed and not _is_untimed_picture(packet):
            yield packet  # of another track
            continue
        held.append(packet)
        untimed = [one for one in held if _is_untimed_picture(one)]
        if untimed and len(timed) < enough and len(held) < _HELD_PACKETS:
            continue
        for place, one in enumerate(reversed(untimed if timed else []), start=1):
            step = 1 / ((rate_hz or _USUAL_RATE_HZ) * (one.time_base or Fraction(1)))
            one.pts = min(timed) - round(place * step)
        yield from held
        break
    yield from packets


def _is_untimed_picture(packet: "av.packet.Packet[Any]") -> bool:
    return packet.stream.type == "video" and packet.pts is None and packet.dts is None


def _checked(address: LiveAddress, options: ConnectionOptions) -> CheckedReading | None:
    """Check an address, and return what checks those that it leads to, if that is asked for.

    Raises:
        ConnectionProblem: It must not be asked, or sends elsewhere by RTSP.
    """
    if options.check is None:
        return None
    if address.scheme in {"http", "https"}:
        return CheckedReading(address, options, options.check, monotonic() + 2 * options.open_s)
    check_connection(address, options, options.check)
    return None


def _format(address: LiveAddress, checked: CheckedReading | None) -> str | None:
    if address.scheme == "device":
        return "video4linux2"
    return "hls" if checked is not None and checked.is_playlist else None


def _ffmpeg_options(address: LiveAddress, options: ConnectionOptions) -> dict[str, str]:
    stall_us = str(round(options.stall_s * _MICRO))
    chosen = {"analyzeduration": str(round(_ANALYSED_S * _MICRO)), "fpsprobesize": "4"}
    if address.scheme in {"rtsp", "rtsps"}:
        chosen |= {"rtsp_transport": "udp" if options.udp else "tcp", "timeout": stall_us}
    elif address.scheme in {"udp", "rtp"}:
        # A burst that overruns the buffer costs its packets, not the connection.
        chosen |= {"timeout": stall_us, "fifo_size": "50000", "overrun_nonfatal": "1"}
    elif address.scheme in {"http", "https"}:
        chosen |= {"rw_timeout": str(round(_PIECES_STALL * options.stall_s * _MICRO))}
        if options.check is not None:
            # Only with connections of FFmpeg's own does it keep them; what else it knows names addresses nobody checks.
            chosen |= {"http_persistent": "0", "http_multiple": "0", "protocol_whitelist": "http,https,tls,tcp"}
            chosen["format_whitelist"] = f"{PLAIN_FORMATS},hls"
    elif address.scheme == "srt" and _by_ffmpeg(address):
        passphrase = SrtRequest.of(address).passphrase
        chosen |= {} if passphrase is None else {"passphrase": passphrase}
    elif address.scheme.startswith("rtmp"):
        chosen |= {"rw_timeout": stall_us, "rtmp_live": "live"}
    if address.scheme in {"https", "rtsps", "rtmps"}:
        chosen["tls_verify"] = "1" if options.check_certificate else "0"
        trusted = options.certificates or ssl.get_default_verify_paths().cafile
        if trusted:
            chosen["ca_file"] = str(trusted)
    return chosen


_TROUBLES: tuple[tuple[type[Exception], Trouble], ...] = (
    (av.error.ConnectionRefusedError, Trouble.REFUSED),
    (av.error.HTTPUnauthorizedError, Trouble.UNAUTHORISED),
    (av.error.HTTPForbiddenError, Trouble.FORBIDDEN),
    (av.error.PermissionError, Trouble.FORBIDDEN),
    (av.error.HTTPNotFoundError, Trouble.NOT_FOUND),
    (av.error.FileNotFoundError, Trouble.NOT_FOUND),
    (av.error.HTTPError, Trouble.SERVER),
    (av.error.ProtocolNotFoundError, Trouble.NO_PROTOCOL),
    (av.error.DemuxerNotFoundError, Trouble.UNSUPPORTED),
    (av.error.NotImplementedError, Trouble.UNSUPPORTED),
    (av.error.PatchWelcomeError, Trouble.UNSUPPORTED),
    (av.error.ConnectionResetError, Trouble.LOST),
    (av.error.ConnectionAbortedError, Trouble.LOST),
    (av.error.BrokenPipeError, Trouble.LOST),
    (av.error.EOFError, Trouble.ENDED),
)


def _trouble(error: Exception, *, opening: bool) -> Trouble | None:
    """Tell what an error of FFmpeg means, or `None` where it may mean many things."""
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return Trouble.SILENT if opening else Trouble.STALLED
    for kind, trouble in _TROUBLES:
        if isinstance(error, kind):
            return trouble
    if isinstance(error, av.error.InvalidDataError):
        return Trouble.NOT_MEDIA if opening else Trouble.LOST
    number = getattr(error, "errno", None)
    if number in UNREACHABLE:
        return Trouble.UNREACHABLE
    if number in _BUSY:
        return Trouble.BUSY
    return None if number in _VAGUE else Trouble.SERVER if opening else Trouble.LOST


def _diagnose(address: LiveAddress, options: ConnectionOptions) -> Trouble:
    """Find out what FFmpeg only calls an input/output error: a name, a certificate, or something else."""
    if address.scheme in {"udp", "rtp"} or not address.host or address.port is None:
        return Trouble.SILENT if address.scheme in {"udp", "rtp"} else Trouble.NOT_MEDIA
    try:
        socket.getaddrinfo(address.host, address.port)
    except (OSError, UnicodeError):
        return Trouble.UNKNOWN_HOST
    if address.scheme not in {"https", "rtsps", "rtmps"} or not options.check_certificate:
        return Trouble.SERVER
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=options.open_s) as plain,
            tls_context(options).wrap_socket(plain, server_hostname=address.host),
        ):
            return Trouble.SERVER
    except ssl.SSLCertVerificationError:
        return Trouble.CERTIFICATE
    except OSError:
        return Trouble.SERVER
