"""Reading a container packet by packet, and what reading its pictures and its sound have in common."""

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import av.container
import av.packet
from av.format import Flags
from av.stream import Discard, Stream

__all__ = ["can_seek", "demux", "discard_others", "next_packet"]

Track = TypeVar("Track", bound=Stream)


def demux(container: av.container.InputContainer, *streams: Stream) -> "Iterator[av.packet.Packet[Any]]":
    """Read the packets of some streams, of all without any, and be free to stop at any packet.

    PyAV's own reader keeps what it read with (150 bytes, in PyAV 18.1) for ever where it is dropped before the end of
    the file and not closed, and a clip takes four; a generator closes the one it yields from (PEP 380).

    Raises:
        av.error.FFmpegError: From the iterator: the container is broken here.
    """
    yield from container.demux(*streams)


def discard_others(container: av.container.InputContainer, stream: Stream) -> None:
    """Keep the demuxer from reading any other track, where the container lets it pass over them."""
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all


def next_packet(packets: "Iterator[av.packet.Packet[Track]]") -> "av.packet.Packet[Track] | None":
    """Return the next packet that holds something, or `None` at the end.

    An empty packet repeats a picture or ends the file; a decoder would take either for the end.

    Raises:
        av.error.FFmpegError: The container is broken here.
    """
    return next((packet for packet in packets if packet.size), None)


def can_seek(container: av.container.InputContainer) -> bool:
    """Say whether times are still known after a seek: an elementary stream counts them from its beginning."""
    return not container.format.flags & cast("int", Flags.no_timestamps.value)
