"""The lanes of the timeline: numbers packed so that a page stays small however long its stream is."""

import base64
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipstream.results import StreamSummary

__all__ = ["Lane", "Timeline", "make_timeline"]

_MAX_NUMBERS = 500_000
"""Numbers in a page: 1.3 MB in base64. Ten signals of a film of three hours and a half still have every slice."""

_MAX_WINDOWS = 10_000
_LEVELS = 65_534
_MISSING = 65_535
_DEVIATIONS = "deviations"


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the timeline.

    Attributes:
        label: What it shows.
        unit: Unit of its numbers.
        kind: `"score"`, `"feature"` (a feature's score) or `"signal"`.
        feature: Place of its feature, which gives the colour; -1 for the fused score.
        shown: Whether it counts in the score; what does not, or has no number at all, is folded away.
        low: The lowest number there is; with `high` NaN when there is none.
        high: The highest.
        maxima: Base64 of little-endian uint16, one for each point: 0 is `low`, 65534 `high`, 65535 missing.
        minima: Likewise; empty when it would be the same, with one slice a point.
    """

    label: str
    unit: str
    kind: str
    feature: int
    shown: bool
    low: float
    high: float
    maxima: str
    minima: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """All lanes, the fused score first.

    Attributes:
        lanes: What is drawn.
        points: Points in each lane.
        slices_per_point: Slices behind each; more than one only in very long streams.
        windows: Start and end in seconds and score of each window; empty when there are too many to tell apart.
    """

    lanes: tuple[Lane, ...]
    points: int
    slices_per_point: int
    windows: tuple[tuple[float, float, float], ...]


def make_timeline(summary: StreamSummary) -> Timeline:
    """Return everything the page draws; the extremes of `summary` survive whatever its length."""
    count = len(summary.scores)
    columns = 1 + len(summary.features) + sum(len(info.signals) for info in summary.features)
    step = 1
    if count * columns > _MAX_NUMBERS:
        step = math.ceil(2 * count * columns / _MAX_NUMBERS)
    lanes = [_lane(summary.scores, step, label="score", unit=_DEVIATIONS, kind="score", feature=-1, shown=True)]
    place = 0
    for number, info in enumerate(summary.features):
        scores = summary.feature_scores[:, number]
        if info.weight > 0 or np.isfinite(scores).any():
            kind, shown = "feature", info.weight > 0
            lanes.append(_lane(scores, step, label=info.name, unit=_DEVIATIONS, kind=kind, feature=number, shown=shown))
        for signal in info.signals:
            values = summary.values[:, place]
            kind, shown = "signal", bool(info.weight > 0 and signal.weight != 0 and np.isfinite(values).any())
            lanes.append(
                _lane(values, step, label=signal.label, unit=signal.unit, kind=kind, feature=number, shown=shown)
            )
            place += 1
    windows: list[tuple[float, float, float]] = []
    if len(summary.window_scores) <= _MAX_WINDOWS:
        windows = [
            (float(start), float(end), round(float(score), 3))
            for (start, end), score in zip(summary.window_spans_s, summary.window_scores, strict=True)
            if np.isfinite(score)
        ]
    return Timeline(tuple(lanes), -(-count // step), step, tuple(windows))


def _lane(
    values: NDArray[np.float32], step: int, *, label: str, unit: str, kind: str, feature: int, shown: bool
) -> Lane:
    finite = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    low, high = (float(ends.reduce(finite, initial=np.nan)) for ends in (np.fmin, np.fmax))
    starts = np.arange(0, len(finite), step)
    highest, lowest = (ends.reduceat(finite, starts) if len(finite) else finite for ends in (np.fmax, np.fmin))
    return Lane(
        label=label,
        unit=unit,
        kind=kind,
        feature=feature,
        shown=shown,
        low=low,
        high=high,
        maxima=_pack(highest, low, high),
        minima=_pack(lowest, low, high) if step > 1 else "",
    )


def _pack(values: NDArray[np.float64], low: float, high: float) -> str:
    scale = _LEVELS / (high - low) if high > low else 0.0
    levels = np.where(np.isnan(values), _MISSING, np.rint((values - low) * scale))
    return base64.b64encode(levels.astype("<u2").tobytes()).decode("ascii")
