"""The tables: `highlights.csv` for a spreadsheet, `features.parquet` and `scores.parquet` for a notebook."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clipstream.report.files import write_atomically
from clipstream.report.manifest import Highlight, Manifest
from clipstream.results import StreamSummary
from clipstream.timing import SLICE_S

__all__ = [
    "FEATURES_SCHEMA",
    "SCORES_SCHEMA",
    "TABLE_NAMES",
    "covering_windows",
    "highlight_row",
    "write_features",
    "write_highlights",
    "write_rows",
    "write_scores",
]

FEATURES_SCHEMA = "clipstream/features/1"
SCORES_SCHEMA = "clipstream/scores/1"
HIGHLIGHTS_NAME, FEATURES_NAME, SCORES_NAME = TABLE_NAMES = "highlights.csv", "features.parquet", "scores.parquet"

_HIGHLIGHT_COLUMNS = (
    *("rank", "start_s", "end_s", "peak_s", "score", "reason", "clip"),
    *("number", "length_s", "start", "method", "notes"),
)


def write_highlights(folder: Path, manifest: Manifest) -> Path:
    """Write `highlights.csv` (RFC 4180, UTF-8), best first, and return its path.

    Times are seconds with three digits, `start` is `HH:MM:SS.mmm`; a highlight without a rank or clip leaves that
    field empty.

    Raises:
        OutputError: It cannot be written.
    """
    return write_rows(folder, map(highlight_row, manifest.ranked))


def highlight_row(one: Highlight) -> str:
    """Return a highlight as `highlights.csv` has it: a line."""
    times = (one.start_s, one.end_s, one.peak_s)
    length = one.end_s - one.start_s
    cut = (one.method or "", "; ".join(one.notes))
    rest = (one.reason, one.clip or "", one.number, _three(length), one.start, *cut)
    return _row("" if one.rank is None else one.rank, *map(_three, times), f"{one.score:.3f}", *rest)


def write_rows(folder: Path, rows: Iterable[str]) -> Path:
    """Write `highlights.csv` from lines as `highlight_row` gives them, and return its path.

    Raises:
        OutputError: It cannot be written.
    """
    path = folder / HIGHLIGHTS_NAME
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(_row(*_HIGHLIGHT_COLUMNS))
        file.writelines(rows)
    return path


def write_features(folder: Path, summary: StreamSummary) -> Path:
    """Write `features.parquet` and return its path: one row a slice, one float32 column a signal, null where missing.

    Each signal's field carries `feature`, `label`, `unit` and `weight` as metadata.

    Raises:
        OutputError: It cannot be written.
    """
    columns = _slices(len(summary.values))
    place = 0
    for info in summary.features:
        for signal in info.signals:
            about = {"feature": info.name, "label": signal.label, "unit": signal.unit, "weight": f"{signal.weight:g}"}
            columns.append(_column(signal.name, summary.values[:, place], about))
            place += 1
    return _write(folder / FEATURES_NAME, columns, FEATURES_SCHEMA, summary)


def write_scores(folder: Path, summary: StreamSummary) -> Path:
    """Write `scores.parquet` and return its path: one row a slice, scores in robust standard deviations above usual.

    Columns: `n`, `start_s`, `score` (fused and smoothed), `noticeable` (the same in
    smallest noticeable changes), `threshold`, `window_score` and `window_start_s` (of the
    highest-scoring window that covers the slice: the one that decides), and `score_NAME` for each feature. A slice
    that no window covers has null in both window columns.

    Raises:
        OutputError: It cannot be written.
    """
    count = len(summary.scores)
    deviations = {"unit": "robust standard deviations"}
    window_scores, window_starts = covering_windows(summary.window_scores, summary.window_spans_s, count)
    threshold = np.full(count, summary.threshold, np.float32)
    columns = [
        *_slices(count),
        _column("score", summary.scores, {"label": "score, fused and smoothed", **deviations}),
        _column("noticeable", summary.noticeable, {"label": "the same in noticeable steps", "unit": ""}),
        _column("threshold", threshold, {"label": "what a window's score has to reach", **deviations}),
        _column("window_score", window_scores, {"label": "score of the best window over the slice", **deviations}),
        _column("window_start_s", window_starts, {"label": "start of that window", "unit": "s"}),
    ]
    for place, info in enumerate(summary.features):
        about = {"label": f"{info.name} above usual", "weight": f"{info.weight:g}", **deviations}
        columns.append(_column(f"score_{info.name}", summary.feature_scores[:, place], about))
    return _write(folder / SCORES_NAME, columns, SCORES_SCHEMA, summary)


def covering_windows(
    window_scores: NDArray[np.float32], spans_s: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the score and start, in seconds, of the highest-scoring window over each of `count` slices.

    `window_scores` is (K,) and `spans_s` (K, 2), start and end of each window. The results are (count,), NaN where no
    window that has a score overlaps the slice.
    """
    scores = np.full(count, np.nan, np.float32)
    starts_s = np.full(count, np.nan)
    slice_s = float(SLICE_S)
    for k in np.argsort(window_scores, kind="stable"):  # rising, so that the best is written last
        if np.isnan(window_scores[k]):
            continue
        start_s, end_s = spans_s[k]
        covered = slice(math.floor(start_s / slice_s), math.ceil(end_s / slice_s))
        scores[covered], starts_s[covered] = window_scores[k], start_s
    return scores, starts_s


_Column = tuple[pa.Field, pa.Array]


def _slices(count: int) -> list[_Column]:
    n = np.arange(count, dtype=np.int32)
    return [
        _column("n", n, {"label": "number of the slice"}),
        _column("start_s", n * float(SLICE_S), {"label": "start of the slice", "unit": "s"}),
    ]


def _column(name: str, values: NDArray[np.generic], about: Mapping[str, str]) -> _Column:
    array = pa.array(values, from_pandas=True)  # NaN becomes null
    return pa.field(name, array.type, metadata=dict(about)), array


def _write(path: Path, columns: Sequence[_Column], schema: str, summary: StreamSummary) -> Path:
    about = {"schema": schema, "stream": summary.stream}
    table = pa.Table.from_arrays(
        [array for _, array in columns], schema=pa.schema([field for field, _ in columns], metadata=about)
    )
    with write_atomically(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return path


def _row(*values: object) -> str:
    text = StringIO(newline="")
    csv.writer(text).writerow(values)
    return text.getvalue()


def _three(time_s: Decimal) -> str:
    return f"{time_s:.3f}"
