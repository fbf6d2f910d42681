"""From signals to one score a slice: how far above its usual level each signal is, fused by weights and smoothed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from clipstream.features.base import FeatureInfo

__all__ = [
    "SMOOTHING_REACH",
    "Scores",
    "Usual",
    "best_half_means",
    "score_rows",
    "smoothed",
    "spread_lasting",
    "usual_levels",
]

MAD_TO_DEVIATION = 1.4826
"""Scaled by this, the median absolute deviation of normally distributed values is their standard deviation
(Rousseeuw & Croux, "Alternatives to the Median Absolute Deviation", JASA 88, 1993)."""

SMOOTHING_REACH = 3.0
"""A Gaussian is cut off at so many standard deviations."""

LASTING_ROWS = 60
"""Half a minute: keyframes further apart than that tell nothing of the time between them."""

COMPRESSION_KNEE = 3.0
"""Deviations up to about here count in full; beyond, they count logarithmically, so that one feature with a tiny usual
spread (a cheer after digital silence is 50 deviations) cannot silence all others."""


@dataclass(frozen=True, eq=False, slots=True)
class Usual:
    """What is usual for each signal of a stream, all (S,) float64.

    Attributes:
        median: Its level.
        spread: Its scaled MAD, or the smallest noticeable change where that is larger.
        noticeable: The smallest change worth noticing, `Signal.min_spread`.
    """

    median: NDArray[np.float64]
    spread: NDArray[np.float64]
    noticeable: NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """Scores of T slices.

    Attributes:
        values: (T, S) float32, the signals, those that last or are held spread over the slices they are of.
        deviations: (T, S) float64, robust standard deviations above usual, NaN where missing.
        features: (T, F) float64, each feature's signals weighted together, compressed, NaN where missing.
        parts: (T, F) float64, what each feature adds to the fused score, 0 where missing.
        fused: (T,) float64, sum of the parts, not smoothed.
        smoothed: (T,) float64.
        noticeable: (T,) float64, the feature that stands out most, smoothed, counted in smallest noticeable changes
            instead of the stream's own deviations: what tells dull footage from lively, where `smoothed` only tells
            moments apart. While little is known, larger changes count as the smallest.
    """

    values: NDArray[np.float32]
    deviations: NDArray[np.float64]
    features: NDArray[np.float64]
    parts: NDArray[np.float64]
    fused: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    noticeable: NDArray[np.float64]


def usual_levels(values: NDArray[np.float32], features: Sequence[FeatureInfo]) -> Usual:
    """Return median and spread of each column of `values` (T, S), ignoring NaN.

    A column without a single value is usual at 0.
    """
    floors = np.array([signal.min_spread for feature in features for signal in feature.signals])
    median = np.zeros(len(floors))
    spread = floors.copy()
    for column in range(len(floors)):
        present = values[:, column][~np.isnan(values[:, column])].astype(np.float64)
        if len(present):
            median[column] = np.median(present)
            mad = float(np.median(np.abs(present - median[column])))
            spread[column] = max(MAD_TO_DEVIATION * mad, floors[column])
    return Usual(median, spread, floors)


def spread_lasting(values: NDArray[np.float32], features: Sequence[FeatureInfo]) -> NDArray[np.float32]:
    """Return `values` (T, S) with the rows that have no number of a lasting or held signal filled.

    A change that lasts is given to the rows before it, a level that is held to those after it; behind the last, for as
    long as the one before was held. Only over `LASTING_ROWS`: a longer silence is no measurement.
    """
    spread = values
    signals = [signal for feature in features for signal in feature.signals]
    for column in (number for number, signal in enumerate(signals) if signal.lasting or signal.held):
        present = np.flatnonzero(~np.isnan(values[:, column]))
        if len(present) in {0, len(values)}:
            continue
        if signals[column].held:
            held_rows = int(np.diff(present[-2:]).sum()) or 1
            rows = np.arange(present[0], min(present[-1] + held_rows, len(values)))
            given = present[np.searchsorted(present, rows, side="right") - 1]
        else:
            rows = np.arange(present[-1] + 1)
            given = present[np.searchsorted(present, rows)]
        spread = spread.copy() if spread is values else spread
        near = np.abs(given - rows) < LASTING_ROWS
        spread[rows[near], column] = values[given[near], column]
    return spread


def score_rows(
    values: NDArray[np.float32],
    features: Sequence[FeatureInfo],
    usual: Usual,
    smoothing: Literal["gaussian", "median", "none"],
    smoothing_rows: float,
    *,
    caution: NDArray[np.float64] | float = 1.0,
) -> Scores:
    """Score the rows `values` (T, S) against what is usual; `caution` (T,) is how many times larger changes have to be.

    The fused score is the weighted mean of the features that are present in the row, so a stream without sound, or a
    stretch where sound is missing, is judged by the rest.
    """
    above = np.asarray((values - usual.median) / usual.spread, np.float64)
    per_feature = _feature_scores(above, features)
    parts = _weighted_parts(per_feature, features)
    steps = np.asarray((values - usual.median) / usual.noticeable, np.float64) / np.reshape(caution, (-1, 1))
    noticeable = _feature_scores(steps, features, even=True)
    fused = parts.sum(axis=1)
    return Scores(
        values=values,
        deviations=above,
        features=per_feature,
        parts=parts,
        fused=fused,
        smoothed=smoothed(fused, smoothing, smoothing_rows),
        noticeable=smoothed(_most_noticeable(noticeable, features), smoothing, smoothing_rows),
    )


def _feature_scores(
    above: NDArray[np.float64], features: Sequence[FeatureInfo], *, even: bool = False
) -> NDArray[np.float64]:
    """Score each feature; `even` has a feature's alternatives count alike, as they do in what is worth noticing."""
    compressed = COMPRESSION_KNEE * np.arcsinh(above / COMPRESSION_KNEE)
    scores = np.full((len(above), len(features)), np.nan)
    first = 0
    for column, feature in enumerate(features):
        part = slice(first, first + len(feature.signals))
        weights = np.array([one.weight for one in feature.signals])
        combined = _best_of if feature.alternatives else _weighted_mean
        if feature.alternatives and even:
            weights = np.where(weights > 0, max(weights.max(), 0.0), weights)
        scores[:, column] = combined(compressed[:, part] * np.sign(weights), weights)
        first = part.stop
    return scores


def _weighted_parts(scores: NDArray[np.float64], features: Sequence[FeatureInfo]) -> NDArray[np.float64]:
    weights = np.array([feature.weight for feature in features])
    present = ~np.isnan(scores) & (weights > 0)
    totals = (present * weights).sum(axis=1, keepdims=True)
    return np.asarray(np.where(present, scores, 0.0) * weights / np.where(totals > 0, totals, 1.0))


def _most_noticeable(scores: NDArray[np.float64], features: Sequence[FeatureInfo]) -> NDArray[np.float64]:
    # The one that stands out most: a cheer over a still picture is no less a cheer.
    counts = np.array([feature.weight > 0 for feature in features], bool)
    counted = np.where(np.isnan(scores) | ~counts, -np.inf, scores)
    best = counted.max(axis=1, initial=-np.inf)
    return np.asarray(np.where(np.isfinite(best), best, 0.0))


def smoothed(
    scores: NDArray[np.float64], smoothing: Literal["gaussian", "median", "none"], rows: float
) -> NDArray[np.float64]:
    """Return `scores` (T,) smoothed by a Gaussian of `rows` standard deviation or a median over 2 × rows + 1."""
    if smoothing == "none" or rows == 0 or len(scores) == 0:
        return scores
    if smoothing == "median":
        return np.asarray(median_filter(scores, size=2 * max(round(rows), 1) + 1, mode="nearest"))
    return np.asarray(gaussian_filter1d(scores, sigma=rows, mode="nearest", truncate=SMOOTHING_REACH))


def best_half_means(scores: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return the score of every span of `length` rows of `scores` (T,): the mean of its better half, (T - length + 1,).

    The better half, so that a moment of two seconds counts in a window of five, and one loud half-second does not.
    """
    half = -(-length // 2)
    spans = np.lib.stride_tricks.sliding_window_view(scores, length)
    return np.asarray(np.partition(spans, length - half, axis=1)[:, length - half :].mean(axis=1))


def _weighted_mean(columns: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the columns by the size of their weights, (T,), NaN where all are missing.

    A number that the stream has elsewhere counts as usual, 0, where it is missing: the others would stand for it too,
    and a body half seen would outdo one that is seen whole.
    """
    shares = np.abs(weights)
    present = ~np.isnan(columns) & (shares > 0)
    total = shares[present.any(axis=0)].sum()
    sums = (np.where(present, columns, 0.0) * shares).sum(axis=1)
    return np.asarray(np.where(present.any(axis=1), sums / (total or 1.0), np.nan))


def _best_of(columns: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the best column gives by its weight, less what the worst of those below zero takes, (T,).

    Weights count beside the largest of those above zero, however heavy the others are; NaN where all are missing. One
    that takes as it rises gives nothing as it falls.
    """
    shares = np.abs(weights) / (weights.max(initial=0.0) or 1.0)
    present = ~np.isnan(columns) & (shares > 0)
    scaled = np.where(present, columns * shares, -np.inf)
    wanted = scaled[:, weights > 0].max(axis=1, initial=-np.inf)
    avoided = np.where(present & (weights < 0), columns * shares, 0.0).min(axis=1, initial=0.0)
    best = np.where(np.isfinite(wanted), wanted, 0.0) + avoided
    return np.asarray(np.where(present.any(axis=1), best, np.nan))
