"""Where networks run, what happens when memory is short, and that a process has one copy of each."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.models.runtime import Placement, Runner, choose_placement, make_engine, shared


class Sums(nn.Module):
    """Says of each picture the sum of its pixels, and ten of them."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        sums = pictures.to(self.one.dtype).sum((1, 2, 3))
        return sums * self.one, sums[:, None].expand(-1, 10)


class Small:
    """Has room for a few pictures at a time."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room, self.error, self.batches = room, error, list[int]()

    def run(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        self.batches.append(len(pictures))
        if len(pictures) > self.room:
            raise self.error
        return (pictures.sum((1, 2, 3), dtype=np.float32),)


def runner(engine: Any = None, batch: int = 8) -> Runner:
    return Runner(engine or make_engine(Sums(), Placement(), "0"), Placement(), name="sums", batch=batch)


def pictures(count: int) -> NDArray[np.uint8]:
    return np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)


OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory."),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    RuntimeError("Exception from src/inference/src/cpp/core.cpp: std::bad_alloc"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_when_memory_is_short_the_batch_is_halved_for_good_and_it_is_said(error: Exception) -> None:
    small = Small(3, error)
    run = runner(small)
    with structlog.testing.capture_logs() as logs:
        (first,) = run(pictures(8))
        (again,) = run(pictures(8))
    assert first.tolist() == again.tolist() == pictures(8).sum((1, 2, 3)).tolist()
    assert small.batches == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert [(log["event"], log["batch"]) for log in logs] == [("model_batch_halved", 4), ("model_batch_halved", 2)]


def test_a_slice_with_fewer_pictures_than_the_batch_is_halved_from_what_it_has() -> None:
    small = Small(1, MemoryError())
    run = runner(small, batch=8)
    with structlog.testing.capture_logs() as logs:
        (sums,) = run(pictures(2))
    assert sums.tolist() == pictures(2).sum((1, 2, 3)).tolist()
    assert small.batches == [2, 1, 1]
    assert [log["batch"] for log in logs] == [1]


def test_what_is_left_over_of_a_slice_is_halved_from_what_is_left() -> None:
    class Filling(Small):
        def run(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
            self.room = 8 if not self.batches else 1
            return super().run(pictures)

    small = Filling(8, MemoryError())
    assert len(runner(small, batch=8)(pictures(11))[0]) == 11
    assert small.batches == [8, 3, 1, 1, 1]


def test_without_room_for_one_picture_it_says_what_to_do() -> None:
    run = runner(Small(0, MemoryError()), batch=2)
    with pytest.raises(FeatureUnavailableError, match="sums: the memory of cpu does not hold even one picture of 2×2"):
        run(pictures(2))


def test_the_memory_of_a_gpu_is_given_back_when_nothing_holds_the_failed_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    half_made: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    class Failing:
        def run(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
            activations = np.zeros((len(pictures), 8), np.float32)
            half_made.append(weakref.ref(activations))
            if len(pictures) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return (activations,)

    monkeypatch.setattr("torch.cuda.empty_cache", lambda: alive.append(half_made[-1]() is not None))
    Runner(Failing(), Placement("cuda", "fp16"), name="sums", batch=2)(pictures(2))
    assert alive == [False]


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        runner(Small(0, RuntimeError("shapes do not match")))(pictures(2))


def test_outputs_are_joined_over_batches_in_order() -> None:
    sums, tens = runner(batch=3)(pictures(7))
    assert sums.tolist() == pictures(7).sum((1, 2, 3)).tolist()
    assert tens.shape == (7, 10)
    assert tens.dtype == sums.dtype == np.float32


def test_in_half_precision_what_comes_out_is_float32_all_the_same() -> None:
    half = make_engine(Sums(), Placement(precision="bf16"), "0")
    assert half.run(pictures(2))[0].dtype == np.float32


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_absent_is_said_with_those_that_are_there(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UsageError, match=rf"--device {device}: there is none .*; there is cpu\."):
        choose_placement(device)
    assert choose_placement("auto").device == choose_placement("cpu").device == "cpu"


def test_a_gpu_is_chosen_where_there_is_one_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_placement() == Placement("cuda", "fp16")
    assert choose_placement("cpu").device == "cpu"


@pytest.mark.parametrize(("computes", "precision"), [(True, "bf16"), (False, "fp32")])
def test_the_cpu_computes_in_bf16_where_it_can(monkeypatch: pytest.MonkeyPatch, computes: bool, precision: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": computes}, raising=False)
    assert choose_placement("cpu").precision == precision
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert choose_placement("cpu").precision == "fp32"


def test_two_workers_share_one_model_and_run_it_at_the_same_time() -> None:
    together = Barrier(2, timeout=30)
    built = []

    class Meeting(Sums):
        def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
            together.wait()  # nobody gets through alone
            return super().forward(pictures)

    def build() -> Runner:
        built.append(1)
        return Runner(make_engine(Meeting(), Placement(workers=2), "0"), Placement(workers=2), name="sums")

    def work(_: int) -> tuple[Runner, int]:
        run = shared("two workers", build)
        run(pictures(2))
        return run, torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        (one, threads), (other, _) = pool.map(work, range(2))
    assert one is other
    assert (len(built), threads) == (1, 1)


def test_a_model_that_nobody_holds_is_let_go() -> None:
    before = id(shared("let go", runner))
    gc.collect()
    kept = [runner() for _ in range(3)]  # so that the place is taken
    assert shared("let go", lambda: kept[0]) is kept[0]
    assert before


def test_a_warm_up_runs_one_picture_of_the_size() -> None:
    small = Small(1, MemoryError())
    runner(small).warm_up(4, 6)
    assert small.batches == [1]


def test_a_placement_says_what_it_is() -> None:
    assert str(Placement("cuda", "fp16")) == "cuda fp16, torch"
