"""Read weights without ever running code from the file."""

import importlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock, get_ident
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from clipstream.errors import FeatureUnavailableError

__all__ = [
    "import_quietly",
    "load_state",
    "load_yolo",
    "parameters_left_out",
    "parameters_taken_over",
    "reading",
]

_LOADING = Lock()
"""Held while the process-wide list of what may be unpickled, or the environment, is not as others expect it."""

_MODULES = ("torch.nn.modules.", "ultralytics.nn.")
"""Where the layers of a YOLO checkpoint come from; nothing else in it is looked up by name."""

_UNUSED = ("numpy.", "pathlib.", "ultralytics.utils.", "ultralytics.yolo.utils.")
"""Where the settings, scores and losses come from that training leaves in some checkpoints."""

_OPENVINO_BEGINS = ("Exception from ", "Check '")
"""OpenVINO says first where in its source it was, and last what is wrong."""

_QUIET = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}


def load_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file of weights by name: safetensors, or what `torch.save` made of a state dictionary.

    Raises:
        FeatureUnavailableError: The file is damaged, or holds something else, or more than tensors.
    """
    with reading(path, "no file of weights that can be loaded without running code from it"):
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # noqa: PLC0415 - seldom needed

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        if not state or not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError("it holds other things than tensors")
        return {str(name).removeprefix("module."): value for name, value in state.items()}


@contextmanager
def parameters_left_out() -> Iterator[None]:
    """Let what this thread builds on the device "meta" keep its buffers: only parameters are without memory.

    Buffers may be in no file of weights.
    """
    thread = get_ident()
    buffers: list[tuple[nn.Module, str, Tensor]] = []

    def emptied(_module: nn.Module, _name: str, parameter: nn.Parameter) -> nn.Parameter | None:
        if get_ident() != thread:
            return None
        return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    def noted(module: nn.Module, name: str, buffer: Tensor | None) -> None:
        if get_ident() == thread and buffer is not None and not buffer.is_meta:
            buffers.append((module, name, buffer))

    # torch declares what it does not expect: that a hook gives nothing.
    hooks = (
        register_module_parameter_registration_hook(cast("Callable[..., None]", emptied)),
        register_module_buffer_registration_hook(noted),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    for module, name, buffer in buffers:
        setattr(module, name, buffer)


@contextmanager
def parameters_taken_over(network: nn.Module) -> Iterator[None]:
    """Let a network make the tensors that it loads its own, whatever their precision, where it would copy them."""
    network.load_state_dict = partial(network.load_state_dict, assign=True)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del network.load_state_dict


def load_yolo(path: Path) -> nn.Module:
    """Return the fp32 network of an ultralytics checkpoint, its batch normalisations fused, ready to infer.

    Such a file is a pickle of layers. Layers are made empty and filled: no constructor runs, no function is called but
    those that rebuild tensors, and only classes of layers are known by name.

    Raises:
        FeatureUnavailableError: The file is damaged, or no such checkpoint, or names anything that is no layer.
    """
    with reading(path, "no YOLO checkpoint that can be loaded without running code from it"):
        import_quietly("ultralytics.nn.tasks")
        with _LOADING:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
            known: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
                (_stand_in(name), name) for name in names
            ]
            with torch.serialization.safe_globals(known):
                checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        model = checkpoint.get("ema") or checkpoint.get("model")
        if not isinstance(model, nn.Module):
            raise TypeError("it holds no network")
        for layer in model.modules():
            layer.__dict__.pop("forward", None)  # saved by old versions; the class has it
            if isinstance(layer, nn.Upsample):
                layer.__dict__.setdefault("recompute_scale_factor", None)  # not saved by old versions of torch
        network: nn.Module = model.float().fuse(verbose=False)  # type: ignore[operator]  # ultralytics' own method
        return network.eval().requires_grad_(requires_grad=False)


def import_quietly(module: str) -> None:
    """Import a module of ultralytics so that it installs, asks, prints and leaves nothing.

    On import it looks for a network, writes settings to the user's home and announces them on stdout; with these
    variables it does not, and the settings go to a folder that is removed. The environment is then as it was.
    """
    with _LOADING:
        if module in sys.modules:
            return
        with tempfile.TemporaryDirectory(prefix="clipstream-") as folder:
            wanted = {**_QUIET, "YOLO_CONFIG_DIR": folder}
            before = {name: os.environ.get(name) for name in wanted}
            os.environ.update(wanted)
            try:
                importlib.import_module(module)
            finally:
                for name, value in before.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value


@contextmanager
def reading(path: Path, not_so: str) -> Iterator[None]:
    """Turn whatever goes wrong with a file of weights into one line that says which file, what it is not, and why.

    Raises:
        FeatureUnavailableError: Anything was raised inside.
    """
    try:
        yield
    except FeatureUnavailableError:
        raise
    except Exception as error:  # what a damaged or hostile file raises is for no list to foresee
        said = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        seen = said[-1 if said[0].startswith(_OPENVINO_BEGINS) else 0][:120].rstrip(".")
        raise FeatureUnavailableError(f"{path}: is {not_so} ({seen}); get the file again, or name another.") from error


def _stand_in(name: str) -> Any:
    """Return what takes the place of a name in a checkpoint."""
    if name in _HARMLESS:
        return _HARMLESS[name]
    if name.startswith(_UNUSED):
        return _Ignored
    module, _, attribute = name.rpartition(".")
    if f"{module}.".startswith(_MODULES):
        layer = getattr(importlib.import_module(module), attribute, None)
        if isinstance(layer, type) and issubclass(layer, nn.Module):
            # A model's constructor evaluates text from its configuration, so none may be called.
            return type(layer.__name__, (layer,), {"__init__": _refuse, "__module__": layer.__module__})
    raise pickle.UnpicklingError(f"it names {name}, which is no layer")


def _refuse(*_: object, **__: object) -> NoReturn:
    raise pickle.UnpicklingError("it wants a layer constructed")


def _only_forward(thing: Any, name: str) -> Callable[..., Any] | None:
    if isinstance(thing, nn.Module | type) and name == "forward":
        return None
    raise pickle.UnpicklingError(f"it asks for the attribute {name}")


class _Ignored:
    """Takes the place of what training leaves in a checkpoint and nobody looks at."""

    def __init__(self, *_: object, **__: object) -> None:
        """Take anything."""

    def __setstate__(self, _: object) -> None:
        """Keep nothing."""


_HARMLESS: dict[str, Any] = {
    "__builtin__.getattr": _only_forward,
    "builtins.getattr": _only_forward,
}
