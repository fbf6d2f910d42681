"""What a run leaves on disk: one output a stream, working beside the dataflow so that cutting never holds it up."""

from clipstream.output.context import OutputContext
from clipstream.output.queue import OutputQueue
from clipstream.output.records import CLIP_RECORDS
from clipstream.output.stream import StreamOutput, clip_name, finished_manifest

__all__ = ["CLIP_RECORDS", "OutputContext", "OutputQueue", "StreamOutput", "clip_name", "finished_manifest"]
