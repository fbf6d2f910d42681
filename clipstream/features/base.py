"""What a feature is: arrays in, a few numbers a slice out.

A feature lives in a module of this package named like it, or in a third party's package under the entry point group
`clipstream.features`; either way the module or entry point offers `create(settings)`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from clipstream.media.slices import MediaNeeds, Slice

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "AnyFeature",
    "Feature",
    "FeatureInfo",
    "Follower",
    "FollowingFeature",
    "Observation",
    "SavingFeature",
    "Signal",
]


@dataclass(frozen=True, slots=True)
class Signal:
    """One number that a feature gives for every slice.

    Attributes:
        name: Column name, unique over all features: `motion_scene`, `audio_loudness`.
        label: What it is in words, to complete "… above usual": `"movement in the scene"`.
        unit: Unit of the number, `""` for a ratio.
        weight: Share of the signal in its feature's score; 0 for a number that only informs, below 0 for one that adds
            as it falls.
        min_spread: The smallest change, in `unit`, worth noticing. A stream whose usual spread (scaled MAD) is smaller
            is measured with this instead, so that the trembling of a constant picture is not taken for an event.
        lasting: The number is of the change since the last one, so the slices between, which have none, share it: with
            `--scan`, the difference of two keyframes is of all the time between them.
        boundary: The number is no level but a time: where, in seconds after the slice's start, the picture cuts to
            another shot (NaN where it does not). Context around a highlight does not reach across it.
        held: The number is a level that is looked at now and then: the slices after it, which have none, have it until
            the next look. Never those before it: what it is of had not been seen there.
    """

    name: str
    label: str
    unit: str
    weight: float
    min_spread: float
    lasting: bool = False
    boundary: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """A feature as the detector knows it: no code, only its name, its share and its numbers.

    Attributes:
        name: As of `Feature`.
        weight: Its share in this run.
        signals: Its numbers.
        about: The model that it sees by, if it has said so in an attribute `about`; with another, its results differ.
        alternatives: One signal is enough: the highest counts, and not the mean of all. An attribute of a feature, too.
    """

    name: str
    weight: float
    signals: tuple[Signal, ...]
    about: str = ""
    alternatives: bool = False


class Feature(Protocol):
    """Turns slices into numbers, each for itself.

    One that runs a model also has an attribute `slices_at_once`: how many slices it gains from having in one batch. It
    is 1 on a CPU, where more gain nothing. The next slices are then decoded while it runs.

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
        Never called with an end slice or an empty sequence. After an exception it is called for each slice alone; those
        in which it fails again count an error, and their numbers become NaN. That does not end the stream, but where
        the feature was asked for, its result is no whole one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Observation:
    """What a following feature saw in one slice.

    Attributes:
        light: What its follower needs, packed. Travels with the row, all features together under 1 KB.
        details: What is worth keeping beside that where `--save` asks for it, packed; never travels.
    """

    light: bytes
    details: bytes = b""


class Follower(Protocol):
    """The memory that a following feature has of one stream."""

    def follow(self, n: int, light: bytes) -> Sequence[float]:
        """Return the numbers of slice `n`, one for each signal of the feature, NaN where one is missing.

        Called for every slice of the stream in order; `light` is empty for one that could not be observed. An exception
        is counted as an error on the slice, whose numbers become NaN; the next one meets the memory as it was left.
        """
        ...

    def state(self) -> object:
        """Return an immutable copy of the memory, to go on from later. Small: it is saved twice a second."""
        ...


class FollowingFeature(Protocol):
    """Turns slices into numbers that depend on the slices before: people keep their identity, a scene becomes known.

    Seeing is divided from remembering. `observe` does the work where the frames are, for any slices in any company, and
    keeps nothing; a follower for each stream, whose memory is saved with the run, makes the numbers of what was
    observed. So a resumed stream, a second worker or another batch size changes nothing. One that runs a model has
    `slices_at_once`, as a `Feature` has.

    Attributes:
        name: As of `Feature`; the same for the others.
        weight: Default share of the feature in the fused score.
        signals: The numbers that its followers give, in order.
        needs: The frames and audio it wants of every slice.
    """

    name: str
    weight: float
    signals: tuple[Signal, ...]
    needs: MediaNeeds

    def observe(self, slices: Sequence[Slice]) -> Sequence[Observation]:
        """Return what is seen in each slice; called and guarded like `Feature.extract`."""
        ...

    def follower(self, state: object | None = None) -> Follower:
        """Return the follower of one stream, at its beginning or with the memory that `state` holds."""
        ...


class SavingFeature(FollowingFeature, Protocol):
    """A following feature whose details `--save` can keep, in a table of their own.

    Attributes:
        saves: What `--save` calls it: `"poses"`. The table is named like it.
        schema: The table's columns. Its metadata says what the numbers depend on beside the settings, such as `model`
            and `checksum` of the weights: where it differs, what an interrupted run kept is not gone on with.
    """

    saves: str
    schema: "pa.Schema"

    def table(
        self, kept: Iterable[tuple[int, Observation]], width_px: int, height_px: int
    ) -> Iterator["pa.RecordBatch"]:
        """Yield the rows of one stream's table, in order of time.

        Args:
            kept: Every slice's number, from 0, and what was observed in it; empty for what could not be observed. One
                at a time, so that a stream of any length fits: take them as they come.
            width_px: Width of the source's picture as it is shown; 0 where there is none.
            height_px: Height of it.
        """
        ...


AnyFeature = Feature | FollowingFeature
"""What `create(settings)` of a feature's module may return; or `None`, where the settings leave it nothing to do."""
