"""The only room that imports bytewax: sources, operators, sinks, running."""

from clipstream.dataflow.operators import Highlights, highlights
from clipstream.dataflow.sink import ClipSink
from clipstream.dataflow.source import MediaSource

__all__ = ["ClipSink", "Highlights", "MediaSource", "highlights"]
