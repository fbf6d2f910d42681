"""Segments joined to one file that any cutter reads: packets copied, times exact."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
from av.stream import Stream

from clipstream.errors import CutError
from clipstream.media.cut.output import Output
from clipstream.media.cut.timeline import AnyPacket, Dater
from clipstream.media.probe import choose_audio, choose_video, media_origin, open_media
from clipstream.media.recording.packet_file import FOOTER, HEADER, TEMPLATE, Record, records
from clipstream.media.recording.segments import Segment, TrackNote
from clipstream.media.recording.templates import open_template

__all__ = ["Material", "join_segments"]

_SUFFIXES = (".mp4", ".mov", ".nut")
"""Containers in order of preference. All keep times exactly; MP4 takes no G.711, MOV no Opus, and NUT everything, but
decoding times have to be guessed again."""


@dataclass(frozen=True, slots=True)
class Material:
    """A file made of a part of a recording.

    Attributes:
        path: The file.
        start_s: Stream time of its first keyframe.
        end_s: Stream time at which the last of it ends.
        zero_s: Stream time of its media time 0, as `media.probe` counts it.
        notes: What a user should know: a track left out, packets that did not fit.
    """

    path: Path
    start_s: Fraction
    end_s: Fraction
    zero_s: Fraction
    notes: tuple[str, ...] = ()


def join_segments(segments: Sequence[Segment], folder: Path, name: str) -> Material:
    """Join segments of one run, in the order of recording, to a file in `folder`, called `name` without its suffix.

    It starts with the first keyframe; what is shown or heard before that is left out.

    Raises:
        CutError: A segment has vanished, or no container takes these tracks.
        OutputError: The file cannot be written.
    """
    for suffix in _SUFFIXES:
        try:
            return _join(segments, folder / f"{name}{suffix}")
        except _VanishedError:
            raise
        except (CutError, ValueError, av.error.FFmpegError) as error:
            refusal = error
    raise CutError(f"{name}: the recording fits into no container ({refusal}).") from refusal


class _VanishedError(CutError):
    """A segment is not there any more."""


def _join(segments: Sequence[Segment], target: Path) -> Material:
    header = segments[0].header
    main = next(track for track in header.tracks if track.is_main)
    base = round((segments[0].start_s - header.offset_s) / main.time_base)
    base_s = base * main.time_base
    template, _ = _read(segments[0])
    with open_template(template) as like, Output(target, {}) as output:
        tracks = {
            note.index: _Track(output.container, stream, note, base if note is main else round(base_s / note.time_base))
            for note, stream in zip(header.tracks, like.streams, strict=True)
        }
        for segment in segments:
            for record in _read(segment)[1]:
                for packet in tracks[record.track].take(record):
                    output.write(packet)
        for track in tracks.values():
            for packet in track.rest():
                output.write(packet)
        output.commit()
    skipped = sum(track.skipped for track in tracks.values())
    return Material(
        path=target,
        start_s=segments[0].start_s,
        end_s=max(segment.end_s for segment in segments),
        zero_s=segments[0].start_s - _first_s(target),
        notes=(f"{skipped} recorded packets left out: their times run backwards",) if skipped else (),
    )


def _read(segment: Segment) -> tuple[bytes, Iterator[Record]]:
    """Return the template and the packets of a segment, finished or not."""
    path = segment.path
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        # It was finished meanwhile, and so got its name.
        try:
            data = path.with_name(path.name.removeprefix(".")).read_bytes()
        except OSError as error:
            raise _VanishedError(f"{path.parent.name}: a part of the recording is gone; keep more of it.") from error
    except OSError as error:
        raise _VanishedError(f"{path}: the recording cannot be read ({error.strerror}).") from error
    template = next(bytes(record.data) for record in records(data) if record.track == TEMPLATE)
    return template, (record for record in records(data) if record.track not in {HEADER, TEMPLATE, FOOTER})


class _Track:
    """A track of the file: packets with the times they have there, in order."""

    def __init__(self, container: av.container.OutputContainer, like: Stream, note: TrackNote, base: int) -> None:
        self._stream = container.add_stream_from_template(like, opaque=True)
        self._stream.time_base = self._time_base = note.time_base
        frame = round(1 / (note.rate_hz or Fraction(25)) / note.time_base)
        self._dater = Dater(frame, stored=True) if note.kind == "video" else None
        self._base = base
        self._last: int | None = None
        self.skipped = 0

    def take(self, record: Record) -> Iterator[AnyPacket]:
        """Take a packet and give all whose times are known."""
        packet: AnyPacket = av.Packet(bytes(record.data))
        packet.pts = self._placed(record.pts)
        packet.dts = self._placed(record.dts)
        packet.duration, packet.is_keyframe = record.duration, record.is_keyframe
        if (packet.pts or 0) < 0:
            return
        if self._dater is None:
            packet.dts = packet.pts if packet.dts is None else packet.dts
            yield from self._in_order([packet])
        else:
            yield from self._in_order(self._dater.date(packet))

    def rest(self) -> Iterator[AnyPacket]:
        """Give what still waits."""
        if self._dater is not None:
            yield from self._in_order(self._dater.rest())

    def _placed(self, ticks: int | None) -> int | None:
        return None if ticks is None else ticks - self._base

    def _in_order(self, packets: Sequence[AnyPacket]) -> Iterator[AnyPacket]:
        for packet in packets:
            assert packet.pts is not None
            assert packet.dts is not None
            if self._last is not None and packet.dts <= self._last:
                packet.dts = self._last + 1
            if packet.dts > packet.pts:
                self.skipped += 1
                continue
            self._last = packet.dts
            packet.time_base, packet.stream = self._time_base, self._stream
            yield packet


def _first_s(path: Path) -> Fraction:
    """Return the media time of the first picture, or without pictures, of the first sound."""
    with open_media(path) as container:
        main = choose_video(container) or choose_audio(container)
        assert main is not None, "there is a main track"
        assert main.time_base is not None, "a stream of an opened container has a time base"
        return (main.start_time or 0) * main.time_base - media_origin(container)
