"""Shots: where the picture is cut, by PySceneDetect's content detector.

What a slice and the picture before it cannot tell: a flash in the slice's very last picture, whose return lies in the
next slice, is taken for a cut in both, and so may be a fast fade across their border.
"""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect.detectors import ContentDetector

from clipstream.features._pictures import small_pictures
from clipstream.features.base import Feature, Signal
from clipstream.media.slices import FrameBatch, FrameRequest, MediaNeeds, Slice
from clipstream.settings import Settings

__all__ = ["create"]

_THRESHOLD = 27.0  # PySceneDetect's own
_STANDS_OUT = 2.8  # times the median of the slice's other scores: cuts reach 3.1, whip pans and hands up to 2.6
_VISIBLE = 12.0  # grey levels of 255
_LONGEST_GAP_S = 0.5  # pictures further apart differ without a cut


def create(settings: Settings) -> Feature:
    """Return the shots feature."""
    return _Shots(small_pictures(settings))


class _Shots:
    name = "shots"
    weight = 0.0
    signals: tuple[Signal, ...] = (
        Signal("shot_change", "change of the picture", "", weight=0.0, min_spread=2.0),
        Signal("shot_cut_s", "cut", "s", weight=0.0, min_spread=0.1, boundary=True),
    )

    def __init__(self, request: FrameRequest) -> None:
        self._request = request
        self.needs = MediaNeeds(frames=(request,))

    def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
        """Return (len(slices), 2) float32: `shot_change` and `shot_cut_s`.

        `shot_change` is the largest change between neighbouring pictures, 0 to 255: PySceneDetect's content score (the
        mean change of hue, saturation and value) or the mean change of the pixels, if that is larger; NaN without two
        pictures. `shot_cut_s` is when the first picture after the clearest cut is shown, in seconds after the slice's
        start; NaN without a cut.
        """
        return np.array([self._of(piece) for piece in slices], dtype=np.float32)

    def _of(self, piece: Slice) -> tuple[float, float]:
        batch = piece.frames.get(self._request)
        if batch is None or not batch.count or len(batch.pts_s) < 2:
            return np.nan, np.nan
        scores = _scores(batch.pixels)
        cut = _cut(batch, scores)
        return float(scores.max()), np.nan if cut is None else float(batch.pts_s[cut]) - float(piece.start_s)


def _scores(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how much each picture differs from the one before, 0 for the first."""
    scores = np.array([0.0, *(cv2.norm(a, b, cv2.NORM_L1) / a.size for a, b in pairwise(pictures))])
    # Without colour, two thirds of the content score are nil; in the dark, they are noise and reach 130.
    for i in np.flatnonzero(scores >= _VISIBLE):
        scores[i] = max(scores[i], _content(pictures[i - 1], pictures[i]))
    return scores


def _content(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    # Its one public reader, the statistics, makes it look for edges too, which costs more than the score.
    content_score = ContentDetector()._calculate_frame_score  # noqa: SLF001 - the score has no other cheap reader
    content_score(None, before)
    return float(content_score(None, after))


def _cut(batch: FrameBatch, scores: NDArray[np.float64]) -> int | None:
    """Return which picture of the batch is the first of a new shot."""
    cuts, i = [], 1
    while i < len(scores):
        if not _is_jump(batch, scores, i):
            i += 1
        elif back := _return_from_flash(batch, scores, i):
            i = back + 1
        else:
            cuts.append(i)
            i += 1
    return max(cuts, key=lambda cut: scores[cut], default=None)


def _is_jump(batch: FrameBatch, scores: NDArray[np.float64], i: int) -> bool:
    others = np.delete(scores, [0, i])
    usual = float(np.median(others)) if others.size else 0.0
    gap_s = batch.pts_s[i] - batch.pts_s[i - 1]
    return bool(scores[i] >= max(_THRESHOLD, _STANDS_OUT * usual) and gap_s <= _LONGEST_GAP_S)


def _return_from_flash(batch: FrameBatch, scores: NDArray[np.float64], i: int) -> int | None:
    """Return which picture shows again what was there before picture `i`."""
    before = batch.pixels[i - 1]
    for later in range(i + 1, len(scores)):
        if _scores(np.stack([before, batch.pixels[later]]))[1] < scores[i] / _STANDS_OUT:
            return later
    return None
