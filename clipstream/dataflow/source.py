"""Media files as a Bytewax input: one partition a stream, one slice a batch."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event, get_ident

import structlog
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from clipstream.errors import ClipstreamError
from clipstream.features.registry import Selection, select_features
from clipstream.log import traceback_of
from clipstream.media.ahead import ReadAhead, ReadHere
from clipstream.media.decode import DecodeMode, SliceReader
from clipstream.media.inputs import Input
from clipstream.media.slices import Slice, StreamEnd
from clipstream.memory import give_back_memory
from clipstream.settings import Settings
from clipstream.timing import slice_start

__all__ = ["MediaSource"]

_ENDED = -1
"""Snapshot of a partition that has given out its end."""

_TURN = timedelta(milliseconds=50)
"""How soon a file that waits for its turn asks again. It never blocks: that would hold up the other inputs."""

_DECODING = timedelta(milliseconds=2)
"""How soon a file whose next slice is being decoded asks again: a slice takes 10 to 100 ms."""

_log = structlog.get_logger()


class MediaSource(FixedPartitionedSource[Slice, int]):
    """Gives out the slices of files, in order, and after each stream's last slice one that carries its end.

    A stream's name is its partition and its key. Slices are heavy: take them to `highlights` or to an operator of your
    own on the same worker; do not key them. Progress is the number of the next slice, so a resumed file goes on at a
    slice boundary with the very same slices.

    Each worker decodes `open_files` at a time; the others wait for their turn. A file that cannot be opened or breaks
    on the way ends with a slice that says so, and never ends the flow.

    Args:
        inputs: The files and their streams' names.
        settings: What to look at; decides sizes, rates and which frames are decoded.
        selection: The features that will see the slices; chosen from `settings` by default.
        skip: Streams that are finished already: listed, since the partitions of a recovery store must stay the same,
            but not read.
        open_files: How many files a worker decodes at a time; by default as many as the features' models gain from.
        stop: Once set, sources end without an end slice, so that the flow saves its progress and finishes.
        decoded: Shown each slice as it is given out.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        settings: Settings,
        *,
        selection: Selection | None = None,
        skip: Collection[str] = (),
        open_files: int | None = None,
        stop: Event | None = None,
        decoded: Callable[[Slice], None] | None = None,
    ) -> None:
        self._paths = {item.stream: item.path for item in inputs}
        self._settings = settings
        selection = selection or select_features(settings)
        self._needs, self._ahead = selection.needs, selection.slices_ahead
        self._slots = _Slots(open_files or selection.streams_at_once)
        self._threads = settings.decode_threads or _threads_each(settings.workers, self._ahead > 0)
        self._skip = frozenset(skip)
        self._stop = stop or Event()
        self._decoded = decoded or _ignore

    def list_parts(self) -> list[str]:
        """Return the streams' names."""
        return list(self._paths)

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_FilePartition":  # noqa: ARG002
        """Return the partition of one stream, going on where it was."""

        def open_at(n: int) -> SliceReader:
            return SliceReader(
                self._paths[for_part],
                for_part,
                self._needs,
                start_slice=n,
                threads=self._threads,
                mode=DecodeMode.of(self._settings),
            )

        n = _ENDED if for_part in self._skip else resume_state or 0
        return _FilePartition(
            for_part, open_at, n, self._slots, ahead=self._ahead, stop=self._stop, decoded=self._decoded
        )


class _FilePartition(StatefulSourcePartition[Slice, int]):
    def __init__(
        self,
        stream: str,
        open_at: Callable[[int], SliceReader],
        n: int,
        slots: "_Slots",
        *,
        ahead: int,
        stop: Event,
        decoded: Callable[[Slice], None],
    ) -> None:
        self._stream, self._open_at, self._n = stream, open_at, n
        self._slots, self._stop, self._decoded = slots, stop, decoded
        self._reader: ReadAhead | ReadHere | None = None
        self._ahead, self._empty_handed, self._has_slot = ahead, False, False

    def next_batch(self) -> list[Slice]:
        if self._n == _ENDED or self._stop.is_set():
            self.close()
            raise StopIteration
        self._has_slot = self._has_slot or self._slots.acquire()
        if not self._has_slot:
            return []
        slices = self._next()
        self._empty_handed = not slices
        for item in slices:
            self._n = item.n + 1 if item.end is None else _ENDED
            self._decoded(item)
        if self._n == _ENDED:
            self.close()
        return slices

    def next_awake(self) -> datetime | None:
        if not self._has_slot:
            return datetime.now(UTC) + _TURN
        return datetime.now(UTC) + _DECODING if self._empty_handed else None

    def snapshot(self) -> int:
        return self._n

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            give_back_memory()
        if self._has_slot:
            self._has_slot = False
            self._slots.release()

    def _next(self) -> list[Slice]:
        try:
            if self._reader is None:
                open_reader = partial(self._open_at, self._n)
                self._reader = ReadAhead(open_reader, self._ahead) if self._ahead else ReadHere(open_reader)
            return self._reader.take()
        except Exception as error:  # noqa: BLE001 - law: no input may end the flow of the others
            _log.debug(
                "stream_failed", stream=self._stream, error=str(error), exc_info=traceback_of(error)
            )  # the end says it
            expected = isinstance(error, ClipstreamError)
            problem = str(error) if expected else f"reading failed: {type(error).__name__}: {error}"
            return [Slice(self._stream, self._n, end=StreamEnd(slice_start(self._n), problem=problem))]


class _Slots:
    """How many files a worker has open; a worker is a thread, and no two of them share files.

    By the thread's number: a `threading.local` is empty again at every call that Bytewax's worker threads make.
    """

    def __init__(self, each: int) -> None:
        self._each, self._taken = each, Counter[int]()

    def acquire(self) -> bool:
        worker = get_ident()
        if self._taken[worker] >= self._each:
            return False
        self._taken[worker] += 1
        return True

    def release(self) -> None:
        self._taken[get_ident()] -= 1


def _threads_each(workers: int, beside_model: bool) -> int:
    """Return frame threads for each file: measured, three times the cores hide what is done between frames.

    Half as many beside a model, which has a core to itself: each thread has frames of its own in the caches, and the
    same work took a tenth less processor time. FFmpeg advises against more than 16.
    """
    threads = 3 * (os.cpu_count() or 1) // workers
    return min(max(threads // 2 if beside_model else threads, 1), 16)


def _ignore(_: Slice) -> None:
    return
