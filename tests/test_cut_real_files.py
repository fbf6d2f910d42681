"""Clips of real, odd and broken files hold the frames asked for, or say in one line why there is none."""

import random
from fractions import Fraction
from pathlib import Path

import pytest
from cut_factory import decode_pictures, ffmpeg_complaints, psnr_db

from clipstream.errors import ClipstreamError
from clipstream.media.cut import SmartCutter, clip_suffix
from clipstream.media.cutting import ClipSpec
from clipstream.media.probe import probe

FOLDERS = ("videos", "odd", "synth")
UNOPENABLE = {"empty.mp4", "garbage.mp4", "truncated_no_moov.mp4"}
CONCEALED = {"dc_corrupted.mp4", "ax_sample_with_invalid_nalu.mp4"}
"""What a decoder shows for a broken frame depends on where it started."""


def files() -> list[str]:
    from conftest import REAL_MEDIA

    return sorted(f"{folder}/{path.name}" for folder in FOLDERS for path in (REAL_MEDIA / folder).glob("*.*"))


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
    length_ms = min(int((info.duration_s or 2) * 1000), 12_000)
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
    assert not ffmpeg_complaints(target)
