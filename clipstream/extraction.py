"""From slices to rows: every feature runs where the frames are, and the followers make numbers of what was observed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard, cast

import numpy as np
import structlog
from numpy.typing import NDArray

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
    """

    def __init__(self, features: Sequence[AnyFeature], keep: Keep | None = None) -> None:
        self._features, self._keep = tuple(features), keep
        self._report = _Reporter()

    def __call__(self, slices: Sequence[Slice]) -> list[tuple[str, Row]]:
        """Return a row for each slice, in order, keyed by its stream."""
        media = [item for item in slices if item.end is None]
        rows = iter(self._rows(media) if media else [])
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
            observations = [Observation(b"")] * len(slices)
            for i, found in zip(seen, self._found(feature, [slices[i] for i in seen]), strict=True):
                if isinstance(found, Failure):
                    failures[i].append(found)
                elif isinstance(found, np.ndarray):
                    values[i, columns] = found
                else:
                    observations[i] = found
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

    def _found(self, feature: AnyFeature, slices: list[Slice]) -> Sequence[NDArray[np.float32] | Observation | Failure]:
        """Ask for all slices at once, and where that fails for each alone: one stream must not spoil the others."""
        try:
            return _ask(feature, slices) if slices else []
        except Exception as error:  # noqa: BLE001 - counted on the rows; one feature must not end the flow
            if len(slices) == 1:
                self._report(feature.name, slices[0].stream, error)
                return [Failure(feature.name, 1, in_one_line(error))]
        # Not before the error is gone: its traceback holds what was computed, and memory may be what was short.
        return [found for item in slices for found in self._found(feature, [item])]


class _Reporter:
    """Logs a feature that fails once: it tends to fail on every slice."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def __call__(self, feature: str, stream: str, error: Exception) -> None:
        if feature not in self._reported:
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
        self._report = _Reporter()
        self._followers = []
        memories = iter(state.memories if state else ())
        first = 0
        for feature in features:
            if follows(feature):
                span = slice(first, first + len(feature.signals))
                self._followers.append((feature.name, span, feature.follower(next(memories, None))))
            first += len(feature.signals)

    def push(self, row: Row) -> Row:
        """Return the row with all its numbers; a replay, older than one already seen, is left as it is.

        A follower that fails is counted on the row, and gives it no numbers.
        """
        if row.end is not None or row.n < self._seen or not self._followers:
            return row
        values = np.frombuffer(row.values, np.float32).copy()
        failures: list[Failure] = []
        for (name, span, follower), light in zip(self._followers, row.observed, strict=True):
            try:
                values[span] = follower.follow(row.n, light)
            except Exception as error:  # noqa: BLE001 - counted on the row; one feature must not end the flow
                values[span] = np.nan
                self._report(name, row.stream, error)
                if all(one.feature != name for one in row.failures):  # a slice counts once, if observing failed, too
                    failures.append(Failure(name, 1, in_one_line(error)))
        self._seen = row.n + 1
        return replace(
            row,
            values=values.tobytes(),
            observed=(),
            errors=row.errors + len(failures),
            failures=(*row.failures, *failures),
        )

    def state(self) -> FollowingState:
        """Return a copy of the state, to go on from later."""
        return FollowingState(self._seen, tuple(follower.state() for _, _, follower in self._followers))


def follows(feature: AnyFeature) -> TypeGuard[FollowingFeature]:
    """Say whether a feature observes and follows, instead of extracting at once."""
    return hasattr(feature, "observe")


def _ask(feature: AnyFeature, slices: Sequence[Slice]) -> Sequence[NDArray[np.float32] | Observation]:
    if follows(feature):
        return [seen for _, seen in zip(slices, feature.observe(slices), strict=True)]
    numbers = np.asarray(cast("Feature", feature).extract(slices), np.float32)
    return list(numbers.reshape(len(slices), len(feature.signals)))


def _end(item: Slice) -> Row:
    return Row(item.stream, item.n, b"", item.frame_count, item.errors, item.end, live=item.live)
