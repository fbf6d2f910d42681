"""What a window has to reach: a line among the scores of all windows, and how much more while little is known."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["APART_ROWS", "caution", "known_rows", "line_of"]

APART_ROWS = 10
"""Keyframes are rarely further apart: what lies between two of them counts as seen."""

_NORMAL = NormalDist()

_TENTH = _NORMAL.inv_cdf(0.9)

_FEWEST = 6.0
"""Samples from which a spread can be known at all: the formula for the factor is right to 5 % from here on."""


def line_of(window_scores: NDArray[np.float64], percentile: float) -> float:
    """Return what the best of `window_scores` (W,) reach: a percentile of them, and less where the best are alike.

    Moments that are alike and fill more of the time than a percentile leaves have it among their scores, where a
    difference of a tenth decides, as much as it makes where half-seconds begin. So the line stands no further on the
    way from the mirrored percentile (the 10th, for the 90th) to the mean of what is beyond it than among normally
    distributed scores. Where the best fall off like those or more slowly, as with most noise and with rare moments, it
    is the percentile itself. What is less than usual, below 0, as darkness and silence, counts only as far down as the
    percentile is up.
    """
    line = float(np.percentile(window_scores, percentile))
    if not 50 < percentile < 100:
        return line
    deviations = _NORMAL.inv_cdf(percentile / 100)
    beyond = _NORMAL.pdf(deviations) / (1 - percentile / 100)  # mean of a normal distribution's tail
    low = max(float(np.percentile(window_scores, 100 - percentile)), -line)
    top = float(window_scores[window_scores >= line].mean())
    return min(line, low + 2 * deviations / (beyond + deviations) * (top - low))


def caution(samples: NDArray[np.float64], enough: float) -> NDArray[np.float64]:
    """Return how many times larger a change has to be when so many `samples` (T,) are known instead of `enough`.

    Never below 1, and below 2 for the very first: what is far beyond everything is found all the same. This is the
    ratio of one-sided tolerance factors: so many of their standard deviations above the mean of n samples lies what a
    tenth at most of all others exceed, with 90 % confidence (M. G. Natrella, Experimental Statistics, NBS Handbook 91,
    1963; NIST/SEMATECH e-Handbook, 7.2.6.3).
    """
    known = np.clip(samples, _FEWEST, max(enough, _FEWEST))
    return np.asarray(_tolerance(known) / _tolerance(np.array(max(enough, _FEWEST))))


def known_rows(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many rows of `values` (T, S) were seen up to each, (T,)."""
    rows = np.arange(len(values))
    seen = np.maximum.accumulate(np.where(np.isfinite(values).any(axis=1), rows, -APART_ROWS))
    return np.cumsum(rows - seen < APART_ROWS)


def _tolerance(n: NDArray[np.float64]) -> NDArray[np.float64]:
    a = 1 - _TENTH**2 / (2 * (n - 1))
    b = _TENTH**2 - _TENTH**2 / n
    return np.asarray((_TENTH + np.sqrt(_TENTH**2 - a * b)) / a)
