"""A test kit for live media: cameras and HLS on 127.0.0.1 that fail on command, and media with known truth.

Needs nothing but PyAV, NumPy and the standard library. `docs/testing.md` shows how it is used.
"""

from clipstream.testing.camera import Fate, Sent
from clipstream.testing.http import Answered, HttpServer
from clipstream.testing.loopback import Refusal
from clipstream.testing.media import Sound, Video, burn, even_times, make_clip, numbered, read_number
from clipstream.testing.rtsp import RtspServer
from clipstream.testing.rtsp_messages import Scheme
from clipstream.testing.scene import MOMENTS_S, make_scene
from clipstream.testing.waiting import wait_until

__all__ = [
    "MOMENTS_S",
    "Answered",
    "Fate",
    "HttpServer",
    "Refusal",
    "RtspServer",
    "Scheme",
    "Sent",
    "Sound",
    "Video",
    "burn",
    "even_times",
    "make_clip",
    "make_scene",
    "numbered",
    "read_number",
    "wait_until",
]
