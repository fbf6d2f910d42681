"""What a run leaves on disk: one output a stream, working beside the dataflow so that cutting never holds it up."""

from clipstream.output.context import OutputContext
from clipstream.output.queue import OutputQueue
from clipstream.output.records import CLIP_RECORDS
from clipstream.output.stream import StreamOutput, clip_name, finished_manifest
from clipstream.output.tally import ClipCounts, ClipTally

__all__ = [
    "CLIP_RECORDS",
    "ClipCounts",
    "ClipTally",
    "OutputContext",
    "OutputQueue",
    "StreamOutput",
    "clip_name",
    "finished_manifest",
]
