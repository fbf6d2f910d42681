"""What pictures show, as vectors: by a CLIP model, which also reads text, or by an ImageNet network, which does not."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.models.checkpoints import load_state, parameters_left_out, parameters_taken_over
from clipstream.models.runtime import Placement, Runner, make_engine, shared
from clipstream.models.weights import Found, find_weights, locate_weights, names_path, sha256_of

__all__ = ["CLIP", "IMAGENET", "Embedder", "embedding_weights", "load_embedder"]

CLIP = "ViT-B-32:laion2b_s34b_b79k"
"""The CLIP model that is used unless another is named."""

IMAGENET = "efficientnet-lite0"
"""The network that takes its place where its weights are not to be had."""

_Tokenizer = Callable[[list[str]], Tensor]


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a network wants its pictures.

    Attributes:
        size_px: Width and height.
        mean: What is subtracted from red, green and blue in [0, 1].
        deviation: What the difference is divided by.
        whole: The picture is squeezed into a square; otherwise its middle is taken.
    """

    size_px: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    whole: bool = False


class Embedder:
    """Turns pictures into unit vectors, and text too if it can. Any thread may call it.

    Attributes:
        name: What the vectors are of: `MODEL:TAG` of open_clip, `MODEL:PATH` with the whole path, or
            `efficientnet-lite0`.
        checksum: SHA-256 of its weights. Vectors are comparable only if both are the same.
        dimensions: Length of a vector.
        size_px: Side of the square it looks at. Pictures whose shorter side is that long are not scaled.
        runner: Runs its network.
    """

    def __init__(
        self,
        *,
        name: str,
        checksum: str,
        dimensions: int,
        runner: Runner,
        prepare: Preparation,
        text: "_Text | None" = None,
    ) -> None:
        self.name = name
        self.checksum = checksum
        self.dimensions = dimensions
        self.size_px = prepare.size_px
        self.runner = runner
        self._whole = prepare.whole
        self._text = text

    @property
    def reads_text(self) -> bool:
        """Whether `texts` and `sharpness` can be had."""
        return self._text is not None

    @property
    def sharpness(self) -> float:
        """By what the model multiplies similarities before it compares them: the inverse of its temperature.

        Raises:
            FeatureUnavailableError: The model reads no text.
        """
        return self._reader().sharpness

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, dimensions) float32 unit vectors of (N, H, W, 3) BGR uint8 pictures."""
        if not len(pictures):
            return np.zeros((0, self.dimensions), np.float32)
        (vectors,) = self.runner(_fitted(pictures, self.size_px, whole=self._whole))
        return _unit(vectors)

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (len(texts), dimensions) float32 unit vectors of texts, to compare with those of pictures.

        Raises:
            FeatureUnavailableError: The model reads no text, or its tokenizer is not installed.
        """
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        return _unit(self._reader().encode(list(texts)))

    def _reader(self) -> "_Text":
        if self._text is None:
            raise FeatureUnavailableError(
                f"{self.name} knows pictures and no text: run 'clipstream weights fetch {CLIP}', or name another CLIP "
                "model whose weights are there."
            )
        return self._text


def load_embedder(model: str = "auto", placement: Placement | None = None, *, text: bool = True) -> Embedder:
    """Return the process's embedder of this model.

    Args:
        model: `MODEL:TAG` of open_clip, whose weights are in the folder of weights; `MODEL:PATH` for a checkpoint of it
            elsewhere; `efficientnet-lite0`; or `auto` for `CLIP` where its weights are found, and `IMAGENET` where not.
        placement: Where it runs; torch on the CPU in fp32 if not given.
        text: Whether it is to read text, if it can. That half of ViT-B/32 is 250 MB.

    Raises:
        UsageError: There is no such model.
        FeatureUnavailableError: The weights are missing, damaged, or another model's.
    """
    if model == "auto":
        try:
            locate_weights(CLIP)
        except FeatureUnavailableError:
            model = IMAGENET
        else:
            model = CLIP  # which is said to be damaged where it is: nobody would look for the reason elsewhere
    placement = placement or Placement()
    name, found = embedding_weights(model)
    checksum = sha256_of(found.path)

    def build() -> Embedder:
        if name == IMAGENET:
            return _imagenet(found, checksum, placement)
        return _clip(name, found, checksum, placement, text=text)

    return shared(("embedding", name, checksum, placement, text), build)


def embedding_weights(model: str) -> tuple[str, Found]:
    """Return an embedding model's name, as of `Embedder`, and where its weights are. Loads nothing.

    Args:
        model: As for `load_embedder`, but `auto`.

    Raises:
        UsageError: It is no name of a model.
        FeatureUnavailableError: The weights are missing, or not what their name says.
    """
    architecture, colon, weights = model.partition(":")
    if not colon and model != IMAGENET:
        raise UsageError(f"{model!r}: an embedding model is {IMAGENET}, or MODEL:TAG or MODEL:PATH of open_clip.")
    if not names_path(weights):
        return model, find_weights(model)
    found = find_weights(weights)
    # A link keeps its name, because the suffix says how the file is read.
    return f"{architecture}:{found.path.parent.resolve() / found.path.name}", found


class _Picture(nn.Module):
    """From pixels to a vector: what a network wants its pictures to be, and the network."""

    def __init__(self, network: nn.Module, prepare: Preparation) -> None:
        super().__init__()
        self.network = network
        self.size_px = prepare.size_px
        self._mean = torch.tensor(prepare.mean)[:, None, None]
        self._deviation = torch.tensor(prepare.deviation)[:, None, None]

    def forward(self, pictures: Tensor) -> tuple[Tensor]:
        rgb = pictures.permute(0, 3, 1, 2).flip(1).float() / 255
        # No buffers: halving the network's precision must not halve theirs.
        rgb = (rgb - self._mean.to(rgb.device)) / self._deviation.to(rgb.device)
        vector = self.network(rgb.to(next(self.network.parameters()).dtype))
        return ((vector[0] if isinstance(vector, tuple) else vector).float(),)


class _Pooled(nn.Module):
    """What EfficientNet says of a picture before it decides on a class."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, rgb: Tensor) -> Tensor:
        pooled: Tensor = self.network.extract_features(rgb).mean((2, 3))
        return pooled


class _Text:
    """The half of a CLIP model that reads text: on the CPU in fp32, because prompts are few."""

    def __init__(self, name: str, architecture: str, model: Any) -> None:
        self._name = name
        self._architecture = architecture
        self._model = model
        self._tokenizer: _Tokenizer | None = None
        self._turn = Lock()
        self.sharpness = float(model.logit_scale.exp())

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        with self._turn, torch.inference_mode():
            self._tokenizer = self._tokenizer or self._load_tokenizer()
            vectors: NDArray[np.float32] = self._model.encode_text(self._tokenizer(texts)).float().numpy()
        return vectors

    def _load_tokenizer(self) -> _Tokenizer:
        import open_clip  # noqa: PLC0415 - loaded with the model

        try:
            tokenizer: _Tokenizer = open_clip.get_tokenizer(self._architecture)
        except Exception as error:  # each library behind it fails in its own way
            raise FeatureUnavailableError(
                f"{self._name}: its tokenizer is not installed ({_line(error)}); name a model with CLIP's own, such as "
                f"{CLIP}."
            ) from error
        return tokenizer


def _clip(name: str, found: Found, checksum: str, placement: Placement, *, text: bool) -> Embedder:
    import open_clip  # noqa: PLC0415 - only if it is asked for

    architecture, _, tag = name.partition(":")
    if names_path(tag):  # a file that is named after its tag is prepared for as the tag says
        tag = Path(tag).stem.removeprefix(f"{architecture}--")
    if architecture not in open_clip.list_models():
        raise UsageError(
            f"open_clip knows no model {architecture!r}; python -c 'import open_clip; "
            "print(open_clip.list_models())' lists them."
        )
    config = open_clip.get_pretrained_cfg(architecture, tag)
    quick_gelu = bool(config.get("quick_gelu"))
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it tells the root logger every step
    try:
        with parameters_left_out():  # a second copy of everything, made at random, for nothing
            model: Any = open_clip.create_model(
                architecture,
                device="meta",
                force_quick_gelu=quick_gelu,
                pretrained_image=False,
                pretrained_text=False,
            )
        with parameters_taken_over(model):
            open_clip.load_checkpoint(model, str(found.path), weights_only=True)
    except Exception as error:  # what a damaged or foreign file raises is for no list to foresee
        if "TorchScript" in str(error):
            raise FeatureUnavailableError(
                f"{found.path}: is a TorchScript archive, as OpenAI publishes its models, and those are code; "
                f"run 'clipstream weights fetch {architecture}:openai' for them as safetensors, or name another file."
            ) from error
        raise FeatureUnavailableError(
            f"{found.path}: holds no weights of {architecture} that can be loaded without running code "
            f"({_line(error)}); get the file again, or name the model it is of."
        ) from error
    finally:
        logging.root.setLevel(level)
    model.float().eval().requires_grad_(requires_grad=False)
    wants = {**model.visual.preprocess_cfg, **config}
    size = wants["size"]
    prepare = Preparation(
        size if isinstance(size, int) else size[0],
        tuple(wants["mean"]),
        tuple(wants["std"]),
        wants.get("resize_mode") == "squash",
    )
    picture, model.visual = _Picture(model.visual, prepare), nn.Identity()  # not kept twice where it is converted
    reader = _Text(name, architecture, model) if text else None
    del model
    # The same weights under another architecture, activation or preparation give other numbers.
    engine = make_engine(picture, placement, f"{checksum} {architecture} {prepare}{' QuickGELU' * quick_gelu}")
    return _embedder(name, checksum, Runner(engine, placement, name=name), prepare, reader)


def _imagenet(found: Found, checksum: str, placement: Placement) -> Embedder:
    try:
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - only if it is asked for
    except ImportError as error:
        raise FeatureUnavailableError(
            f"{IMAGENET} needs the package efficientnet-lite-pytorch; install it, or name a CLIP model."
        ) from error
    network = EfficientNet.from_name(IMAGENET)
    try:
        network.load_state_dict(load_state(found.path))
    except RuntimeError as error:
        raise FeatureUnavailableError(
            f"{found.path}: holds no weights of {IMAGENET} ({_line(error)}); remove it, or get the file again."
        ) from error
    network.eval().requires_grad_(requires_grad=False)
    # The scale of TensorFlow's EfficientNet-Lite: (x - 127) / 128.
    prepare = Preparation(224, (127 / 255,) * 3, (128 / 255,) * 3)
    engine = make_engine(_Picture(_Pooled(network), prepare), placement, checksum)
    return _embedder(IMAGENET, checksum, Runner(engine, placement, name=IMAGENET), prepare)


def _embedder(name: str, checksum: str, runner: Runner, prepare: Preparation, text: _Text | None = None) -> Embedder:
    grey = np.full((1, prepare.size_px, prepare.size_px, 3), 114, np.uint8)
    dimensions = runner(grey)[0].shape[1]  # and the first run, which is slow, is over
    return Embedder(name=name, checksum=checksum, dimensions=dimensions, runner=runner, prepare=prepare, text=text)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return unit


def _fitted(pictures: NDArray[np.uint8], size_px: int, *, whole: bool) -> NDArray[np.uint8]:
    """Return pictures as squares: squeezed, or scaled to their shorter side and their middle taken."""
    height_px, width_px = pictures.shape[1:3]
    if (height_px, width_px) == (size_px, size_px):
        return pictures
    scale = size_px / min(height_px, width_px)
    inner_px = (size_px, size_px) if whole else (round(width_px * scale), round(height_px * scale))
    if inner_px != (width_px, height_px):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        pictures = np.stack([cv2.resize(one, inner_px, interpolation=how) for one in pictures])
    left_px, top_px = (inner_px[0] - size_px) // 2, (inner_px[1] - size_px) // 2
    return pictures[:, top_px : top_px + size_px, left_px : left_px + size_px]


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120].rstrip(".:") if str(error).strip() else type(error).__name__
