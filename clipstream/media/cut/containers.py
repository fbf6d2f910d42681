"""What a container can carry, as far as FFmpeg does not say it."""

from dataclasses import dataclass
from pathlib import Path

from av.stream import Stream

__all__ = ["Carrier", "carrier", "clip_suffix"]

_MP4_SUFFIXES = frozenset({".mp4", ".m4v", ".m4a", ".mov"})
_TS_SUFFIXES = frozenset({".ts", ".m2ts", ".mts"})
_TS_CODECS = frozenset(
    {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "aac", "mp2", "mp3", "ac3", "eac3", "dts", "opus"}
    | {"dvb_subtitle", "dvb_teletext"}
)


@dataclass(frozen=True, slots=True)
class Carrier:
    """A kind of container.

    Attributes:
        edit_list: Whether it can hide what comes before time 0.
        codec_delay: Whether it can say how much of the first sound, and of the last, is not to be heard.
        options: Options of the muxer.
        attachments: Whether it can hold files beside the tracks.
        sound: Encoder for sound that it cannot carry as it is.
        text: Encoder for subtitles in text that it cannot carry as they are, if it carries any.
        webm: Whether it is WebM, which takes free codecs alone.
        codecs: All it carries, where FFmpeg claims more.
        hevc_tag: Tag for HEVC whose parameter sets stand in the header, as Apple's players want it.
    """

    edit_list: bool = False
    codec_delay: bool = False
    options: tuple[tuple[str, str], ...] = ()
    attachments: bool = False
    sound: str = "aac"
    text: str | None = None
    webm: bool = False
    codecs: frozenset[str] | None = None
    hevc_tag: str | None = None

    def carries(self, stream: Stream) -> bool:
        """Whether it is worth trying to add the stream."""
        if self.codecs is None:
            return True
        context = stream.codec_context
        return context is not None and context.codec.canonical_name in self.codecs


def carrier(target: Path) -> Carrier:
    """Return what is known of a file's kind of container, by its suffix."""
    suffix = target.suffix.lower()
    if suffix in _MP4_SUFFIXES:
        # A fine movie time scale: the default of 1 ms would round where edits begin and end.
        options = (("movflags", "+faststart"), ("movie_timescale", "90000"))
        return Carrier(edit_list=True, options=options, hevc_tag="hvc1", text="mov_text")
    if suffix in _TS_SUFFIXES:
        return Carrier(codecs=_TS_CODECS)
    if suffix == ".webm":
        return Carrier(codec_delay=True, sound="libopus", webm=True, text="webvtt")
    if suffix in {".mkv", ".mka"}:
        return Carrier(codec_delay=True, attachments=True, text="subrip")
    return Carrier()


def clip_suffix(source: Path, container: str, *, has_video: bool) -> str:
    """Return the suffix of the family of containers that a source belongs to.

    Args:
        source: The file.
        container: FFmpeg's name of its format, as `media.probe` gives it.
        has_video: Whether it has a video track; sound alone in MP4 is `.m4a`.
    """
    suffix = source.suffix.lower()
    names = set(container.split(","))
    if "mov" in names:
        if not has_video:
            return ".m4a"
        return ".mov" if suffix in {".mov", ".qt"} else ".mp4"
    if "matroska" in names:
        return ".webm" if suffix == ".webm" else ".mkv"
    if "mpegts" in names:
        return ".ts"
    return ".mp4" if has_video else ".m4a"
