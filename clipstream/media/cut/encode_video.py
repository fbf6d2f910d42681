"""Pictures, decoded and encoded again from the first frame to the last."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
import av.container
import av.error
import numpy as np
from av.codec.context import Flags
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from clipstream.media.cut.containers import Carrier
from clipstream.media.cut.encoders import Encoding, describe_pictures, silence_svt
from clipstream.media.cut.hdr import hdr_options
from clipstream.media.cut.source import AnyPacket, Span, drain, time_base
from clipstream.media.cut.survey import Survey
from clipstream.media.cut.tracks import Track, describe_track, plural, undecodable
from clipstream.media.probe import average_rate
from clipstream.media.side_data import side_data

__all__ = ["EncodeVideo"]


class EncodeVideo(Track):
    """The video track, every frame of the span encoded again with its own PTS, or DTS where the source has `no_pts`."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        source: VideoStream,
        span: Span,
        found: Survey,
        *,
        encoding: Encoding,
        kind: Carrier,
        no_pts: bool = False,
    ) -> None:
        super().__init__(source.index, ready=False)
        self._errors = self._out_of_order = 0
        self._no_pts = no_pts
        self._source, self._encoding, self._anchor = source, encoding, found.anchor
        self._decoder = source.codec_context
        self._base = time_base(source)
        self._start, self._end, self._zero = span.ticks(source)
        self._held: VideoFrame | None = None
        self._following: int | None = None
        self._reached = self._loses_fields = False
        self._format_before = ""
        silence_svt()
        options = dict(encoding.options)
        stream = container.add_stream(encoding.encoder, rate=average_rate(source) or Fraction(25), options=options)
        assert isinstance(stream, VideoStream)
        stream.time_base = stream.codec_context.time_base = self._base
        if encoding.encoder == "libx265" and kind.hevc_tag:
            stream.codec_context.codec_tag = kind.hevc_tag
        describe_track(stream, source)
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
        if self._loses_fields:
            notes += (f"{self._encoding.label} does not tell its two fields a frame: they become one picture",)
        if self._format_before:
            notes += (f"pictures changed from {self._format_before} to {self._encoding.pixel_format}",)
        return notes

    def feed(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Take a packet of the source, and give what is ready for the clip."""
        self._reached = self._reached or (packet.is_keyframe and packet.pts in {self._anchor, None})
        if not self._reached:
            return
        if packet.pts is not None and packet.pts >= self._end:
            self._following = min(packet.pts, self._following if self._following is not None else packet.pts)
        if packet.dts is not None and packet.dts >= self._end:
            self.done = True
            return
        assert isinstance(packet.stream, VideoStream)
        # The source may have been opened again since, and its decoder knows the colours better than its container.
        self._source, self._decoder = packet.stream, packet.stream.codec_context
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            self._errors += 1
            return
        yield from self._encode(cast("Iterable[VideoFrame]", frames))

    def finish(self) -> Iterator[AnyPacket]:
        """Give what is left, when the source has no more packets for the track."""
        yield from self._encode(drain(self._decoder))
        if self._held is not None:
            assert self._held.pts is not None
            if self._following is not None:
                yield from self._release(min(self._following, self._end))
            else:
                yield from self._release(self._held.pts + (self._held.duration or 0))
            yield from self._stream.encode(None)

    def _encode(self, frames: Iterable[VideoFrame]) -> Iterator[AnyPacket]:
        for frame in frames:
            if self._no_pts:
                frame.pts = frame.dts
            if frame.pts is None or not self._start <= frame.pts < self._end:
                continue
            if self._held is not None and frame.pts <= cast("int", self._held.pts):
                self._out_of_order += 1
                continue
            if self._held is None:
                self.start_s = frame.pts * self._base
                self._configure(frame)
            else:
                yield from self._release(frame.pts)
            self._held = frame

    def _release(self, following: int) -> Iterator[AnyPacket]:
        """Encode the frame that waited for the PTS of the next: its duration is known only now."""
        frame = self._held
        assert frame is not None
        self.frames += 1
        self.end_s = following * self._base
        yield from self._stream.encode(self._prepare(frame, following - cast("int", frame.pts)))

    def _prepare(self, frame: VideoFrame, duration: int) -> VideoFrame:
        pts = cast("int", frame.pts)
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
        for key, more in hdr_options(self._encoding.encoder, frame).items():
            context.options[key] += more
        if frame.interlaced_frame and self._encoding.encoder == "libx264":
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            context.field_order = self._source.codec_context.field_order
        self._loses_fields = frame.interlaced_frame and self._encoding.encoder != "libx264"
        before = frame.format.name.replace("yuvj", "yuv")
        self._format_before = "" if before == self._encoding.pixel_format else before
        if matrix := side_data(frame, SideDataType.DISPLAYMATRIX):
            self._stream.set_display_matrix([int(n) for n in np.frombuffer(matrix, np.int32, count=9)])
        self.ready = True
