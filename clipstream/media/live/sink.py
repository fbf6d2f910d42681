"""Who else is shown the packets of a live stream as they come."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

import av.container
import av.packet

__all__ = ["PacketSink"]


class PacketSink(Protocol):
    """Takes the packets of one stream, in the order of demuxing: a recorder.

    Every call comes from one thread at a time, and holds up reading for as long as it takes. PTS and DTS of the
    packets are times of the stream already: `pts * time_base` counts seconds since it began, in the time base of the
    packet's track, and no track's DTS ever runs backwards, whatever the source does. A gap in them is a gap.
    """

    def begin(
        self,
        container: av.container.InputContainer,
        offset_s: Fraction,
        date_of: Callable[[Fraction], float | None] | None = None,
        *,
        rate_hz: Fraction | None = None,
    ) -> None:
        """Prepare for the tracks of a connection.

        Args:
            container: Their templates, to be read during this call.
            offset_s: What has to be added to the times of its packets; 0, since they are times of the stream.
            date_of: Tells the date of a stream time about now, in seconds since 1970; without it, that is now.
            rate_hz: Pictures a second; what the container says, by default.
        """

    def write(self, packet: "av.packet.Packet[Any]") -> None:
        """Take a packet. It is shared with the decoders: nothing in it may be changed for longer than the call."""

    def end(self) -> None:
        """Note that the connection is over. It may come without a `begin`."""
