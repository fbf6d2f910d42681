"""Run networks on batches of pictures: where, how precisely, and what to do when memory is short."""

import importlib.util
import platform
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Literal, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import nn

from clipstream.errors import FeatureUnavailableError, UsageError

__all__ = ["BATCH", "Arrays", "Device", "Engine", "Placement", "Runner", "choose_placement", "make_engine", "shared"]

Device = Literal["auto", "cpu", "cuda", "mps"]

BATCH = 8
"""Pictures at a time. On a CPU more gain nothing: YOLO11n-pose takes 34 ms a picture in batches of 4, 8 or 16."""

Arrays = tuple[NDArray[np.float32], ...]
"""What a network says of a batch."""

Model = TypeVar("Model")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how networks run.

    Attributes:
        device: `"cpu"`, `"cuda"` or `"mps"`.
        precision: Of weights and activations; what goes in is uint8 and what comes out float32.
        converted: Run by OpenVINO instead of torch.
        workers: How many threads may run networks at the same time; each uses one core of a CPU.
    """

    device: Literal["cpu", "cuda", "mps"] = "cpu"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    converted: bool = False
    workers: int = 1

    def __str__(self) -> str:
        return f"{self.device} {self.precision}, {'OpenVINO' if self.converted else 'torch'}"


def choose_placement(device: Device = "auto", workers: int = 1) -> Placement:
    """Return where networks run best on this machine.

    A GPU if there is one, in half precision. Otherwise the CPU, with OpenVINO where it is installed, in bf16 where the
    CPU computes in it: half the time of fp32, and the same people (YOLO11n-pose 384×640: torch 67 → 34 ms, OpenVINO
    55 → 29 ms). It depends on the machine alone, never on a measurement, so that a resumed run computes the same.

    Raises:
        UsageError: The device that was asked for is not there.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        chosen: Literal["cpu", "cuda", "mps"] = next(name for name in ("cuda", "mps", "cpu") if available[name])
    elif not available[device]:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise UsageError(f"--device {device}: there is none that torch can use on this machine; there is {there}.")
    else:
        chosen = device
    if chosen == "cuda":
        return Placement("cuda", "fp16", workers=workers)
    if chosen == "mps":
        return Placement("mps", "fp32", workers=workers)  # half precision is not measured there
    converted = importlib.util.find_spec("openvino") is not None
    return Placement("cpu", "bf16" if _computes_in_bf16() else "fp32", converted, workers)


class Engine(Protocol):
    """What runs one network."""

    def run(self, pictures: NDArray[np.uint8]) -> Arrays:
        """Return the network's outputs for a batch. May be called by several threads at once."""
        ...


class Runner:
    """A network that is ready to run, for any thread of the process.

    There is one copy of its weights. On a CPU, workers run it side by side, each on one core; on a GPU one after
    another. When memory runs out, the batch is halved, for good, and a warning says so once a halving.

    Args:
        engine: Runs the network.
        placement: Where the engine does so.
        name: What the network is called in messages.
        batch: The most pictures at a time.
    """

    def __init__(self, engine: Engine, placement: Placement, *, name: str, batch: int = BATCH) -> None:
        self.name = name
        self.placement = placement
        self._batch = batch
        self._engine = engine

    @property
    def batch(self) -> int:
        """The most pictures at a time, as memory has allowed so far."""
        return self._batch

    def __call__(self, pictures: NDArray[np.uint8]) -> Arrays:
        """Return the network's outputs for (N, H, W, 3) BGR uint8 pictures, N at least 1, each float32 and N long.

        Raises:
            FeatureUnavailableError: There is no memory for even one picture.
        """
        parts: list[Arrays] = []
        start = 0
        while start < len(pictures):
            limit = self._batch
            part = pictures[start : start + limit]
            try:
                parts.append(self._engine.run(part))
                start += len(part)
                continue
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve(limit, len(part), pictures.shape[1:3], error)
            if self.placement.device == "cuda":  # only here: the error held on to what the network had half made
                torch.cuda.empty_cache()
        return parts[0] if len(parts) == 1 else tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def warm_up(self, height_px: int, width_px: int) -> None:
        """Run one grey picture, so that what fails or is slow the first time is so before the first real one."""
        self(np.full((1, height_px, width_px, 3), 114, np.uint8))

    def _halve(self, limit: int, tried: int, size_px: tuple[int, ...], error: Exception) -> None:
        if tried == 1:
            raise FeatureUnavailableError(
                f"{self.name}: the memory of {self.placement.device} does not hold even one picture of "
                f"{size_px[1]}×{size_px[0]}; close what else uses it, or run on another --device."
            ) from error
        if self._batch == limit:  # another worker may have been here before
            self._batch = tried // 2
            _log.warning("model_batch_halved", model=self.name, batch=self._batch, device=self.placement.device)


_shared: WeakValueDictionary[Hashable, object] = WeakValueDictionary()
_building = Lock()


def shared(key: Hashable, build: Callable[[], Model]) -> Model:
    """Return the process's one object of this key, built by the first who asks and kept while anybody holds it."""
    with _building:
        found = _shared.get(key)
        if found is None:
            _shared[key] = found = build()
        return cast("Model", found)


def make_engine(network: nn.Module, placement: Placement, identity: str) -> Engine:
    """Return what runs a network of torch: torch itself, or OpenVINO.

    Args:
        network: From (N, H, W, 3) BGR uint8 to a tuple of tensors that begin with N. In evaluation mode, fp32, and
            without state between calls. It is the engine's from here on: moved, halved, or left without weights.
        placement: Where and how.
        identity: Names its weights and whatever else decides its numbers, for what is cached.
    """
    if not placement.converted:
        return _Torch(network, placement)
    from clipstream.models.converted import Converted  # noqa: PLC0415 - needs the extra

    return Converted(network, placement, identity)


class _Torch:
    """Runs a network with torch."""

    def __init__(self, network: nn.Module, placement: Placement) -> None:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[placement.precision]
        self._device = torch.device(placement.device)
        self._network = network.to(self._device, dtype)
        if placement.device == "cuda":  # on a CPU it gains nothing: oneDNN has a layout of its own
            self._network = self._network.to(memory_format=torch.channels_last)
        self._turn = nullcontext() if placement.device == "cpu" else Lock()

    def run(self, pictures: NDArray[np.uint8]) -> Arrays:
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)  # counted for each thread; two under load burn eight times the CPU of one
        with self._turn, torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device)
            # Widened here and not before: half as many bytes cross from a GPU.
            return tuple(output.cpu().float().numpy() for output in self._network(batch))


def _computes_in_bf16() -> bool:
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False  # not measured elsewhere
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()  # an older torch cannot tell
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc", "not enough memory", "alloc_failed")
"""The last is of CUDA's libraries (`CUBLAS_STATUS_ALLOC_FAILED`), which ask for memory behind torch's back."""


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()  # torch on a CPU and on MPS, cuBLAS and OpenVINO have only words for it
    return any(words in text for words in _OUT_OF_MEMORY)
