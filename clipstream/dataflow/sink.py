"""Highlights as a Bytewax output: clips, tables, report and manifest, a partition a stream."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from clipstream.cut_choice import chosen_cutter
from clipstream.errors import InputError
from clipstream.features.registry import Selection, features_asked_for, select_features
from clipstream.live import Cameras, LiveOutput
from clipstream.media.cutter import Cutter
from clipstream.media.inputs import Input
from clipstream.media.probe import fingerprint
from clipstream.output import ClipTally, OutputContext, OutputQueue, StreamOutput
from clipstream.report.manifest import Manifest
from clipstream.results import Interval, StreamSummary
from clipstream.saved.saving import Saving
from clipstream.settings import Settings

__all__ = ["ClipSink"]

_Found = Interval | StreamSummary

_MOST_THREADS = 16


class ClipSink(FixedPartitionedSink[_Found, tuple[_Found, ...]]):
    """Cuts the clip of every highlight, and writes tables, report and manifest when a stream's summary arrives.

    Takes `Highlights.results`; given only its `intervals`, it cuts clips and nothing else. Cutting goes on beside the
    dataflow: what is not on disk yet is part of the snapshot, so nothing waits for it and nothing is lost with it.
    Delivery is at least once, and the result exactly once: files are named by what they hold, written under another
    name, and renamed.

    Args:
        inputs: The same as the source's.
        settings: The run's.
        selection: The features, to say in the manifest which were left out, and to write what `settings.save` names;
            chosen from `settings` by default.
        cutter: What cuts; by default the cutter that `settings` ask for.
        cameras: The live streams beside them, the same as the source's.
        skip: Streams that are finished already: nothing of what a snapshot remembers of them is written again.
        stop: Once set, cutting is given up between two packets; the snapshot still remembers it.
        clip_written: Told of every clip: stream, highlight, file.
        stream_written: Told of every stream that is wholly written.
        tally: Where clips are counted.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        settings: Settings,
        *,
        selection: Selection | None = None,
        cutter: Cutter | None = None,
        cameras: Cameras | None = None,
        skip: Collection[str] = (),
        stop: Event | None = None,
        clip_written: Callable[[str, Interval, Path], None] | None = None,
        stream_written: Callable[[str, Manifest], None] | None = None,
        tally: ClipTally | None = None,
    ) -> None:
        self._inputs = {item.stream: item for item in inputs}
        self._fingerprints = {item.stream: _fingerprint(item.path) for item in inputs}  # now: before they are read
        self._cameras, self._skip = cameras, frozenset(skip)
        selection = selection or select_features(settings)
        self._infos = selection.infos
        streams_at_once = settings.workers + (len(cameras.inputs) if cameras else 0)
        saving = Saving(settings, selection.features)
        for stream in self._inputs.keys() - self._skip:
            saving.begin(stream, self._fingerprints[stream])  # now: before anything is observed
        self._context = OutputContext(
            out=Path(settings.out),
            settings=settings,
            left_out=selection.left_out,
            cutter=cutter or chosen_cutter(settings),
            pool=ThreadPoolExecutor(min(streams_at_once, _MOST_THREADS), "output"),
            stopped=(stop or Event()).is_set,
            clip_written=clip_written or _ignore,
            stream_written=stream_written or _ignore,
            tally=tally or ClipTally(),
            saving=saving,
            asked_for=features_asked_for(settings, selection.features),
        )

    def list_parts(self) -> list[str]:
        """Return the streams' names."""
        return sorted([*self._inputs, *(self._cameras.inputs if self._cameras else ())])

    def part_fn(self, item_key: str) -> int:
        """Return the place of the stream's own partition."""
        return self.list_parts().index(item_key)

    def build_part(
        self,
        step_id: str,  # noqa: ARG002 - Bytewax's signature
        for_part: str,
        resume_state: tuple[_Found, ...] | None,
    ) -> "_OutputPartition":
        """Return the partition of one stream, with what it had still to write."""
        output: OutputQueue
        if self._cameras is not None and for_part in self._cameras.inputs:
            output = LiveOutput(self._context, for_part, self._cameras, self._infos)
        else:
            output = StreamOutput(self._context, self._inputs[for_part], self._fingerprints[for_part])
        partition = _OutputPartition(output)
        if for_part not in self._skip:
            partition.write_batch(list(resume_state or ()))
        return partition


class _OutputPartition(StatefulSinkPartition[_Found, tuple[_Found, ...]]):
    def __init__(self, output: OutputQueue) -> None:
        self._output = output

    def write_batch(self, values: list[_Found]) -> None:
        for item in values:
            self._output.add(item)

    def snapshot(self) -> tuple[_Found, ...]:
        self._output.go_on()
        return self._output.pending()

    def close(self) -> None:
        self._output.close()


def _fingerprint(path: Path) -> str:
    try:
        return fingerprint(path)
    except InputError:
        return ""  # the source says what is wrong with it


def _ignore(*_: object) -> None:
    return
