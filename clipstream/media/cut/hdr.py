"""What HDR10 says of a whole video, in the words of the encoders: the mastering display and the content light level."""

import struct
from fractions import Fraction

from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from clipstream.media.side_data import side_data

__all__ = ["hdr_options"]

_OPTION = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}
_LIGHT = {"libx264": "cll", "libx265": "max-cll", "libsvtav1": "content-light"}
_DISPLAY = {"libx264": "mastering-display", "libx265": "master-display", "libsvtav1": "mastering-display"}
_CHROMATICITY, _LUMINANCE = 50_000, 10_000
"""SMPTE ST 2086 counts in these parts; SVT-AV1 wants plain numbers."""


def hdr_options(encoder: str, frame: VideoFrame) -> dict[str, str]:
    """Return options, each to be appended to what an encoder is given, so that it repeats what a frame says.

    Empty where it says nothing, or the encoder cannot.
    """
    if encoder not in _OPTION:
        return {}
    parts = []
    if display := _mastering_display(side_data(frame, SideDataType.MASTERING_DISPLAY_METADATA), encoder):
        parts.append(f"{_DISPLAY[encoder]}={display}")
    if len(light := side_data(frame, SideDataType.CONTENT_LIGHT_LEVEL)) >= 8:
        most, average = struct.unpack("=II", light[:8])
        parts.append(f"{_LIGHT[encoder]}={most},{average}")
    return {_OPTION[encoder]: "".join(f":{part}" for part in parts)} if parts else {}


def _mastering_display(data: bytes, encoder: str) -> str:
    """Read AVMasteringDisplayMetadata: ten fractions (red, green, blue, white, darkest, brightest) and two flags."""
    if len(data) < 88:
        return ""
    *numbers, has_primaries, has_luminance = struct.unpack("=22i", data[:88])
    if not (has_primaries and has_luminance):
        return ""
    values = [Fraction(up, down or 1) for up, down in zip(numbers[::2], numbers[1::2], strict=True)]
    if encoder == "libsvtav1":
        words = [f"{float(value):.5f}" for value in values]
    else:
        words = [str(round(value * _CHROMATICITY)) for value in values[:8]]
        words += [str(round(value * _LUMINANCE)) for value in values[8:]]
    red, green, blue, white = (f"({words[at]},{words[at + 1]})" for at in (0, 2, 4, 6))
    return f"G{green}B{blue}R{red}WP{white}L({words[9]},{words[8]})"
