"""What a detector is saved as, to go on from later."""

from dataclasses import dataclass

from clipstream.detect.packed import EMPTY, PackedState
from clipstream.failures import Failure
from clipstream.results import Interval

__all__ = ["DetectorState"]


@dataclass(frozen=True, slots=True)
class DetectorState:
    """Snapshot of a detector.

    Attributes:
        rows: The signals of every slice so far; of a live stream, those within the horizon.
        windows: First and past-the-end slice of every window of those rows.
        judged: Under a running policy, score, noticeable score and feature scores of the rows already judged.
        threshold: Under a running policy, what the last window had to reach.
        errors: Errors counted so far.
        decided: Rows up to here belong to highlights that were given out, or to the quiet after them.
        intervals: The highlights that were given out; of a live stream, the last ones.
        numbered: How many were.
        live: Whether the stream is a live one.
        failures: The features that failed so far.
    """

    rows: PackedState = EMPTY
    windows: PackedState = EMPTY
    judged: PackedState = EMPTY
    threshold: float = 0.0
    errors: int = 0
    decided: int = 0
    intervals: tuple[Interval, ...] = ()
    numbered: int = 0
    live: bool = False
    failures: tuple[Failure, ...] = ()
