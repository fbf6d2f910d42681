"""The whole flow, from files to clips, as the command line runs it."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Event

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from clipstream.dataflow.live_source import LiveSource
from clipstream.dataflow.operators import highlights
from clipstream.dataflow.sink import ClipSink
from clipstream.dataflow.source import MediaSource
from clipstream.features.registry import Selection
from clipstream.live import Cameras
from clipstream.media.inputs import Input
from clipstream.media.slices import Slice
from clipstream.output import ClipTally
from clipstream.report.manifest import Manifest
from clipstream.results import Interval
from clipstream.settings import Settings

__all__ = ["highlights_flow"]


def highlights_flow(
    inputs: Sequence[Input],
    settings: Settings,
    *,
    selection: Selection | None = None,
    cameras: Cameras | None = None,
    skip: Collection[str] = (),
    stop: Event | None = None,
    decoded: Callable[[Slice], None] | None = None,
    clip_written: Callable[[str, Interval, Path], None] | None = None,
    stream_written: Callable[[str, Manifest], None] | None = None,
    tally: ClipTally | None = None,
    shelf: Path | None = None,
    warming: Callable[[str, bool], None] | None = None,
) -> Dataflow:
    """Return the flow that finds and cuts the highlights of `inputs` and `cameras`.

    The arguments are those of `MediaSource`, `LiveSource`, `highlights` and `ClipSink`.

    Step names and partitions are part of a recovery store: a flow goes on only as the same flow.
    """
    tally = tally or ClipTally()
    flow = Dataflow("clipstream")
    slices = []
    if inputs:
        source = MediaSource(inputs, settings, selection=selection, skip=skip, stop=stop, decoded=decoded)
        slices.append(op.input("media", flow, source))
    if cameras is not None:
        slices.append(op.input("live", flow, LiveSource(cameras, stop=stop, taken=decoded)))
    merged = op.merge("all", *slices) if slices[1:] else slices[0]
    found = highlights("highlights", merged, settings, selection, shelf, measured=tally.measured, warming=warming)
    sink = ClipSink(
        inputs,
        settings,
        selection=selection,
        cameras=cameras,
        skip=skip,
        stop=stop,
        clip_written=clip_written,
        stream_written=stream_written,
        tally=tally,
    )
    op.output("clips", found.results, sink)
    return flow
