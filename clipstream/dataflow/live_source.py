"""Live streams as a Bytewax input: one partition a stream, the slices that are there a batch."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from clipstream.live.cameras import Camera, Cameras
from clipstream.media.slices import Slice

__all__ = ["LiveSource"]

_ENDED = -1
"""Snapshot of a partition that has given out its end."""

_AGAIN = timedelta(milliseconds=20)
"""How soon a stream is asked again; half a second of it is a slice."""


class LiveSource(FixedPartitionedSource[Slice, int]):
    """Gives out the slices of live streams as they come, in threads that read and record whatever the dataflow does.

    A live stream cannot be read again: the snapshot only keeps the numbers of slices growing over a restart, and what
    was missed is a gap. A stream that is down, slow or comes back changes nothing for the others.

    Args:
        cameras: Who reads and records them.
        stop: Once set, sources end without an end slice, so that the flow saves its progress and finishes.
        taken: Shown each slice as it is given out.
    """

    def __init__(
        self, cameras: Cameras, *, stop: Event | None = None, taken: Callable[[Slice], None] | None = None
    ) -> None:
        self._cameras, self._stop, self._taken = cameras, stop or Event(), taken or _ignore

    def list_parts(self) -> list[str]:
        """Return the streams' names."""
        return list(self._cameras.inputs)

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_LivePartition":  # noqa: ARG002
        """Return the partition of one stream, which begins to be read and recorded."""
        n = resume_state or 0
        camera = None if n == _ENDED else self._cameras.open(for_part, n)
        return _LivePartition(camera, n, self._cameras, self._stop, self._taken)


class _LivePartition(StatefulSourcePartition[Slice, int]):
    def __init__(
        self, camera: Camera | None, n: int, cameras: Cameras, stop: Event, taken: Callable[[Slice], None]
    ) -> None:
        self._camera, self._n, self._cameras, self._stop, self._taken = camera, n, cameras, stop, taken

    def next_batch(self) -> list[Slice]:
        if self._camera is None or self._stop.is_set():
            self.close()
            raise StopIteration
        slices = self._camera.take(ending=self._cameras.over)
        for item in slices:
            self._n = item.n + 1 if item.end is None else _ENDED
            self._taken(item)
        if self._n == _ENDED:
            self.close()
        return slices

    def next_awake(self) -> datetime | None:
        return datetime.now(UTC) + _AGAIN

    def snapshot(self) -> int:
        return self._n

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None


def _ignore(_: Slice) -> None:
    return
