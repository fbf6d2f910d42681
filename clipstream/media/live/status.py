"""How a live stream is doing, for logs, metrics and whoever decides what to leave out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction

from clipstream.media.live.slicer import AnalysisRate
from clipstream.media.live.troubles import Trouble

__all__ = ["FeedState", "FeedStatus"]


class FeedState(Enum):
    """What a feed is doing."""

    CONNECTING = "connecting"
    RUNNING = "running"
    STALLED = "stalled"
    WAITING = "waiting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """A feed at one moment. What is counted is counted since its beginning.

    Attributes:
        stream: The stream's name.
        address: Its address, without secrets.
        state: What it is doing. `STALLED` is waiting to reconnect after nothing came any more.
        trouble: Why it is not running, or was not before it last ran.
        attempts: Connections tried since it last ran.
        connections: Connections on which packets came.
        troubles: How often each kind of trouble was met.
        packets: Packets read, of all tracks.
        bytes: Their size.
        slices: Slices decoded.
        dropped: Slices thrown away because they were not taken in time, the oldest first.
        late: Slices thrown away because their time had been given out as a gap.
        errors: Packets and frames that could not be decoded.
        jumps: How often times did not follow from those before, within a connection.
        record_failures: How often the recorder failed.
        queued: Slices that wait to be taken.
        burst_s: How much may come at once from such a source.
        behind: Whether decoding lags behind what comes, so that keyframes alone are decoded.
        rate: How much of the pictures is looked at.
        end_s: Stream time that was reached.
        now_s: Stream time by the world's clock, at this moment; 0 before the first packet.
        size_px: Width and height of the pictures, once known.
    """

    stream: str
    address: str
    state: FeedState = FeedState.CONNECTING
    trouble: Trouble | None = None
    attempts: int = 0
    connections: int = 0
    troubles: Mapping[Trouble, int] = field(default_factory=dict)
    packets: int = 0
    bytes: int = 0
    slices: int = 0
    dropped: int = 0
    late: int = 0
    errors: int = 0
    jumps: int = 0
    record_failures: int = 0
    queued: int = 0
    burst_s: float = 0.0
    behind: bool = False
    rate: AnalysisRate = field(default_factory=AnalysisRate)
    end_s: Fraction = Fraction(0)
    now_s: Fraction = Fraction(0)
    size_px: tuple[int, int] | None = None
