"""Damage in copied packets, as far as it shows without decoding."""

from av.video.stream import VideoStream

from clipstream.media.cut.nal import Framing, read_parameter_sets
from clipstream.media.cut.source import AnyPacket

__all__ = ["Damage"]


class Damage:
    """Looks for damage in the packets of a video track.

    A demuxer tells of gaps in a transport stream; in length-prefixed H.264 and HEVC the lengths have to add up.
    """

    def __init__(self, source: VideoStream) -> None:
        self._framing: Framing | None = None
        codec = source.codec_context.codec.canonical_name
        if codec in {"h264", "hevc"}:
            try:
                framing = read_parameter_sets(codec, source.codec_context.extradata or b"").framing
            except ValueError:
                return
            self._framing = framing if framing.length_size else None

    def is_in(self, packet: AnyPacket) -> bool:
        """Whether a packet is damaged."""
        if packet.is_corrupt or not packet.size:
            return True
        if self._framing is not None:
            try:
                self._framing.split(bytes(packet))
            except ValueError:
                return True
        return False
