"""From slices to rows: every feature runs where the frames are, and the followers make numbers of what was observed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard, cast

import numpy as np
import structlog

from clipstream.failures import Failure, in_one_line
from clipstream.features.base import AnyFeature, Feature, FollowingFeature, Observation
from clipstream.log import traceback_of
from clipstream.media.slices import Slice
from clipstream.results import Row

__all__ = ["Extractor", "Following", "FollowingState", "Keep"]

Keep = Callable[[str, Slice, Observation], None]
"""Given the feature's name, the slice and what was observed in it, keeps the details. Called before the row is out.

What it raises ends the run: a row whose details are lost must not go on.
"""

_log = structlog.get_logger()


class Extractor:
    """Runs every feature on all slices at hand, of whatever streams, so that models see one large batch.

    Args:
        features: The features, in order.
        keep: What is done with every observation, if anything.
        measured: Told of the row of every slice.
    """

    def __init__(
        self,
        features: Sequence[AnyFeature],
        keep: Keep | None = None,
        measured: Callable[[Row], None] | None = None,
    ) -> None:
        self._features = tuple(features)
        self._keep, self._measured = keep, measured
        self._reported: set[str] = set()

    def __call__(self, slices: Sequence[Slice]) -> list[tuple[str, Row]]:
        """Return a row for each slice, in order, keyed by its stream."""
        media = [item for item in slices if item.end is None]
        measured = self._rows(media) if media else []
        if self._measured is not None:
            for row in measured:
                self._measured(row)
        rows = iter(measured)
        return [(item.stream, next(rows) if item.end is None else _end(item)) for item in slices]

    def _rows(self, slices: list[Slice]) -> list[Row]:
        values = np.full((len(slices), sum(len(feature.signals) for feature in self._features)), np.nan, np.float32)
        lights: list[list[bytes]] = [[] for _ in slices]
        failures: list[list[Failure]] = [[] for _ in slices]
        first = 0
        for feature in self._features:
            columns = slice(first, first := first + len(feature.signals))
            heavy = hasattr(feature, "slices_at_once")
            seen = [i for i, item in enumerate(slices) if not (heavy and item.lean)]
            given = [slices[i] for i in seen]
            observations = [Observation(b"")] * len(slices)
            try:
                if not given:
                    pass
                elif follows(feature):
                    for i, observation in zip(seen, feature.observe(given), strict=True):
                        observations[i] = observation
                else:
                    numbers = np.asarray(cast("Feature", feature).extract(given), np.float32)
                    values[seen, columns] = numbers.reshape(len(given), len(feature.signals))
            except Exception as error:  # noqa: BLE001 - counted on the rows; one feature must not end the flow
                for i in seen:
                    failures[i].append(Failure(feature.name, 1, in_one_line(error)))
                self._report(feature.name, given[0].stream, error)
            if follows(feature):
                for mine, item, observation in zip(lights, slices, observations, strict=True):
                    mine.append(observation.light)
                    if self._keep is not None:
                        self._keep(feature.name, item, observation)
        return [
            Row(
                stream=item.stream,
                n=item.n,
                values=values[i].tobytes(),
                frames=item.frame_count,
                errors=item.errors + len(failures[i]),
                observed=tuple(lights[i]),
                live=item.live,
                failures=tuple(failures[i]),
            )
            for i, item in enumerate(slices)
        ]

    def _report(self, feature: str, stream: str, error: Exception) -> None:
        if feature not in self._reported:  # once: a feature that fails tends to fail on every slice
            self._reported.add(feature)
            _log.error("feature_failed", feature=feature, stream=stream, error=in_one_line(error))
            _log.debug("feature_failure", feature=feature, exc_info=traceback_of(error))


@dataclass(frozen=True, slots=True)
class FollowingState:
    """Snapshot of `Following`: the slices seen, and the memory of every follower."""

    seen: int = 0
    memories: tuple[object, ...] = ()


class Following:
    """Lets the followers of one stream make numbers of its rows, which come in order.

    Args:
        features: The features, in order.
        state: To go on from.
    """

    def __init__(self, features: Sequence[AnyFeature], state: FollowingState | None = None) -> None:
        self._seen = state.seen if state else 0
        self._followers = []
        memories = iter(state.memories if state else ())
        first = 0
        for feature in features:
            if follows(feature):
                span = slice(first, first + len(feature.signals))
                self._followers.append((span, feature.follower(next(memories, None))))
            first += len(feature.signals)

    def push(self, row: Row) -> Row:
        """Return the row with all its numbers; a replay, older than one already seen, is left as it is."""
        if row.end is not None or row.n < self._seen or not self._followers:
            return row
        values = np.frombuffer(row.values, np.float32).copy()
        for (span, follower), light in zip(self._followers, row.observed, strict=True):
            values[span] = follower.follow(row.n, light)
        self._seen = row.n + 1
        return replace(row, values=values.tobytes(), observed=())

    def state(self) -> FollowingState:
        """Return a copy of the state, to go on from later."""
        return FollowingState(self._seen, tuple(follower.state() for _, follower in self._followers))


def follows(feature: AnyFeature) -> TypeGuard[FollowingFeature]:
    """Say whether a feature observes and follows, instead of extracting at once."""
    return hasattr(feature, "observe")


def _end(item: Slice) -> Row:
    return Row(item.stream, item.n, b"", item.frame_count, item.errors, item.end, live=item.live)
