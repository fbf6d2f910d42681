"""How well pictures fit what somebody wrote, by a CLIP model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clipstream.errors import UsageError
from clipstream.models.embedding import Embedder

__all__ = ["BACKGROUND", "TEMPLATES", "Prompts"]

TEMPLATES = (
    "{}",
    "{}.",
    "a photo of {}.",
    "a video frame of {}.",
    "a still from a video: {}.",
    "a blurry picture of {}.",
    "a bright picture of {}.",
    "a dark picture of {}.",
)
"""What a prompt is put into; the mean over all of them is surer than any (Radford et al. 2021, section 3.1.4)."""

BACKGROUND = (
    "a photo.",
    "a video frame.",
    "something else.",
    "nothing in particular.",
    "a blurry picture.",
    "a person.",
    "people standing around.",
    "people talking.",
    "an empty place.",
    "a building.",
    "a landscape.",
    "a wall.",
    "the sky.",
    "a text on a screen.",
    "a black screen.",
)
"""What most footage shows most of the time. A prompt counts by how much better it fits than all of these."""


class Prompts:
    """Prompts as vectors, each the mean over the templates, ready to be compared with pictures.

    Args:
        embedder: A model that reads text.
        prompts: What to look for, in words.

    Raises:
        UsageError: There is no prompt, or one is empty.
        FeatureUnavailableError: The model reads no text.
    """

    def __init__(self, embedder: Embedder, prompts: Sequence[str]) -> None:
        if not all(prompt.strip() for prompt in prompts or ("",)):
            raise UsageError("a prompt is empty; say in a few words what to look for.")
        self._sharpness = embedder.sharpness
        self.vectors = np.stack([_ensemble(embedder, prompt.strip()) for prompt in prompts])
        self._background = embedder.texts(BACKGROUND)

    def similarities(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (N, P) float32 cosines of (N, D) unit vectors of pictures with each prompt."""
        cosines: NDArray[np.float32] = pictures @ self.vectors.T
        return cosines

    def probabilities(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (N, P) float32 in [0, 1]: how much rather each prompt fits the pictures than the background does.

        A softmax of one prompt at a time among the background, so that prompts do not take from each other.
        """
        fits = self._sharpness * self.similarities(pictures)
        others = self._sharpness * (pictures @ self._background.T)
        together = np.logaddexp(fits, np.logaddexp.reduce(others, axis=1, keepdims=True))
        likely: NDArray[np.float32] = np.exp(fits - together).astype(np.float32)
        return likely


def _ensemble(embedder: Embedder, prompt: str) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = embedder.texts([template.replace("{}", prompt) for template in TEMPLATES]).mean(axis=0)
    return mean / np.float32(np.linalg.norm(mean))
