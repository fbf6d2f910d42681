"""Live streams in a run: each read and recorded for as long as it goes, its clips cut from the recording.

Reading and recording themselves, which know of no run, are `clipstream.media.live` and `clipstream.media.recording`.
"""

from clipstream.live.cameras import Camera, Cameras
from clipstream.live.output import LiveOutput

__all__ = ["Camera", "Cameras", "LiveOutput"]
