"""What reading pictures and reading sound have in common: one track of a file, packet by packet."""

from collections.abc import Iterator
from typing import TypeVar, cast

import av.container
import av.packet
from av.format import Flags
from av.stream import Discard, Stream

__all__ = ["can_seek", "discard_others", "next_packet"]

Track = TypeVar("Track", bound=Stream)


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
