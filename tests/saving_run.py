"""A feature that saves what it sees, and a run with it that dies at a chosen event, in a process of its own.

Arguments: OUT EVENT SIGNAL WORKERS FILE…, as of `killed_run.py`. The run is asked to `--save poses`.
"""

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import killed_run
import numpy as np
import pyarrow as pa

from clipstream import Input, Settings, run_job
from clipstream.features import motion
from clipstream.features.base import AnyFeature, FeatureInfo, Follower, Observation, Signal
from clipstream.features.registry import Selection
from clipstream.media.slices import FrameRequest, MediaNeeds, Slice
from clipstream.run import run

REQUEST = FrameRequest(side_px=64, pixel_format="gray", rate_hz=Fraction(5), lead_frames=0)
RECORD = np.dtype([("pts_s", "<f8"), ("brightness", "<f4")])


class Brightness:
    """Sees how bright each picture is; its follower counts the pictures, which a table has to do over again."""

    name = "brightness"
    weight = 0.0
    saves = "poses"
    signals: tuple[Signal, ...] = (Signal("brightness_frames", "pictures so far", "", weight=0.0, min_spread=1.0),)
    needs = MediaNeeds((REQUEST,))
    schema = pa.schema(
        [("time_s", pa.float64()), ("brightness", pa.float32()), ("number", pa.int64()), ("width_px", pa.int64())],
        metadata={"model": "an eye", "checksum": "1"},
    )

    def observe(self, slices: Sequence[Slice]) -> list[Observation]:
        seen = []
        for item in slices:
            batch = item.frames[REQUEST]
            records = np.zeros(len(batch.pts_s), RECORD)
            records["pts_s"], records["brightness"] = batch.pts_s, batch.pixels.mean(axis=(1, 2))
            seen.append(Observation(bytes([len(records)]), records.tobytes()))
        return seen

    def follower(self, state: object | None = None) -> Follower:
        return Counter(state or 0)

    def table(self, kept: Iterable[tuple[int, Observation]], width_px: int, height_px: int) -> Iterator[pa.RecordBatch]:
        counter = Counter(0)
        for n, observation in kept:
            records = np.frombuffer(observation.details, RECORD)
            (last,) = counter.follow(n, observation.light)
            numbers = np.arange(last - len(records), last, dtype=np.int64)
            columns = (records["pts_s"], records["brightness"], numbers, np.full(len(records), width_px))
            yield pa.record_batch([pa.array(column) for column in columns], schema=self.schema)


class Counter:
    def __init__(self, count: object) -> None:
        assert isinstance(count, int)
        self._count = count

    def follow(self, n: int, light: bytes) -> Sequence[int]:
        self._count += light[0] if light else 0
        return (self._count,)

    def state(self) -> int:
        return self._count


def selection(settings: Settings, feature: Brightness | None = None) -> Selection:
    features: tuple[AnyFeature, ...] = (feature or Brightness(), motion.create(settings))
    return Selection(features, (), tuple(FeatureInfo(one.name, one.weight, one.signals) for one in features))


def main() -> None:
    out, at, number, workers, *files = sys.argv[1:]
    killer = killed_run.Killer(int(at), int(number))
    vars(run)["select_features"] = selection
    settings = Settings(out=out, top=2, workers=int(workers), save=("poses",))
    outcomes = run_job([Input(Path(file).stem, Path(file)) for file in files], settings, killer)
    sys.stdout.write(" ".join(outcome.state for outcome in outcomes))


if __name__ == "__main__":
    signal.alarm(100)
    main()
