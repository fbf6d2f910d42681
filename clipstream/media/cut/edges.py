"""Re-encoded frames that stand beside copied packets of the same stream, so that one decoder plays through.

An edge uses the source's codec, depth, chroma, colours and field order, and no frames that are shown out of order: its
packets fit into the decoding times of the frames they replace.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from clipstream.media.cut.encoders import describe_pictures, ordinary_priority, silence_svt
from clipstream.media.probe import average_rate

__all__ = ["Edge", "EdgeRun", "Edges", "UnfaithfulError"]

_INTERLACED = frozenset({2, 3, 4, 5})
"""AVFieldOrder: 1 is progressive, the rest say which field is coded and shown first."""


class UnfaithfulError(Exception):
    """A cut that cannot be made without loss; the text says why, to complete "re-encoded whole: …"."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One re-encoded frame.

    Attributes:
        data: The packet's payload, framed like the source's.
        pts: PTS of the frame it was made from.
        duration: Its duration, in the same unit.
        is_keyframe: Whether decoding can start with it.
    """

    data: bytes
    pts: int
    duration: int
    is_keyframe: bool


class Edges(ABC):
    """Makes edges for one stream, and knows where its packets can follow one.

    Attributes:
        extradata: What the clip's header carries, so that both the edges and the source's packets can be decoded.
    """

    encoder: str
    options: Mapping[str, str]
    picture_type = PictureType.NONE

    def __init__(self, stream: VideoStream) -> None:
        self.stream = stream
        # Decoding may change it on the way, and then its packets need other parameter sets.
        self._size_px = stream.codec_context.width, stream.codec_context.height
        self.extradata = stream.codec_context.extradata or b""

    def start(self) -> "EdgeRun":
        """Begin a run of frames that follow each other.

        Raises:
            UnfaithfulError: The encoder cannot be had.
        """
        silence_svt()
        with self._refusing():
            run = EdgeRun(self, self._open())
            ordinary_priority()
            return run

    def framed(self, data: bytes, *, is_keyframe: bool) -> bytes:  # noqa: ARG002 - for those that need it
        """Return an encoder's packet as it has to stand among the source's."""
        return data

    @abstractmethod
    def is_seam(self, data: bytes) -> bool:
        """Whether a keyframe of the source may follow an edge: everything after it in PTS can be decoded from it."""

    def at_start(self, data: bytes) -> bytes:
        """Return a keyframe of the source as it has to stand where copying starts."""
        return data

    def at_seam(self, data: bytes) -> bytes:
        """Return a keyframe of the source as it has to stand after an edge."""
        return self.at_start(data)

    def learn(self, data: bytes) -> None:  # noqa: B027 - most codecs repeat nothing
        """Look at the keyframe that the next edge is decoded from, for what its edge has to repeat."""

    def _open(self) -> VideoCodecContext:
        source = self.stream.codec_context
        encoder = av.CodecContext.create(self.encoder, "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height = self._size_px
        encoder.pix_fmt = (source.pix_fmt or "").replace("yuvj", "yuv")
        encoder.framerate = self._rate()
        encoder.time_base = 1 / self._rate()
        encoder.max_b_frames = 0
        describe_pictures(encoder, self.stream)
        if source.field_order in _INTERLACED:
            encoder.flags |= Flags.interlaced_dct | Flags.interlaced_me
            encoder.field_order = source.field_order
        encoder.options = dict(self.options)
        self._adjust(encoder)
        encoder.open()
        return encoder

    def _adjust(self, encoder: VideoCodecContext) -> None:  # noqa: B027 - most codecs need nothing
        """Set what only this codec needs."""

    def _rate(self) -> Fraction:
        rate = average_rate(self.stream) or Fraction(25)
        return rate.limit_denominator(1001) if 1 <= rate <= 1000 else Fraction(25)

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, ValueError) as error:
            raise UnfaithfulError(f"the {self.encoder} encoder does not take its frames ({error})") from error


class EdgeRun:
    """A run of frames encoded as one closed group of pictures, one packet a frame, in order of presentation."""

    def __init__(self, edges: Edges, encoder: VideoCodecContext) -> None:
        self._edges, self._encoder = edges, encoder
        self._frames: list[tuple[int, int]] = []
        self._edge_list: list[Edge] = []

    def add(self, frame: VideoFrame) -> None:
        """Encode one more frame.

        Raises:
            UnfaithfulError: The encoder does not take it.
        """
        if (frame.width, frame.height) != (self._encoder.width, self._encoder.height):
            raise UnfaithfulError("the size of the picture changes on the way")
        assert frame.pts is not None
        self._frames.append((frame.pts, frame.duration or 0))
        # Only the order counts here; the container carries the times, in units that not every codec can.
        frame.pts, frame.time_base, frame.duration = len(self._frames) - 1, self._encoder.time_base, 1
        frame.pict_type = self._edges.picture_type
        self._collect(frame)

    def end(self) -> list[Edge]:
        """Return all of them.

        Raises:
            UnfaithfulError: The encoder gives something else than one packet a frame.
        """
        if self._frames:
            self._collect(None)
        if len(self._edge_list) != len(self._frames):
            raise UnfaithfulError(f"the {self._edges.encoder} encoder leaves out frames")
        return self._edge_list

    def _collect(self, frame: VideoFrame | None) -> None:
        with self._edges._refusing():  # noqa: SLF001 - one family
            packets = self._encoder.encode(frame)
        for packet in packets:
            if packet.pts != len(self._edge_list):
                raise UnfaithfulError(f"the {self._edges.encoder} encoder changes the order of frames")
            data = self._edges.framed(bytes(packet), is_keyframe=packet.is_keyframe)
            self._edge_list.append(Edge(data, *self._frames[packet.pts], packet.is_keyframe))
