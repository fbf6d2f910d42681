"""Spans to cut are read from tables, manifests and what is typed."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipstream.errors import UsageError
from clipstream.media.cut import CutSpan, parse_time, plan_clips, read_intervals
from clipstream.timing import clock


@pytest.mark.parametrize(
    ("text", "time_s"),
    [("12.5", Fraction(25, 2)), ("0", Fraction(0)), ("1:02:03.25", Fraction(14893, 4)), ("90:00", Fraction(5400))],
)
def test_a_time_is_seconds_or_a_clock(text: str, time_s: Fraction) -> None:
    assert parse_time(text) == time_s


@pytest.mark.parametrize("text", ["", "abc", "-1", "1:2:3:4", "nan", "1e3", "1,5"])
def test_what_is_no_time_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="is no time: write seconds"):
        parse_time(text)


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_every_clock_is_read_back_exactly(time_ms: int) -> None:
    assert parse_time(clock(time_ms)) == Fraction(time_ms, 1000)


def test_a_table_gives_its_spans_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "highlights.csv"
    path.write_text("rank,start_s,end_s,title\n1,20.5,30,Late\n2,3,4.25,\n", encoding="utf-8")
    assert read_intervals(path) == (
        CutSpan(Fraction(3), Fraction(17, 4)),
        CutSpan(Fraction(41, 2), Fraction(30), "Late"),
    )


def test_a_manifest_gives_its_highlights(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('{"highlights": [{"start_s": 1.5, "end_s": 2.75}]}', encoding="utf-8")
    assert read_intervals(path) == (CutSpan(Fraction(3, 2), Fraction(11, 4)),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column end_s"),
        ("start_s,end_s\n", "no interval"),
        ("start_s,end_s\n5,4\n", "interval 1: .* is empty"),
        ("start_s,end_s\n1\n", "interval 1: 'None' is no time"),
        ('{"x": 1}', "lists no highlights"),
        ('{"highlights": 3}', "no list"),
    ],
)
def test_a_list_that_cannot_be_right_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_intervals(path)


def test_an_absent_list_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such list"):
        read_intervals(tmp_path / "nothing.csv")


def test_clips_are_named_by_where_they_start_and_end() -> None:
    spans = [CutSpan(Fraction(25, 2), Fraction(20)), CutSpan(Fraction(3600), Fraction(3601), "End")]
    first, second = plan_clips(Path("match.mp4"), spans, Path("out"), ".mp4", "f00d")
    assert first.target == Path("out/000012.500-000020.000.mp4")
    assert second.target == Path("out/010000.000-010001.000.mp4")
    assert first.metadata == {"title": "match, 00:00:12.500"}
    assert second.metadata == {"title": "End"}
    assert first.fingerprint == second.fingerprint == "f00d"


def test_a_span_that_is_listed_twice_is_cut_once_and_no_two_clips_share_a_name() -> None:
    spans = [CutSpan(Fraction(1), Fraction(2)), CutSpan(Fraction(1), Fraction(3)), CutSpan(Fraction(1), Fraction(2))]
    planned = plan_clips(Path("match.mp4"), spans, Path("out"), ".mp4")
    assert [spec.target.stem for spec in planned] == ["000001.000-000002.000", "000001.000-000003.000"]
