"""A media file as a camera sends it: coded units in the order of sending, and what the session description says."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from clipstream.errors import NoUsableStreamError
from clipstream.media.cut.nal import read_parameter_sets
from clipstream.media.probe import average_rate

__all__ = ["Programme", "Track", "Unit", "load_programme"]

_VIDEO_CLOCK_HZ = 90_000
_SOUND_NAMES = {"aac": "mpeg4-generic", "opus": "opus", "pcm_alaw": "PCMA", "pcm_mulaw": "PCMU"}


@dataclass(frozen=True, slots=True)
class Track:
    """What a session description says of a track.

    Attributes:
        kind: What it carries.
        name: Its RTP encoding name.
        clock_hz: Rate of its RTP timestamps.
        channels: Of sound; 0 for video.
        parameters: Its `fmtp` line, without the payload type.
    """

    kind: Literal["video", "audio"]
    name: str
    clock_hz: int
    channels: int
    parameters: str


@dataclass(frozen=True, slots=True)
class Unit:
    """One coded picture or one packet of sound.

    Attributes:
        track: Index of its track.
        number: Its place among the units of its track in order of PTS: for video, the number of the frame.
        pts_s: When it is shown, in file time.
        dts_s: When it is sent, in file time; negative before the first picture where pictures are reordered.
        keyframe: Whether decoding can begin here.
        parts: NAL units of video, or the one payload of sound.
    """

    track: int
    number: int
    pts_s: Fraction
    dts_s: Fraction
    keyframe: bool
    parts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Programme:
    """A file in memory, ready to be sent over and over.

    Attributes:
        tracks: Video first.
        units: Of all tracks, by DTS.
        duration_s: After which a repetition begins: the end of the last picture, or of the sound where there is none.
        entries: Indices of the units at which a client can begin.
    """

    tracks: tuple[Track, ...]
    units: tuple[Unit, ...]
    duration_s: Fraction
    entries: tuple[int, ...]

    def continues(self, other: "Programme") -> bool:
        """Say whether it can follow `other` on one connection: the same codecs, described the same way but for size."""

        def nature(track: Track) -> tuple[str, int, int, str]:
            return track.name, track.clock_hz, track.channels, track.parameters if track.kind == "audio" else ""

        return [nature(track) for track in self.tracks] == [nature(track) for track in other.tracks]


def load_programme(path: Path) -> Programme:
    """Read the first H.264 or HEVC track and the first AAC, Opus or G.711 track of a file.

    Raises:
        NoUsableStreamError: It has neither.
        av.error.FFmpegError: It cannot be read.
    """
    tracks: list[Track] = []
    units: list[Unit] = []
    duration_s = Fraction(0)
    with av.open(str(path)) as container:
        for stream in container.streams.video[:1]:
            if stream.codec_context.name in {"h264", "hevc"}:
                found, duration_s = _video_units(path, stream)
                tracks.append(_video_track(stream))
                units += found
        for sound in container.streams.audio[:1]:
            if sound.codec_context.name in _SOUND_NAMES:
                found, sound_s = _sound_units(path, sound, len(tracks))
                tracks.append(_sound_track(sound))
                # Sound that outlasts the pictures would overlap the next repetition.
                duration_s = duration_s or sound_s
                units += [unit for unit in found if unit.pts_s < duration_s]
    if not units:
        raise NoUsableStreamError(f"{path.name} has no H.264, HEVC, AAC, Opus or G.711; convert it first")
    units.sort(key=lambda unit: unit.dts_s)
    leading = tracks[0].kind
    entries = tuple(i for i, unit in enumerate(units) if unit.keyframe and tracks[unit.track].kind == leading)
    return Programme(tuple(tracks), tuple(units), duration_s, entries)


def _packets(path: Path, index: int) -> Iterator[tuple[Fraction, Fraction, Fraction, bool, bytes]]:
    """Yield PTS, DTS and duration in seconds, whether it is a keyframe, and the payload of each packet of a track."""
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams[index]):
            if packet.size and packet.pts is not None and packet.dts is not None:
                base = packet.time_base
                yield (
                    packet.pts * base,
                    packet.dts * base,
                    (packet.duration or 0) * base,
                    packet.is_keyframe,
                    bytes(packet),
                )


def _video_units(path: Path, stream: VideoStream) -> tuple[list[Unit], Fraction]:
    sets = read_parameter_sets(stream.codec_context.name, stream.codec_context.extradata or b"")
    kinds = {sets.nal_type(unit) for unit in sets.units}
    units, end_s = [], Fraction(0)
    for pts_s, dts_s, length_s, keyframe, data in _packets(path, stream.index):
        parts = sets.framing.split(data)
        if keyframe and not any(sets.nal_type(part) in kinds for part in parts):
            parts = [*sets.units, *parts]
        units.append(Unit(0, 0, pts_s, dts_s, keyframe, tuple(parts)))
        end_s = max(end_s, pts_s + (length_s or 1 / (average_rate(stream) or Fraction(25))))
    return _numbered(units), end_s


def _sound_units(path: Path, stream: AudioStream, track: int) -> tuple[list[Unit], Fraction]:
    units, end_s = [], Fraction(0)
    for pts_s, dts_s, length_s, _, data in _packets(path, stream.index):
        end_s = max(end_s, pts_s + length_s)
        # What primes the decoder lies before the file's beginning; a live stream has no such place.
        if pts_s >= 0:
            units.append(Unit(track, 0, pts_s, dts_s, keyframe=True, parts=(data,)))
    return _numbered(units), end_s


def _numbered(units: list[Unit]) -> list[Unit]:
    places = {pts_s: number for number, pts_s in enumerate(sorted(unit.pts_s for unit in units))}
    return [replace(unit, number=places[unit.pts_s]) for unit in units]


def _video_track(stream: VideoStream) -> Track:
    name = stream.codec_context.name
    sets = read_parameter_sets(name, stream.codec_context.extradata or b"")
    texts = [(sets.nal_type(unit), base64.b64encode(unit).decode()) for unit in sets.units]
    if name == "h264":
        profile = next(unit for unit in sets.units if sets.nal_type(unit) == 7)[1:4].hex()
        together = ",".join(text for _, text in texts)
        parameters = f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={together}"
        return Track("video", "H264", _VIDEO_CLOCK_HZ, 0, parameters)
    labels = {32: "sprop-vps", 33: "sprop-sps", 34: "sprop-pps"}
    return Track("video", "H265", _VIDEO_CLOCK_HZ, 0, ";".join(f"{labels[kind]}={text}" for kind, text in texts))


def _sound_track(stream: AudioStream) -> Track:
    context = stream.codec_context
    parameters = ""
    if context.name == "aac":
        config = (context.extradata or b"").hex()
        parameters = (
            "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
            f"config={config}"
        )
    # An Opus description always says 48 kHz stereo (RFC 7587).
    rate_hz, channels = (48_000, 2) if context.name == "opus" else (context.sample_rate, context.layout.nb_channels)
    return Track("audio", _SOUND_NAMES[context.name], rate_hz, channels, parameters)
