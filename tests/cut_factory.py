"""Sources for the cutting tests, in every kind that is promised, and what a clip of one has to be."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import chain, takewhile
from pathlib import Path
from typing import cast

import av
import av.container
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from clipstream.media.cut.source import AnyPacket
from clipstream.media.probe import choose_video, media_origin, open_media
from clipstream.media.side_data import side_data

__all__ = [
    "Kind",
    "Picture",
    "Track",
    "decode_pictures",
    "decode_sound",
    "display_matrix",
    "ffmpeg",
    "ffmpeg_complaints",
    "fields",
    "make_source",
    "psnr_db",
    "sound_packets",
    "sound_tick_s",
]

WIDTH_PX, HEIGHT_PX = 192, 112
TICKS = Fraction(1, 90_000)


@dataclass(frozen=True, slots=True)
class Track:
    """A track of sound: its encoder, rate, and what its language and title are."""

    codec: str = "aac"
    rate_hz: int = 48_000
    layout: str = "stereo"
    language: str = "eng"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source.

    Attributes:
        name: What a failing test calls it.
        suffix: Container.
        codec: Encoder of the pictures.
        options: Its options.
        gop: Distance of keyframes, in frames.
        b_frames: Most B-frames in a row.
        rate_hz: Frames a second, on average where it varies.
        variable: Whether frames are spaced unevenly.
        pixel_format: Depth and chroma.
        closed: Whether groups of pictures are closed by flag (MPEG-2, MPEG-4).
        interlaced: Whether frames are coded as two fields.
        bottom_first: Whether the second field is shown first.
        frames: How many there are.
        tracks: Sound.
        colours: Primaries, transfer and matrix, as numbers of ITU-T H.273.
        full_range: Whether black is 0.
        aspect: Width of a pixel over its height.
        turn_deg: Rotation in the container.
        mirrored: Whether it mirrors the picture left to right before.
        start_s: PTS of the first frame.
    """

    name: str
    suffix: str = ".mp4"
    codec: str = "libx264"
    options: tuple[tuple[str, str], ...] = ()
    gop: int = 20
    b_frames: int = 2
    rate_hz: Fraction = Fraction(30)
    variable: bool = False
    pixel_format: str = "yuv420p"
    closed: bool = False
    interlaced: bool = False
    bottom_first: bool = False
    frames: int = 75
    tracks: Sequence[Track] = field(default=(Track(),))
    colours: tuple[int, int, int] = (1, 1, 1)
    full_range: bool = False
    aspect: Fraction = Fraction(1)
    turn_deg: int = 0
    mirrored: bool = False
    start_s: Fraction = Fraction(0)

    def times_s(self) -> list[Fraction]:
        """Return the PTS of each frame."""
        generator = np.random.default_rng(7)
        gaps = generator.integers(1, 5, self.frames) if self.variable else np.full(self.frames, 2)
        at = np.concatenate([[0], np.cumsum(gaps)[:-1]])
        return [self.start_s + Fraction(int(n), 2) / self.rate_hz for n in at]


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A decoded frame: its time on the clip's clock and its brightness."""

    time_s: Fraction
    luma: NDArray[np.uint16]


def make_source(path: Path, kind: Kind) -> Path:
    """Write a source of a kind, its frames all different and its sound never the same twice."""
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        container.metadata["title"] = "A source"
        packets = _pictures(container, kind)
        for track in kind.tracks:
            packets += _sound(container, track, kind)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            container.mux(packet)
    return path


def decode_pictures(
    path: Path, start_s: Fraction | None = None, end_s: Fraction | None = None
) -> tuple[list[Picture], VideoFrame]:
    """Return the frames of a file whose media time lies in a span, and the last frame itself."""
    found, last = [], None
    with open_media(path) as container:
        stream, origin_s = choose_video(container), media_origin(container)
        assert stream is not None

        def is_needed(packet: "av.Packet[VideoStream] | None") -> bool:
            assert packet is not None
            return end_s is None or packet.dts is None or packet.dts * packet.time_base - origin_s <= end_s + 1

        for packet in chain(takewhile(is_needed, container.demux(stream)), [None]):
            try:
                frames = stream.codec_context.decode(packet)
            except av.error.FFmpegError:
                continue
            for frame in frames:
                assert frame.pts is not None
                assert stream.time_base is not None
                time_s = frame.pts * stream.time_base - origin_s
                last = frame
                if (start_s is None or time_s >= start_s) and (end_s is None or time_s < end_s):
                    found.append(Picture(time_s, _luma(frame)))
    assert last is not None, f"{path} has no frame"
    return found, last


def decode_sound(path: Path, number: int) -> tuple[NDArray[np.float32], Fraction, int]:
    """Return a track as one channel of samples, the media time of the first, and the rate. Gaps are silent."""
    with open_media(path) as container:
        stream, origin_s = container.streams.audio[number], media_origin(container)
        rate_hz = stream.codec_context.sample_rate
        pieces: list[tuple[int, NDArray[np.float32]]] = []
        resampler = av.AudioResampler("fltp", "mono", rate_hz)
        for frame in container.decode(stream):
            assert isinstance(frame, AudioFrame)
            assert frame.pts is not None
            at = round((frame.pts * cast("Fraction", frame.time_base) - origin_s) * rate_hz)
            frame.pts = None
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray()[0].astype(np.float32)
                pieces.append((at, samples))
                at += len(samples)
    first, last = pieces[0][0], max(at + len(samples) for at, samples in pieces)
    whole = np.zeros(last - first, np.float32)
    for at, samples in pieces:
        whole[at - first : at - first + len(samples)] = samples
    return whole, Fraction(first, rate_hz), rate_hz


def sound_packets(path: Path, number: int) -> tuple[Fraction, Fraction]:
    """Return how long the longest packet of a track is, and the media time at which the container says it ends."""
    with open_media(path) as container:
        stream, origin_s = container.streams.audio[number], media_origin(container)
        assert stream.time_base is not None
        frame = max(packet.duration or 0 for packet in container.demux(stream))
        end = (stream.start_time or 0) + (stream.duration or 0)
        return frame * stream.time_base, end * stream.time_base - origin_s


def sound_tick_s(path: Path, number: int) -> Fraction:
    """Return the unit in which the times of a track of sound are stored."""
    with open_media(path) as container:
        return container.streams.audio[number].time_base or Fraction(0)


def psnr_db(one: Picture, other: Picture) -> float:
    """Return how alike two pictures are; infinite where they are the same."""
    assert one.luma.shape == other.luma.shape
    error = np.mean((one.luma.astype(np.float64) - other.luma.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(65535**2 / error))


def display_matrix(frame: VideoFrame) -> bytes | None:
    """Return the matrix that turns a frame, if it has one."""
    return side_data(frame, SideDataType.DISPLAYMATRIX) or None


@cache
def ffmpeg() -> str | None:
    """Return where the ffmpeg program is, if it is."""
    return shutil.which("ffmpeg")


def ffmpeg_complaints(path: Path) -> str:
    """Return what ffmpeg, a decoder of another version, says against a file: nothing, if all is well."""
    program = ffmpeg()
    if program is None:
        return ""
    command = [program, "-v", "error", "-xerror", "-i", str(path), "-map", "0:v?", "-map", "0:a?"]
    # Frames keep their own times: the null output would otherwise round them to a constant rate, and say so.
    command += ["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def fields(path: Path) -> list[str]:
    """Return the order of fields of each frame, as ffprobe sees it: `tt`, `bb` or `progressive`."""
    program = shutil.which("ffprobe")
    assert program is not None
    command = [program, "-v", "error", "-select_streams", "v:0", "-show_entries"]
    command += ["frame=interlaced_frame,top_field_first", "-of", "csv=p=0", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    names = {"1,1": "tt", "1,0": "bb", "0,0": "progressive"}
    return [names[line.rstrip(",")] for line in lines]


def _luma(frame: VideoFrame) -> NDArray[np.uint16]:
    deep = "10" in frame.format.name
    grey = frame.to_ndarray(format="gray16le" if deep else "gray")
    return grey.astype(np.uint16) if deep else grey.astype(np.uint16) * 257


def _pictures(container: av.container.OutputContainer, kind: Kind) -> list[AnyPacket]:
    stream = container.add_stream(kind.codec, rate=kind.rate_hz, options=_encoder_options(kind))
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = WIDTH_PX, HEIGHT_PX, kind.pixel_format
    # MPEG-1, -2 and -4 count in frames; half a frame serves the uneven spacing of the others.
    counts_frames = kind.codec in {"mpeg2video", "mpeg4"}
    base = 1 / kind.rate_hz if counts_frames else 1 / (2 * kind.rate_hz)
    stream.time_base = context.time_base = base
    context.gop_size, context.max_b_frames = kind.gop, kind.b_frames
    context.sample_aspect_ratio = kind.aspect
    context.color_primaries, context.color_trc, context.colorspace = kind.colours
    context.color_range = 2 if kind.full_range else 1
    if kind.closed:
        context.flags |= Flags.closed_gop
    if kind.interlaced:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.field_order = 3 if kind.bottom_first else 2
    if kind.turn_deg or kind.mirrored:
        stream.set_display_matrix(_matrix(kind))
    stream.metadata["language"] = "fra"
    packets: list[AnyPacket] = []
    fields = _field_order(stream, kind) if kind.interlaced else None
    for number, time_s in enumerate(kind.times_s()):
        frame = VideoFrame.from_ndarray(_draw(number), format="bgr24").reformat(format=kind.pixel_format)
        if fields is not None:
            fields.push(frame)
            frame = cast("VideoFrame", fields.pull())
        frame.time_base, frame.pts = base, round(time_s / base)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _field_order(stream: VideoStream, kind: Kind) -> Graph:
    """Return what says of a frame which field comes first."""
    graph = Graph()
    context = stream.codec_context
    buffer = graph.add_buffer(
        width=context.width, height=context.height, format=context.format, time_base=context.time_base
    )
    order = graph.add("setfield", "mode=bff" if kind.bottom_first else "mode=tff")
    sink = graph.add("buffersink")
    buffer.link_to(order)
    order.link_to(sink)
    graph.configure()
    return graph


def _matrix(kind: Kind) -> list[int]:
    """Return a display matrix (ISO/IEC 14496-12, 6.2.2): mirrored first, then turned against the clock."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[kind.turn_deg]
    across = -1 if kind.mirrored else 1
    one = 1 << 16
    return [across * cos * one, -across * sin * one, 0, sin * one, cos * one, 0, 0, 0, 1 << 30]


def _encoder_options(kind: Kind) -> dict[str, str]:
    options = dict(kind.options)
    if kind.codec == "libx264":
        return {"preset": "ultrafast", "crf": "20", "threads": "1"} | options
    if kind.codec == "libx265":
        own = options.pop("x265-params", "open-gop=1")
        params = f"log-level=none:pools=none:frame-threads=1:keyint={kind.gop}:min-keyint={kind.gop}:scenecut=0"
        return {"preset": "ultrafast", "x265-params": f"{params}:bframes={kind.b_frames}:{own}"} | options
    return options


def _draw(number: int) -> NDArray[np.uint8]:
    """Return a picture that moves and carries its number as blocks, smooth enough to be coded well."""
    y, x = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX].astype(np.float32)
    picture = np.stack(
        [
            128 + 90 * np.sin((x + 3 * number) / 23) * np.cos((y - 2 * number) / 17),
            128 + 90 * np.sin((x - 2 * number) / 31 + y / 19),
            128 + 90 * np.cos((y + 4 * number) / 29 - x / 37),
        ],
        axis=2,
    )
    for bit in range(8):
        picture[:12, bit * 24 : bit * 24 + 24] = 200 if number >> bit & 1 else 50
    return picture.clip(0, 255).astype(np.uint8)


def _sound(container: av.container.OutputContainer, track: Track, kind: Kind) -> list[AnyPacket]:
    stream = container.add_stream(track.codec, rate=track.rate_hz, layout=track.layout)
    assert isinstance(stream, AudioStream)
    base = Fraction(1, track.rate_hz)
    context = stream.codec_context
    context.time_base = base
    stream.metadata["language"] = track.language
    stream.metadata["title"] = f"In {track.language}"
    first = round(kind.start_s * track.rate_hz)
    times = kind.times_s()
    length = round((times[-1] - times[0] + 1 / kind.rate_hz) * track.rate_hz)
    generator = np.random.default_rng(track.seed)
    # Noise without its highest tones: unlike any shifted copy of itself, and kept well by lossy codecs.
    samples = np.convolve(generator.normal(0, 1, length), np.hanning(33), "same")
    samples = (samples / np.abs(samples).max() * 0.7).astype(np.float32)
    channels = 1 if track.layout == "mono" else 2
    packets: list[AnyPacket] = []
    for offset in range(0, length, 960):
        block = np.tile(samples[offset : offset + 960], (channels, 1))
        frame = AudioFrame.from_ndarray(block, format="fltp", layout=track.layout)
        frame.sample_rate, frame.time_base, frame.pts = track.rate_hz, base, first + offset
        packets += stream.encode(frame)
    return packets + stream.encode(None)
