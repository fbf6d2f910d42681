"""What a clip has to be, measured against its source: frame by frame, sample by sample, tag by tag."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from av.stream import Stream
from cut_factory import decode_pictures, decode_sound, display_matrix, psnr_db, sound_packets, sound_tick_s
from scipy.signal import correlate

from clipstream.media.cutter import ClipResult
from clipstream.media.probe import choose_video, open_media

__all__ = ["check_pictures", "check_sound", "check_tracks"]

EDGE_DB = 45.0
MKV_ROUNDING_S = Fraction(1, 1000)
REWRITTEN = {"duration", "encoder", "handler_title", "vendor_id"}


def is_rounded(path: Path) -> bool:
    """Whether a container rounds times to 1 ms."""
    return path.suffix in {".mkv", ".webm"}


def check_pictures(
    source: Path, result: ClipResult, start_s: Fraction, end_s: Fraction, least_db: float = EDGE_DB
) -> Fraction:
    """Compare each frame with the one it should be, and return the source's time at which the clip's clock is 0."""
    wanted, _ = decode_pictures(source, start_s, end_s)
    got, _ = decode_pictures(result.path)
    assert len(got) == len(wanted) == result.frames
    assert result.start_s == wanted[0].time_s
    alike = [psnr_db(one, other) for one, other in zip(wanted, got, strict=True)]
    assert min(alike) >= least_db
    zero_s = wanted[0].time_s - got[0].time_s
    steps = [one.time_s - other.time_s - zero_s for one, other in zip(wanted, got, strict=True)]
    assert max(abs(step) for step in steps) <= (MKV_ROUNDING_S if is_rounded(source) or is_rounded(result.path) else 0)
    assert sum(likeness == float("inf") for likeness in alike) >= result.copied
    return zero_s


def check_sound(
    source: Path, result: ClipResult, number: int, zero_s: Fraction, asked_s: Fraction = Fraction(0)
) -> None:
    """Find both ends of the clip's sound in the source's, where the picture's are: to one frame of its codec.

    What the container says is exact, to the sample or to its own rounding. Where the source has no more frames, its
    sound may go on until `asked_s`; sound that begins inside the clip brings what its encoder put before it.
    """
    whole, whole_s, rate_hz = decode_sound(source, number)
    part, part_s, _ = decode_sound(result.path, number)
    is_mp4 = result.path.suffix in {".mp4", ".mov"}
    # AAC of a transport stream cannot be given a delay: its header stands in each packet.
    is_matroska = is_rounded(result.path) and source.suffix != ".ts"
    rounding_s = MKV_ROUNDING_S if is_rounded(result.path) or is_rounded(source) else Fraction(2, rate_hz)
    rounding_s = max(rounding_s, sound_tick_s(source, number))
    frame_s, said_end_s = sound_packets(result.path, number)
    start_s = zero_s + part_s
    end_s = start_s + Fraction(len(part), rate_hz)
    wanted_start_s = max(result.start_s, whole_s)
    is_late = whole_s > result.start_s + frame_s
    whole_end_s = whole_s + Fraction(len(whole), rate_hz)
    ends_s = (min(result.end_s, whole_end_s), min(max(result.end_s, asked_s), whole_end_s))

    def off_s(at_s: Fraction) -> Fraction:
        return max(ends_s[0] - at_s, at_s - ends_s[1], Fraction(0))

    assert abs(start_s - wanted_start_s) <= (
        2 * frame_s if is_late else rounding_s if is_mp4 or is_matroska else frame_s
    )
    assert off_s(end_s) <= frame_s + rounding_s
    if is_mp4:  # FFmpeg decodes the last packet whole, whatever its length.
        assert off_s(zero_s + said_end_s) <= rounding_s
    elif is_matroska and not result.method.startswith("re-encoded ("):
        assert off_s(end_s) <= 2 * rounding_s
    at = round((start_s - whole_s) * rate_hz)
    # A decoder without what came before is wrong for its first frames.
    settled = 0 if is_mp4 or is_matroska else round(8 * frame_s * rate_hz)
    for begin in (max(settled, -at), len(part) - rate_hz // 10):
        piece = part[begin : begin + rate_hz // 10]
        room = min(rate_hz // 20, at + begin)
        around = whole[at + begin - room : at + begin + len(piece) + rate_hz // 20]
        power = np.concatenate([[0], np.cumsum(around.astype(np.float64) ** 2)])
        error = power[len(piece) :] - power[: -len(piece)] - 2 * correlate(around, piece, "valid")
        allowed = int(2 * rounding_s * rate_hz)
        # Not worse than anywhere else near; silence and pure tones fit in many places.
        in_place = error[max(0, room - allowed) : room + allowed + 1].min()
        assert in_place <= error.min() + 0.01 * np.sum(piece**2), (
            f"sound is {1000 * (int(np.argmin(error)) - room) / rate_hz:.1f} ms off"
        )


def tags(stream: Stream) -> dict[str, str]:
    """Return the tags of a track but for those that every program writes anew."""
    named = {key.lower().replace("name", "title"): text for key, text in stream.metadata.items()}
    return {key: text for key, text in named.items() if key not in REWRITTEN}


def check_tracks(source: Path, result: ClipResult) -> None:
    with open_media(source) as one, open_media(result.path) as other:
        assert [stream.type for stream in other.streams] == [stream.type for stream in one.streams]
        assert [s.codec_context.name for s in other.streams] == [s.codec_context.name for s in one.streams]
        assert [stream.language for stream in other.streams] == [stream.language for stream in one.streams]
        assert [stream.disposition for stream in other.streams] == [stream.disposition for stream in one.streams]
        assert [tags(stream) for stream in other.streams] == [tags(stream) for stream in one.streams]
        before, after = choose_video(one), choose_video(other)
        assert before is not None
        assert after is not None
        for name in ("width", "height", "pix_fmt", "color_primaries", "color_trc", "colorspace", "color_range"):
            assert getattr(after.codec_context, name) == getattr(before.codec_context, name), name
        assert (after.sample_aspect_ratio or 1) == (before.sample_aspect_ratio or 1)
        if source.suffix != ".ts":
            assert other.metadata["title"] == "A clip"
    assert display_matrix(decode_pictures(result.path)[1]) == display_matrix(decode_pictures(source)[1])
