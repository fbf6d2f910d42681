"""What is in a media file: opened safely, its zero of time found, its tracks described."""

import hashlib
import math
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeGuard

import av
import av.container
import av.error
from av.audio.stream import AudioStream
from av.stream import Discard, Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from clipstream.errors import InputNotFoundError, NoUsableStreamError, UnreadableMediaError
from clipstream.media.orientation import Orientation
from clipstream.media.packets import demux

__all__ = [
    "ANY_TAGS",
    "PLAIN_FORMATS",
    "AudioInfo",
    "MediaInfo",
    "VideoInfo",
    "average_rate",
    "choose_audio",
    "choose_video",
    "claimed_duration",
    "fingerprint",
    "media_origin",
    "open_media",
    "probe",
    "stores_no_pts",
    "usable",
]

ANY_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Lets a container be opened whose tags are in any encoding, as PyAV does by itself from 19."""

_NAMING_OTHERS = {"concat", "dash", "hds", "hls", "lavfi", "rtp", "rtsp", "sap", "sdp", "vobsub"}
PLAIN_FORMATS = ",".join(sorted(av.formats_available - _NAMING_OTHERS))
"""Containers that hold what is in them. The others are lists of files and streams: one that was fetched from strangers
would show them what lies beside it."""

_LISTS = (b"ffconcat", b"#EXTM3U", b"v=0", b"<?xml", b"<MPD")
"""How texts of those kinds begin."""

_NO_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_PROBED_PACKETS = 200
_FINGERPRINT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The video track in use.

    Attributes:
        index: Number of the track in the container.
        codec: Name of the codec, `"unknown"` where not even that is clear.
        width_px: Stored width; 0 where unknown.
        height_px: Stored height; 0 where unknown.
        display_width_px: Width as shown, after pixel aspect and rotation.
        display_height_px: Height as shown.
        rotation_deg: Degrees clockwise that a player turns the picture: 0, 90, 180 or 270.
        mirrored: Whether a player mirrors it left to right before that.
        sample_aspect: Width of a pixel over its height.
        average_rate: Frames a second, if known.
        frames: How many frames the container claims, if it does.
        pixel_format: Name of the pixel format, `""` where unknown.
        has_b_frames: Whether frames are stored in another order than shown.
        decodable: Whether there is a decoder, and a picture came out of it.
    """

    index: int
    codec: str
    width_px: int
    height_px: int
    display_width_px: int
    display_height_px: int
    rotation_deg: int
    mirrored: bool
    sample_aspect: Fraction
    average_rate: Fraction | None
    frames: int | None
    pixel_format: str
    has_b_frames: bool
    decodable: bool


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The audio track in use.

    Attributes:
        index: Number of the track in the container.
        codec: Name of the codec, `"unknown"` where not even that is clear.
        rate_hz: Sample rate; 0 where unknown.
        channels: Number of channels; 0 where unknown.
        decodable: Whether there is a decoder for it, and its sample rate is known.
    """

    index: int
    codec: str
    rate_hz: int
    channels: int
    decodable: bool


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file holds.

    Attributes:
        path: The file.
        container: Name of the container format.
        duration_s: How long the tracks in use claim to be, if they do.
        origin_s: The PTS, in seconds, of media time 0.
        size_bytes: Size of the file.
        bit_rate: Bits a second over all tracks; 0 where unknown.
        video: The video track in use.
        audio: The audio track in use.
        tracks: Every track in words, in the order of the container.
    """

    path: Path
    container: str
    duration_s: Fraction | None
    origin_s: Fraction
    size_bytes: int
    bit_rate: int
    video: VideoInfo | None
    audio: AudioInfo | None
    tracks: tuple[str, ...]


def open_media(path: Path) -> av.container.InputContainer:
    """Open a file for reading.

    Raises:
        InputNotFoundError: There is no such file.
        UnreadableMediaError: It is a folder, may not be read, is empty, or is no media that can be opened.
    """
    try:
        size_bytes = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        raise InputNotFoundError(f"{path}: there is no such file; check the name.") from None
    except (OSError, ValueError) as error:
        raise UnreadableMediaError(f"{path}: cannot be read ({error}).") from error
    if path.is_dir():
        raise UnreadableMediaError(f"{path}: a folder, where a media file is needed; name a file in it.")
    if not path.is_file():
        raise UnreadableMediaError(f"{path}: no ordinary file; save the media to a file first.")
    if size_bytes == 0:
        raise UnreadableMediaError(f"{path}: the file is empty; get it again from where it came.")
    if not os.access(path, os.R_OK):
        raise UnreadableMediaError(f"{path}: no permission to read it; allow it and run again.")
    try:
        # A colon or a per cent sign in a name would otherwise be taken for a protocol or an image sequence.
        options = {"pattern_type": "none", "format_whitelist": PLAIN_FORMATS, "protocol_whitelist": "file"}
        container: av.container.InputContainer = av.open(f"file:{path}", mode="r", options=options, **ANY_TAGS)
    except av.error.FFmpegError as error:
        raise UnreadableMediaError(f"{path}: {_why_not(path, error)}") from error
    if container.format.name == "tty":
        container.close()
        raise UnreadableMediaError(f"{path}: a text file, where a media file is needed.")
    return container


def probe(path: Path) -> MediaInfo:
    """Describe a file, decoding its first picture.

    Raises:
        InputNotFoundError: There is no such file.
        UnreadableMediaError: It cannot be opened as media.
        NoUsableStreamError: None of its tracks can be decoded.
    """
    with open_media(path) as container:
        video, audio = choose_video(container), choose_audio(container)
        video_info = _describe_video(container, video) if video else None
        info = MediaInfo(
            path=path,
            container=container.format.name,
            duration_s=claimed_duration(container),
            origin_s=media_origin(container),
            size_bytes=path.stat().st_size,
            bit_rate=container.bit_rate or 0,
            video=video_info,
            audio=_describe_audio(audio) if audio else None,
            tracks=tuple(_in_words(stream) for stream in container.streams),
        )
    if not any(track and track.decodable for track in (info.video, info.audio)):
        seen = "; ".join(info.tracks) or "no tracks at all"
        raise NoUsableStreamError(f"{path}: nothing in it can be decoded ({seen}); convert it to a common format.")
    return info


def choose_video(container: av.container.InputContainer) -> VideoStream | None:
    """Return the video track a player shows: one with a decoder, then the default, then the largest.

    Cover art, still images and thumbnails are no video, and what is discarded is not there.
    """
    tracks = [stream for stream in container.streams.video if not stream.disposition & _NO_PICTURES]
    return max(filter(_is_read, tracks), key=_video_preference, default=None)


def choose_audio(container: av.container.InputContainer) -> AudioStream | None:
    """Return the audio track a player plays: one with a decoder, then the default, then the most channels.

    What is discarded is not there.
    """
    return max(filter(_is_read, container.streams.audio), key=_audio_preference, default=None)


def media_origin(container: av.container.InputContainer) -> Fraction:
    """Return the PTS, in seconds, that a player shows as 0: the earliest start of the tracks in use.

    An audio track that begins before 0 does so by its encoder's priming, which is not heard: it counts as 0.
    """
    starts = []
    for stream in (choose_video(container), choose_audio(container)):
        if usable(stream) and stream.start_time is not None and stream.time_base is not None:
            start_s = stream.start_time * stream.time_base
            starts.append(start_s if isinstance(stream, VideoStream) else max(start_s, Fraction(0)))
    return min(starts, default=Fraction(0))


def claimed_duration(container: av.container.InputContainer) -> Fraction | None:
    """Return the media time at which the tracks in use end, as the container tells it, if it does."""
    origin_s = media_origin(container)
    ends = [
        ((stream.start_time or 0) + stream.duration) * stream.time_base - origin_s
        if stream.duration
        else _tagged_duration(stream)
        for stream in (choose_video(container), choose_audio(container))
        if usable(stream) and stream.time_base is not None and (stream.duration or _tagged_duration(stream))
    ]
    if ends:
        return max(ends)
    return Fraction(container.duration, av.time_base) if container.duration else None


def _tagged_duration(stream: Stream) -> Fraction:
    """Return what a Matroska muxer noted of where a track ends, or 0: the container itself counts all of its tracks."""
    told = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return 3600 * int(told[1]) + 60 * int(told[2]) + Fraction(told[3]) if told else Fraction(0)


def stores_no_pts(container: av.container.InputContainer, stream: VideoStream) -> bool:
    """Say whether the PTS of packets are none: AVI stores no times, and FFmpeg numbers packets in order of decoding.

    A decoded frame's DTS then tells when it is shown.
    """
    context = stream.codec_context
    reorders = context.codec.canonical_name in {"h264", "hevc"} and context.has_b_frames
    return container.format.name == "avi" and bool(reorders)


def average_rate(stream: VideoStream) -> Fraction | None:
    """Return how many frames a second a track has on average, if its container tells. PyAV 19 has its own rationals."""
    return Fraction(stream.average_rate) if stream.average_rate else None


def usable(stream: Stream | None) -> TypeGuard[Stream]:
    """Say whether a track can be decoded: there is a decoder, and of sound, enough to know its sample rate."""
    if stream is None or stream.codec_context is None:
        return False
    return not isinstance(stream, AudioStream) or stream.codec_context.sample_rate > 0


def fingerprint(path: Path) -> str:
    """Return a digest that changes when the file does: of its size, modification time and both its ends.

    Raises:
        InputNotFoundError: There is no such file.
        UnreadableMediaError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            digest = hashlib.sha256(f"{state.st_size} {state.st_mtime_ns}\n".encode())
            digest.update(file.read(_FINGERPRINT_BYTES))
            file.seek(max(0, state.st_size - _FINGERPRINT_BYTES))
            digest.update(file.read(_FINGERPRINT_BYTES))
    except FileNotFoundError:
        raise InputNotFoundError(f"{path}: there is no such file; check the name.") from None
    except OSError as error:
        raise UnreadableMediaError(f"{path}: cannot be read ({error.strerror}).") from error
    return digest.hexdigest()[:16]


def _why_not(path: Path, error: av.error.FFmpegError) -> str:
    if isinstance(error, PermissionError):
        return "no permission to read it; allow it and run again."
    with path.open("rb") as file:
        head = file.read(12)
    if head.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(_LISTS):
        return "a list that names other files or streams, where a media file is needed; name those themselves."
    if head[4:8] == b"ftyp":
        return "an MP4 or MOV file without its index (moov), as an interrupted recording leaves it; repair it first."
    return "not a media file that can be opened; check that it plays, or get it again."


def _is_read(stream: Stream) -> bool:
    return stream.discard != Discard.all


def _video_preference(stream: VideoStream) -> tuple[bool, bool, int, int]:
    context = stream.codec_context
    area_px = context.width * context.height if context is not None else 0
    return context is not None, bool(stream.disposition & Disposition.default), area_px, -stream.index


def _audio_preference(stream: AudioStream) -> tuple[bool, bool, int, int]:
    context = stream.codec_context
    channels = context.channels if context is not None else 0
    return usable(stream), bool(stream.disposition & Disposition.default), channels, -stream.index


def _describe_video(container: av.container.InputContainer, stream: VideoStream) -> VideoInfo:
    context = stream.codec_context
    if context is None:
        return VideoInfo(
            stream.index, "unknown", 0, 0, 0, 0, 0, False, Fraction(1), average_rate(stream),
            stream.frames or None, "", False, False,
        )  # fmt: skip
    # One thread gives the first picture after one packet; several only after as many.
    context.thread_count = 1
    frame = _first_frame(container, stream)
    orientation = Orientation.of(frame) if frame else Orientation()
    sample_aspect = Fraction(stream.sample_aspect_ratio or 1)
    shown = (math.floor(context.width * sample_aspect + Fraction(1, 2)), context.height)
    display_width_px, display_height_px = reversed(shown) if orientation.transpose else shown
    return VideoInfo(
        index=stream.index,
        codec=context.codec.canonical_name,
        width_px=context.width,
        height_px=context.height,
        display_width_px=display_width_px,
        display_height_px=display_height_px,
        rotation_deg=orientation.rotation_deg,
        mirrored=orientation.mirrored,
        sample_aspect=sample_aspect,
        average_rate=average_rate(stream),
        frames=stream.frames or None,
        pixel_format=context.pix_fmt or "",
        has_b_frames=bool(context.has_b_frames),
        decodable=frame is not None,
    )


def _first_frame(container: av.container.InputContainer, stream: VideoStream) -> VideoFrame | None:
    try:
        for number, packet in enumerate(demux(container, stream)):
            if number == _PROBED_PACKETS:
                break
            try:
                for frame in packet.decode():
                    return frame
            except av.error.FFmpegError:
                continue
    except av.error.FFmpegError:
        pass
    return None


def _describe_audio(stream: AudioStream) -> AudioInfo:
    context = stream.codec_context
    if context is None:
        return AudioInfo(stream.index, "unknown", 0, 0, False)
    return AudioInfo(stream.index, context.codec.canonical_name, context.sample_rate, context.channels, usable(stream))


def _in_words(stream: Stream) -> str:
    context = stream.codec_context
    words = [f"{stream.index}: {stream.type}", context.name if context is not None else "of an unknown codec"]
    if context is not None and isinstance(stream, VideoStream):
        words.append(f"{stream.width}×{stream.height}")
        if stream.disposition & _NO_PICTURES:
            words.append("(a still picture)")
        elif rate := average_rate(stream):
            words.append(f"{float(rate):.5g} fps")
    elif context is not None and isinstance(stream, AudioStream):
        words.append(f"{stream.rate} Hz, {stream.channels} channel{'s' * (stream.channels > 1)}")
    if stream.language and stream.language != "und":
        words.append(f"({stream.language})")
    return " ".join(words)
