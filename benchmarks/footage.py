"""The footage of the benchmarks: a clip scaled to 1080p30, encoded once, and looped without encoding it again."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CACHE", "Footage", "prepare"]

CACHE = Path(__file__).parent / "media"
"""Footage that is kept between runs; git ignores it."""

_CLIP = Path(__file__).parents[2] / "shared" / "media" / "videos" / "skate.mp4"

# What a camera or a platform gives: 8 Mbit/s, a keyframe every two seconds, B-frames that others refer to.
_VIDEO = "-vf scale=1920:1080:flags=bicubic,fps=30 -c:v libx264 -preset medium -b:v 8M -g 60 -bf 3 -pix_fmt yuv420p"
# Noise, which is as dear to decode as sound gets: many clips have none of their own.
_NOISE = "anoisesrc=color=pink:amplitude=0.3:sample_rate=48000"
_AUDIO = "-c:a aac -b:a 128k -ac 2"


@dataclass(frozen=True, slots=True)
class Footage:
    """The same picture and sound, shorter and ten times as long.

    Attributes:
        short: One minute, unless a run asked for less.
        short_s: Its length in seconds.
        long: Ten times the length.
        long_s: Its length.
    """

    short: Path
    short_s: float
    long: Path
    long_s: float


def prepare(clip: Path | None, short_s: float, folder: Path) -> Footage:
    """Make the footage from `clip` in `folder`, or find it there from an earlier run.

    Without a clip, a real one beside the checkout is taken, or clipstream's own demo scene where there is none.

    Raises:
        subprocess.CalledProcessError: ffmpeg cannot read the clip or write the footage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clip = clip or (_CLIP if _CLIP.is_file() else _demo(folder))
    recipe = f"{clip.resolve()} {clip.stat().st_size} {_VIDEO} {_AUDIO} {_NOISE}"
    name = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    once = folder / f"{name}.mp4"
    if not once.exists():
        sound = ["-f", "lavfi", "-i", _NOISE, "-map", "0:v:0", "-map", "1:a", "-shortest"]
        _ffmpeg(once, "-i", clip, *sound, *_VIDEO.split(), *_AUDIO.split(), "-t", 60)
    long_s = 10 * short_s
    return Footage(_looped(once, short_s), short_s, _looped(once, long_s), long_s)


def _looped(once: Path, length_s: float) -> Path:
    path = once.with_stem(f"{once.stem}-{length_s:g}s")
    if not path.exists():
        _ffmpeg(path, "-stream_loop", -1, "-i", once, "-t", length_s, "-c", "copy")
    return path


def _demo(folder: Path) -> Path:
    path = folder / "demo.mp4"
    if not path.exists():
        from clipstream.media.demo import make_demo  # noqa: PLC0415 - keeps this process small, see `Usage.peak_mb`

        make_demo(path)
    return path


def _ffmpeg(path: Path, *arguments: object) -> None:
    part = path.with_stem(f"{path.stem}.part")
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments), str(part)], check=True)
    part.rename(path)
