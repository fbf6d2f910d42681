"""Edges in codecs whose keyframes carry all they need, or can be given it: VP8, VP9, AV1, MPEG-2, MPEG-4 part 2."""

from collections.abc import Callable
from types import MappingProxyType

from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.stream import VideoStream

from clipstream.media.cut.edges import Edges, UnfaithfulError
from clipstream.media.cut.edges_nal import H264Edges, HevcEdges

__all__ = ["make_edges"]

_QP_TO_LAMBDA = 118
_SEQUENCE_HEADER_OBU = 1
_AV1C_HEADER_BYTES = 4


class Vp8Edges(Edges):
    """Edges in VP8."""

    encoder = "libvpx"
    options = MappingProxyType(
        {
            "deadline": "good",
            "cpu-used": "4",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            "crf": "4",
            "qmin": "0",
            "qmax": "6",
            "b": "100M",
            "threads": "2",
        }
    )

    def is_seam(self, data: bytes) -> bool:
        """Every keyframe is one."""
        return bool(data)


class Vp9Edges(Vp8Edges):
    """Edges in VP9."""

    encoder = "libvpx-vp9"
    options = MappingProxyType(
        {
            "deadline": "good",
            "cpu-used": "5",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            "crf": "8",
            "qmin": "0",
            "qmax": "16",
            "b": "0",
            "threads": "2",
            "row-mt": "0",
        }
    )


class Av1Edges(Edges):
    """Edges in AV1. Each keyframe brings its own sequence header; one of the source that lacks it is given it."""

    encoder = "libsvtav1"
    options = MappingProxyType({"preset": "7", "crf": "4", "svtav1-params": "lp=1:pred-struct=1:keyint=-1"})

    def is_seam(self, data: bytes) -> bool:
        """Every keyframe is one."""
        return bool(data)

    def at_start(self, data: bytes) -> bytes:
        """Return the keyframe with a sequence header."""
        has_header = any(kind == _SEQUENCE_HEADER_OBU for kind in _obu_types(data))
        return data if has_header else (self.stream.codec_context.extradata or b"")[_AV1C_HEADER_BYTES:] + data


class MpegEdges(Edges):
    """Edges in MPEG-2 and MPEG-4 part 2: the headers stand in the stream, and are sent again at each seam."""

    def __init__(self, stream: VideoStream, encoder: str, sequence_codes: frozenset[int]) -> None:
        super().__init__(stream)
        self.encoder = encoder
        self.options = {"qmin": "1", "qmax": "1", "sc_threshold": "1000000000"}
        self._sequence_codes = sequence_codes

    def is_seam(self, data: bytes) -> bool:
        """Every keyframe is one, if the headers it needs are known."""
        return self._has_headers(data) or self._has_headers(self.extradata)

    def at_start(self, data: bytes) -> bytes:
        """Return the keyframe with its headers."""
        return data if self._has_headers(data) else self.extradata + data

    def _adjust(self, encoder: VideoCodecContext) -> None:
        encoder.flags |= Flags.qscale | Flags.closed_gop
        encoder.global_quality = _QP_TO_LAMBDA
        encoder.gop_size = 600
        if self.stream.codec_context.has_b_frames:
            # A decoder that is told there are no B-frames would not wait for a frame, and then has to: so the headers
            # announce some, and none comes.
            encoder.max_b_frames = 1
            self.picture_type = PictureType.P

    def _has_headers(self, data: bytes) -> bool:
        return any(b"\x00\x00\x01" + bytes([code]) in data for code in self._sequence_codes)


def make_edges(stream: VideoStream) -> Edges | None:
    """Return what makes edges for a stream, or `None` where its codec has no encoder here.

    Raises:
        UnfaithfulError: The stream uses its codec in a way that no edge can follow.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec == "mpeg4" and stream.codec_context.codec_tag.upper() in {"XVID", "DIVX", "DX50"}:
        raise UnfaithfulError("its MPEG-4 frames may be packed two in one")
    make = _EDGES.get(codec)
    return None if make is None else make(stream)


_EDGES: dict[str, Callable[[VideoStream], Edges]] = {
    "av1": Av1Edges,
    "h264": H264Edges,
    "hevc": HevcEdges,
    "mpeg2video": lambda stream: MpegEdges(stream, "mpeg2video", frozenset({0xB3})),
    "mpeg4": lambda stream: MpegEdges(stream, "mpeg4", frozenset(range(0x20, 0x30))),
    "vp8": Vp8Edges,
    "vp9": Vp9Edges,
}


def _obu_types(data: bytes) -> list[int]:
    kinds, at = [], 0
    while at < len(data):
        header = data[at]
        kinds.append(header >> 3 & 0xF)
        at += 1 + (header >> 2 & 1)
        if not header & 2:
            break
        size = shift = 0
        while at < len(data):
            size |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not data[at - 1] & 0x80:
                break
        at += size
    return kinds
