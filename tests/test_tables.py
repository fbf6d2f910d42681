"""The tables: what a spreadsheet and a notebook find in them."""

import csv
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.media.cutter import ClipResult
from clipstream.report.description import describe
from clipstream.report.manifest import Manifest, Source
from clipstream.report.tables import covering_windows, write_features, write_highlights, write_scores
from clipstream.results import StreamSummary
from clipstream.settings import Settings

SummaryMaker = Callable[..., StreamSummary]


def manifest_of(summary: StreamSummary) -> Manifest:
    clips = {
        one.number: ClipResult(Path(f"clips/{one.number:03d}.mp4"), *two_times(one.start_ms, one.end_ms), 1, "cut")
        for one in summary.intervals
    }
    return describe(summary, Source("a.mp4", "a.mp4"), Settings(), clips=clips)


def two_times(start_ms: int, end_ms: int) -> tuple[Fraction, Fraction]:
    return Fraction(start_ms, 1000), Fraction(end_ms, 1000)


def test_highlights_stand_best_first_with_the_promised_columns(make_summary: SummaryMaker, tmp_path: Path) -> None:
    path = write_highlights(tmp_path, manifest_of(make_summary()))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:7] == ["rank", "start_s", "end_s", "peak_s", "score", "reason", "clip"]
    assert [row["rank"] for row in rows] == ["1", "2"]
    best = rows[0]
    assert (best["start_s"], best["end_s"], best["peak_s"]) == ("8.000", "10.123", "9.000")
    assert (best["score"], best["clip"], best["length_s"]) == ("6.000", "clips/002.mp4", "2.123")
    assert (best["method"], best["notes"]) == ("cut", "")


def test_commas_quotes_and_line_breaks_survive_as_rfc_4180_has_it(make_summary: SummaryMaker, tmp_path: Path) -> None:
    label = 'the "roar", größer\nthan usual'
    path = write_highlights(tmp_path, manifest_of(make_summary(label=label)))
    content = path.read_bytes()
    assert content.count(b"\r\n") == 3
    assert b'"the ""roar""' in content
    with path.open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["reason"].startswith(label)


def test_without_highlights_there_is_the_header_alone(make_summary: SummaryMaker, tmp_path: Path) -> None:
    path = write_highlights(tmp_path, manifest_of(make_summary(highlights=0)))
    assert path.read_bytes().startswith(b"rank,start_s,end_s,peak_s,score,reason,clip")
    assert path.read_bytes().count(b"\r\n") == 1


def test_features_have_a_row_a_slice_and_say_what_a_column_is(make_summary: SummaryMaker, tmp_path: Path) -> None:
    summary = make_summary()
    table = pq.read_table(write_features(tmp_path, summary))
    assert table.column_names == ["n", "start_s", "audio_loudness", "motion_scene", "motion_camera"]
    assert table["start_s"].to_pylist()[:3] == [0.0, 0.5, 1.0]
    np.testing.assert_array_equal(table["motion_camera"].to_numpy(), summary.values[:, 2])
    about = table.schema.field("audio_loudness").metadata
    assert about == {b"feature": b"audio", b"label": b"loudness", b"unit": b"dB", b"weight": b"1"}
    assert table.schema.metadata[b"schema"] == b"clipstream/features/1"


def test_a_missing_number_is_null(make_summary: SummaryMaker, tmp_path: Path) -> None:
    summary = make_summary()
    summary.values[3, 0] = np.nan
    column = pq.read_table(write_features(tmp_path, summary))["audio_loudness"]
    assert column.null_count == 1
    assert column[3].as_py() is None
    assert str(column.type) == "float"


def test_scores_have_the_threshold_each_feature_and_the_window_that_decides(
    make_summary: SummaryMaker, tmp_path: Path
) -> None:
    summary = make_summary()
    table = pq.read_table(write_scores(tmp_path, summary))
    names = [
        "n",
        "start_s",
        "score",
        "noticeable",
        "threshold",
        "window_score",
        "window_start_s",
        "score_audio",
        "score_motion",
    ]
    assert table.column_names == names
    np.testing.assert_array_equal(table["score"].to_numpy(), summary.scores)
    np.testing.assert_array_equal(table["score_motion"].to_numpy(), summary.feature_scores[:, 1])
    assert set(table["threshold"].to_pylist()) == {2.25}
    # At 3.5 s both 0–5 (score 1) and 3–8 (score 2) lie over the slice, at 2.5 s only the first does.
    assert (table["window_score"][7].as_py(), table["window_start_s"][7].as_py()) == (2.0, 3.0)
    assert (table["window_score"][5].as_py(), table["window_start_s"][5].as_py()) == (1.0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.floats(-5, 5, width=32)), max_size=8))
def test_the_window_over_a_slice_is_the_best_of_those_that_overlap_it(windows: list[tuple[int, int, float]]) -> None:
    spans = np.array([(start / 2, (start + length) / 2) for start, length, _ in windows]).reshape(-1, 2)
    scores = np.array([score for *_, score in windows], np.float32)
    found, starts = covering_windows(scores, spans, 30)
    for n in range(30):
        over = [score for (start, end), score in zip(spans, scores, strict=True) if start < (n + 1) / 2 and end > n / 2]
        assert np.isnan(found[n]) if not over else found[n] == max(over)
        assert np.isnan(starts[n]) == (not over)


@pytest.mark.parametrize("slices", [0, 1, 7])
@pytest.mark.parametrize("missing", [False, True])
def test_short_and_empty_streams_give_tables_of_the_same_columns(
    make_summary: SummaryMaker, tmp_path: Path, slices: int, missing: bool
) -> None:
    summary = make_summary(slices, highlights=0, missing=missing)
    features, scores = write_features(tmp_path, summary), write_scores(tmp_path, summary)
    assert pq.read_table(features).num_rows == pq.read_table(scores).num_rows == slices
    full = pq.read_schema(write_scores(tmp_path / "full", make_summary()))
    assert pq.read_schema(scores).equals(full)


def test_a_stream_without_features_still_has_tables(make_summary: SummaryMaker, tmp_path: Path) -> None:
    summary = make_summary(4, highlights=0)
    bare = replace(
        summary, features=(), values=np.zeros((4, 0), np.float32), feature_scores=np.zeros((4, 0), np.float32)
    )
    assert pq.read_table(write_features(tmp_path, bare)).column_names == ["n", "start_s"]
