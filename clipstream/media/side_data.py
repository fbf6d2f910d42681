"""What a decoded picture has beside its pixels."""

from collections.abc import Mapping
from typing import cast

from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame

__all__ = ["side_data"]


def side_data(frame: VideoFrame, kind: Type) -> bytes:
    """Return the side data of one kind, `b""` if there is none."""
    found = cast("Mapping[Type, SideData]", frame.side_data).get(kind)  # looking through it differs in PyAV 18 and 19
    return b"" if found is None else bytes(found)
