"""Search over saved embeddings: the moments, in any number of streams, that are most like a text or a picture."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clipstream.errors import InputNotFoundError, UnreadableMediaError
from clipstream.saved.saving import table_name
from clipstream.timing import SLICE_S

__all__ = ["Compared", "Found", "Moment", "SavedVectors", "Scores", "find_saved", "moments", "query_picture", "score"]

_NAME = table_name("embeddings")

_SCHEMA = "clipstream/embeddings/1"

_BLOCK = 1024
"""Rows that are widened from 16 to 32 bits at a time: they stay in the cache (measured: half the time of 7,000)."""

_BRIDGED_S = 2.0
"""A moment may fall below its level for so long."""

_UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)
"""What comes of a damaged file, by the place of the damage."""

_COSINE_LIMIT = 1.01
"""Halves are exact to a thousandth: beyond this, a vector is not of unit length."""

_PICTURES = frozenset(
    {
        *(".avif", ".bmp", ".dng", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg"),
        *(".jpg", ".jxl", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
    }
)
"""What the name of a picture ends in, whether it could be read or not: nobody looks for such a text."""


@dataclass(frozen=True, slots=True)
class SavedVectors:
    """The embeddings of one stream on disk.

    Attributes:
        path: The file.
        stream: Name of the stream.
        source: The file that they are of, as it was given.
        model: Name of the model.
        checksum: SHA-256 of its weights. Vectors are comparable only if both are the same.
        dimensions: Length of a vector.
        frames: How many there are.
    """

    path: Path
    stream: str
    source: str
    model: str
    checksum: str
    dimensions: int
    frames: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds: embeddings by path, and files of that name that are none, with the reason."""

    saved: tuple[SavedVectors, ...]
    unreadable: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Scores:
    """How like the query each frame of a stream is.

    Attributes:
        saved: The stream.
        times_s: (N,) float64 media time of each frame, rising.
        similarities: (N,) float32 cosine with the query, -1 to 1.
    """

    saved: SavedVectors
    times_s: NDArray[np.float64]
    similarities: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of a comparison: the scores of each stream, and files that turned out damaged, with the reason."""

    scores: tuple[Scores, ...]
    unreadable: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of a stream that is like the query.

    Attributes:
        saved: The stream.
        start_s: Media time of its first frame.
        peak_s: Where it is most like it.
        end_s: Where the frame after its last one begins.
        similarity: Cosine at the peak.
    """

    saved: SavedVectors
    start_s: float
    peak_s: float
    end_s: float
    similarity: float


def find_saved(folder: Path) -> Found:
    """Return the embeddings in `folder` and below it, hidden folders left out.

    Raises:
        InputNotFoundError: There is no such folder, or there are none in it.
    """
    if not folder.is_dir():
        raise InputNotFoundError(f"{folder}: there is no such folder; name the output folder of a run.")
    saved, unreadable = [], []
    for path in sorted(folder.rglob(_NAME)):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            saved.append(_described(path))
        except _UNREADABLE as error:
            unreadable.append((path, _why(error)))
    if not saved:
        seen = f" but {unreadable[0][0]}, {unreadable[0][1]}" if unreadable else ""
        raise InputNotFoundError(
            f"{folder}: no embeddings are in it{seen}; run the footage with --save embeddings, and name its output "
            "folder here."
        )
    return Found(tuple(saved), tuple(unreadable))


def query_picture(query: str) -> NDArray[np.uint8] | None:
    """Return the picture, (1, H, W, 3) BGR uint8, upright, in the file that `query` names; `None` if it is a text.

    Raises:
        InputNotFoundError: It looks like the name of a picture, but there is no such file.
        UnreadableMediaError: The file is there, but is no picture.
    """
    import cv2  # noqa: PLC0415 - a text needs none

    path = Path(query)
    try:
        encoded = np.fromfile(path, np.uint8) if path.is_file() else None
    except (OSError, ValueError):  # too long for a name, as texts may be
        encoded = None
    if encoded is None:
        if path.suffix.lower() in _PICTURES and " " not in path.suffix:
            raise InputNotFoundError(f"{query}: there is no such picture; check the name.")
        return None
    picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if picture is None:
        raise UnreadableMediaError(
            f"{query}: is no picture that can be read; name a JPEG, PNG or WebP file, or a text."
        )
    upright: NDArray[np.uint8] = np.asarray(picture, np.uint8)[None]
    return upright


def score(saved: Sequence[SavedVectors], vector: NDArray[np.float32]) -> Compared:
    """Compare every frame of `saved` with a unit vector, (dimensions,), on all cores; a hundred hours in a blink.

    Raises:
        OSError: A file has gone since it was found.
        UnreadableMediaError: All files are damaged.
    """
    import torch  # noqa: PLC0415 - loaded with the model; numpy widens halves at a seventh of its speed

    query = torch.from_numpy(np.ascontiguousarray(vector, np.float32))

    def compare(part: tuple[SavedVectors, int]) -> tuple[NDArray[np.float64], NDArray[np.float32]] | str:
        try:
            return compare_group(*part)
        except _UNREADABLE as error:
            return _why(error)

    def compare_group(one: SavedVectors, group: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        with pq.ParquetFile(one.path, memory_map=True) as file:
            table = file.read_row_group(group, columns=["time_s", "vector"], use_threads=False)
        halves = _halves(table["vector"], one.dimensions)
        staged, similarities = torch.empty(_BLOCK, one.dimensions, dtype=torch.float16), torch.empty(len(halves))
        for start in range(0, len(halves), _BLOCK):
            count = min(_BLOCK, len(halves) - start)
            staged.numpy()[:count] = halves[start : start + count]  # torch takes no memory that it may not write to
            torch.mv(staged[:count].float(), query, out=similarities[start : start + count])
        times_s = table["time_s"].to_numpy()
        # Pages have no checksum: damage to plain numbers shows in what they say alone.
        if not ((np.diff(times_s) > 0).all() and (similarities.abs() <= _COSINE_LIMIT).all()):
            raise ValueError("its numbers are damaged")
        return times_s, similarities.numpy()

    parts = [(one, group) for one in saved for group in range(pq.read_metadata(one.path).num_row_groups)]
    # One thread each: those that torch would start for every block cost more than they bring.
    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        compared = list(zip(parts, pool.map(compare, parts), strict=True))
    scores, unreadable = [], []
    for one, of_one in groupby(compared, key=lambda item: item[0][0]):
        results = [result for _, result in of_one]
        whole = [result for result in results if not isinstance(result, str)]
        if len(whole) < len(results):
            unreadable.append((one.path, next(result for result in results if isinstance(result, str))))
            continue
        times_s, similarities = zip(*whole, strict=True)
        scores.append(Scores(one, np.concatenate(times_s), np.concatenate(similarities)))
    if unreadable and not scores:
        path, why = unreadable[0]
        raise UnreadableMediaError(f"{path}: {why}; run the footage again with --save embeddings.")
    return Compared(tuple(scores), tuple(unreadable))


def moments(scores: Sequence[Scores], top: int) -> tuple[Moment, ...]:
    """Return the `top` best moments, best first.

    Around a peak, a moment lasts while the frames are at least half as far above what is usual as the peak is; usual is
    the median over all frames. It may fall below for two seconds. Where no frame is above what is usual, as in footage
    that is all alike, the best one is a moment by itself; there is none only where there are no frames.
    """
    scores = [one for one in scores if len(one.times_s)]
    if not scores:
        return ()
    usual = float(np.median(np.concatenate([one.similarities for one in scores])))
    # Each stream gives its next best as it is asked, so that few are ever looked at.
    streams = [_peaks(one, usual) for one in scores]
    heads = [next(stream, None) for stream in streams]
    found: list[Moment] = []
    while len(found) < top:
        best = max((k for k, head in enumerate(heads) if head), key=lambda k: _rank(heads[k]), default=None)
        if best is None:
            break
        head = heads[best]
        assert head is not None
        found.append(head)
        heads[best] = next(streams[best], None)
    if not found and top:
        found.append(_best_frame(max(scores, key=lambda one: float(one.similarities.max()))))
    return tuple(found)


def _best_frame(one: Scores) -> Moment:
    best = int(one.similarities.argmax())
    time_s, end_s = float(one.times_s[best]), _end_s(one, best)
    return Moment(one.saved, time_s, time_s, end_s, float(one.similarities[best]))


def _end_s(one: Scores, frame: int) -> float:
    """Return where the frame after this one begins, or would begin."""
    end_s = float(one.times_s[frame]) + _spacing_s(one)
    return min(end_s, float(one.times_s[frame + 1])) if frame + 1 < len(one.times_s) else end_s


def _spacing_s(one: Scores) -> float:
    return float(np.median(np.diff(one.times_s))) if len(one.times_s) > 1 else float(SLICE_S)


def _rank(moment: Moment | None) -> float:
    assert moment is not None
    return moment.similarity


def _peaks(one: Scores, usual: float) -> Iterator[Moment]:
    """Yield the moments of a stream, best first."""
    times_s, similarities, count = one.times_s, one.similarities, len(one.times_s)
    bridged_s = max(_BRIDGED_S, 1.5 * _spacing_s(one))  # at low rates, frames farther apart are neighbours as well
    padded = np.r_[-np.inf, similarities, -np.inf]
    tops = np.flatnonzero((similarities >= padded[:-2]) & (similarities >= padded[2:]) & (similarities > usual))
    taken = np.zeros(count + 2, np.bool_)  # a frame beyond each end is
    taken[[0, -1]] = True
    for peak in tops[np.argsort(-similarities[tops], kind="stable")]:
        if taken[peak + 1]:
            continue
        edges = np.flatnonzero(taken | (padded > similarities[peak])) - 1  # what is higher is another's slope
        after_peak = int(np.searchsorted(edges, peak))
        first, beyond = int(edges[after_peak - 1]) + 1, int(edges[after_peak])
        level = usual + (float(similarities[peak]) - usual) / 2
        above = first + np.flatnonzero(similarities[first:beyond] >= level)
        breaks = np.flatnonzero(np.diff(times_s[above]) > bridged_s)
        place = int(np.searchsorted(above, peak))
        run = int(np.searchsorted(breaks, place))
        start = above[breaks[run - 1] + 1] if run else above[0]
        end = above[breaks[run]] if run < len(breaks) else above[-1]
        taken[start + 1 : end + 2] = True
        start_s, peak_s = float(times_s[start]), float(times_s[peak])
        yield Moment(one.saved, start_s, peak_s, _end_s(one, int(end)), float(similarities[peak]))


def _described(path: Path) -> SavedVectors:
    schema, frames = pq.read_schema(path), pq.read_metadata(path).num_rows
    about = {key.decode(): text.decode() for key, text in (schema.metadata or {}).items()}
    if about.get("schema") != _SCHEMA:
        raise ValueError(f"its schema is {about.get('schema')!r}, known is {_SCHEMA!r}")
    dimensions = schema.field("vector").type.byte_width // 2
    return SavedVectors(path, about["stream"], about["source"], about["model"], about["checksum"], dimensions, frames)


def _why(error: Exception) -> str:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"no embeddings that can be read ({why})"


def _halves(column: pa.ChunkedArray, dimensions: int) -> NDArray[np.float16]:
    chunk = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    numbers = np.frombuffer(chunk.buffers()[1], np.float16, len(chunk) * dimensions, 2 * dimensions * chunk.offset)
    halves: NDArray[np.float16] = numbers.reshape(-1, dimensions)
    return halves
