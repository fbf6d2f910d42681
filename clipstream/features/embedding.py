"""Embedding: what the picture shows as a whole, how it changes, and how new it is to the stream."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clipstream.features._familiarity import Familiarity, Known
from clipstream.features._sketch import packed
from clipstream.features._vectors import Vectors, vectors_for
from clipstream.features.base import Follower, FollowingFeature, Observation, Signal
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.models.embedding import IMAGENET
from clipstream.settings import Settings

__all__ = ["SCHEMA", "create"]

SCHEMA = "clipstream/embeddings/1"
"""Name and version of the table of vectors."""

# Half the distance of pictures that have nothing in common: 0.69 with the ImageNet network, the median over the
# pictures of thirteen real clips, each with those of the others. For CLIP, a distance of 0.5 is assumed, not measured.
_WIDTH_IMAGENET, _WIDTH_CLIP = 0.35, 0.25


def create(settings: Settings) -> FollowingFeature:
    """Return the embedding feature."""
    return _Embedding(vectors_for(settings), keep="embeddings" in settings.save)


class _Embedding:
    name = "embedding"
    weight = 0.05  # more lets a new sight outdo action: at 0.1 a whip pan beats the baskets of a real clip
    saves = "embeddings"
    signals: tuple[Signal, ...] = (
        # At low rates and with --scan, slices lie between the pictures: a change is of those before, a level holds.
        Signal("embedding_change", "change of what is seen", "", weight=0.3, min_spread=0.05, lasting=True),
        Signal("embedding_novelty", "novelty of what is seen", "", weight=0.7, min_spread=0.1, held=True),
    )

    def __init__(self, vectors: Vectors, *, keep: bool) -> None:
        self._vectors, self._keep = vectors, keep
        self._width = _WIDTH_IMAGENET if vectors.embedder.name == IMAGENET else _WIDTH_CLIP
        self.needs = MediaNeeds(frames=(vectors.request,))
        self.about, self.slices_at_once = vectors.about, vectors.slices_at_once

    def observe(self, slices: Sequence[Slice]) -> list[Observation]:
        """Return a sketch of each slice's mean vector; the details are its vectors with their times, if kept."""
        return [
            self._observation(piece, vectors) if len(vectors) else Observation(b"")
            for piece, vectors in zip(slices, self._vectors.of(slices), strict=True)
        ]

    def follower(self, state: object | None = None) -> Follower:
        """Return the memory of one stream, whose numbers are `embedding_change` and `embedding_novelty`."""
        assert state is None or isinstance(state, Known)
        return Familiarity(self._width, state)

    @property
    def schema(self) -> pa.Schema:
        """What the kept vectors are as a table. Those of another model or checksum are not comparable."""
        embedder = self._vectors.embedder
        about = {
            "schema": SCHEMA,
            "model": embedder.name,
            "checksum": embedder.checksum,
            "dimensions": str(embedder.dimensions),
        }
        vector = pa.list_(pa.float16(), embedder.dimensions)
        fields = [pa.field("time_s", pa.float64(), nullable=False), pa.field("vector", vector, nullable=False)]
        return pa.schema(fields, about)

    def table(
        self,
        kept: Iterable[tuple[int, Observation]],
        width_px: int,  # noqa: ARG002 - what is kept by other features is about places in the picture
        height_px: int,  # noqa: ARG002 - the same
    ) -> Iterator[pa.RecordBatch]:
        """Yield the vectors of slices in order, a row for each picture that was looked at.

        Args:
            kept: Number and observation of each slice.
            width_px: Width of the source's pictures, upright.
            height_px: Their height.
        """
        schema = self.schema
        for _, observation in kept:
            records = np.frombuffer(observation.details, self._record)
            vectors = pa.array(records["vector"].reshape(-1), pa.float16())
            columns = [
                pa.array(records["pts_s"]),
                pa.FixedSizeListArray.from_arrays(vectors, type=schema.field("vector").type),
            ]
            yield pa.record_batch(columns, schema=schema)

    @property
    def _record(self) -> np.dtype[np.void]:
        return np.dtype([("pts_s", "<f8"), ("vector", "<f2", (self._vectors.embedder.dimensions,))])

    def _observation(self, piece: Slice, vectors: NDArray[np.float32]) -> Observation:
        light = packed(vectors.mean(axis=0))
        if not self._keep:
            return Observation(light)
        records = np.empty(len(vectors), self._record)
        records["pts_s"], records["vector"] = piece.frames[self._vectors.request].pts_s, vectors
        return Observation(light, records.tobytes())
