"""Every real clip, odd file and broken file that is at hand."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from clipstream.errors import InputError
from clipstream.media.decode import SliceReader
from clipstream.media.slices import AudioRequest, FrameRequest, MediaNeeds

NEEDS = MediaNeeds((FrameRequest(64, rate_hz=Fraction(2)),), AudioRequest())
FOLDERS = ("videos", "odd", "synth", "sounds")
REAL = Path(__file__).parents[2] / "shared" / "media"
FILES = [path.relative_to(REAL) for folder in FOLDERS for path in sorted(REAL.glob(f"{folder}/*"))]


@pytest.mark.parametrize("name", FILES, ids=str)
def test_every_real_file_gives_the_frames_of_a_plain_decode_or_a_clear_error(real_media: Path, name: Path) -> None:
    path = real_media / name
    if name.stem in {"empty", "garbage", "truncated_no_moov"} or name.suffix in {".beats", ".onsets", ".tempo"}:
        with pytest.raises(InputError) as caught:
            list(SliceReader(path, "s", NEEDS))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    slices = list(SliceReader(path, "s", NEEDS, threads=2))
    end = slices[-1].end
    assert end is not None
    assert [item.n for item in slices] == list(range(len(slices)))
    assert sum(item.frame_count for item in slices) == _plainly_decoded(path)
    assert ("truncated" in str(end.problem)) == name.stem.startswith("truncated")


def _plainly_decoded(path: Path) -> int:
    count = 0
    with av.open(str(path)) as container:
        for stream in container.streams.video[:1]:
            stream.thread_type, stream.thread_count = "AUTO", 2
            for packet in container.demux(stream):
                try:
                    count += sum(frame.pts is not None and frame.pts >= 0 for frame in packet.decode())
                except av.FFmpegError:
                    continue
    return count
