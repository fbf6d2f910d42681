"""Motion: how much moves in the scene once the camera's own movement is undone.

Neighbouring pictures are laid over each other as the camera moved, and subtracted. Frame difference ranks moments
almost as dense optical flow does at a thousandth of its cost, except where the camera moves; so that is undone first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from clipstream.features._pictures import small_pictures
from clipstream.features.base import Feature, Signal
from clipstream.media.slices import FrameBatch, FrameRequest, MediaNeeds, Slice
from clipstream.settings import Settings

__all__ = ["create"]

_SHRINK = (
    2  # corners are tracked better at 128 px than at 256, where noise and blur matter more, at a third of the cost
)

# A hundredth of the width: finer detail says how well the camera was undone, not what moved. Six labelled tricks in two
# real clips stand out by 1.8 robust standard deviations with it, by 1.2 without.
_BLUR_PX = (9, 9)

# The difference that is left grows with the time between two pictures as dt^0.7 (fitted on eight real clips from 1/60
# to 0.5 s: powers of 0.5 to 0.9) and levels off beyond. It is given as if that time were 1/12 s.
_REFERENCE_S = 1 / 12
_LONGEST_S = 0.5
_GROWTH = 0.7

# Denser pictures tell little more and cost as much again each. Just under the gaps of 50/3 Hz.
_SHORTEST_S = 0.058

_CORNERS = 60
_FEWEST_CORNERS = 8
_FEWEST_INLIERS = 0.3  # of the corners; with fewer, the picture does not move as one
_INLIER_PX = 1.5


def create(settings: Settings) -> Feature:
    """Return the motion feature."""
    return _Motion(small_pictures(settings))


class _Motion:
    name = "motion"
    weight = 0.4
    signals: tuple[Signal, ...] = (
        Signal("motion_scene", "movement in the scene", "grey levels", weight=1.0, min_spread=0.5, lasting=True),
        Signal("motion_camera", "movement of the camera", "% of the width/s", weight=0.0, min_spread=1.0, lasting=True),
    )

    def __init__(self, request: FrameRequest) -> None:
        self._request = request
        self.needs = MediaNeeds(frames=(request,))

    def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
        """Return (len(slices), 2) float32: `motion_scene` and `motion_camera`; NaN without two pictures.

        Both are medians over the slice's pairs of neighbouring pictures, a twelfth of a second apart or so where there
        are more, so that a cut or a flash leaves them alone.
        `motion_scene` is the standard deviation over the picture, in grey levels of 255, of what a twelfth of a second
        changes beside the camera's movement. `motion_camera` is the shift of the middle of the picture, in percent of
        its width a second.
        """
        return np.array([_of(piece.frames.get(self._request)) for piece in slices], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Change:
    left: float  # standard deviation of the difference, the camera undone
    travel: float  # of the middle of the picture, as a part of its width


def _of(batch: FrameBatch | None) -> tuple[float, float]:
    if batch is None or not batch.count or len(batch.pts_s) < 2:
        return np.nan, np.nan
    spaced = _spaced(batch.pts_s)
    gaps_s = np.diff(batch.pts_s[spaced])
    pictures = [_Picture.of(batch.pixels[i]) for i in spaced]
    changes = [_change(before, after) for before, after in pairwise(pictures)]
    per_reference = (_REFERENCE_S / np.minimum(gaps_s, _LONGEST_S)) ** _GROWTH
    scene = np.array([change.left for change in changes]) * per_reference
    camera = 100 * np.array([change.travel for change in changes]) / gaps_s
    return float(np.median(scene)), float(np.median(camera))


def _spaced(pts_s: NDArray[np.float64]) -> list[int]:
    """Return which pictures are compared: the first, and each that is far enough from the one before; two at least."""
    chosen = [0]
    for i, at_s in enumerate(pts_s):
        if at_s - pts_s[chosen[-1]] >= _SHORTEST_S:
            chosen.append(i)
    return chosen if len(chosen) > 1 else [0, len(pts_s) - 1]


@dataclass(frozen=True, eq=False, slots=True)
class _Picture:
    grey: MatLike  # where corners are found
    blurred: MatLike  # what is subtracted

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> "_Picture":
        height, width = pixels.shape[:2]
        large = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        grey = cv2.resize(large, (width // _SHRINK, height // _SHRINK), interpolation=cv2.INTER_AREA)
        return cls(grey, cv2.GaussianBlur(grey, _BLUR_PX, 0))


def _change(first: _Picture, second: _Picture) -> _Change:
    shift = _camera_shift(first.grey, second.grey)
    before, after = first.blurred, second.blurred
    height, width = before.shape
    still = _Change(_difference(before, after), 0.0)
    if shift is None:
        return still
    seen = cv2.warpAffine(np.full_like(before, 255), shift, (width, height), flags=cv2.INTER_NEAREST)
    if cv2.countNonZero(seen) < seen.size / 2:
        return still
    moved = cv2.warpAffine(before, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
    left = _difference(moved, after, seen)
    if left >= still.left:  # the corners were on what moves, not on what is behind it
        return still
    middle = np.array([width / 2, height / 2])
    return _Change(left, float(np.hypot(*(shift @ [*middle, 1] - middle))) / width)


def _difference(before: MatLike, after: MatLike, where: MatLike | None = None) -> float:
    # Around its mean, so that a lamp's flicker or the camera's exposure is no movement.
    _, deviation = cv2.meanStdDev(cv2.subtract(after, before, dtype=cv2.CV_16S), mask=where)
    return float(deviation[0, 0])


def _camera_shift(before: MatLike, after: MatLike) -> NDArray[np.float64] | None:
    """Return the (2, 3) similarity that most corners follow, or `None`. OpenCV seeds its RANSAC alike in every call."""
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, qualityLevel=0.01, minDistance=5, blockSize=5)
    if corners is None or len(corners) < _FEWEST_CORNERS:
        return None
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        before, after, corners, np.empty_like(corners), winSize=(11, 11), maxLevel=2
    )
    kept = status[:, 0] == 1
    if kept.sum() < _FEWEST_CORNERS:
        return None
    shift, inliers = cv2.estimateAffinePartial2D(
        corners[kept], found[kept], ransacReprojThreshold=_INLIER_PX, maxIters=200
    )
    return shift if shift is not None and inliers.sum() >= _FEWEST_INLIERS * len(corners) else None
