"""How settings want clips cut: with which cutter, and into which kind of file."""

from clipstream.errors import UsageError
from clipstream.media.cut import CutMode, clip_suffix, make_cutter
from clipstream.media.cutter import Cutter
from clipstream.media.probe import MediaInfo
from clipstream.settings import CODECS_NOT_CARRIED, Settings

__all__ = ["chosen_cutter", "chosen_suffix"]


def chosen_cutter(settings: Settings) -> Cutter:
    """Return the cutter that `cut`, `crf` and `codec` ask for.

    Raises:
        UsageError: There is no encoder for the codec.
    """
    codec = None if settings.codec == "auto" else settings.codec
    return make_cutter(CutMode(settings.cut), settings.crf, codec)


def chosen_suffix(settings: Settings, media: MediaInfo) -> str:
    """Return the suffix that the clips of a source get; sound alone in MP4 is `.m4a`.

    Raises:
        UsageError: It is the source's, and that kind of file cannot carry the codec that was asked for.
    """
    has_video = media.video is not None and media.video.decodable
    if settings.container == "source":
        suffix = clip_suffix(media.path, media.container, has_video=has_video)
    else:
        suffix = ".m4a" if settings.container == "mp4" and not has_video else f".{settings.container}"
    if has_video and settings.codec in CODECS_NOT_CARRIED.get(suffix[1:], ()):
        raise UsageError(
            f"{media.path.name}: codec is {settings.codec}, which a {suffix} file like the source cannot carry; "
            "add --container mp4."
        )
    return suffix
