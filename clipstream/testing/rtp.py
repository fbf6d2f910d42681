"""RTP packets, RTCP reports and session descriptions.

RFC 3550 (RTP and RTCP), 6184 (H.264), 7798 (HEVC), 3640 (AAC), 8866 (SDP).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from clipstream.testing.programme import Programme, Track, Unit

__all__ = ["UNTIMED", "Sender", "describe", "payloads"]

_MOST_BYTES = 1400
_FIRST_TYPE = 96
_STATIC_TYPES = {"PCMU": 0, "PCMA": 8}
_NTP_AT_ZERO_S = 3_912_710_400
"""What a sender report says of stream time zero: a day of 2023, the same in every run."""

_FIRST_STAMP = 0x51A7E000
"""The RTP timestamp of stream time zero. Any but 0, which FFmpeg takes for "not known yet"."""

UNTIMED = 0xFFFFFFFF
"""The RTP timestamp that FFmpeg takes for none at all: the packet arrives without PTS."""


def describe(programme: Programme) -> str:
    """Return the session description (SDP) of a programme; its tracks are controlled as `track0`, `track1`."""
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=clipstream", "c=IN IP4 127.0.0.1", "t=0 0", "a=control:*"]
    for index, track in enumerate(programme.tracks):
        number = _payload_type(index, track)
        channels = f"/{track.channels}" if track.channels > 1 else ""
        lines += [
            f"m={track.kind} 0 RTP/AVP {number}",
            f"a=rtpmap:{number} {track.name}/{track.clock_hz}{channels}",
            *([f"a=fmtp:{number} {track.parameters}"] if track.parameters else []),
            f"a=control:track{index}",
        ]
    return "\r\n".join(lines) + "\r\n"


def payloads(track: Track, unit: Unit) -> Iterator[bytes]:
    """Yield the payloads of the RTP packets that carry a unit."""
    if track.name == "mpeg4-generic":
        yield from (struct.pack(">HH", 16, len(part) << 3) + part for part in unit.parts)
    elif track.kind == "audio":
        yield from unit.parts
    else:
        for part in unit.parts:
            yield from [part] if len(part) <= _MOST_BYTES else _fragments(track, part)


def _fragments(track: Track, part: bytes) -> Iterator[bytes]:
    if track.name == "H264":
        lead, kind, at = bytes([part[0] & 0xE0 | 28]), part[0] & 0x1F, 1
    else:
        lead, kind, at = bytes([part[0] & 0x81 | 49 << 1, part[1]]), part[0] >> 1 & 0x3F, 2
    pieces = [part[start : start + _MOST_BYTES] for start in range(at, len(part), _MOST_BYTES)]
    for index, piece in enumerate(pieces):
        first, last = 0x80 * (index == 0), 0x40 * (index == len(pieces) - 1)
        yield lead + bytes([first | last | kind]) + piece


@dataclass(slots=True)
class Sender:
    """The sending end of one track for one client: counts packets and stamps them.

    Attributes:
        index: Of the track.
        track: What is sent.
        sequence: Number of the last packet, modulo 2^16.
        packets: How many were sent.
        octets: How many bytes of payload were.
    """

    index: int
    track: Track
    sequence: int = field(default=0)
    packets: int = field(default=0)
    octets: int = field(default=0)

    @property
    def source(self) -> int:
        """The synchronisation source (SSRC)."""
        return 0x11111111 * (self.index + 1)

    def packet(self, payload: bytes, stamp: int, *, last: bool) -> bytes:
        """Return the next RTP packet; `last` marks the end of a unit."""
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        kind = _payload_type(self.index, self.track) | 0x80 * last
        return struct.pack(">BBHII", 0x80, kind, self.sequence, stamp, self.source) + payload

    def stamp(self, stream_s: Fraction) -> int:
        """Return the RTP timestamp of a stream time."""
        return _FIRST_STAMP + round(stream_s * self.track.clock_hz) & 0xFFFFFFFF

    def report(self, stream_s: Fraction) -> bytes:
        """Return a sender report: the camera's clock runs, and jumps, with its stream."""
        ntp = round((_NTP_AT_ZERO_S + stream_s) * 2**32) & 0xFFFFFFFFFFFFFFFF
        counts = self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF
        return struct.pack(">BBHIQIII", 0x80, 200, 6, self.source, ntp, self.stamp(stream_s), *counts)

    def goodbye(self) -> bytes:
        """Return the RTCP packet that ends the track."""
        return struct.pack(">BBHI", 0x81, 203, 1, self.source)


def _payload_type(index: int, track: Track) -> int:
    return _STATIC_TYPES.get(track.name, _FIRST_TYPE + index)
