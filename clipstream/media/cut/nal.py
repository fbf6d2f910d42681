"""NAL units of H.264 and HEVC: taken apart, renumbered, put together.

A packet holds NAL units either length-prefixed (MP4, Matroska) or after start codes (MPEG-TS, Annex B of both
standards). The parameter sets stand in a configuration record (ISO/IEC 14496-15) or as one Annex B string.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = [
    "Framing",
    "ParameterSets",
    "escape",
    "read_parameter_sets",
    "read_ue",
    "reference_frames",
    "replace_bits",
    "split_annex_b",
    "ue",
    "unescape",
]

_START_CODE = re.compile(rb"\x00\x00\x01")
_ESCAPED = re.compile(rb"\x00\x00\x03(?=[\x00-\x03]|$)")
_TO_ESCAPE = re.compile(rb"\x00\x00(?=[\x00-\x03])")
_HVCC_ARRAYS = 22
_VPS, _SPS, _PPS = 32, 33, 34
_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 138, 139, 244})
"""Profiles of H.264 whose parameter sets tell the sampling of chroma and the depth."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How NAL units stand in a packet.

    Attributes:
        length_size: Bytes of the length before each unit; 0 for Annex B start codes.
    """

    length_size: int

    def split(self, data: bytes) -> list[bytes]:
        """Return the NAL units of a packet.

        Raises:
            ValueError: The lengths do not add up.
        """
        if not self.length_size:
            return split_annex_b(data)
        units, at = [], 0
        while at < len(data):
            length = int.from_bytes(data[at : at + self.length_size], "big")
            at += self.length_size
            if at + length > len(data):
                raise ValueError("a NAL unit reaches past the end of its packet")
            units.append(data[at : at + length])
            at += length
        return units

    def join(self, units: Iterable[bytes]) -> bytes:
        """Return a packet of NAL units."""
        if not self.length_size:
            return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)
        return b"".join(len(unit).to_bytes(self.length_size, "big") + unit for unit in units)


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """The parameter sets of a stream and how its packets are framed.

    Attributes:
        hevc: HEVC; H.264 otherwise.
        framing: Framing of the stream's packets.
        units: The parameter sets, as NAL units.
        extradata: The configuration record or Annex B string they were read from.
    """

    hevc: bool
    framing: Framing
    units: tuple[bytes, ...]
    extradata: bytes

    def ids(self) -> frozenset[tuple[int, int]]:
        """Return (NAL type, number) of every parameter set."""
        return frozenset((self.nal_type(unit), self._number(unit)) for unit in self.units if unit)

    def nal_type(self, unit: bytes) -> int:
        """Return the type of a NAL unit."""
        return unit[0] >> 1 & 0x3F if self.hevc else unit[0] & 0x1F

    def joined(self, others: Sequence[bytes]) -> bytes:
        """Return extradata that carries `others` beside the stream's own sets.

        The profile and level of a configuration record stay the stream's own.
        """
        if not self.framing.length_size:
            return self.extradata + self.framing.join(others)
        return self._hvcc(others) if self.hevc else self._avcc(others)

    def _number(self, unit: bytes) -> int:
        payload = unescape(unit)
        if not self.hevc:
            return read_ue(payload, 8 * 4 if self.nal_type(unit) == 7 else 8)
        if self.nal_type(unit) == _VPS:
            return payload[2] >> 4
        if self.nal_type(unit) == _PPS:
            return read_ue(payload, 16)
        # sps_max_sub_layers_minus1 decides how long profile_tier_level is (ITU-T H.265, 7.3.3).
        layers = payload[2] >> 1 & 7
        bit = 16 + 8 + 96
        if layers:
            flags = int.from_bytes(payload[bit // 8 : bit // 8 + 2], "big")
            bit += 16
            for layer in range(layers):
                bit += 88 * (flags >> (15 - 2 * layer) & 1) + 8 * (flags >> (14 - 2 * layer) & 1)
        return read_ue(payload, bit)

    def _avcc(self, others: Sequence[bytes]) -> bytes:
        record = self.extradata
        sps, at = _counted(record, 6, record[5] & 0x1F)
        pps, end = _counted(record, at + 1, record[at])
        sps += [unit for unit in others if unit[0] & 0x1F == 7]
        pps += [unit for unit in others if unit[0] & 0x1F == 8]
        return (
            record[:5]
            + bytes([0xE0 | len(sps)])
            + b"".join(len(unit).to_bytes(2, "big") + unit for unit in sps)
            + bytes([len(pps)])
            + b"".join(len(unit).to_bytes(2, "big") + unit for unit in pps)
            + record[end:]
        )

    def _hvcc(self, others: Sequence[bytes]) -> bytes:
        arrays = list(_hvcc_arrays(self.extradata))
        for kind in (_VPS, _SPS, _PPS):
            added = [unit for unit in others if self.nal_type(unit) == kind]
            place = next((i for i, (head, _) in enumerate(arrays) if head & 0x3F == kind), None)
            if place is None:
                arrays.append((0x80 | kind, added))
            else:
                arrays[place] = (arrays[place][0], arrays[place][1] + added)
        record = self.extradata[:_HVCC_ARRAYS] + bytes([len(arrays)])
        for head, units in arrays:
            record += bytes([head]) + len(units).to_bytes(2, "big")
            record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)
        return record


def read_parameter_sets(codec: str, extradata: bytes) -> ParameterSets:
    """Read the extradata of an `"h264"` or `"hevc"` stream.

    Raises:
        ValueError: There are no parameter sets in it, or it cannot be read.
    """
    hevc = codec == "hevc"
    try:
        if extradata[:3] == b"\x00\x00\x01" or extradata[:4] == b"\x00\x00\x00\x01":
            framing, units = Framing(0), split_annex_b(extradata)
        elif hevc:
            framing = Framing((extradata[21] & 3) + 1)
            units = [unit for _, array in _hvcc_arrays(extradata) for unit in array]
        else:
            framing = Framing((extradata[4] & 3) + 1)
            sps, at = _counted(extradata, 6, extradata[5] & 0x1F)
            units = sps + _counted(extradata, at + 1, extradata[at])[0]
    except IndexError:
        raise ValueError("the stream's parameter sets cannot be read") from None
    kinds = {_VPS, _SPS, _PPS} if hevc else {7, 8}
    sets = ParameterSets(hevc, framing, (), extradata)
    units = [unit for unit in units if unit and sets.nal_type(unit) in kinds]
    if not units:
        raise ValueError("the stream has no parameter sets outside its frames")
    return ParameterSets(hevc, framing, tuple(units), extradata)


def split_annex_b(data: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B string."""
    starts = [match.end() for match in _START_CODE.finditer(data)]
    # Zero bytes before a start code belong to it; a NAL unit never ends in one.
    return [data[start : end - 3].rstrip(b"\x00") for start, end in pairwise([*starts, len(data) + 3])]


def unescape(unit: bytes) -> bytes:
    """Return a NAL unit without its emulation prevention bytes."""
    return _ESCAPED.sub(b"\x00\x00", unit)


def escape(payload: bytes) -> bytes:
    """Return a NAL unit with emulation prevention bytes."""
    return _TO_ESCAPE.sub(b"\x00\x00\x03", payload)


def read_ue(data: bytes, bit: int) -> int:
    """Read an unsigned Exp-Golomb number (ITU-T H.264, 9.1) at a bit position."""
    value = int.from_bytes(data[bit // 8 : bit // 8 + 9].ljust(9, b"\x00"), "big") << bit % 8 & (1 << 72) - 1
    zeros = 72 - value.bit_length()
    return (value >> 71 - 2 * zeros) - 1


def reference_frames(sps: bytes) -> int | None:
    """Return how many frames of an H.264 stream others refer to at a time, at most (max_num_ref_frames, 7.3.2.1.1).

    `None` where it stands behind something that is not read here.
    """
    payload, bit = unescape(sps), 32

    def number() -> int:
        nonlocal bit
        value = read_ue(payload, bit)
        bit += 2 * (value + 1).bit_length() - 1
        return value

    number()
    if payload[1] in _WITH_CHROMA:
        bit += number() == 3
        number()
        number()
        if payload[(bit + 1) // 8] >> 7 - (bit + 1) % 8 & 1:
            return None  # scaling lists
        bit += 2
    number()
    order = number()
    if order == 1:
        return None
    if order == 0:
        number()
    return number()


def ue(value: int) -> str:
    """Return the Exp-Golomb code of a number as a string of 0 and 1."""
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def replace_bits(data: bytes, bit: int, old: int, new: str) -> bytes:
    """Replace `old` bits of an RBSP at a position by those of `new`, a string of 0 and 1.

    Where the length changes by whole bytes, what follows keeps its place in its bytes. Otherwise it moves, and zeros
    fill the last byte, as the trailing bits of a parameter set allow.
    """
    if (len(new) - old) % 8:
        bits = "".join(f"{byte:08b}" for byte in data)
        bits = bits[:bit] + new + bits[bit + old :]
        bits += "0" * (-len(bits) % 8)
        return (int(bits, 2).to_bytes(len(bits) // 8, "big")).rstrip(b"\x00")
    # Only the bytes around the change are taken apart: the rest may be a megabyte of slice data.
    first, last = bit // 8, (bit + old + 7) // 8
    bits = "".join(f"{byte:08b}" for byte in data[first:last])
    bits = bits[: bit % 8] + new + bits[bit % 8 + old :]
    return data[:first] + int(bits, 2).to_bytes(len(bits) // 8, "big") + data[last:]


def _counted(record: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    units = []
    for _ in range(count):
        length = int.from_bytes(record[at : at + 2], "big")
        if at + 2 + length > len(record):
            raise IndexError
        units.append(record[at + 2 : at + 2 + length])
        at += 2 + length
    return units, at


def _hvcc_arrays(record: bytes) -> Iterable[tuple[int, list[bytes]]]:
    at = _HVCC_ARRAYS + 1
    for _ in range(record[_HVCC_ARRAYS]):
        head, count = record[at], int.from_bytes(record[at + 1 : at + 3], "big")
        units, at = _counted(record, at + 3, count)
        yield head, units
