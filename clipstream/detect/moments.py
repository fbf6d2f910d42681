"""Where the score stands out: moments, with edges as sharp as the rows allow.

A span of one window's length is hot when the better half of its scores is, on average, at a threshold or above. In hot
spans every local maximum claims its surroundings down to half its height. What touches is one moment, so two peaks are
two moments exactly when the score between them falls below half of the lower one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipstream.detect.scores import best_half_means

__all__ = ["Moment", "find_moments", "hot_rows", "merge_near"]


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """Rows [start, end) that stand out, with the row of the highest score and that score."""

    start: int
    end: int
    peak: int
    score: float


def find_moments(scores: NDArray[np.float64], hot: NDArray[np.bool_]) -> list[Moment]:
    """Return the moments of `scores` (T,), 0 where all is as usual, in order of time; their peaks are `hot` (T,)."""
    maxima = [i for i in _local_maxima(scores) if hot[i] and scores[i] > 0]
    moments = []
    for group in _touching(scores, maxima):
        peak = max(group, key=lambda i: scores[i])
        # A bump on the flank of a far higher peak is no part of the moment: it would only blur its edge.
        spans = [_half_height(scores, i) for i in group if scores[i] >= scores[peak] / 2]
        moments.append(
            Moment(min(start for start, _ in spans), max(end for _, end in spans), peak, float(scores[peak]))
        )
    return moments


def hot_rows(scores: NDArray[np.float64], threshold: float, window: int) -> NDArray[np.bool_]:
    """Return which rows of `scores` (T,) reach the threshold and lie in a span of `window` rows that does."""
    hot = np.zeros(len(scores), np.bool_)
    window = min(window, len(scores))
    if not window:
        return hot
    for start in np.flatnonzero(best_half_means(scores, window) >= threshold):
        hot[start : start + window] = True
    return hot & (scores >= threshold)


def merge_near(moments: list[Moment], gap: int) -> list[Moment]:
    """Merge moments with at most `gap` rows between them."""
    merged: list[Moment] = []
    for moment in sorted(moments):
        if merged and moment.start - merged[-1].end <= gap:
            last = merged.pop()
            best = max(last, moment, key=lambda part: part.score)
            moment = Moment(last.start, max(last.end, moment.end), best.peak, best.score)  # noqa: PLW2901 - grown
        merged.append(moment)
    return merged


def _local_maxima(scores: NDArray[np.float64]) -> list[int]:
    """Return rows not below their neighbours; of a plateau, the first row. The ends count."""
    padded = np.concatenate(([-np.inf], scores, [-np.inf]))
    return [int(i) for i in np.flatnonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]))]


def _half_height(scores: NDArray[np.float64], peak: int) -> tuple[int, int]:
    below = scores < scores[peak] / 2
    before = np.flatnonzero(below[:peak])
    after = np.flatnonzero(below[peak:])
    start = int(before[-1]) + 1 if len(before) else 0
    end = peak + int(after[0]) if len(after) else len(scores)
    return start, end


def _touching(scores: NDArray[np.float64], maxima: list[int]) -> list[list[int]]:
    groups: list[list[int]] = []
    reach = -1
    for peak in maxima:
        start, end = _half_height(scores, peak)
        if groups and start <= reach:
            groups[-1].append(peak)
        else:
            groups.append([peak])
        reach = max(reach, end)
    return groups
