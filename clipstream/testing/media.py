"""Media made to order, so that a test knows the truth: numbered pictures at known times, sounds as functions of time.

`make_clip` writes a file; `read_number` reads the number back from a decoded picture of any size above 48 px wide.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import av
import av.container
import av.packet
import av.stream
import av.video.stream
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Sound",
    "Video",
    "clicks",
    "even_times",
    "make_clip",
    "noise",
    "numbered",
    "read_number",
    "silence",
    "tone",
    "truncate",
]

VIDEO_TIME_BASE = Fraction(1, 90_000)
_BITS = 16
_MIDDLE, _CONTRAST = 128, 88

_Packet: TypeAlias = "av.packet.Packet[av.stream.Stream]"
Draw = Callable[[int], NDArray[np.uint8]]
Wave = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def numbered(index: int, width_px: int = 320, height_px: int = 180) -> NDArray[np.uint8]:
    """Return a grey (H, W, 3) BGR picture that carries `index` as 16 dark and light blocks along its top."""
    return burn(np.full((height_px, width_px, 3), 128, np.uint8), index)


def burn(picture: NDArray[np.uint8], index: int, contrast: int = _CONTRAST) -> NDArray[np.uint8]:
    """Write `index` into the top eighth of a (H, W, 3) picture, most significant bit first, and return it.

    Its blocks are `contrast` grey levels below and above the middle.
    """
    edges = np.linspace(0, picture.shape[1], _BITS + 1).round().astype(int)
    for bit, (left, right) in enumerate(pairwise(edges)):
        picture[: picture.shape[0] // 8, left:right] = _MIDDLE + (
            contrast if index >> (_BITS - 1 - bit) & 1 else -contrast
        )
    return picture


def read_number(picture: NDArray[np.uint8]) -> int:
    """Return the number burnt into a (H, W) or (H, W, 3) picture, whatever its size."""
    grey = picture if picture.ndim == 2 else picture.mean(axis=2)
    height, width = grey.shape
    row = grey[height // 32 : max(height // 32 + 1, height // 10)].mean(axis=0)
    centres = ((np.arange(_BITS) + 0.5) * width / _BITS).astype(int)
    return int("".join("1" if row[centre] > _MIDDLE else "0" for centre in centres), 2)


def even_times(count: int, rate_hz: Fraction | int = 30, start_s: Fraction | int = 0) -> tuple[Fraction, ...]:
    """Return the times of `count` frames at a constant rate."""
    return tuple(Fraction(start_s) + Fraction(i) / rate_hz for i in range(count))


def silence(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Be silent."""
    return np.zeros_like(t)


def tone(frequency_hz: float = 440.0, level: float = 0.5) -> Wave:
    """Return a sine, zero at time zero."""
    return lambda t: level * np.sin(2 * np.pi * frequency_hz * t)


def clicks(times_s: Sequence[float], length_s: float = 0.002, level: float = 0.8) -> Wave:
    """Return silence with a rectangular click that begins at each of `times_s`."""

    def wave(t: NDArray[np.float64]) -> NDArray[np.float64]:
        samples = np.zeros_like(t)
        for at_s in times_s:
            samples[(t >= at_s) & (t < at_s + length_s)] = level
        return samples

    return wave


_TONE = tone()


def noise(level: float = 0.1, seed: int = 0) -> Wave:
    """Return white Gaussian noise. `level` is its RMS."""
    generator = np.random.default_rng(seed)
    return lambda t: generator.normal(0, level, len(t))


@dataclass(frozen=True, slots=True)
class Video:
    """A picture track.

    Attributes:
        times_s: PTS of each frame; negative ones make an edit list that hides them (MP4, MOV).
        draw: Gives frame i as (H, W, 3) BGR uint8. All frames have one size.
        codec: Encoder.
        gop: Distance of keyframes, in frames.
        b_frames: Most B-frames in a row.
        rotation_deg: Turn clockwise that a player has to make.
        mirrored: Whether it has to mirror left to right before it turns.
        sample_aspect: Width of a pixel over its height.
        pixel_format: What is encoded.
        options: Further options of the encoder.
        corrupt: Numbers of the packets, in coding order, whose payload is replaced by noise.
    """

    times_s: Sequence[Fraction]
    draw: Draw = numbered
    codec: str = "libx264"
    gop: int = 30
    b_frames: int = 2
    rotation_deg: int = 0
    mirrored: bool = False
    sample_aspect: Fraction = Fraction(1)
    pixel_format: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()
    corrupt: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound track.

    Attributes:
        spans_s: Where there is sound, in order; what lies between is not in the file at all.
        wave: Gives the samples, in [-1, 1], at the times it is asked for: float64 seconds.
        codec: Encoder. `pcm_s16le` (MKV, MOV, AVI, WAV) keeps every sample.
        rate_hz: Sample rate.
        layout: Channel layout; every channel carries the same.
    """

    spans_s: Sequence[tuple[float, float]]
    wave: Wave = _TONE
    codec: str = "aac"
    rate_hz: int = 48_000
    layout: str = "stereo"


def make_clip(path: Path, video: Video | None = None, sound: Sound | None = None, **container_options: str) -> Path:
    """Write a file whose suffix decides the container, and return its path."""
    options = {"avoid_negative_ts": "disabled"} | container_options
    with av.open(str(path), "w", options=options) as container:
        packets = _add_video(container, video) if video else []
        packets += _add_sound(container, sound) if sound else []
        for packet in sorted(packets, key=lambda packet: Fraction(packet.dts or 0) * packet.time_base):
            container.mux(packet)
    return path


def truncate(path: Path, share: float) -> Path:
    """Cut the end off a file, so that `share` of its bytes are left."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _add_video(container: av.container.OutputContainer, video: Video) -> list[_Packet]:
    first = video.draw(0)
    steps = np.diff([float(t) for t in video.times_s])
    rate = Fraction(float(1 / np.median(steps))).limit_denominator(1001) if len(steps) else Fraction(25)
    options = dict(video.options)
    if video.codec in {"libx264", "libx265"}:
        options = {"preset": "ultrafast", "crf": "16"} | options
    if video.codec.startswith("libvpx"):
        options = {"deadline": "realtime", "cpu-used": "8"} | options
    if video.codec == "libx265":
        options = {"x265-params": "log-level=none"} | options
    stream = container.add_stream(video.codec, rate=rate, options=options)
    assert isinstance(stream, av.video.stream.VideoStream)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = video.pixel_format
    context = stream.codec_context
    fine = container.format.name not in {"avi", "mpeg"} and "mpeg" not in video.codec
    time_base = VIDEO_TIME_BASE if fine else 1 / rate
    stream.time_base = context.time_base = time_base
    context.gop_size, context.max_b_frames = video.gop, video.b_frames
    context.sample_aspect_ratio = video.sample_aspect
    if video.rotation_deg or video.mirrored:
        # FFmpeg turns counter-clockwise, and mirrors after it has turned.
        turn_deg = video.rotation_deg if video.mirrored else -video.rotation_deg
        stream.set_display_rotation(turn_deg, hflip=video.mirrored)
    packets = []
    for index, time_s in enumerate(video.times_s):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(video.draw(index)), format="bgr24")
        frame.time_base = time_base
        frame.pts = round(time_s / time_base)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    generator = np.random.default_rng(0)
    for number in video.corrupt:
        packets[number].update(generator.bytes(packets[number].size))
    return packets


def _add_sound(container: av.container.OutputContainer, sound: Sound) -> list[_Packet]:
    stream = container.add_stream(sound.codec, rate=sound.rate_hz, layout=sound.layout)
    assert isinstance(stream, av.AudioStream)
    context = stream.codec_context
    time_base = Fraction(1, sound.rate_hz)
    context.time_base = time_base
    packets = []
    for start_s, end_s in sound.spans_s:
        first, last = round(start_s * sound.rate_hz), round(end_s * sound.rate_hz)
        samples = sound.wave(np.arange(first, last) / sound.rate_hz)
        pieces = np.clip(samples, -1, 1).astype(np.float32)
        size = 1024 if not context.is_open or not context.frame_size else context.frame_size
        for offset in range(0, len(pieces), size):
            block = np.tile(pieces[offset : offset + size], (len(stream.layout.channels), 1))
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=sound.layout)
            frame.sample_rate, frame.time_base, frame.pts = sound.rate_hz, time_base, first + offset
            packets += stream.encode(frame)
    packets += stream.encode(None)
    return packets
