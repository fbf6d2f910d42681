"""Why a moment is a highlight, and why a stream has none, in numbers and words."""

from collections.abc import Sequence

import numpy as np

from clipstream.detect.moments import Moment
from clipstream.detect.scores import Scores, Usual
from clipstream.features.base import FeatureInfo
from clipstream.results import Reason

__all__ = ["explain_none", "reasons_for"]

WORTH_TELLING_SHARE = 0.1
"""A feature that gives less of a score than this is no reason."""


def reasons_for(
    moment: Moment,
    scores: Scores,
    usual: Usual,
    features: Sequence[FeatureInfo],
) -> tuple[Reason, ...]:
    """Return the features that made the moment stand out, the largest share first.

    A feature's share is what it added to the score over the moment, as part of all that was added; it is told by the
    signal of it that adds most: how far above usual it stands, by its weight.
    """
    inside = slice(moment.start, moment.end)
    added = np.maximum(scores.parts[inside].sum(axis=0), 0.0)
    total = float(added.sum())
    reasons = []
    first = 0
    for column, feature in enumerate(features):
        shares = [signal.weight for signal in feature.signals]
        above = scores.deviations[inside, first : first + len(shares)]
        weighted = np.where(np.isnan(above), -np.inf, above * np.array(shares))
        if total > 0 and added[column] / total >= WORTH_TELLING_SHARE and np.isfinite(weighted).any():
            told_of = np.where(np.array(shares) != 0, weighted, -np.inf)
            row, told = np.unravel_index(int(np.argmax(told_of)), above.shape)
            signal = feature.signals[int(told)]
            reasons.append(
                Reason(
                    feature=feature.name,
                    label=signal.label,
                    value=float(scores.values[moment.start + int(row), first + int(told)]),
                    usual=float(usual.median[first + int(told)]),
                    unit=signal.unit,
                    deviations=float(above[row, told]),
                    share=float(added[column] / total),
                )
            )
        first += len(shares)
    return tuple(sorted(reasons, key=lambda reason: -reason.share))


def explain_none(best: float, floor: float, *, measured: bool) -> str:
    """Return one sentence on why a stream has no highlight.

    Args:
        best: Its best window, in smallest noticeable changes above usual.
        floor: What that had to reach.
        measured: Whether any feature had a number to say at all.
    """
    if not measured:
        return "Nothing could be measured: the features in use found no picture and no sound in the stream."
    if best < floor:
        return (
            f"Nothing stands out: the liveliest window is {max(best, 0.0):.2f} noticeable steps above the usual level, "
            f"and the floor is {floor:g} (--floor)."
        )
    return "Nothing stands out: what is lively enough is no more so than the rest of the stream (--percentile)."
