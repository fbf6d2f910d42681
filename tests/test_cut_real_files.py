"""Clips of real, odd and broken files hold the frames asked for, or say in one line why there is none."""

import random
import re
from fractions import Fraction
from pathlib import Path

import pytest
from cut_checks import check_sound
from cut_factory import decode_pictures, ffmpeg_complaints, psnr_db

from clipstream.errors import ClipstreamError
from clipstream.media.cut import SmartCutter, clip_suffix
from clipstream.media.cutter import ClipResult, ClipSpec
from clipstream.media.probe import open_media, probe

FOLDERS = ("videos", "odd", "synth")
UNOPENABLE = {"empty.mp4", "garbage.mp4", "truncated_no_moov.mp4"}
CONCEALED = {"dc_corrupted.mp4", "ax_sample_with_invalid_nalu.mp4"}
"""What a decoder shows for a broken frame depends on where it started."""
MISSING = re.compile(r"track (\d+)(?: \(.*\) left out|: nothing of it)")


def files() -> list[str]:
    from conftest import REAL_MEDIA

    return sorted(f"{folder}/{path.name}" for folder in FOLDERS for path in (REAL_MEDIA / folder).glob("*.*"))


def check_tracks(source: Path, result: ClipResult) -> None:
    """Every track of the source is in the clip, or named in its notes."""
    missing = {int(match[1]) for note in result.notes if (match := MISSING.match(note))}
    with open_media(source) as one, open_media(result.path) as other:
        kept = [stream for stream in one.streams if stream.index not in missing and stream.type != "data"]
        got = [stream for stream in other.streams if stream.type != "data"]
        assert [(stream.type, stream.language or "und") for stream in got] == [
            (stream.type, stream.language or "und") for stream in kept
        ]


@pytest.mark.parametrize("name", files() or ["no files"])
def test_a_smart_clip_of_a_real_file_has_the_frames_asked_for(real_media: Path, tmp_path: Path, name: str) -> None:
    source = real_media / name
    if source.name in UNOPENABLE:
        with pytest.raises(ClipstreamError):
            SmartCutter().cut(ClipSpec(source, tmp_path / "clip.mp4", Fraction(0), Fraction(1)), lambda: False)
        return
    info = probe(source)
    if info.video is None:
        pytest.skip("there are no frames to compare")
    length_ms = min(int((info.duration_s or 2) * 1000), 6_000)
    start_ms = random.Random(name).randrange(0, max(1, length_ms - 300))  # noqa: S311 - the same each time
    start_s = Fraction(start_ms, 1000)
    end_s = start_s + Fraction(min(1500, length_ms - start_ms), 1000)
    suffix = clip_suffix(source, info.container, has_video=True)
    target = tmp_path / f"clip{suffix}"
    result = SmartCutter().cut(ClipSpec(source, target, start_s, end_s, {"title": name}), lambda: False)
    wanted, got = decode_pictures(source, start_s, end_s)[0], decode_pictures(target)[0]
    assert len(got) == len(wanted) == result.frames
    if source.name not in CONCEALED:
        least_db = 37 if any("re-encoded whole" in note for note in result.notes) else 45
        assert min(psnr_db(one, other) for one, other in zip(wanted, got, strict=True)) >= least_db
    zero_s = wanted[0].time_s - got[0].time_s
    for one, other in zip(wanted, got, strict=True):
        assert abs(one.time_s - other.time_s - zero_s) <= Fraction(1, 1000)
    check_tracks(source, result)
    if info.audio is not None and not MISSING.search(" ".join(result.notes)):
        check_sound(source, result, 0, zero_s, end_s)
    assert not ffmpeg_complaints(target)
