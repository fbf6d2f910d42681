"""What all copying of packets shares, and the simplest of it: covers."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TypeVar

import av
import av.container
from av.stream import Stream

from clipstream.media.cut.source import AnyPacket, time_base
from clipstream.media.cut.tracks import Track, describe_track

__all__ = ["CopyOnce", "add_copied_stream", "copy_packet"]

_StreamT = TypeVar("_StreamT", bound=Stream)


def add_copied_stream(
    container: av.container.OutputContainer,
    source: _StreamT,
    extradata: bytes | None = None,
    hevc_tag: str | None = None,
) -> _StreamT:
    """Add a stream to a clip that takes packets of the source.

    `extradata` replaces the source's; `hevc_tag` is what the container calls HEVC.

    Raises:
        ValueError: The container cannot carry it.
    """
    stream = container.add_stream_from_template(source, opaque=True)
    if extradata is not None:
        stream.codec_context.extradata = extradata
    if hevc_tag is not None and source.codec_context.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = hevc_tag
    stream.time_base = time_base(source)
    describe_track(stream, source)
    return stream


def copy_packet(packet: AnyPacket, data: bytes | None = None) -> AnyPacket:
    """Return a packet of its own with the same payload, or with `data`, and the same flags and side data."""
    copy: AnyPacket = av.Packet(bytes(packet) if data is None else data)
    copy.is_keyframe = packet.is_keyframe
    for item in packet.iter_sidedata():
        copy.set_sidedata(item)
    return copy


class CopyOnce(Track):
    """A cover: a picture without a time."""

    def __init__(self, stream: Stream, source: Stream) -> None:
        super().__init__(source.index)
        self._stream = stream

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Give the first packet."""
        copy = copy_packet(packet)
        copy.pts = copy.dts = 0
        copy.time_base, copy.stream = time_base(packet.stream), self._stream
        self.done, self.start_s = True, Fraction(0)
        yield copy

    def finish(self) -> Iterator[AnyPacket]:
        """Give nothing: there is one packet."""
        yield from ()
