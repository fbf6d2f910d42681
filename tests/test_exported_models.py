"""Exports of pose models: how their outputs are read, what each form needs, and that they find whom torch finds."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_pose_model import asset

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.models.exported import _InBatches, _open_engine
from clipstream.models.pose import PoseModel, load_pose
from clipstream.models.runtime import Arrays, Placement, Runner
from clipstream.models.yolo import is_exported_pose, read_exported

pytestmark = pytest.mark.xdist_group("exports")  # one worker makes them once

SIDE_PX = 256
POINTS = np.arange(51, dtype=np.float32)


def person(x: float, y: float, score: float) -> NDArray[np.float32]:
    """One cell of (56, A): a box of 20×40 around (x, y)."""
    return np.concatenate(([x, y, 20, 40, score], POINTS + x)).astype(np.float32)


def test_of_all_cells_the_likely_are_kept_without_their_doubles_surest_first() -> None:
    cells = np.stack([person(50, 60, 0.4), person(200, 60, 0.9), person(51, 61, 0.8), person(120, 60, 0.1)], axis=1)
    rows = read_exported((cells,), (96, 256), 0.25, 0.7)
    np.testing.assert_allclose(rows[:, :5], [[190, 40, 210, 80, 0.9], [41, 41, 61, 81, 0.8]])
    np.testing.assert_array_equal(rows[:, 5:], [POINTS + 200, POINTS + 51])
    assert read_exported((cells,), (96, 256), 0.95, 0.7).shape == (0, 56)


def test_of_people_without_doubles_the_likely_are_kept_surest_first() -> None:
    found = np.zeros((300, 57), np.float32)
    found[:3, 4] = 0.5, 0.9, 0.1
    found[:2, :4] = [[10, 20, 30, 60], [11, 21, 31, 61]]
    found[:2, 6:] = [POINTS, POINTS + 1]
    rows = read_exported((found,), (640, 640), 0.25, 0.7)
    np.testing.assert_allclose(rows[:, :5], [[11, 21, 31, 61, 0.9], [10, 20, 30, 60, 0.5]])
    np.testing.assert_array_equal(rows[:, 5:], [POINTS + 1, POINTS])


@pytest.mark.parametrize("shape", [(56, 8400), (300, 57), (56, 21), (2, 57)])
def test_a_pose_model_is_known_by_its_output(shape: tuple[int, ...]) -> None:
    assert is_exported_pose(shape)


@pytest.mark.parametrize("shape", [(84, 8400), (300, 6), (1000,), (20, 8400), (116, 8400), (300, 21)])
def test_detection_classification_and_other_keypoints_are_no_pose_model(shape: tuple[int, ...]) -> None:
    assert not is_exported_pose(shape)


class Watching:
    """Remembers what it is given, and finds one person in the middle of each picture."""

    def __init__(self) -> None:
        self.given: list[NDArray[np.uint8]] = []

    def run(self, pictures: NDArray[np.uint8]) -> Arrays:
        self.given.append(pictures)
        middle = person(pictures.shape[2] / 2, pictures.shape[1] / 2, 0.9)
        return (np.repeat(middle[None, :, None], len(pictures), axis=0),)


@pytest.mark.parametrize(
    ("height_px", "width_px", "box_px"),
    [
        (64, 128, [54, 12, 74, 52]),
        (128, 256, [108, 24, 148, 104]),
        (32, 64, [27, 6, 37, 26]),
        (64, 64, [22, 12, 42, 52]),
    ],
)
def test_pictures_are_scaled_into_the_only_size_a_model_takes(
    height_px: int, width_px: int, box_px: list[float]
) -> None:
    engine = Watching()
    model = PoseModel(Runner(engine, Placement(), name="fixed"), read_exported, size_px=(64, 128))
    (people,) = model(np.zeros((1, height_px, width_px, 3), np.uint8), 640)
    assert engine.given[0].shape == (1, 64, 128, 3)
    np.testing.assert_allclose(people.boxes_px, [box_px])
    assert (engine.given[0] == 114).any() == (height_px == width_px), "grey is beside what has another shape"


def test_a_picture_of_the_only_size_is_not_copied() -> None:
    engine = Watching()
    model = PoseModel(Runner(engine, Placement(), name="fixed"), read_exported, size_px=(64, 128))
    pictures = np.zeros((2, 64, 128, 3), np.uint8)
    model(pictures)
    assert np.shares_memory(engine.given[0], pictures)


def test_a_model_of_a_fixed_batch_gets_whole_batches_and_the_filling_is_dropped() -> None:
    engine = Watching()
    runner = Runner(_InBatches(engine, 3), Placement(), name="fixed", batch=3)
    (output,) = runner(np.zeros((4, 64, 64, 3), np.uint8))
    assert [given.shape[0] for given in engine.given] == [3, 3]
    assert output.shape == (4, 56, 1)


@pytest.mark.parametrize(
    ("file", "placement", "said"),
    [
        ("a.onnx", Placement(), r"a\.onnx: needs the package openvino; install clipstream\[openvino\], or name the ch"),
        ("a.xml", Placement(), r"a\.xml: needs the package openvino"),
        ("a.engine", Placement("cuda", "fp16"), r"a\.engine: needs the package tensorrt; install tensorrt, or name"),
    ],
)
def test_without_the_library_a_form_needs_it_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, placement: Placement, said: str
) -> None:
    (tmp_path / file).write_bytes(b"")
    monkeypatch.setattr("clipstream.models.exported.find_spec", lambda _: None)
    with pytest.raises(FeatureUnavailableError, match=said):
        load_pose(str(tmp_path / file), placement)


@pytest.mark.parametrize(
    ("file", "placement"),
    [("a.onnx", Placement("cuda", "fp16")), ("a.engine", Placement()), ("a.xml", Placement("mps"))],
)
def test_a_form_that_does_not_run_on_the_device_says_on_which_it_does(
    tmp_path: Path, file: str, placement: Placement
) -> None:
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(UsageError, match=rf"{file}: runs on --device (cpu|cuda) alone; choose that, or name the check"):
        load_pose(str(tmp_path / file), placement)


class Backend:
    """Stands in for ultralytics' reader of TensorRT engines, which needs a GPU."""

    dynamic = False
    batch = 2
    metadata: dict[str, Any] = {"imgsz": [64, 128]}  # noqa: RUF012 - nobody writes it

    def __init__(self, model: str, device: torch.device, verbose: bool) -> None:
        self.opened = model

    def __call__(self, rgb: torch.Tensor) -> torch.Tensor:
        assert rgb.is_contiguous(), "its memory is handed over as it is"
        return rgb.flatten(2)[:, :, :1].half()


def test_an_engine_is_given_red_green_and_blue_in_the_size_it_was_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ultralytics.nn.autobackend.AutoBackend", Backend)
    opened = _open_engine(Path("a.engine"), Placement())
    (output,) = opened.engine.run(np.full((2, 64, 128, 3), (51, 102, 255), np.uint8))
    assert (opened.size_px, opened.batch) == ((64, 128), 2)
    assert output.dtype == np.float32
    np.testing.assert_allclose(output[:, :, 0], [[1.0, 0.4, 0.2]] * 2, atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"no engine at all"])
def test_a_damaged_engine_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    (tmp_path / "a.engine").write_bytes(content)
    monkeypatch.setattr("clipstream.models.exported.find_spec", lambda _: True)
    monkeypatch.setattr("ultralytics.nn.autobackend.AutoBackend", lambda *_, **__: SimpleNamespace(metadata={}))
    with pytest.raises(
        FeatureUnavailableError, match=r"a\.engine: is no pose model that can be run .it does not say for"
    ):
        load_pose(str(tmp_path / "a.engine"), Placement("cuda", "fp16"))


class Export(torch.nn.Module):
    """What ultralytics exports of a network: people of every cell, decoded."""

    def __init__(self) -> None:
        super().__init__()
        from clipstream.models.checkpoints import load_yolo
        from clipstream.models.weights import find_weights

        network: Any = load_yolo(find_weights("yolo11n-pose").path)
        network.model[-1].export = True
        self.network = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        people: torch.Tensor = self.network(pictures)
        return people


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one network in every form that can be written here."""
    openvino = pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    folder = tmp_path_factory.mktemp("exports")
    network, example = Export().eval(), torch.zeros((1, 3, SIDE_PX, SIDE_PX))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, as they do in an export
        network(example)  # makes the grid, once
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]  # torch has no types here
        decoder = TorchScriptPythonDecoder(traced, example_input=example)
    frontend = FrontEndManager().load_by_framework("pytorch")
    for name, count in (("one", 1), ("two", 2)):
        model = frontend.convert(frontend.load(decoder))
        model.reshape([count, 3, SIDE_PX, SIDE_PX])
        openvino.save_model(model, folder / f"{name}_openvino_model" / "model.xml", compress_to_fp16=False)
    return folder


@pytest.mark.parametrize("name", ["one_openvino_model", "two_openvino_model", "one_openvino_model/model.xml"])
def test_an_openvino_model_finds_whom_torch_finds(exports: Path, name: str) -> None:
    picture = asset("zidane.jpg")
    square = np.full((1280, 1280, 3), 114, np.uint8)
    square[280:1000] = picture
    (seen, again), (expected,) = (
        load_pose(str(exports / name))(np.stack([picture] * 2)),
        load_pose()(square[None], SIDE_PX),
    )
    assert len(seen) == len(expected) == len(again) == 2
    np.testing.assert_allclose(seen.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(seen.keypoints_px, expected.keypoints_px - [0, 280], atol=0.5)
    np.testing.assert_allclose(seen.boxes_px, expected.boxes_px - [0, 280, 0, 280], atol=0.5)


def test_one_model_in_two_folders_is_two_where_their_numbers_differ(exports: Path) -> None:
    assert load_pose(str(exports / "one_openvino_model")) is load_pose(str(exports / "one_openvino_model/model.xml"))
    assert load_pose(str(exports / "one_openvino_model")) is not load_pose(str(exports / "two_openvino_model"))


@pytest.mark.parametrize("content", [b"", b"no model at all", b"<net"], ids=["empty", "text", "cut"])
@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_damaged_export_is_one_clear_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    (tmp_path / f"damaged{suffix}").write_bytes(content)
    with pytest.raises(
        FeatureUnavailableError, match=r"damaged\S+: is no pose model that can be run \(.+\); get"
    ) as it:
        load_pose(str(tmp_path / f"damaged{suffix}"))
    assert "\n" not in str(it.value)


def test_an_export_that_lost_its_numbers_is_one_clear_line(exports: Path, tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes((exports / "one_openvino_model" / "model.xml").read_bytes())
    with pytest.raises(FeatureUnavailableError, match=r"bin file cannot be found!\); get the file again, or name"):
        load_pose(str(tmp_path / "model.xml"))


@pytest.mark.parametrize("dynamic", [False, True])
def test_an_onnx_model_finds_whom_torch_finds(tmp_path: Path, dynamic: bool) -> None:
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    pytest.importorskip("onnx", reason="onnx, which writes such a model, is not installed")
    axes = {"images": {0: "n", 2: "h", 3: "w"}, "output0": {0: "n", 2: "a"}} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, and there is a newer way that needs more packages
        torch.onnx.export(
            Export().eval(),
            (torch.zeros((1, 3, SIDE_PX, SIDE_PX)),),
            str(tmp_path / "a.onnx"),
            input_names=["images"],
            output_names=["output0"],
            dynamic_axes=axes,
            dynamo=False,
        )
    square = np.full((1280, 1280, 3), 114, np.uint8)
    square[280:1000] = asset("zidane.jpg")
    model = load_pose(str(tmp_path / "a.onnx"))
    assert model.size_px == (None if dynamic else (SIDE_PX, SIDE_PX))
    (seen,), (expected,) = model(square[None], SIDE_PX), load_pose()(square[None], SIDE_PX)
    np.testing.assert_allclose(seen.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(seen.keypoints_px, expected.keypoints_px, atol=0.5)


def test_a_network_for_other_things_says_what_its_output_is(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    pixels = openvino.opset13.parameter([1, 3, 64, 64], np.float32)
    openvino.save_model(openvino.Model([openvino.opset13.relu(pixels)], [pixels]), tmp_path / "other.xml")
    with pytest.raises(
        FeatureUnavailableError, match=r"no network for the 17 keypoints of COCO \(its output is 3×64×64, and 56×A"
    ):
        load_pose(str(tmp_path / "other.xml"))
