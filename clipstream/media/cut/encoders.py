"""Which encoder pictures get, and what it is told of them."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from clipstream.errors import UsageError

__all__ = ["CODECS", "Encoding", "choose_encoding", "describe_pictures", "ordinary_priority", "silence_svt"]

_FULL_RANGE = 2


@dataclass(frozen=True, slots=True)
class Encoding:
    """How pictures are encoded.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        pixel_format: What is encoded.
        options: Options of the encoder. Threads are fixed, for their number shows in the result.
        label: The same in words.
    """

    encoder: str
    pixel_format: str
    options: Mapping[str, str]
    label: str


@dataclass(frozen=True, slots=True)
class _Codec:
    name: str
    encoder: str
    formats: frozenset[str]
    options: Mapping[str, str]


_EIGHT_BIT = frozenset({"yuv420p", "yuv422p", "yuv444p"})
_TEN_BIT = frozenset({"yuv420p10le", "yuv422p10le", "yuv444p10le"})
_CODECS = {
    # With its macroblock tree, x264 gives other bytes each time (seen with AVX-512, at 192×112).
    "h264": _Codec(
        "H.264",
        "libx264",
        _EIGHT_BIT | _TEN_BIT,
        {"preset": "veryfast", "crf": "{crf}", "threads": "4", "x264-params": "mbtree=0"},
    ),
    "hevc": _Codec(
        "HEVC",
        "libx265",
        _EIGHT_BIT | _TEN_BIT,
        {"preset": "veryfast", "x265-params": "log-level=none:pools=none:frame-threads=2:crf={crf}"},
    ),
    "vp9": _Codec(
        "VP9", "libvpx-vp9", _EIGHT_BIT, {"deadline": "good", "cpu-used": "5", "b": "0", "crf": "{crf}", "threads": "2"}
    ),
    "av1": _Codec(
        "AV1",
        "libsvtav1",
        frozenset({"yuv420p", "yuv420p10le"}),
        {"preset": "8", "crf": "{crf}", "svtav1-params": "lp=2"},
    ),
}
CODECS = tuple(sorted(_CODECS))
"""Names that `choose_encoding` knows."""


def choose_encoding(pixel_format: str, crf: int, codec: str | None = None, *, webm: bool = False) -> Encoding:
    """Return an encoding that keeps depth and chroma, where there is one.

    Args:
        pixel_format: The source's.
        crf: Quality: 0 is lossless, 18 looks it, 51 is worst.
        codec: One of `CODECS`. By default H.264 for 8 bit and HEVC for more; in WebM VP9 and AV1.
        webm: Whether the container is WebM.

    Raises:
        UsageError: There is no such codec.
    """
    planar = pixel_format.replace("yuvj", "yuv").replace("p12le", "p10le")
    deep = planar in _TEN_BIT
    name = (
        codec or {(False, False): "h264", (True, False): "hevc", (False, True): "vp9", (True, True): "av1"}[deep, webm]
    )
    if name not in _CODECS:
        raise UsageError(f"there is no codec {name!r}; choose one of {', '.join(CODECS)}.")
    chosen = _CODECS[name]
    if planar not in chosen.formats:
        planar = planar.removesuffix("10le")
    if planar not in chosen.formats:
        planar = "yuv420p"
    options = {key: value.format(crf=crf) for key, value in chosen.options.items()}
    return Encoding(chosen.encoder, planar, MappingProxyType(options), f"{chosen.name}, CRF {crf}")


def describe_pictures(encoder: VideoCodecContext, source: VideoStream) -> None:
    """Give an encoder the source's pixel aspect and colours."""
    context = source.codec_context
    encoder.sample_aspect_ratio = source.sample_aspect_ratio or Fraction(1)
    encoder.color_primaries, encoder.color_trc = context.color_primaries, context.color_trc
    encoder.colorspace = context.colorspace
    encoder.color_range = _FULL_RANGE if "yuvj" in (context.pix_fmt or "") else context.color_range


def silence_svt() -> None:
    """Keep SVT-AV1 from printing what it does on stderr; it has no other way to be told."""
    os.environ.setdefault("SVT_LOG", "1")


def ordinary_priority() -> None:
    """Take back the real-time priority that SVT-AV1 gives the threads of a process run by root, starving all others."""
    if not sys.platform.startswith("linux") or os.sched_getscheduler(0) == os.SCHED_OTHER:
        return
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended
            os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))
