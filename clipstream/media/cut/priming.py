"""Sound before the cut that a decoder needs and nobody hears, told to Matroska as the delay of the codec.

PyAV lets no one set how many samples of a copied track are to be discarded, but takes over what a template says. So a
Matroska file of one packet is made in memory, the delay is written into it, and the track it has serves as template.
"""

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import av.container
from av.audio.stream import AudioStream
from av.packet import Packet, PacketSideData
from av.stream import Stream

from clipstream.media.packets import demux

__all__ = ["OPUS_PRE_SKIP", "Primed", "primed"]

_SEGMENT, _TRACKS, _TRACK_ENTRY, _CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675
_CODEC_DELAY = 0x56AA
OPUS_PRE_SKIP = slice(10, 12)
"""In the header of Opus (RFC 7845, 5.1); browsers want it to say the same as the container."""


class Primed:
    """A template of a track of sound, to be closed when the track was added.

    Attributes:
        stream: The template.
        extradata: What its header has to say.
        discard: Side data of a packet, of which samples are to be discarded, to be filled in.
    """

    def __init__(self, file: bytes, extradata: bytes, discard: PacketSideData) -> None:
        self._container = av.open(io.BytesIO(file), "r", format="matroska")
        self.stream = self._container.streams.audio[0]
        self.extradata = extradata
        self.discard = discard

    def close(self) -> None:
        """Let go of the template."""
        self._container.close()


def primed(source: AudioStream, samples: int, packet: "Packet[Stream]") -> Primed:
    """Return a template of a track whose first `samples` are not heard; `packet` is any of the track.

    Raises:
        ValueError: Matroska cannot carry it, or it is AAC of a transport stream, whose header stands in each packet.
    """
    extradata = source.codec_context.extradata or b""
    if not extradata and source.codec_context.codec.canonical_name == "aac":
        raise ValueError("there is no header to say it in")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska", container_options={"live": "1"}) as container:
        stream = container.add_stream_from_template(source, opaque=True)
        copy: Packet[Stream] = av.Packet(bytes(packet))
        copy.pts, copy.dts, copy.time_base, copy.stream = 0, 0, Fraction(1, 1000), stream
        container.mux(copy)
    if extradata and source.codec_context.codec.canonical_name == "opus":
        head = bytearray(extradata)
        head[OPUS_PRE_SKIP] = min(samples, 0xFFFF).to_bytes(2, "little")
        extradata = bytes(head)
    delay_ns = round(Fraction(samples * 10**9, source.codec_context.sample_rate))
    return Primed(_with_delay(buffer.getvalue(), delay_ns), extradata, _discard(buffer.getvalue()))


def _discard(file: bytes) -> PacketSideData:
    """Return side data of the kind that says what is discarded; nothing but a delay brings it forth."""
    with av.open(io.BytesIO(_with_delay(file, 10**6)), "r", format="matroska") as container:
        packet: Packet[Stream] | None = next((packet for packet in demux(container) if packet.size), None)
        if packet is None:
            raise ValueError("the packet does not come back")
        return PacketSideData.from_packet(packet, "skip_samples")


def _with_delay(file: bytes, delay_ns: int) -> bytes:
    start = next(at for kind, at, _ in _elements(file, 0, len(file)) if kind == _SEGMENT)
    parts = [file[:start]]
    for kind, at, end in _elements(file, start, len(file)):
        if kind == _TRACKS:
            entry = next(span for span in _elements(file, at, end) if span[0] == _TRACK_ENTRY)
            kept = [
                _element(child, file[first:last])
                for child, first, last in _elements(file, *entry[1:])
                if child != _CODEC_DELAY
            ]
            kept.append(_element(_CODEC_DELAY, delay_ns.to_bytes(8, "big")))
            parts.append(_element(_TRACKS, _element(_TRACK_ENTRY, b"".join(kept))))
        elif kind == _CLUSTER:
            parts.append(_element(kind, file[at:end]))
    return b"".join(parts)


def _elements(file: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Give kind, position of the payload and end of every element (RFC 8794)."""
    at = start
    while at < end:
        kind_bytes = 9 - file[at].bit_length()
        kind = int.from_bytes(file[at : at + kind_bytes], "big")
        at += kind_bytes
        size_bytes = 9 - file[at].bit_length()
        unknown = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(file[at : at + size_bytes], "big") & unknown
        at += size_bytes
        last = end if size == unknown else min(end, at + size)
        yield kind, at, last
        at = last


def _element(kind: int, payload: bytes) -> bytes:
    head = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    return head + (1 << 56 | len(payload)).to_bytes(8, "big") + payload
