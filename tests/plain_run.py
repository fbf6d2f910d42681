"""Every module but those of the dataflow imported, and the whole path in a plain loop. Arguments: OUT FILE."""

import importlib
import pkgutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clipstream
from clipstream import Row, Settings, Window
from clipstream.cut_choice import chosen_cutter
from clipstream.detect.detector import detector_for
from clipstream.detect.windows import WindowGrid, Windows
from clipstream.extraction import Extractor, Following
from clipstream.features import select_features
from clipstream.media.decode import DecodeMode, SliceReader
from clipstream.media.inputs import Input
from clipstream.media.probe import fingerprint
from clipstream.output import OutputContext, StreamOutput


def main() -> None:
    for module in pkgutil.walk_packages(clipstream.__path__, "clipstream."):
        if not module.name.startswith(("clipstream.dataflow", "clipstream.__main__")):
            importlib.import_module(module.name)
    out, path = map(Path, sys.argv[-2:])
    settings = Settings(features=("audio", "motion", "shots"), out=str(out), top=2)
    selection = select_features(settings)
    signals = sum(len(info.signals) for info in selection.infos)
    extract, following = Extractor(selection.features), Following(selection.features)
    windows = Windows(WindowGrid.of_seconds(settings.window_s, settings.hop_s), signals, None)
    detector = detector_for(settings, selection.infos, None)
    context = OutputContext(
        out=out,
        settings=settings,
        left_out=selection.left_out,
        cutter=chosen_cutter(settings),
        pool=ThreadPoolExecutor(1),
        stopped=lambda: False,
        clip_written=lambda *_: None,
        stream_written=lambda _, manifest: print(manifest.status),  # noqa: T201 - what the test reads
    )
    output = StreamOutput(context, Input(path.stem, path), fingerprint(path))
    with SliceReader(path, path.stem, selection.needs, mode=DecodeMode.of(settings)) as slices:
        for item in slices:
            ((_, seen),) = extract([item])
            row = following.push(seen)
            steps: list[Row | Window] = [*windows.push(row), row]
            for result in (result for step in steps for result in detector.push(step)):
                output.add(result)
    output.close()


if __name__ == "__main__":
    main()
