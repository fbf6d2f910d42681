"""Where the score stands out: moments, with edges as sharp as the rows allow.

A span of one window's length is hot when the better half of its scores is, on average, at a threshold or above. In hot
spans every local maximum claims its surroundings down to half its height, the highest first. One that touches the
moment before or after it is part of that, and joins the two: so two peaks are two moments when the score between them
falls below half of the lower one, unless peaks between lead from one to the other.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clipstream.detect.scores import best_half_means

__all__ = ["Moment", "find_moments", "hot_rows", "merge_near", "ranked"]


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """Rows [start, end) that stand out.

    Attributes:
        start: The first row.
        end: The row after the last.
        peak: The row of the highest score.
        height: That score.
        score: What the moment is ranked by, see `ranked`.
    """

    start: int
    end: int
    peak: int
    height: float
    score: float = 0.0


def find_moments(scores: NDArray[np.float64], hot: NDArray[np.bool_]) -> list[Moment]:
    """Return the moments of `scores` (T,), 0 where all is as usual, in order of time; their peaks are `hot` (T,)."""
    found: list[Moment] = []
    maxima = [i for i in _local_maxima(scores) if hot[i] and scores[i] > 0]
    for i in sorted(maxima, key=lambda i: -scores[i]):
        start, end = _half_height(scores, i)
        before = max((one for one in found if one.peak < i and start <= one.end), default=None)
        after = min((one for one in found if one.peak > i and one.start <= end), default=None)
        # A bump on the flank of a far higher peak is no part of the moment: it would only blur its edge.
        joined = [one for one in (before, after) if one and scores[i] >= one.height / 2]
        if not joined and (before or after):
            continue
        alone = Moment(start, end, i, float(scores[i]))
        best = max(joined, key=lambda one: one.height, default=alone)
        # What a lower peak claims behind the higher one, or inside another moment, is not its own.
        if before:
            start = before.start if before in joined else max(start, before.end)
        if after:
            end = after.end if after in joined else min(end, after.start)
        found = [one for one in found if one not in joined]
        found.append(replace(best, start=min(start, best.start), end=max(end, best.end)))
    return sorted(found)


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
            best = max(last, moment, key=lambda part: part.height)
            moment = replace(best, start=last.start, end=max(last.end, moment.end))  # noqa: PLW2901 - grown
        merged.append(moment)
    return merged


def ranked(moments: list[Moment], scores: NDArray[np.float64], window: int) -> list[Moment]:
    """Give moments their score: the mean of their best half window, in which what they do not fill counts as nothing.

    So it is at most that of a window that shows the moment, which decides whether it counts; and two seconds of action
    stand above one loud half-second.
    """
    half = -(-window // 2)
    best = [np.sort(np.maximum(scores[one.start : one.end], 0.0))[-half:] for one in moments]
    return [replace(one, score=float(rows.sum()) / half) for one, rows in zip(moments, best, strict=True)]


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
