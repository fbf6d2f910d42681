"""What a run found: the light, immutable records that travel from the detector to the sink and into files."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from clipstream.failures import Failure
from clipstream.features.base import FeatureInfo
from clipstream.media.slices import StreamEnd

__all__ = ["Interval", "Reason", "Row", "StreamSummary", "Window"]


@dataclass(frozen=True, slots=True)
class Row:
    """What the features said of one slice: under 1 KB, and the only thing that is keyed, exchanged and kept.

    Attributes:
        stream: Name of the stream, which is also its key.
        n: Number of the slice.
        values: float32 bytes, one number for each signal, NaN where it is missing.
        frames: Video frames decoded in the slice.
        errors: Packets, frames or feature calls that failed in it.
        end: Set on the one row that follows the last slice; its values are empty.
        observed: What each following feature saw, in order; empty once their followers have made numbers of it.
        live: Whether the stream is a live one, which may leave slices out.
        failures: The features that failed in it, if any did.
    """

    stream: str
    n: int
    values: bytes
    frames: int = 0
    errors: int = 0
    end: StreamEnd | None = None
    observed: tuple[bytes, ...] = ()
    live: bool = False
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """An overlapping window of rows.

    Attributes:
        k: Number of the window; it begins at k × hop.
        start_s: Where it begins, in media time.
        end_s: Where it ends; the last windows of a stream end with it.
        means: Mean of each signal over the rows that have it, NaN where none has.
        peaks: Largest value of each signal.
        frames: Video frames decoded in it.
    """

    k: int
    start_s: Fraction
    end_s: Fraction
    means: tuple[float, ...]
    peaks: tuple[float, ...]
    frames: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a moment stands out: one feature, told by its strongest signal.

    Attributes:
        feature: Name of the feature.
        label: The signal in words.
        value: The signal at its strongest in the moment, in `unit`.
        usual: Its median over the stream (or the trailing horizon).
        unit: Unit of both.
        deviations: How far above usual, in robust standard deviations (1.4826 × MAD); below, for a signal that tells by
            falling.
        share: Part of the moment's score that the feature gave, 0 to 1.
    """

    feature: str
    label: str
    value: float
    usual: float
    unit: str
    deviations: float
    share: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A highlight. Named by integers, so that a replay gives the same clip the same name.

    Attributes:
        stream: Name of the stream.
        number: Its place among the stream's highlights in time, from 1.
        start_ms: Where the clip starts, in media time.
        end_ms: Where it ends.
        peak_ms: Where the score is highest.
        score: Mean of its best half window, in robust standard deviations above usual: what it is ranked by.
        reasons: Why, the largest share first.
        rank: 1 for the best of the stream; `None` while the stream still runs.
        peak_score: Score of the half-second that stands out most.
        date_ms: Date of `start_ms` in milliseconds since 1970, of a live stream whose recording tells it.
    """

    stream: str
    number: int
    start_ms: int
    end_ms: int
    peak_ms: int
    score: float
    reasons: tuple[Reason, ...] = ()
    rank: int | None = None
    peak_score: float = 0.0
    date_ms: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class StreamSummary:
    """Everything measured of one stream, given out once, when it has ended.

    T is the number of slices, S of signals, F of features, K of windows.

    Attributes:
        stream: Name of the stream.
        features: The features, in order; their signals in order are the columns of `values`.
        values: (T, S) float32, the signals; NaN where missing.
        feature_scores: (T, F) float32, each feature in robust standard deviations; NaN where missing.
        scores: (T,) float32, fused and smoothed, in robust standard deviations of the stream.
        noticeable: (T,) float32, the highest of the features, smoothed, in smallest noticeable changes.
        window_scores: (K,) float32.
        window_spans_s: (K, 2) float64, start and end of each window.
        threshold: What a window's score had to reach (its last value under a running policy).
        floor: What its noticeable score had to reach as well.
        intervals: The highlights in order of time, ranked.
        errors: Packets, frames and feature calls that failed.
        end: How the stream ended.
        first: Number of the slice that the first row is of; what lies before is forgotten, of a live stream.
        explanation: One sentence when there is no highlight: why not.
        failures: The features that failed on the way, and in how many slices.
    """

    stream: str
    features: tuple[FeatureInfo, ...]
    values: NDArray[np.float32]
    feature_scores: NDArray[np.float32]
    scores: NDArray[np.float32]
    noticeable: NDArray[np.float32]
    window_scores: NDArray[np.float32]
    window_spans_s: NDArray[np.float64]
    threshold: float
    floor: float
    intervals: tuple[Interval, ...]
    errors: int
    end: StreamEnd
    first: int = 0
    explanation: str | None = None
    failures: tuple[Failure, ...] = ()
