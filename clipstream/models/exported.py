"""Pose models that ultralytics exported: ONNX and OpenVINO, run by OpenVINO, and engines of TensorRT."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.models.checkpoints import import_quietly, reading
from clipstream.models.runtime import BATCH, Arrays, Engine, Placement, Runner
from clipstream.models.yolo import is_exported_pose

__all__ = ["EXPORTED", "Exported", "load_exported"]

EXPORTED = frozenset({".onnx", ".xml", ".engine"})
"""Suffixes of what `load_exported` takes."""

_TRIED_PX = (96, 96)
"""Height and width an export of any size is tried with: multiples of 32 and not of 64, as pictures may be."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A model that is ready to run.

    Attributes:
        runner: Gives one output: (N, 56, A) or (N, M, 57), in pixels of what it is given.
        size_px: The height and width it was exported for, or `None` where it takes any multiples of 32.
    """

    runner: Runner
    size_px: tuple[int, int] | None


def load_exported(path: Path, placement: Placement, name: str) -> Exported:
    """Return an exported pose model, tried once. No code of the file's is run, and nothing is installed.

    ONNX is read by OpenVINO, which runs it faster than its own runtime would in fp32, and the extra is one. What size
    and how many pictures it takes is what its own input says.

    Args:
        path: Ends in one of `EXPORTED`.
        placement: ONNX and OpenVINO models run on the CPU, engines of TensorRT with CUDA. An engine has the precision
            it was built with.
        name: What it is called in messages.

    Raises:
        UsageError: Such a model does not run on this device.
        FeatureUnavailableError: The library that runs it is not installed, or the file is damaged, or no pose model.
    """
    if path.suffix == ".engine":
        library, device, get = "tensorrt", "cuda", "install tensorrt"
    else:
        library, device, get = "openvino", "cpu", "install clipstream[openvino]"
    if placement.device != device:
        raise UsageError(f"{path}: runs on --device {device} alone; choose that, or name the checkpoint (.pt).")
    if find_spec(library) is None:
        raise FeatureUnavailableError(f"{path}: needs the package {library}; {get}, or name the checkpoint (.pt).")
    with reading(path, "no pose model that can be run"):
        opened = _open_engine(path, placement) if library == "tensorrt" else _open_openvino(path, placement)
        runner = Runner(opened.engine, placement, name=name, batch=opened.batch or BATCH)
        outputs = runner(np.full((1, *(opened.size_px or _TRIED_PX), 3), 114, np.uint8))
        if len(outputs) != 1 or not is_exported_pose(outputs[0].shape[1:]):
            shapes = ", ".join("×".join(map(str, output.shape[1:])) for output in outputs)
            raise FeatureUnavailableError(
                f"{path}: is no network for the 17 keypoints of COCO (its output is {shapes}, and 56×A or M×57 are); "
                "name an export of one such as yolo11n-pose."
            )
    return Exported(runner, opened.size_px)


@dataclass(frozen=True, slots=True)
class _Opened:
    """An engine, and the only number and size of pictures it takes, where there is only one."""

    engine: Engine
    batch: int | None
    size_px: tuple[int, int] | None


class _InBatches:
    """Fills batches up to the only size that an engine takes."""

    def __init__(self, engine: Engine, batch: int) -> None:
        self._engine = engine
        self._batch = batch

    def run(self, pictures: NDArray[np.uint8]) -> Arrays:
        """Return the outputs for at most a batch."""
        count = len(pictures)
        if count < self._batch:
            pictures = np.concatenate((pictures, np.zeros((self._batch - count, *pictures.shape[1:]), np.uint8)))
        return tuple(output[:count] for output in self._engine.run(pictures))


def _open_openvino(path: Path, placement: Placement) -> _Opened:
    import openvino  # noqa: PLC0415 - an extra
    from openvino.frontend import FrontEndManager  # noqa: PLC0415 - an extra
    from openvino.preprocess import ColorFormat, PrePostProcessor  # noqa: PLC0415 - an extra

    from clipstream.models.converted import Compiled  # noqa: PLC0415 - needs the extra

    # By name: asked for any, it would try all its frontends on a file that none can read, and each would complain.
    frontend = FrontEndManager().load_by_framework("onnx" if path.suffix == ".onnx" else "ir")
    model = frontend.convert(frontend.load(str(path)))
    count, channels, height, width = model.input().get_partial_shape()
    if channels != 3:  # dimensions compare as numbers
        raise ValueError(f"it takes {channels} channels")
    prepare = PrePostProcessor(model)
    prepare.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    prepare.input().tensor().set_color_format(ColorFormat.BGR)
    prepare.input().model().set_layout(openvino.Layout("NCHW"))
    prepare.input().preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB).scale(255.0)
    engine: Engine = Compiled(prepare.build(), placement)
    batch = None if count.is_dynamic else count.get_length()
    sized = height.is_static and width.is_static
    return _Opened(
        _InBatches(engine, batch) if batch else engine,
        batch,
        (height.get_length(), width.get_length()) if sized else None,
    )


class _TensorRt:
    """Runs an engine by ultralytics' own reader of it, which fills and splits batches.

    Args:
        backend: An `AutoBackend` of ultralytics.
        device: Where it is.
    """

    def __init__(self, backend: Any, device: torch.device) -> None:
        self._backend = backend
        self._device = device
        self._turn = Lock()  # it has one set of buffers

    def run(self, pictures: NDArray[np.uint8]) -> Arrays:
        """Return the engine's outputs for a batch."""
        with self._turn, torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device)
            rgb = batch.permute(0, 3, 1, 2).flip(1).float().contiguous() / 255
            outputs = self._backend(rgb)
            return tuple(
                output.cpu().float().numpy() for output in (outputs if isinstance(outputs, list) else [outputs])
            )


def _open_engine(path: Path, placement: Placement) -> _Opened:
    import_quietly("ultralytics.nn.autobackend")
    from ultralytics.nn.autobackend import AutoBackend  # noqa: PLC0415 - only for engines

    device = torch.device(placement.device)
    backend: Any = AutoBackend(str(path), device=device, verbose=False)
    if not backend.metadata:
        raise ValueError("it does not say for what size it was built, as an export by ultralytics does")
    height_px, width_px = backend.metadata["imgsz"]
    return _Opened(
        _TensorRt(backend, device), backend.batch, None if backend.dynamic else (int(height_px), int(width_px))
    )
