"""What a feature is: arrays in, a few numbers a slice out.

A feature lives in a module of this package named like it, or in a third party's package under the entry point group
`clipstream.features`; either way the module or entry point offers `create(settings)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clipstream.media.slices import MediaNeeds, Slice

__all__ = ["Feature", "FeatureInfo", "Signal"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One number that a feature gives for every slice.

    Attributes:
        name: Column name, unique over all features: `motion_scene`, `audio_loudness`.
        label: What it is in words, to complete "… above usual": `"movement in the scene"`.
        unit: Unit of the number, `""` for a ratio.
        weight: Share of the signal in its feature's score; 0 for a number that only informs.
        min_spread: The smallest change, in `unit`, worth noticing. A stream whose usual spread (scaled MAD) is smaller
            is measured with this instead, so that the trembling of a constant picture is not taken for an event.
        lasting: The number is of the change since the last one, so the slices between, which have none, share it: with
            `--scan`, the difference of two keyframes is of all the time between them.
        boundary: The number is no level but a time: where, in seconds after the slice's start, the picture cuts to
            another shot (NaN where it does not). Context around a highlight does not reach across it.
    """

    name: str
    label: str
    unit: str
    weight: float
    min_spread: float
    lasting: bool = False
    boundary: bool = False


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """A feature as the detector knows it: no code, only its name, its share and its numbers."""

    name: str
    weight: float
    signals: tuple[Signal, ...]


class Feature(Protocol):
    """Turns slices into numbers.

    Stateless: what it says of a slice depends on that slice and its lead alone, so that a resumed stream, a second
    worker or another batch size changes nothing.

    Attributes:
        name: The feature's name, as in `--features` and in the weights.
        weight: Default share of the feature in the fused score; 0 for one that only informs.
        signals: The numbers it gives, in order.
        needs: The frames and audio it wants of every slice.
    """

    name: str
    weight: float
    signals: tuple[Signal, ...]
    needs: MediaNeeds

    def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
        """Return (len(slices), len(signals)) float32, NaN where a number is missing.

        The slices may come from several streams, in no order between them, so that models can batch across them.
        Never called with an end slice or an empty sequence. An exception is counted as an error on each slice and its
        numbers become NaN; it does not end the stream.
        """
        ...
