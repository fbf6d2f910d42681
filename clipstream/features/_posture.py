"""Posture: lengths, angles and cues of bodies, from the keypoints of COCO in a picture whose pixels are square.

Everything is for many people at once, and NaN where a joint it needs is not confidently seen. What is measured is the
body's projection: a limb that points at the camera is seen shorter than it is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ANGLES", "TRUNK", "Posture", "limb_speed", "posture_of", "seen_keypoints"]

Numbers = NDArray[np.float64]

MIN_CONFIDENCE = 0.5
"""What is hidden is placed by the network all the same, with less."""

TRUNK_OF_STATURE = 0.288
"""From hip to shoulder, by stature."""

SHOULDERS_OF_STATURE = 0.259
"""Between the shoulders, by stature. Both: Drillis & Contini, "Body Segment Parameters", 1966."""

SHORTEST_TRUNK = 0.5
"""Of its length: seen shorter than that, the trunk points at the camera and measures nothing."""

FEWEST_KEYPOINTS = 5
"""That a speed is the median of."""

_LEFT, _RIGHT = 0, 1
_SHOULDERS, _ELBOWS, _WRISTS = [5, 6], [7, 8], [9, 10]
_HIPS, _KNEES, _ANKLES = [11, 12], [13, 14], [15, 16]
TRUNK = [*_SHOULDERS, *_HIPS]
"""The keypoints of the trunk."""

ANGLES = (
    *("left_knee", "right_knee", "left_hip", "right_hip"),
    *("left_elbow", "right_elbow", "left_shoulder", "right_shoulder"),
)
"""The joints whose angle is measured."""

_ANGLES_BETWEEN = (
    *((_HIPS[side], _KNEES[side], _ANKLES[side]) for side in (_LEFT, _RIGHT)),
    *((_SHOULDERS[side], _HIPS[side], _KNEES[side]) for side in (_LEFT, _RIGHT)),
    *((_SHOULDERS[side], _ELBOWS[side], _WRISTS[side]) for side in (_LEFT, _RIGHT)),
    *((_HIPS[side], _SHOULDERS[side], _ELBOWS[side]) for side in (_LEFT, _RIGHT)),
)


@dataclass(frozen=True, eq=False, slots=True)
class Posture:
    """Postures of P people, all float64.

    Attributes:
        stature_px: (P,) how tall they would stand: the trunk by `TRUNK_OF_STATURE` or the shoulders by
            `SHOULDERS_OF_STATURE`, whichever says more, because a projection can only shorten. Crouching leaves it.
        tuck: (P,) tuck ratio: from hip to ankle over from hip to shoulder, in a straight line. About 1.7 upright, 1
            in a crouch. By lengths, not by heights: a trunk that leans forward is not as high, but as long.
        angles_deg: (P, 8) at the joints of `ANGLES`: 180 stretched, 0 folded; at the shoulder, 0 is an arm that hangs.
        inclination_deg: (P,) of the trunk: 0 upright, 90 lying, 180 upside down.
        inverted: (P,) 1 where the hips are above the shoulders and the feet (or knees) above the hips, else 0.
        ankle_px: (P,) y of the lower ankle.
    """

    stature_px: Numbers
    tuck: Numbers
    angles_deg: Numbers
    inclination_deg: Numbers
    inverted: Numbers
    ankle_px: Numbers


def seen_keypoints(keypoints_px: NDArray[np.float32], confidences: NDArray[np.float32]) -> Numbers:
    """Return the keypoints (P, 17, 2) as float64, NaN where the confidence (P, 17) is too low to measure with."""
    return np.where((confidences >= MIN_CONFIDENCE)[..., None], keypoints_px, np.nan).astype(np.float64)


def posture_of(seen: Numbers) -> Posture:
    """Return the postures of people by their seen keypoints (P, 17, 2) in pixels, x to the right and y downwards."""
    trunks = seen[:, _SHOULDERS] - seen[:, _HIPS]  # of either side, for a side view shows one
    trunk_px = _either(_length(trunks))
    legs_px = _either(_length(seen[:, _ANKLES] - seen[:, _HIPS]))
    shoulders_px = _length(seen[:, _SHOULDERS[_LEFT]] - seen[:, _SHOULDERS[_RIGHT]])
    stature_px = np.fmax(trunk_px / TRUNK_OF_STATURE, shoulders_px / SHOULDERS_OF_STATURE)
    stature_px = np.where(stature_px > 0, stature_px, np.nan)
    measurable = trunk_px >= SHORTEST_TRUNK * TRUNK_OF_STATURE * stature_px
    across_px, up_px = (_either(trunks[..., axis]) * sign for axis, sign in ((0, 1), (1, -1)))
    inclination_deg = np.degrees(np.arctan2(np.abs(across_px), up_px))
    below_hips_px = _either(seen[:, _ANKLES, 1] - seen[:, _HIPS, 1])
    knees_px = _either(seen[:, _KNEES, 1] - seen[:, _HIPS, 1])
    below_hips_px = np.where(np.isnan(below_hips_px), knees_px, below_hips_px)
    known = measurable & ~np.isnan(below_hips_px)
    first, middle, last = (seen[:, [joint[i] for joint in _ANGLES_BETWEEN]] for i in range(3))
    return Posture(
        stature_px=stature_px,
        tuck=np.divide(legs_px, trunk_px, out=np.full_like(trunk_px, np.nan), where=measurable),
        angles_deg=_angle_deg(first - middle, last - middle),
        inclination_deg=np.where(measurable, inclination_deg, np.nan),
        inverted=np.where(known, (up_px < 0) & (below_hips_px < 0), np.nan),
        ankle_px=np.fmax(*seen[:, _ANKLES, 1].T),
    )


def limb_speed(before: Numbers, after: Numbers, gap_s: Numbers, stature_px: Numbers) -> Numbers:
    """Return (P,) how fast keypoints move against the trunk, in statures a second: the median over those seen twice.

    Against the trunk, so that neither the camera's movement counts nor a ride through the picture, but what the body
    does. NaN where fewer than `FEWEST_KEYPOINTS` or none of the trunk are seen in both.

    Args:
        before: (P, 17, 2) seen keypoints in pixels.
        after: (P, 17, 2) those of the same people, `gap_s` (P,) later.
        gap_s: Time between.
        stature_px: (P,) their statures.
    """
    moved = after - before
    enough = (~np.isnan(moved[..., 0])).sum(axis=1) >= FEWEST_KEYPOINTS
    enough &= ~np.isnan(moved[:, TRUNK, 0]).all(axis=1)
    speed = np.full(len(moved), np.nan)
    for i in np.flatnonzero(enough):
        person = moved[i][~np.isnan(moved[i, :, 0])]
        trunk = moved[i, TRUNK][~np.isnan(moved[i, TRUNK, 0])].mean(axis=0)
        speed[i] = np.median(_length(person - trunk)) / gap_s[i] / stature_px[i]
    return speed


def _length(vectors: Numbers) -> Numbers:
    return np.asarray(np.hypot(vectors[..., 0], vectors[..., 1]))


def _either(sides: Numbers) -> Numbers:
    """Return the mean of left and right (P, 2), or the one that is there."""
    left, right = sides.T
    return np.asarray(np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2)))


def _angle_deg(one: Numbers, other: Numbers) -> Numbers:
    """Return the angle between vectors (..., 2), NaN where one has no length."""
    cross = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    angle_deg = np.degrees(np.abs(np.arctan2(cross, (one * other).sum(axis=-1))))
    return np.where((_length(one) > 0) & (_length(other) > 0), angle_deg, np.nan)
