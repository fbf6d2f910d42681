"""The program that is measured: files through the dataflow, or what that is compared with.

    python benchmarks/work.py flow|loop|forwards '{"scan": true}' FILE…

`loop` is a plain loop that calls the same functions. `forwards` is what the models did in the dataflow, which runs
first and does not count, and nothing else: the same batches of the same pictures again. The option `without` names
modules to be taken for not installed. Nothing is cut and nothing written but the recovery store. Its last line says
what the work itself took, without imports and the choice of features: {"wall_s": …, "cpu_s": …}.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import bytewax.operators as op
import cv2
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink
from numpy.typing import NDArray

from clipstream.dataflow import MediaSource, highlights
from clipstream.dataflow.run import run_flow
from clipstream.detect.detector import detector_for
from clipstream.detect.windows import WindowGrid, Windows
from clipstream.extraction import Extractor
from clipstream.features.registry import Selection, select_features
from clipstream.media.decode import FRAME_THREADS, SliceReader
from clipstream.media.inputs import Input
from clipstream.media.pictures import DecodeMode
from clipstream.memory import keep_frame_memory
from clipstream.results import Row, StreamSummary, Window
from clipstream.settings import Settings

if TYPE_CHECKING:
    from clipstream.models.runtime import Arrays

Work = Callable[[list[Input], Settings, Selection], list[StreamSummary]]

FEATURES = ("audio", "motion", "shots")


def through_flow(inputs: list[Input], settings: Settings, selection: Selection) -> list[StreamSummary]:
    """Return what the dataflow finds, run as the command line runs it."""
    found: list[tuple[str, StreamSummary]] = []
    flow = Dataflow("benchmark")
    slices = op.input("media", flow, MediaSource(inputs, settings, selection=selection))
    op.output("summaries", highlights("highlights", slices, settings, selection).summaries, TestingSink(found))
    with tempfile.TemporaryDirectory() as folder:
        run_flow(flow, workers=settings.workers, epoch_s=settings.epoch_s, store=Path(folder) / "store")
    return [summary for _, summary in found]


def through_loop(inputs: list[Input], settings: Settings, selection: Selection) -> list[StreamSummary]:
    """Return what a plain loop finds that does the same, file by file."""
    keep_frame_memory()
    cv2.setNumThreads(1)  # as `run_flow` does
    extract = Extractor(selection.features)
    grid = WindowGrid.of_seconds(settings.window_s, settings.hop_s)
    signals = sum(len(info.signals) for info in selection.infos)
    found: list[StreamSummary] = []
    for item in inputs:
        windows, detector = Windows(grid, signals), detector_for(settings, selection.infos)
        threads = settings.decode_threads or FRAME_THREADS
        with SliceReader(
            item.path, item.stream, selection.needs, threads=threads, mode=DecodeMode.of(settings)
        ) as reader:
            for piece in reader:
                for _, row in extract([piece]):
                    steps: list[Row | Window] = [*windows.push(row), row]
                    for step in steps:
                        found += [result for result in detector.push(step) if isinstance(result, StreamSummary)]
    return found


def models_alone(inputs: list[Input], settings: Settings, selection: Selection) -> Work:
    """Return work that is what the models did in the dataflow: the same batches of the same pictures again."""
    from clipstream.models.runtime import Runner  # noqa: PLC0415 - torch would count as memory of what has no models

    given: list[tuple[Runner, NDArray[np.uint8]]] = []
    run = Runner.__call__

    def noted(runner: Runner, pictures: NDArray[np.uint8]) -> "Arrays":
        given.append((runner, pictures))
        return run(runner, pictures)

    with patch.object(Runner, "__call__", noted):
        found = through_flow(inputs, settings, selection)

    def again(*_: object) -> list[StreamSummary]:
        for runner, pictures in given:
            runner(pictures)
        return found

    return again


def main(kind: str, options: str, *files: str) -> None:
    """Do the work and say what it took."""
    given = {"features": FEATURES, **json.loads(options)}
    for module in given.pop("without", ()):
        sys.modules[module] = None  # type: ignore[assignment]  # it is then as if it were not installed
    settings = Settings.from_mapping(given)
    selection = select_features(settings)
    inputs = [Input(f"stream-{number}", Path(file)) for number, file in enumerate(files, start=1)]
    if kind == "forwards":
        work = models_alone(inputs, settings, selection)
    else:
        work = {"flow": through_flow, "loop": through_loop}[kind]
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    found = work(inputs, settings, selection)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    problems = [summary.end.problem for summary in found if summary.end.problem]
    if len(found) != len(inputs) or problems:
        sys.exit(f"the work was not done: {len(found)} of {len(inputs)} streams ended, {problems}")
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main(*sys.argv[1:])
