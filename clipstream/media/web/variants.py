"""Of a playlist that offers the same in several qualities, the best alone."""

import av.container
from av.stream import Discard, Stream
from av.video.stream import VideoStream

from clipstream.media.probe import usable

__all__ = ["leave_best_variant"]


def leave_best_variant(container: av.container.InputContainer) -> None:
    """Discard the tracks of every variant of an HLS playlist but the one with pictures and the highest `BANDWIDTH`.

    Whatever belongs to that one alone, or to several, stays. FFmpeg fetches no more of a playlist of which every track
    is discarded; opening has fetched the first segments of each.
    """
    bandwidths = {stream.index: _bandwidth(stream) for stream in container.streams}
    pictured = [stream for stream in container.streams if isinstance(stream, VideoStream) and usable(stream)]
    best = max((bandwidths[stream.index] for stream in pictured or container.streams), default=0)
    for stream in container.streams:
        if bandwidths[stream.index] not in {0, best}:
            stream.discard = Discard.all


def _bandwidth(stream: Stream) -> int:
    """Return the bandwidth of the variant that has a track, in bits a second; 0 where none or several have it."""
    return int(stream.metadata.get("variant_bitrate", 0))
