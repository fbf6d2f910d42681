"""Where copied packets may end, and the decoding times of what replaces others."""

from fractions import Fraction
from pathlib import Path

import pytest
from cut_factory import Kind, decode_pictures, make_source
from hypothesis import given, settings
from hypothesis import strategies as st

from clipstream.errors import CutError
from clipstream.media.cut import SmartCutter
from clipstream.media.cut.nal import Framing, escape, read_ue, replace_bits, split_annex_b, unescape
from clipstream.media.cut.timeline import clean_break, decoding_times, settled
from clipstream.media.cutter import ClipSpec

SMALL = Kind("small", b_frames=3, gop=12, frames=50, tracks=())
VARIABLE = Kind("variable", b_frames=2, gop=9, frames=50, variable=True, tracks=())
HEVC = Kind("hevc", codec="libx265", b_frames=3, gop=12, frames=50, tracks=())


@st.composite
def reordered(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Draw PTS in an order of decoding that a delay of a few frames allows, and DTS for them."""
    count, delay = draw(st.integers(1, 24)), draw(st.integers(0, 4))
    shown = sorted(draw(st.lists(st.integers(0, 500), min_size=count, max_size=count, unique=True)))
    left, pts = list(shown), []
    # The decoder holds `delay` frames: the next to be shown may come at most that many places late.
    for place in range(count):
        late = [number for number in left if shown.index(number) <= place - delay]
        number = late[0] if late else draw(st.sampled_from(left[: delay + 1]))
        left.remove(number)
        pts.append(number)
    dts = [*range(shown[0] - delay, shown[0]), *shown][:count]
    return pts, dts


@settings(deadline=None)
@given(reordered(), st.integers(-1, 501))
def test_a_clean_break_leaves_no_frame_out(drawn: tuple[list[int], list[int]], end: int) -> None:
    pts, _ = drawn
    kept = clean_break(pts, end)
    assert all(frame < end for frame in pts[:kept])
    assert not pts[kept:] or not pts[:kept] or max(pts[:kept]) < min(pts[kept:])
    for longer in range(kept + 1, len(pts) + 1):
        before, after = pts[:longer], pts[longer:]
        assert max(before) >= end or (after and max(before) > min(after))


@settings(deadline=None)
@given(reordered())
def test_settled_packets_are_never_overtaken(drawn: tuple[list[int], list[int]]) -> None:
    pts, dts = drawn
    for seen in range(1, len(pts) + 1):
        ready = settled(pts[:seen], dts[seen - 1])
        assert not pts[:ready] or not pts[ready:] or max(pts[:ready]) < min(pts[ready:])


@settings(deadline=None)
@given(reordered())
def test_frames_coded_in_order_find_decoding_times_among_those_they_replace(
    drawn: tuple[list[int], list[int]],
) -> None:
    pts, dts = drawn
    chosen = decoding_times(dts, sorted(pts))
    assert chosen == sorted(dts)
    assert all(decoded <= shown for decoded, shown in zip(chosen, sorted(pts), strict=True))


@given(st.binary(max_size=60))
def test_emulation_prevention_is_undone(payload: bytes) -> None:
    escaped = escape(payload)
    assert b"\x00\x00\x00" not in escaped
    assert b"\x00\x00\x01" not in escaped
    if not payload.endswith(b"\x00"):
        assert unescape(escaped) == payload


@given(st.lists(st.binary(min_size=1, max_size=20).map(lambda unit: escape(unit + b"\x80")), max_size=5))
def test_nal_units_come_back_from_every_framing(units: list[bytes]) -> None:
    for length_size in (0, 1, 2, 4):
        framing = Framing(length_size)
        assert framing.split(framing.join(units)) == units
    assert split_annex_b(b"") == []


@given(st.integers(0, 2**31 - 2), st.integers(0, 7))
def test_exp_golomb_numbers_are_read_at_any_bit(value: int, bit: int) -> None:
    code = f"{value + 1:b}"
    bits = "1" * bit + "0" * (len(code) - 1) + code
    bits += "0" * (-len(bits) % 8)
    assert read_ue(int(bits, 2).to_bytes(len(bits) // 8, "big"), bit) == value


@given(st.binary(min_size=6, max_size=20), st.integers(0, 30))
def test_replaced_bits_leave_the_others_as_they_were(data: bytes, bit: int) -> None:
    before = "".join(f"{byte:08b}" for byte in data)
    after = "".join(f"{byte:08b}" for byte in replace_bits(data, bit, 1, "000010000"))
    assert after == before[:bit] + "000010000" + before[bit + 1 :]


@pytest.fixture(scope="module", params=[SMALL, VARIABLE, HEVC], ids=lambda kind: kind.name)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Fraction]]:
    path = make_source(tmp_path_factory.mktemp("source") / "source.mp4", request.param)
    return path, [picture.time_s for picture in decode_pictures(path)[0]]


def cut_times(source: Path, start_s: Fraction, end_s: Fraction) -> list[Fraction]:
    """Return the source's times of the frames in a clip, read from the clip; none where there is none to cut."""
    target = source.with_name("clip.mp4")
    try:
        result = SmartCutter().cut(ClipSpec(source, target, start_s, end_s), lambda: False)
    except CutError:
        return []
    pictures, _ = decode_pictures(target)
    zero_s = result.start_s - pictures[0].time_s
    return [picture.time_s + zero_s for picture in pictures]


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_cut_has_exactly_the_frames_asked_for(source: tuple[Path, list[Fraction]], data: st.DataObject) -> None:
    path, times = source
    start_ms = data.draw(st.integers(0, int(times[-1] * 1000)), "start_ms")
    length_ms = data.draw(st.integers(1, 2500), "length_ms")
    start_s, end_s = Fraction(start_ms, 1000), Fraction(start_ms + length_ms, 1000)
    assert cut_times(path, start_s, end_s) == [time_s for time_s in times if start_s <= time_s < end_s]


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_adjacent_cuts_part_the_source(source: tuple[Path, list[Fraction]], data: st.DataObject) -> None:
    path, times = source
    ends = data.draw(st.lists(st.integers(1, 1700), min_size=1, max_size=4, unique=True), "ends_ms")
    edges_s = [Fraction(0), *(Fraction(end, 1000) for end in sorted(ends)), times[-1] + 1]
    pieces = [cut_times(path, edges_s[i], edges_s[i + 1]) for i in range(len(edges_s) - 1)]
    assert [time_s for piece in pieces for time_s in piece] == times
