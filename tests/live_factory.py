"""Packets that come as from a camera: out of files, or made up."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.container
from av.packet import Packet
from av.stream import Stream

from clipstream.media.probe import media_origin, open_media
from clipstream.media.recording.packet_file import FOOTER, HEADER, TEMPLATE, Record, records
from clipstream.media.recording.recorder import Recorder
from clipstream.media.recording.segments import Segment, segment_paths, stored

__all__ = ["FRAME", "made_up", "packet_records", "play", "record", "segments_in"]

FRAME = 3_000
"""Ticks of 1/90,000 s in a frame of 1/30 s."""


def play(
    recorder: Recorder,
    path: Path,
    offset_s: Fraction = Fraction(0),
    *,
    until_s: Fraction | None = None,
    tracks: Sequence[int] | None = None,
) -> int:
    """Feed a file to a recorder as a connection would, up to `until_s` of it; return how many packets that were."""
    count = 0
    with open_media(path) as container:
        recorder.begin(container, offset_s - media_origin(container))
        for packet in container.demux():
            if until_s is not None and packet.dts is not None and packet.dts * packet.time_base >= until_s:
                break
            if packet.size and (tracks is None or packet.stream_index in tracks):
                recorder.write(packet)
                count += 1
    return count


def made_up(
    container: av.container.InputContainer, pts: int, *, keyframe: bool = False, size: int = 100, track: int = 0
) -> "Packet[Stream]":
    """Return a packet of a track that holds nothing in particular, one tick of 1/30 s long."""
    packet: Packet[Stream] = av.Packet(b"\x01" * size)
    packet.stream = container.streams[track]
    packet.pts = packet.dts = pts
    base = packet.stream.time_base
    assert base is not None
    packet.duration, packet.is_keyframe = round(Fraction(1, 30) / base), keyframe
    return packet


def record(recorder: Recorder, camera: av.container.InputContainer, seconds: range, size: int = 100) -> None:
    """Record a keyframe and 29 frames for each second."""
    for second in seconds:
        for n in range(30):
            recorder.write(made_up(camera, (30 * second + n) * FRAME, keyframe=n == 0, size=size))


def packet_records(folder: Path) -> Iterator[Record]:
    """Give all packets in a folder, finished or not, in the order of recording."""
    for _, path, _ in segment_paths(folder):
        yield from (record for record in records(path.read_bytes()) if record.track not in {HEADER, TEMPLATE, FOOTER})


def segments_in(folder: Path) -> list[Segment]:
    """Return the finished segments in a folder."""
    found = [stored(path, number) for number, path, finished in segment_paths(folder) if finished]
    return [segment for segment in found if segment is not None]
