"""Pictures, decoded and encoded again from the first frame to the last."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import av.container
import av.error
import numpy as np
from av.codec.context import Flags
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from clipstream.media.cut.edges import describe_pictures
from clipstream.media.cut.source import AnyPacket, Span, drain, time_base
from clipstream.media.cut.survey import Survey
from clipstream.media.cut.tracks import Track, plural, undecodable

__all__ = ["EncodeVideo", "Encoding", "choose_encoding"]

_X264_FORMATS = frozenset({"yuv420p", "yuv422p", "yuv444p"})
_X265_FORMATS = frozenset({"yuv420p10le", "yuv422p10le", "yuv444p10le"})


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
    options: tuple[tuple[str, str], ...]
    label: str


def choose_encoding(pixel_format: str, crf: int) -> Encoding:
    """Return the encoding that keeps depth and chroma: H.264 for 8 bit, HEVC for more, 4:2:0 for what neither has."""
    planar = pixel_format.replace("yuvj", "yuv").replace("p12le", "p10le")
    if planar in _X265_FORMATS:
        x265 = f"log-level=none:pools=none:frame-threads=2:crf={crf}"
        return Encoding("libx265", planar, (("preset", "veryfast"), ("x265-params", x265)), f"HEVC, CRF {crf}")
    planar = planar if planar in _X264_FORMATS else "yuv420p"
    options = (("preset", "veryfast"), ("crf", str(crf)), ("threads", "4"))
    return Encoding("libx264", planar, options, f"H.264, CRF {crf}")


class EncodeVideo(Track):
    """The video track, every frame of the span encoded again with its own PTS."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        source: VideoStream,
        span: Span,
        found: Survey,
        encoding: Encoding,
    ) -> None:
        super().__init__(source.index, ready=False)
        self._errors = self._out_of_order = 0
        self._source, self._encoding, self._anchor = source, encoding, found.anchor
        self._decoder = source.codec_context
        self._base = time_base(source)
        self._start, self._end, self._zero = span.ticks(source)
        self._last_pts: int | None = None
        self._reached = False
        options = dict(encoding.options)
        stream = container.add_stream(encoding.encoder, rate=source.average_rate or Fraction(25), options=options)
        assert isinstance(stream, VideoStream)
        stream.time_base = stream.codec_context.time_base = self._base
        stream.metadata.update(source.metadata)
        stream.disposition = source.disposition
        self._stream = stream

    @property
    def method(self) -> str:
        """The encoding."""
        return f"re-encoded ({self._encoding.label})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be decoded or placed."""
        notes = undecodable(self._errors, "video")
        if self._out_of_order:
            notes += (f"{plural(self._out_of_order, 'frame')} left out: the source shows them at times already past",)
        return notes

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Take a packet of the source, and give what is ready for the clip."""
        self._reached = self._reached or (packet.is_keyframe and packet.pts in {self._anchor, None})
        if not self._reached:
            return
        if packet.dts is not None and packet.dts >= self._end:
            self.done = True
            return
        assert isinstance(packet.stream, VideoStream)
        self._decoder = packet.stream.codec_context
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self._errors += 1
            return
        yield from self._encode(cast("Iterable[VideoFrame]", frames))

    def finish(self) -> Iterator[AnyPacket]:
        """Give what is left, when the source has no more packets for the track."""
        yield from self._encode(drain(self._decoder))
        if self.frames:
            yield from self._stream.encode(None)

    def _encode(self, frames: Iterable[VideoFrame]) -> Iterator[AnyPacket]:
        for frame in frames:
            if frame.pts is None or not self._start <= frame.pts < self._end:
                continue
            if self._last_pts is not None and frame.pts <= self._last_pts:
                self._out_of_order += 1
                continue
            self._last_pts = frame.pts
            if self.start_s is None:
                self.start_s = frame.pts * self._base
            self.end_s = (frame.pts + (frame.duration or 0)) * self._base
            self.frames += 1
            if not self.ready:
                self._configure(frame)
            yield from self._stream.encode(self._prepare(frame))

    def _prepare(self, frame: VideoFrame) -> VideoFrame:
        pts, duration = cast("int", frame.pts), frame.duration
        wanted = self._stream.width, self._stream.height, self._encoding.pixel_format
        if (frame.width, frame.height, frame.format.name.replace("yuvj", "yuv")) != wanted:
            frame = frame.reformat(*wanted)
        frame.pts, frame.duration, frame.time_base = pts - self._zero, duration, self._base
        frame.pict_type = PictureType.NONE
        return frame

    def _configure(self, frame: VideoFrame) -> None:
        context = self._stream.codec_context
        chroma_halved = self._encoding.pixel_format.startswith("yuv420p")
        context.width = frame.width - frame.width % 2 * chroma_halved
        context.height = frame.height - frame.height % 2 * chroma_halved
        context.pix_fmt = self._encoding.pixel_format
        describe_pictures(context, self._source)
        if frame.interlaced_frame:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        for data in cast("Iterable[SideData]", frame.side_data):
            if data.type is SideDataType.DISPLAYMATRIX:
                self._stream.set_display_matrix([int(n) for n in np.frombuffer(bytes(data), np.int32, count=9)])
        self.ready = True
