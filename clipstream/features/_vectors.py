"""What the pictures of a slice show, as vectors: computed once, however many features ask."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.media.slices import FrameBatch, FrameRequest, Slice
from clipstream.models.embedding import Embedder, load_embedder
from clipstream.models.runtime import choose_placement, shared
from clipstream.settings import Settings
from clipstream.timing import exact_rate

__all__ = ["Vectors", "vectors_for"]


class Vectors:
    """Asks the model about each batch of frames once. Any thread may call it.

    Attributes:
        embedder: The model.
        request: The pictures that it wants.
    """

    def __init__(self, embedder: Embedder, rate_hz: Fraction) -> None:
        self.embedder = embedder
        self.request = FrameRequest(embedder.size_px, rate_hz=rate_hz, lead_frames=0, covers=True)
        # Without a lock: a slice stays in one thread, and to look up or put in one key is atomic.
        self._known: WeakKeyDictionary[FrameBatch, NDArray[np.float32]] = WeakKeyDictionary()

    @property
    def about(self) -> str:
        """The model in words, with what tells its weights from others."""
        return f"{self.embedder.name}, SHA-256 {self.embedder.checksum[:12]}"

    @property
    def slices_at_once(self) -> int:
        """Slices that a batch gains from: on a GPU as many as fill the model's, on a CPU one."""
        return 1 if self.embedder.runner.placement.device == "cpu" else self.embedder.runner.batch

    def of(self, slices: Sequence[Slice]) -> list[NDArray[np.float32]]:
        """Return (F, dimensions) float32 unit vectors for each slice, one a picture."""
        batches = [piece.frames.get(self.request) for piece in slices]
        asked = [batch for batch in batches if batch is not None and batch.count and batch not in self._known]
        for group in self._groups(asked):
            vectors = self.embedder(np.concatenate([batch.pixels for batch in group]))
            ends = np.cumsum([len(batch.pixels) for batch in group])[:-1]
            for batch, own in zip(group, np.split(vectors, ends), strict=True):
                self._known[batch] = own
        none = np.zeros((0, self.embedder.dimensions), np.float32)
        return [none if batch is None else self._known.get(batch, none) for batch in batches]

    def _groups(self, batches: Sequence[FrameBatch]) -> list[list[FrameBatch]]:
        """Return what goes into the model together: what is of one size.

        On a CPU each slice goes alone: a picture in other company gets other last bits there (ViT-B/32, in fp32 as in
        bf16), and what a resumed run sees has to be what the interrupted one would have seen.
        """
        if self.embedder.runner.placement.device == "cpu":
            return [[batch] for batch in batches]
        groups = defaultdict(list)
        for batch in batches:
            groups[batch.pixels.shape[1:]].append(batch)
        return list(groups.values())


def vectors_for(settings: Settings) -> Vectors:
    """Return the process's one reader of vectors for these settings.

    Raises:
        FeatureUnavailableError: No model was named, and none can be had.
        UsageError: The model that was named cannot be had.
    """
    placement = choose_placement(settings.device, settings.workers)
    try:
        text = bool(settings.prompt or settings.avoid)
        embedder = load_embedder(settings.embedding_model, placement, text=text)
    except FeatureUnavailableError as error:
        if settings.embedding_model == "auto":
            raise
        raise UsageError(str(error)) from error  # who names a model does not want to go without
    rate_hz = exact_rate(settings.embedding_fps)
    return shared(("vectors", embedder, rate_hz), lambda: Vectors(embedder, rate_hz))
