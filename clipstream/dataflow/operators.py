"""The highlights operator: slices in; rows, windows and highlights out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream, StatefulBatchLogic

from clipstream.dataflow.shelf import Shelf, ShelvedState
from clipstream.detect.detector import detector_for
from clipstream.detect.state import DetectorState
from clipstream.detect.windows import WindowGrid, Windows, WindowsState
from clipstream.extraction import Extractor, Following, FollowingState
from clipstream.features.base import AnyFeature, FeatureInfo
from clipstream.features.registry import Selection, select_features
from clipstream.media.slices import Slice
from clipstream.results import Interval, Row, StreamSummary, Window
from clipstream.saved.saving import Saving
from clipstream.settings import Settings

__all__ = ["Highlights", "highlights"]


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
    shelf: Path | None = None,
    *,
    measured: Callable[[Row], None] | None = None,
    warming: Callable[[str, bool], None] | None = None,
) -> Highlights:
    """Find the highlights of every stream in `slices`.

    May be used in any dataflow, any number of times, beside other branches on the same slices. State is small (under
    100 bytes a slice) and integer-timed; a stream's state is discarded with its end. Slices must come in order within
    a stream, and from the worker that decoded them. What `settings.save` names is kept for a `ClipSink` with the same
    settings, if there is one.

    Args:
        step_id: Unique ID.
        slices: As `MediaSource` gives them.
        settings: What counts as a highlight.
        selection: The features; chosen from `settings` by default. Pass the source's, so that models load once.
        shelf: Folder beside the recovery store for what of a live stream's state never changes again, so that it is
            not in every snapshot.
        measured: Told of the row of each slice when it is complete, in the worker that has the stream's state: with
            several processes, that may be another than the one that decoded it.
        warming: Told of a stream whether it is not known yet what is usual, at first and whenever that changes.

    Returns:
        A stream of each kind of result.
    """
    selection = selection or select_features(settings)
    features, infos = selection.features, selection.infos
    grid = WindowGrid.of_seconds(settings.window_s, settings.hop_s)
    keep = Saving(settings, features).keep if settings.save else None
    seen = op.flat_map_batch("extract", slices, Extractor(features, keep))
    windowed = op.stateful_batch("windows", seen, lambda state: _WindowsLogic(features, grid, state, measured))
    results = op.stateful_batch("peaks", windowed, lambda state: _PeaksLogic(settings, infos, state, shelf, warming))
    return Highlights(
        rows=op.filter_map_value("only_rows", windowed, _only_row),
        windows=op.filter_map_value("only_windows", windowed, _only_window),
        intervals=op.filter_map_value("only_intervals", results, _only_interval),
        summaries=op.filter_map_value("only_summaries", results, _only_summary),
        results=results,
    )


class _WindowsLogic(StatefulBatchLogic[Row, Row | Window, tuple[FollowingState, WindowsState]]):
    """Lets the followers complete each row, passes it on, and adds each window before the first row past its end."""

    def __init__(
        self,
        features: Sequence[AnyFeature],
        grid: WindowGrid,
        state: tuple[FollowingState, WindowsState] | None,
        measured: Callable[[Row], None] | None,
    ) -> None:
        following, windows = state or (None, None)
        self._measured = measured
        self._following = Following(features, following)
        self._windows = Windows(grid, sum(len(feature.signals) for feature in features), windows)

    def on_batch(self, values: list[Row]) -> tuple[Iterable[Row | Window], bool]:
        out: list[Row | Window] = []
        for seen in values:
            row = self._following.push(seen)
            if self._measured is not None and row.end is None:
                self._measured(row)
            out += [*self._windows.push(row), row]
        return out, values[-1].end is not None

    def snapshot(self) -> tuple[FollowingState, WindowsState]:
        return self._following.state(), self._windows.state()


class _PeaksLogic(StatefulBatchLogic[Row | Window, Interval | StreamSummary, DetectorState | ShelvedState]):
    def __init__(
        self,
        settings: Settings,
        infos: Sequence[FeatureInfo],
        state: DetectorState | ShelvedState | None,
        shelf: Path | None,
        warming: Callable[[str, bool], None] | None,
    ) -> None:
        self._settings, self._infos = settings, infos
        self._warming = warming
        self._told: bool | None = None
        self._shelf = Shelf(shelf) if shelf is not None else None
        if isinstance(state, ShelvedState):
            assert self._shelf is not None, "a flow goes on only as the same flow"
            state = self._shelf.unshelve(state)
        self._detector = detector_for(settings, infos, state) if state else None

    def on_batch(self, values: list[Row | Window]) -> tuple[Iterable[Interval | StreamSummary], bool]:
        if self._detector is None:  # the first row tells what kind of stream it is
            live = any(isinstance(item, Row) and item.live for item in values)
            self._detector = detector_for(self._settings, self._infos, live=live)
        found: list[Interval | StreamSummary] = []
        for item in values:
            found += self._detector.push(item)
            if self._warming is not None and isinstance(item, Row):
                before, self._told = self._told, self._detector.warming_up
                if self._told is not before:
                    self._warming(item.stream, self._told)
        return found, any(isinstance(result, StreamSummary) for result in found)

    def snapshot(self) -> DetectorState | ShelvedState:
        assert self._detector is not None, "a snapshot follows a batch"
        state = self._detector.state()
        return self._shelf.shelve(state) if self._shelf is not None and state.live else state


def _only_row(item: Row | Window) -> Row | None:
    return item if isinstance(item, Row) else None


def _only_window(item: Row | Window) -> Window | None:
    return item if isinstance(item, Window) else None


def _only_interval(item: Interval | StreamSummary) -> Interval | None:
    return item if isinstance(item, Interval) else None


def _only_summary(item: Interval | StreamSummary) -> StreamSummary | None:
    return item if isinstance(item, StreamSummary) else None
