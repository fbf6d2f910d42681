"""What a muxer has to know of a connection's tracks, kept as bytes: it outlives the connection."""

import io
from collections.abc import Iterable
from fractions import Fraction

import av
import av.container
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from clipstream.media.cut.nal import read_parameter_sets
from clipstream.media.probe import average_rate
from clipstream.media.recording.segments import TrackNote

__all__ = ["make_template", "new_parameter_sets", "note_tracks", "open_template"]

_FORMAT = "nut"
"""FFmpeg's own container takes every codec, with its extradata as they are."""
_NO_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_PARAMETER_SETS = {"h264": 2, "hevc": 3}
"""Codecs that may bring new parameter sets within the stream, and of how many kinds these are."""


def note_tracks(
    streams: Iterable[Stream], rate_hz: Fraction | None = None
) -> tuple[tuple[TrackNote, ...], tuple[str, ...]]:
    """Return the tracks that can be recorded, and the others in words; `rate_hz` is that of the pictures, if known."""
    offered = [stream for stream in streams if stream.discard != Discard.all]
    taken = [stream for stream in offered if _is_carried(stream)]
    left_out = [stream for stream in offered if stream not in taken]
    main = next((stream for stream in taken if _is_picture(stream)), None)
    main = main or next((stream for stream in taken if stream.type == "audio"), None)
    notes = tuple(
        TrackNote(
            index=stream.index,
            kind=stream.type,
            time_base=Fraction(stream.time_base or Fraction(1, av.time_base)),
            rate_hz=(rate_hz or average_rate(stream) or Fraction(stream.guessed_rate or 0))
            if isinstance(stream, VideoStream)
            else Fraction(0),
            is_main=stream is main,
        )
        for stream in taken
    )
    return notes, tuple(f"{stream.index}: {stream.type}" for stream in left_out)


def make_template(streams: Iterable[Stream], parameter_sets: bytes | None = None) -> bytes:
    """Return bytes from which `open_template` makes such tracks again.

    `parameter_sets` replace the extradata of the first track of pictures.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=_FORMAT) as container:
        for stream in streams:
            copy = container.add_stream_from_template(stream, opaque=True)
            copy.time_base = stream.time_base or Fraction(1, av.time_base)
            if parameter_sets is not None and _is_picture(stream):
                copy.codec_context.extradata, parameter_sets = parameter_sets, None
        for copy in container.streams:
            # A file without packets does not open.
            packet: Packet[Stream] = av.Packet(b"\x00")
            packet.pts = packet.dts = 0
            packet.time_base, packet.stream, packet.is_keyframe = copy.time_base or Fraction(1), copy, True
            container.mux_one(packet)
    return buffer.getvalue()


def open_template(template: bytes) -> av.container.InputContainer:
    """Return a container whose streams are templates for those of another, in the order of `make_template`."""
    return av.open(io.BytesIO(template), "r", format=_FORMAT)


def new_parameter_sets(keyframe: "Packet[Stream]") -> bytes | None:
    """Return the parameter sets that come with a keyframe, if it brings them: a camera may change size at any."""
    if keyframe.has_sidedata("new_extradata"):
        return bytes(keyframe.get_sidedata("new_extradata"))
    context = keyframe.stream.codec_context
    codec = context.codec.canonical_name if context is not None else ""
    data = bytes(keyframe)
    if codec not in _PARAMETER_SETS or not data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        return None
    try:
        sets = read_parameter_sets(codec, data)
    except ValueError:
        return None
    if len({sets.nal_type(unit) for unit in sets.units}) < _PARAMETER_SETS[codec]:
        return None
    return sets.framing.join(list(dict.fromkeys(sets.units)))


def _is_picture(stream: Stream) -> bool:
    return isinstance(stream, VideoStream) and not stream.disposition & _NO_PICTURES


def _is_carried(stream: Stream) -> bool:
    try:
        make_template([stream])
    except (OSError, ValueError):
        return False
    return True
