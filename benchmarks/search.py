"""What a search costs: a hundred hours of saved embeddings, beside a plain numpy scan of the same vectors.

    uv run python benchmarks/search.py [--hours 100] [--dimensions 512] [--rounds 5]

Vectors are made, two a second, ten hours a stream, and read once before, so that the disk does not count. The plain
scan has them in one `.npy` file and does without streams, times and moments: read, widen, multiply, sort.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clipstream.features.base import Follower, Observation, Signal
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.report.manifest import Manifest, Source
from clipstream.saved.saving import Saving
from clipstream.saved.search import find_saved, moments, score
from clipstream.settings import Settings

_STREAM_HOURS = 10
_BATCH = 7200


class Made:
    """A feature whose saved vectors are noise."""

    name, weight, saves = "made", 0.0, "embeddings"
    signals: tuple[Signal, ...] = ()
    needs = MediaNeeds()

    def __init__(self, frames: int, dimensions: int, seed: int) -> None:
        self._frames, self._dimensions = frames, dimensions
        self._random = np.random.default_rng(seed)
        fields = [("time_s", pa.float64()), ("vector", pa.list_(pa.float16(), dimensions))]
        self.schema = pa.schema(fields, {"model": "made", "checksum": "made"})

    def observe(self, slices: object) -> list[Observation]:
        """Observe nothing."""
        raise NotImplementedError

    def follower(self, state: object | None = None) -> Follower:
        """Follow nothing."""
        raise NotImplementedError

    def table(self, kept: object, width_px: int, height_px: int) -> Iterator[pa.RecordBatch]:  # noqa: ARG002 - the contract's
        """Yield the made vectors."""
        assert list(kept)  # type: ignore[call-overload]  # the journal is read to its end
        for start in range(0, self._frames, _BATCH):
            times_s = np.arange(start, min(start + _BATCH, self._frames)) / 2
            vectors = self._random.standard_normal((len(times_s), self._dimensions), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).ravel()), self._dimensions)
            yield pa.record_batch([pa.array(times_s), lists], schema=self.schema)


def make(out: Path, hours: float, dimensions: int) -> None:
    """Save embeddings of `hours` of made footage below `out`."""
    settings = Settings(out=str(out), save=("embeddings",))
    for number in range(max(1, round(hours / _STREAM_HOURS))):
        frames = round(7200 * min(hours, _STREAM_HOURS))
        stream, saving = f"stream-{number}", Saving(settings, [Made(frames, dimensions, number)])
        saving.begin(stream, "made")
        saving.keep("made", Slice(stream, 0), Observation(b""))
        manifest = Manifest(stream, Source(f"{stream}.mp4", f"{stream}.mp4", fingerprint="made"))
        saving.write(out / stream, manifest, 1, None, lambda: False)


def plain(path: Path, query: NDArray[np.float32]) -> None:
    """Read, widen, multiply, sort: what one would write at a prompt, in blocks because memory is finite."""
    vectors = np.load(path, mmap_mode="r")
    parts = [vectors[start : start + _BATCH].astype(np.float32) @ query for start in range(0, len(vectors), _BATCH)]
    np.concatenate(parts).argsort()[::-1][:10]


def ours(out: Path, query: NDArray[np.float32]) -> None:
    """Do everything that `main search` does but load a model and print."""
    moments(score(find_saved(out).saved, query).scores, 10)


def timed(job: Callable[[], None]) -> tuple[float, float]:
    """Return seconds by the clock and of the processor."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def main() -> None:
    """Measure in turns and print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=100)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    query = np.random.default_rng(1).standard_normal(options.dimensions).astype(np.float32)
    query /= np.linalg.norm(query)
    with tempfile.TemporaryDirectory() as name:
        out, path = Path(name) / "out", Path(name) / "vectors.npy"
        make(out, options.hours, options.dimensions)
        frames = sum(one.frames for one in find_saved(out).saved)
        np.save(path, np.full((frames, options.dimensions), 0.04, np.float16))
        jobs: dict[str, Callable[[], None]] = {
            "plain numpy scan": lambda: plain(path, query),
            "clipstream search": lambda: ours(out, query),
        }
        for once in jobs.values():
            once()  # imports torch, and brings the files into memory
        seen = [{name: timed(job) for name, job in jobs.items()} for _ in range(options.rounds)]
    print(f"{frames} vectors of {options.dimensions}, {os.cpu_count()} cores, medians of {options.rounds} rounds\n")
    print("| | by the clock | processor time | × plain scan |\n| --- | --- | --- | --- |")
    for name in jobs:
        wall_s, cpu_s = (median(one[name][place] for one in seen) for place in (0, 1))
        ratio = median(one[name][0] / one["plain numpy scan"][0] for one in seen)
        print(f"| {name} | {wall_s:.2f} s | {cpu_s:.2f} s | {ratio:.2f} |")


if __name__ == "__main__":
    main()
