"""What a stream has shown so far, in a few typical pictures: how much the next one changes, and how new it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipstream.features._sketch import unpacked
from clipstream.timing import SLICE_S

__all__ = ["Familiarity", "Known"]

_PROTOTYPES = 8
_FORGETTING_SLICES = 600 / float(SLICE_S)  # ten minutes: what was shown then counts for a third of what is shown now


@dataclass(frozen=True, slots=True)
class Known:
    """State of `Familiarity`; about 8 KB.

    Attributes:
        n: The last slice that was seen.
        last: Its sketch.
        shares: How much each prototype has been shown, fading.
        prototypes: (P, D) float16 unit vectors.
    """

    n: int
    last: bytes
    shares: tuple[float, ...]
    prototypes: bytes


class Familiarity:
    """The memory of one stream.

    What was seen is kept as up to eight prototypes, each the mean of pictures alike; a ninth makes the two that are
    most alike one. Their shares fade over ten minutes.

    Args:
        width: The cosine distance at which a picture is half unlike (1 - 1/e) another.
        known: To go on from.
    """

    def __init__(self, width: float, known: Known | None = None) -> None:
        self._width = width
        self._known = known

    def follow(self, n: int, light: bytes) -> tuple[float, float]:
        """Return how far slice `n` is from the one seen before it, and how new it is; NaN where it cannot be told.

        The first is the cosine distance. The second, 0 to 1, is one minus how familiar it is: the sum of exp(-(d/w)²)
        over the prototypes, each times its share, of their distances d in widths w.
        """
        if not light:
            return np.nan, np.nan
        vector, known = unpacked(light), self._known
        if known is None:
            self._known = Known(n, light, (1.0,), vector.astype(np.float16).tobytes())
            return np.nan, np.nan
        prototypes = np.frombuffer(known.prototypes, np.float16).reshape(len(known.shares), -1).astype(np.float32)
        shares = np.array(known.shares)
        distances = 1 - prototypes @ vector
        familiar = float(shares @ np.exp(-np.square(distances / self._width)) / shares.sum())
        change = max(0.0, 1 - float(unpacked(known.last) @ vector))
        shares *= np.exp(-(n - known.n) / _FORGETTING_SLICES)
        shares, prototypes = _remembered(shares, prototypes, vector, self._width / 2)
        self._known = Known(n, light, tuple(shares.tolist()), prototypes.astype(np.float16).tobytes())
        return change, 1 - familiar

    def state(self) -> Known | None:
        """Return an immutable copy of the memory, to go on from later."""
        return self._known


def _remembered(
    shares: NDArray[np.float64], prototypes: NDArray[np.float32], vector: NDArray[np.float32], alike: float
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    distances = 1 - prototypes @ vector
    nearest, newest = int(distances.argmin()), len(shares)
    shares, prototypes = np.append(shares, 1.0), np.vstack((prototypes, vector))
    if distances[nearest] < alike:
        return _merged(shares, prototypes, nearest, newest)
    if len(shares) <= _PROTOTYPES:
        return shares, prototypes
    likeness = prototypes @ prototypes.T - 2 * np.eye(len(shares), dtype=np.float32)
    first, second = sorted(divmod(int(likeness.argmax()), len(shares)))
    return _merged(shares, prototypes, first, second)


def _merged(
    shares: NDArray[np.float64], prototypes: NDArray[np.float32], into: int, other: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    mean = shares[into] * prototypes[into] + shares[other] * prototypes[other]
    prototypes[into] = mean / np.linalg.norm(mean)
    shares[into] += shares[other]
    return np.delete(shares, other), np.delete(prototypes, other, axis=0)
