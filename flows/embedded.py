"""Highlights inside a larger pipeline: the same slices feed a branch of one's own.

    CLIPSTREAM_INPUTS="a.mp4:b.mp4" python -m bytewax.run flows.embedded

Here a second branch watches for silence, window by window, and a third prints each highlight as it is found. Slices
stay on the worker that decoded them; what is keyed and travels is light.
"""

import os

import bytewax.operators as op
from bytewax.connectors.stdio import StdOutSink
from bytewax.dataflow import Dataflow

from clipstream import Interval, MediaSource, Settings, Slice, expand_inputs, highlights

QUIET_DBFS = -50.0


def quiet_slice(item: Slice) -> tuple[str, str] | None:
    """Return a keyed line for a slice whose sound is below `QUIET_DBFS`, or nothing."""
    if item.audio is None:
        return None
    power = float((item.audio**2).mean())
    if power >= 10 ** (QUIET_DBFS / 10):
        return None
    return item.stream, f"{item.stream}: quiet at {float(item.start_s):.1f} s"


def announce(found: tuple[str, Interval]) -> str:
    """Return a line about a highlight."""
    stream, interval = found
    start_s, end_s = interval.start_ms / 1000, interval.end_ms / 1000
    return f"{stream}: highlight {start_s:.1f}–{end_s:.1f} s, score {interval.score:.1f}"


settings = Settings.from_environment(os.environ)
inputs, problems = expand_inputs(os.environ.get("CLIPSTREAM_INPUTS", "").split(os.pathsep))
if problems:
    raise problems[0]

flow = Dataflow("embedded")
slices = op.input("media", flow, MediaSource(inputs, settings))

quiet = op.filter_map("quiet", slices, quiet_slice)
op.output("quiet_lines", op.map("quiet_text", quiet, lambda keyed: keyed[1]), StdOutSink())

found = highlights("highlights", slices, settings)
op.output("highlight_lines", op.map("announce", found.intervals, announce), StdOutSink())
