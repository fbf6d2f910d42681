"""The highlights operator: slices in; rows, windows and highlights out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import bytewax.operators as op
import numpy as np
import structlog
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream, StatefulBatchLogic

from clipstream.detect.detector import DetectorState, detector_for
from clipstream.detect.windows import WindowGrid, Windows, WindowsState
from clipstream.features.base import Feature, FeatureInfo
from clipstream.features.registry import Selection, select_features
from clipstream.log import traceback_of
from clipstream.media.slices import Slice
from clipstream.results import Interval, Row, StreamSummary, Window
from clipstream.settings import Settings

__all__ = ["Highlights", "highlights"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Highlights:
    """Streams of the highlights operator, keyed by the stream's name.

    Attributes:
        rows: What the features said of each slice; the last row of a stream carries its end.
        windows: The overlapping windows, each as soon as it is complete.
        intervals: The highlights: under a running policy moments after they happened, else when the stream has ended.
            Those of a running policy are not ranked yet.
        summaries: One a stream, after its last highlight: everything measured, and the ranks.
        results: Intervals and summaries in order, which is what `ClipSink` takes.
    """

    rows: KeyedStream[Row]
    windows: KeyedStream[Window]
    intervals: KeyedStream[Interval]
    summaries: KeyedStream[StreamSummary]
    results: KeyedStream[Interval | StreamSummary]


@operator
def highlights(
    step_id: str,  # noqa: ARG001 - Bytewax scopes the inner steps by it
    slices: Stream[Slice],
    settings: Settings,
    selection: Selection | None = None,
) -> Highlights:
    """Find the highlights of every stream in `slices`.

    May be used in any dataflow, any number of times, beside other branches on the same slices. State is small (under
    100 bytes a slice) and integer-timed; a stream's state is discarded with its end. Slices must come in order within
    a stream, and from the worker that decoded them.

    Args:
        step_id: Unique ID.
        slices: As `MediaSource` gives them.
        settings: What counts as a highlight.
        selection: The features; chosen from `settings` by default. Pass the source's, so that models load once.

    Returns:
        A stream of each kind of result.
    """
    selection = selection or select_features(settings)
    infos = selection.infos
    signals = sum(len(info.signals) for info in infos)
    grid = WindowGrid.of_seconds(settings.window_s, settings.hop_s)
    rows = op.flat_map_batch("extract", slices, Extractor(selection.features))
    windowed = op.stateful_batch("windows", rows, lambda state: _WindowsLogic(grid, signals, state))
    results = op.stateful_batch("peaks", windowed, lambda state: _PeaksLogic(settings, infos, state))
    return Highlights(
        rows=rows,
        windows=op.filter_map_value("only_windows", windowed, _only_window),
        intervals=op.filter_map_value("only_intervals", results, _only_interval),
        summaries=op.filter_map_value("only_summaries", results, _only_summary),
        results=results,
    )


class Extractor:
    """Runs every feature on all slices at hand, of whatever streams, so that models see one large batch."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        self._reported: set[str] = set()

    def __call__(self, slices: list[Slice]) -> Iterable[tuple[str, Row]]:
        """Return a keyed row for each slice, in order."""
        media = [item for item in slices if item.end is None]
        values = np.zeros((len(media), 0), np.float32)
        failed = 0
        if media:
            columns = [self._extract(feature, media) for feature in self._features]
            failed = sum(column is None for column in columns)
            values = np.concatenate(
                [
                    _missing(feature, len(media)) if column is None else column
                    for feature, column in zip(self._features, columns, strict=True)
                ],
                axis=1,
            )
        numbers = iter(values)
        return [
            (
                item.stream,
                Row(
                    stream=item.stream,
                    n=item.n,
                    values=b"" if item.end is not None else next(numbers).tobytes(),
                    frames=item.frame_count,
                    errors=item.errors + (0 if item.end is not None else failed),
                    end=item.end,
                ),
            )
            for item in slices
        ]

    def _extract(
        self, feature: Feature, slices: list[Slice]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
        try:
            return np.asarray(feature.extract(slices), np.float32).reshape(len(slices), len(feature.signals))
        except Exception as error:  # noqa: BLE001 - counted on the rows; one feature must not end the flow
            if feature.name not in self._reported:  # once: a feature that fails tends to fail on every slice
                self._reported.add(feature.name)
                reason = f"{type(error).__name__}: {error}"
                _log.error("feature_failed", feature=feature.name, stream=slices[0].stream, error=reason)
                _log.debug("feature_failure", feature=feature.name, exc_info=traceback_of(error))
            return None


class _WindowsLogic(StatefulBatchLogic[Row, Row | Window, WindowsState]):
    """Passes rows on and adds each window before the first row past its end."""

    def __init__(self, grid: WindowGrid, signals: int, state: WindowsState | None) -> None:
        self._windows = Windows(grid, signals, state)

    def on_batch(self, values: list[Row]) -> tuple[Iterable[Row | Window], bool]:
        out: list[Row | Window] = []
        for row in values:
            out += [*self._windows.push(row), row]
        return out, values[-1].end is not None

    def snapshot(self) -> WindowsState:
        return self._windows.state()


class _PeaksLogic(StatefulBatchLogic[Row | Window, Interval | StreamSummary, DetectorState]):
    def __init__(self, settings: Settings, infos: Sequence[FeatureInfo], state: DetectorState | None) -> None:
        self._detector = detector_for(settings, infos, state)

    def on_batch(self, values: list[Row | Window]) -> tuple[Iterable[Interval | StreamSummary], bool]:
        found = [result for item in values for result in self._detector.push(item)]
        return found, any(isinstance(result, StreamSummary) for result in found)

    def snapshot(self) -> DetectorState:
        return self._detector.state()


def _missing(feature: Feature, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full((count, len(feature.signals)), np.nan, np.float32)


def _only_window(item: Row | Window) -> Window | None:
    return item if isinstance(item, Window) else None


def _only_interval(item: Interval | StreamSummary) -> Interval | None:
    return item if isinstance(item, Interval) else None


def _only_summary(item: Interval | StreamSummary) -> StreamSummary | None:
    return item if isinstance(item, StreamSummary) else None
