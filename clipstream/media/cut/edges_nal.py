"""Edges in H.264 and HEVC: their parameter sets are numbered apart from the source's and stand beside them."""

from collections.abc import Iterable

from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from clipstream.media.cut.edges import Edges, UnfaithfulError
from clipstream.media.cut.nal import (
    ParameterSets,
    escape,
    read_parameter_sets,
    reference_frames,
    replace_bits,
    split_annex_b,
    ue,
    unescape,
)

__all__ = ["H264Edges", "HevcEdges"]

_H264_PROFILES = {
    "Baseline": "baseline",
    "Constrained Baseline": "baseline",
    "Main": "main",
    "High": "high",
    "High 10": "high10",
    "High 4:2:2": "high422",
    "High 4:4:4 Predictive": "high444",
}
_H264_SEI, _H264_IDR, _H264_SPS = 6, 5, 7
_USER_DATA_UNREGISTERED = 5
_HEVC_IDR, _HEVC_CRA = frozenset({19, 20}), 21
_HEVC_BLA = frozenset({16, 17, 18})
_HEVC_BLA_N_LP = 18
_HEVC_PREFIX_SEI = 39
_VPS, _SPS, _PPS = 32, 33, 34
_FIRST_IRAP = 16
_PROFILE_TIER_LEVEL_BITS = 96
_HEVC_LASTING_SEI = frozenset({137, 144, 147})
"""Mastering display, content light level and preferred transfer: they hold until the next IDR only."""
_PPS_NUMBERS = range(15, 31)
"""In Exp-Golomb code these take 9 bits and 0 takes 1: renumbered, what follows in a slice moves by a whole byte."""


class H264Edges(Edges):
    """Edges in H.264. Copying can begin at an IDR alone: a change of parameter sets is allowed nowhere else."""

    encoder = "libx264"

    def __init__(self, stream: VideoStream) -> None:
        super().__init__(stream)
        self._sets = _parameter_sets("h264", self.extradata)
        taken = {number for _, number in self._sets.ids()}
        free = next((number for number in range(1, 32) if number not in taken), None)
        profile = _H264_PROFILES.get(stream.codec_context.profile or "")
        if free is None or profile is None:
            raise UnfaithfulError(f"its H.264 profile ({stream.codec_context.profile}) cannot be encoded")
        # The same profile and as many frames held: a decoder may otherwise begin anew at the seam, and drop frames that
        # wait to be shown (no_output_of_prior_pics_flag, ITU-T H.264, 7.4.3.3).
        sps = next((unit for unit in self._sets.units if self._sets.nal_type(unit) == _H264_SPS), b"")
        references = reference_frames(sps) if sps else None
        # Its cheapest tool makes a profile: with CABAC, edges in High would cost an eighth more.
        tools = {"baseline": "", "main": ":cabac=1"}.get(profile, ":8x8dct=1")
        held = f":dpb-size={references}" if references else ""
        # At this quality a slower preset saves a tenth of an edge's bytes, for twice its time.
        self.options = {
            "preset": "ultrafast",
            "tune": "psnr",
            "profile": profile,
            "crf": "10",
            "threads": "1",
            "x264-params": f"sps-id={free}:bframes=0:scenecut=0:keyint=infinite:rc-lookahead=0:mbtree=0{tools}{held}",
        }
        self._own = _own_sets(self)
        self.extradata = self._sets.joined(self._own)

    def _adjust(self, encoder: VideoCodecContext) -> None:
        encoder.flags |= Flags.global_header

    def is_seam(self, data: bytes) -> bool:
        """Whether it is an IDR."""
        return any(unit and unit[0] & 0x1F == _H264_IDR for unit in _units(self._sets, data))

    def at_start(self, data: bytes) -> bytes:
        """Return the IDR with the source's parameter sets, where these stand in the stream."""
        return _with_sets(self._sets, data)

    def framed(self, data: bytes, *, is_keyframe: bool) -> bytes:
        """Return an encoder's packet as it has to stand among the source's."""
        units = [
            unit
            for unit in split_annex_b(data)
            if unit[0] & 0x1F not in {7, 8} and unit[:2] != bytes([_H264_SEI, _USER_DATA_UNREGISTERED])
        ]
        if is_keyframe and not self._sets.framing.length_size:
            units = [*self._own, *units]
        return self._sets.framing.join(units)


class HevcEdges(Edges):
    """Edges in HEVC. x265 cannot number its parameter sets, so they are renumbered, and every slice with them.

    Copying can begin at an IDR or BLA, and at a CRA, which becomes a BLA: the same picture, after which leading
    pictures that would need what came before are not expected (ITU-T H.265, 8.1.3).
    """

    encoder = "libx265"

    def __init__(self, stream: VideoStream) -> None:
        super().__init__(stream)
        self._sets = _parameter_sets("hevc", self.extradata)
        taken = self._sets.ids()
        self._vps, self._sps, self._pps = (
            next((number for number in numbers if (kind, number) not in taken), None)
            for kind, numbers in ((_VPS, range(1, 16)), (_SPS, range(1, 16)), (_PPS, _PPS_NUMBERS))
        )
        self._lasting: list[bytes] = []
        self.options = {
            "preset": "ultrafast",
            "tune": "psnr",
            "x265-params": "log-level=none:pools=none:frame-threads=1:wpp=0:bframes=0:open-gop=0:scenecut=0:keyint=-1:"
            "repeat-headers=0:rc-lookahead=0:info=0:crf=11",
        }
        self._own = [self._renumbered(unit) for unit in _own_sets(self)]
        self.extradata = self._sets.joined(self._own)

    def _adjust(self, encoder: VideoCodecContext) -> None:
        encoder.flags |= Flags.global_header

    def is_seam(self, data: bytes) -> bool:
        """Whether it is an IDR, CRA or BLA."""
        seams = _HEVC_IDR | _HEVC_BLA | {_HEVC_CRA}
        return any(unit and self._sets.nal_type(unit) in seams for unit in _units(self._sets, data))

    def at_start(self, data: bytes) -> bytes:
        """Return the keyframe with the source's parameter sets, where these stand in the stream."""
        return _with_sets(self._sets, data)

    def at_seam(self, data: bytes) -> bytes:
        """Return the same, a CRA as a BLA."""
        units = [
            bytes([unit[0] & 0x81 | _HEVC_BLA_N_LP << 1]) + unit[1:]
            if self._sets.nal_type(unit) in _HEVC_BLA | {_HEVC_CRA}
            else unit
            for unit in _units(self._sets, data)
        ]
        return _with_sets(self._sets, self._sets.framing.join(units))

    def learn(self, data: bytes) -> None:
        """Keep what the source says of its HDR."""
        lasting = [
            unit
            for unit in _units(self._sets, data)
            if self._sets.nal_type(unit) == _HEVC_PREFIX_SEI and unit[2] in _HEVC_LASTING_SEI
        ]
        self._lasting = lasting or self._lasting

    def framed(self, data: bytes, *, is_keyframe: bool) -> bytes:
        """Return an encoder's packet as it has to stand among the source's."""
        kinds = {_VPS, _SPS, _PPS}
        units = [self._renumbered(unit) for unit in split_annex_b(data) if self._sets.nal_type(unit) not in kinds]
        if is_keyframe:
            units = [*self._lasting, *units]
            if not self._sets.framing.length_size:
                units = [*self._own, *units]
        return self._sets.framing.join(units)

    def _renumbered(self, unit: bytes) -> bytes:
        kind, start = self._sets.nal_type(unit), 16
        if kind > _PPS or kind in range(22, 32):
            return unit
        if self._vps is None or self._sps is None or self._pps is None:
            raise UnfaithfulError("its HEVC parameter sets leave no number free")
        payload = unescape(unit)
        if kind == _VPS:
            payload = replace_bits(payload, start, 4, f"{self._vps:04b}")
        elif kind == _SPS:
            assert not payload[2] >> 1 & 7, "x265 makes one temporal layer"
            payload = replace_bits(payload, start, 4, f"{self._vps:04b}")
            payload = replace_bits(payload, start + 8 + _PROFILE_TIER_LEVEL_BITS, 1, ue(self._sps))
        elif kind == _PPS:
            payload = replace_bits(payload, start, 2, ue(self._pps) + ue(self._sps))
        else:
            payload = replace_bits(payload, start + (2 if kind >= _FIRST_IRAP else 1), 1, ue(self._pps))
        return escape(payload)


def _own_sets(edges: Edges) -> list[bytes]:
    """Return the parameter sets that the encoder of an edge uses."""
    with edges._refusing():  # noqa: SLF001 - one family
        extradata = edges._open().extradata or b""  # noqa: SLF001 - one family
    kinds = {_VPS, _SPS, _PPS} if edges.encoder == "libx265" else {7, 8}
    return [
        unit
        for unit in split_annex_b(extradata)
        if (unit[0] >> 1 & 0x3F if edges.encoder == "libx265" else unit[0] & 0x1F) in kinds
    ]


def _parameter_sets(codec: str, extradata: bytes) -> ParameterSets:
    try:
        return read_parameter_sets(codec, extradata)
    except ValueError as error:
        raise UnfaithfulError(str(error)) from error


def _units(sets: ParameterSets, data: bytes) -> Iterable[bytes]:
    try:
        return [unit for unit in sets.framing.split(data) if unit]
    except ValueError as error:
        raise UnfaithfulError(str(error)) from error


def _with_sets(sets: ParameterSets, data: bytes) -> bytes:
    if sets.framing.length_size:
        return data
    kinds = {kind for kind, _ in sets.ids()}
    if any(sets.nal_type(unit) in kinds for unit in _units(sets, data)):
        return data
    return sets.framing.join(sets.units) + data
