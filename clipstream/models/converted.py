"""Networks run by OpenVINO: converted for it and kept by what they are made of. Needs the `openvino` extra."""

import hashlib
import shutil
import tempfile
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import nn

from clipstream.memory import give_back_memory
from clipstream.models.runtime import Placement
from clipstream.models.weights import CACHE_VARIABLE, cache_folder

__all__ = ["Compiled", "Converted"]

_FORMAT = "2"
"""Changes whenever the networks around the weights do, so that what was converted before is not used."""

_CHECKSUM = "sha256"
"""Beside a converted network: a file whose end was lost with the power reads as zeros, and finds nobody."""

_TRACED_PX = 64
"""Side of the picture a network is followed with where it takes any size; what comes out is free of it."""

_log = structlog.get_logger()


class Compiled:
    """A model that OpenVINO runs on the CPU, for several threads at once.

    Args:
        model: Of OpenVINO, from (N, H, W, 3) uint8.
        placement: Precision and number of workers count.
    """

    def __init__(self, model: Any, placement: Placement) -> None:
        import openvino  # noqa: PLC0415 - an extra; the module can be read without it

        precision = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[placement.precision]
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": placement.workers,
            "NUM_STREAMS": placement.workers,
            "ENABLE_CPU_PINNING": False,  # cores are shared with decoding
        }
        self._compiled = openvino.Core().compile_model(model, "CPU", options)
        self._own = local()

    def run(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return the model's outputs for a batch."""
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request = self._own.request
        request.infer([np.ascontiguousarray(pictures)])
        # Copied, because the request writes the next batch's over them.
        return tuple(np.array(tensor.data, np.float32) for tensor in request.output_tensors)


class Converted(Compiled):
    """A network of torch as OpenVINO runs it: any number of pictures at a time.

    The network is converted once and kept in the cache folder by its identity and the versions of both libraries; the
    file appears whole or not at all, and one that has changed since is made again. Where that folder cannot be written,
    the network is converted at each start, and a warning says so once. Converting goes through the frontend itself:
    `convert_model` of OpenVINO would report its use to its makers.

    Args:
        network: As for `make_engine`; it is left without its weights. Its attribute `size_px`, if it has one, is the
            only side it takes.
        placement: Precision and number of workers count.
        identity: As for `Runner`.
    """

    def __init__(self, network: nn.Module, placement: Placement, identity: str) -> None:
        converted = _converted(network, identity)
        network.to("meta")  # compiling makes a copy of its own, and CLIP would be held three times
        give_back_memory()
        super().__init__(converted, placement)


def _converted(network: nn.Module, identity: str) -> Any:
    import openvino  # noqa: PLC0415 - an extra

    parts = (_FORMAT, identity, type(network).__qualname__, openvino.__version__, torch.__version__)
    folder = cache_folder() / "openvino" / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # what compiling copies would stay in memory as part of the file
    with suppress(OSError, RuntimeError):  # not there, or damaged: made below
        if (folder / _CHECKSUM).read_text() == _checksum(folder):
            return core.read_model(folder / "model.xml")
    shutil.rmtree(folder, ignore_errors=True)
    model = _convert(network)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as made:
            openvino.save_model(model, Path(made, "model", "model.xml"), compress_to_fp16=False)
            Path(made, "model", _CHECKSUM).write_text(_checksum(Path(made, "model")))
            with suppress(FileExistsError):  # another process was quicker with the same
                _rename(Path(made, "model"), folder)
    except (OSError, RuntimeError) as error:
        _warn_not_kept(folder.parent, getattr(error, "strerror", None) or str(error).splitlines()[0][:120])
        return model
    return core.read_model(folder / "model.xml")


@cache  # once: the next model fares no better
def _warn_not_kept(folder: Path, error: str) -> None:
    next_step = f"converting at each start; allow writing there, or name another folder in {CACHE_VARIABLE}"
    _log.warning("converted_model_not_kept", folder=str(folder), error=error, next=next_step)


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("model.xml", "model.bin"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _rename(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError as error:
        if folder.is_dir():
            raise FileExistsError(folder) from error
        raise


def _convert(network: nn.Module) -> Any:
    from openvino.frontend import FrontEndManager  # noqa: PLC0415 - an extra
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415 - an extra

    side = getattr(network, "size_px", _TRACED_PX)
    example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        # torch would have its new exporter used, which OpenVINO does not need, and warns that sizes become constants,
        # which they do not.
        warnings.simplefilter("ignore")
        decoder = TorchScriptPythonDecoder(network.eval(), example_input=example)
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, side, side, 3] if hasattr(network, "size_px") else [-1, -1, -1, 3])
    return model
