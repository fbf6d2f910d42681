"""A feed of numbered pictures, looked at from outside."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from clipstream.media.live.address import LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.feed import LiveFeed
from clipstream.media.live.status import FeedState
from clipstream.media.live.troubles import Trouble
from clipstream.media.slices import FrameBatch, FrameRequest, MediaNeeds, Slice
from clipstream.testing import wait_until
from clipstream.testing.media import read_number

__all__ = ["Watch", "Watched", "watching"]


class Watched:
    """A feed of numbered pictures."""

    def __init__(self, url: str, options: ConnectionOptions) -> None:
        needs = MediaNeeds((FrameRequest(160, "gray", None),), None)
        self.feed = LiveFeed(LiveAddress.parse(url), "cam", needs, options=options)
        self.slices = list[Slice]()

    def has(self, pictures: int) -> bool:
        self.slices += self.feed.take()
        return len(self.numbers) >= pictures

    def problem(self) -> str:
        """Wait for the end, and return what it says."""
        wait_until(lambda: self.feed.status.state is FeedState.ENDED)
        *_, last = self.feed.take()
        assert last.end is not None
        return last.end.problem or ""

    def until(self, *, connections: int = 0, trouble: Trouble | None = None) -> float:
        """Wait until it was connected so often, or for a trouble, and return how long that took in seconds."""
        start_s = monotonic()
        wait_until(lambda: self._is(connections, trouble), 12)
        return monotonic() - start_s

    @property
    def numbers(self) -> list[int]:
        return [read_number(picture) for batch in self._batches for picture in batch.pixels[batch.lead :]]

    @property
    def times_s(self) -> list[float]:
        return [float(time_s) for batch in self._batches for time_s in batch.pts_s[batch.lead :]]

    @property
    def _batches(self) -> list[FrameBatch]:
        return [batch for item in self.slices if item.end is None for batch in item.frames.values()]

    def _is(self, connections: int, trouble: Trouble | None) -> bool:
        status = self.feed.status
        if trouble is not None:
            return status.trouble is trouble
        return status.connections >= connections and status.state is FeedState.RUNNING


Watch = Callable[..., Watched]
"""Opens an address, with options or the usual ones."""


@contextmanager
def watching(usual: ConnectionOptions) -> Iterator[Watch]:
    """Yield what opens feeds, and close them all."""
    opened: list[Watched] = []

    def start(url: str, options: ConnectionOptions = usual) -> Watched:
        opened.append(Watched(url, options))
        return opened[-1]

    yield start
    for one in opened:
        one.feed.close()
