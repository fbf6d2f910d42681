"""Prompts: how well the picture fits what somebody wrote, by a CLIP model."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.features._vectors import Vectors, vectors_for
from clipstream.features.base import Feature, Signal
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.models.prompts import Prompts
from clipstream.settings import Settings

__all__ = ["create"]

_NOTICEABLE = 0.05
"""Of the probability: a prompt lifts a window over the default floor when it rises by a tenth."""


def create(settings: Settings) -> Feature | None:
    """Return the prompts feature, or `None` where nothing was written.

    Raises:
        UsageError: No model that reads text can be had, or the feature was named and there is no prompt.
    """
    if settings.prompt or settings.avoid:
        try:
            return _Prompts(vectors_for(settings), settings)
        except FeatureUnavailableError as error:
            # Never left out: who writes what to look for wants nothing else.
            raise UsageError(f"a prompt needs a model that reads text: {error}") from error
    if "prompts" in settings.features:
        raise UsageError("the feature prompts was named, and nothing was written to look for: add --prompt or --avoid.")
    return None


class _Prompts:
    name = "prompts"
    weight = 1.0
    outweighs = True  # all others together: it was asked for
    alternatives = True  # who looks for goals and for cheers does not look for both at once

    def __init__(self, vectors: Vectors, settings: Settings) -> None:
        wanted = (*settings.prompt, *settings.avoid)
        self._vectors = vectors
        self._prompts = Prompts(vectors.embedder, [text for text, _ in wanted])
        self.signals = tuple(_signals(settings))
        self.needs = MediaNeeds(frames=(vectors.request,))
        self.about, self.slices_at_once = vectors.about, vectors.slices_at_once

    def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
        """Return (len(slices), prompts) float32, `prompt_1` … and `avoid_1` …; NaN where there is no picture.

        Each is the probability, 0 to 1, of the picture that fits the prompt best: how much rather it fits than a
        background of what most footage shows (`models.prompts.BACKGROUND`).
        """
        return np.array([self._of(vectors) for vectors in self._vectors.of(slices)], dtype=np.float32)

    def _of(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(vectors):
            return np.full(len(self.signals), np.nan, np.float32)
        best: NDArray[np.float32] = self._prompts.probabilities(vectors).max(axis=0)
        return best


def _signals(settings: Settings) -> Iterator[Signal]:
    for kind, sign, asked in (("prompt", 1, settings.prompt), ("avoid", -1, settings.avoid)):
        for number, (text, weight) in enumerate(asked, start=1):
            label = f'likeness to "{text.strip()}"'
            yield Signal(f"{kind}_{number}", label, "", sign * weight, _NOTICEABLE, held=True)
