"""Small upright pictures of what is shown at an instant."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from clipstream.errors import CutError
from clipstream.media.cut.source import Source, time_base
from clipstream.media.orientation import Orientation

__all__ = ["thumbnail_jpeg"]

_BACK_OFFS_S = (0, 2, 10, 60)
_JPEG_QUALITY = 4
"""Quantiser scale of the encoder: 2 is best, 31 worst."""


def thumbnail_jpeg(path: Path, time_s: Fraction, width_px: int = 320) -> bytes | None:
    """Return the frame shown at media time `time_s` as an upright JPEG, `width_px` wide with square pixels.

    `None` when there is no video, or it cannot be decoded there.
    """
    try:
        with Source(path) as source:
            frame = _frame_at(source, source.origin_s + time_s)
            sample_aspect = (source.video.sample_aspect_ratio if source.video else None) or Fraction(1)
        return None if frame is None else _jpeg(frame, sample_aspect, width_px)
    except (CutError, av.error.FFmpegError):
        return None


def _frame_at(source: Source, time_s: Fraction) -> VideoFrame | None:
    if source.video is None:
        return None
    shown: VideoFrame | None = None
    for back_off_s in _BACK_OFFS_S:
        for frame in _frames(source, time_s - back_off_s):
            if frame.pts is None or frame.pts * time_base(source.video) > time_s:
                shown = shown or frame
                break
            shown = frame
        if shown is not None and shown.pts is not None and shown.pts * time_base(source.video) <= time_s:
            break
    return shown


def _frames(source: Source, from_s: Fraction) -> Iterable[VideoFrame]:
    assert source.video is not None
    for packet in source.packets([source.video], from_s):
        try:
            yield from cast("list[VideoFrame]", packet.decode())
        except av.error.FFmpegError:
            continue
    yield from source.video.codec_context.decode(None)


def _jpeg(frame: VideoFrame, sample_aspect: Fraction, width_px: int) -> bytes:
    orientation = Orientation.of(frame)
    shown_width, shown_height = frame.width * sample_aspect, Fraction(frame.height)
    if orientation.transpose:
        shown_width, shown_height = shown_height, shown_width
    height_px = max(2, round(width_px * shown_height / shown_width))
    stored = (height_px, width_px) if orientation.transpose else (width_px, height_px)
    pixels = frame.to_ndarray(format="rgb24", width=stored[0], height=stored[1])
    if orientation.transpose:
        pixels = pixels.transpose(1, 0, 2)
    pixels = pixels[:: -1 if orientation.flip_rows else 1, :: -1 if orientation.flip_columns else 1]
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width_px, height_px, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.qmin = encoder.qmax = _JPEG_QUALITY
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(pixels, dtype=np.uint8), format="rgb24")
    picture = picture.reformat(format="yuvj420p")
    picture.pts, picture.time_base = 0, encoder.time_base
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
