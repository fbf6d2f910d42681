"""Files of weights are read without running what is in them, and reading them leaves no trace."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clipstream.errors import FeatureUnavailableError
from clipstream.models.checkpoints import load_state, load_yolo, parameters_left_out, parameters_taken_over
from clipstream.models.weights import find_weights


class Hostile:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._mark),)


class Constructing:
    """Has a model constructed when it is unpickled: one whose configuration is evaluated as code."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        from ultralytics.nn.tasks import PoseModel

        code = f"__import__('os').mkdir({str(self._mark)!r}) or nn.SiLU()"
        return PoseModel, (
            {"activation": code, "backbone": [[-1, 1, "Conv", [16, 3, 2]]], "head": [], "nc": 1, "kpt_shape": [17, 3]},
        )


@pytest.mark.parametrize("bait", [Hostile, Constructing])
@pytest.mark.parametrize("load", [load_state, load_yolo])
def test_no_code_in_a_file_is_run(tmp_path: Path, bait: Any, load: Any) -> None:
    path, mark = tmp_path / "bait.pt", tmp_path / "ran"
    torch.save({"model": bait(mark)}, path)
    with pytest.raises(FeatureUnavailableError, match="without running code from it"):
        load(path)
    assert not mark.exists()


@pytest.mark.parametrize("bait", [Hostile, Constructing])
def test_the_bait_would_run_if_it_were_read_carelessly(tmp_path: Path, bait: Any) -> None:
    path, mark = tmp_path / "bait.pt", tmp_path / "ran"
    torch.save({"model": bait(mark)}, path)
    with suppress(Exception):  # what is made of it is no whole model
        torch.load(path, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("load", [load_state, load_yolo])
@pytest.mark.parametrize(
    "content", [b"", b"no weights at all", b"PK\x03\x04 half an archive"], ids=["empty", "text", "cut"]
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, load: Any, content: bytes, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        FeatureUnavailableError, match=r"damaged\S+: is no .*; get the file again, or name another"
    ) as it:
        load(path)
    assert "\n" not in str(it.value)


def test_a_checkpoint_cut_short_is_one_clear_line(tmp_path: Path) -> None:
    whole = find_weights("yolo11n-pose").path.read_bytes()
    path = tmp_path / "short.pt"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FeatureUnavailableError, match=r"short\.pt: is no YOLO checkpoint"):
        load_yolo(path)


def test_tensors_by_name_are_no_yolo_checkpoint(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "tensors.pt")
    with pytest.raises(FeatureUnavailableError, match="it holds no network"):
        load_yolo(tmp_path / "tensors.pt")


def test_what_training_leaves_in_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    import numpy as np
    from ultralytics.nn.tasks import PoseModel
    from ultralytics.utils import IterableSimpleNamespace
    from ultralytics.utils.loss import v8PoseLoss

    model: Any = PoseModel("yolov8n-pose.yaml", verbose=False)
    model.args = IterableSimpleNamespace(box=1.0, cls=1.0, dfl=1.0, pose=1.0, kobj=1.0, model=tmp_path)
    model.criterion = v8PoseLoss(model)
    torch.save({"model": model, "best_fitness": np.float64(0.5), "train_args": {"data": tmp_path}}, tmp_path / "t.pt")
    network: Any = load_yolo(tmp_path / "t.pt")
    assert network(torch.zeros(1, 3, 64, 64))[0].shape == (1, 56, 84)


def test_tensors_are_read_from_either_format_and_out_of_a_training_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = nn.Linear(2, 3).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pt")
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "c.pt"
    )
    for name in ("a.safetensors", "b.pt", "c.pt"):
        loaded = load_state(tmp_path / name)
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.slow
def test_loading_a_model_asks_no_network_prints_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    program = f"""
import os, socket, sys
def refuse(*_, **__): raise AssertionError("a network was asked for")
socket.getaddrinfo = socket.socket.connect = refuse
before = dict(os.environ)
from pathlib import Path
from clipstream.models.checkpoints import load_yolo
load_yolo(Path({str(find_weights("yolo11n-pose").path)!r}))
assert {{k: v for k, v in os.environ.items() if k.startswith("YOLO")}} == {{}}
import clipstream.models.pose
assert not {{"av", "bytewax", "torchvision"}} & set(sys.modules)
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO", "XDG", "MPLCONFIG"))}
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**clean, "HOME": str(home), "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


class _Masked(nn.Module):
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("mask", torch.tensor([1.0, 2.0]), persistent=False)


def test_parameters_are_left_out_and_buffers_kept() -> None:
    with parameters_left_out():
        network = _Masked().to("meta")
        with ThreadPoolExecutor(1) as another:
            of_another_thread = another.submit(_Masked).result()

    assert all(parameter.is_meta for parameter in network.parameters())
    assert network.mask.tolist() == [1.0, 2.0]
    assert not any(parameter.is_meta for parameter in of_another_thread.parameters())
    assert not any(parameter.is_meta for parameter in _Masked().parameters())


def test_parameters_are_taken_over_without_a_copy() -> None:
    numbers = _Masked().state_dict()
    with parameters_left_out():
        network = _Masked().to("meta")

    with parameters_taken_over(network):
        network.load_state_dict(numbers)

    assert network.layer.weight.data_ptr() == numbers["layer.weight"].data_ptr()
    assert network.layer(torch.ones(3)).shape == (2,)
