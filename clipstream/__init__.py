"""Footage goes in, the moments worth keeping come out as clips, with the reason for each.

The public names load what they need when they are first used, so that `import clipstream` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipstream.dataflow import ClipSink, Highlights, MediaSource, highlights
    from clipstream.media.inputs import Input, expand_inputs
    from clipstream.media.slices import Slice
    from clipstream.results import Interval, Reason, Row, StreamSummary, Window
    from clipstream.run.run import run_job
    from clipstream.run.watchers import Outcome
    from clipstream.settings import Settings

__all__ = [
    "ClipSink",
    "Highlights",
    "Input",
    "Interval",
    "MediaSource",
    "Outcome",
    "Reason",
    "Row",
    "Settings",
    "Slice",
    "StreamSummary",
    "Window",
    "expand_inputs",
    "highlights",
    "run_job",
]

_HOMES = {
    "clipstream.dataflow": ("ClipSink", "Highlights", "MediaSource", "highlights"),
    "clipstream.run.run": ("run_job",),
    "clipstream.media.inputs": ("Input", "expand_inputs"),
    "clipstream.media.slices": ("Slice",),
    "clipstream.results": ("Interval", "Reason", "Row", "StreamSummary", "Window"),
    "clipstream.settings": ("Settings",),
    "clipstream.run.watchers": ("Outcome",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'clipstream' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
