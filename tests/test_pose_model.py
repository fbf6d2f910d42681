"""People and their keypoints in the pictures that ultralytics carries, whose content is known."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from clipstream.errors import FeatureUnavailableError
from clipstream.models.pose import KEYPOINTS, SKELETON, People, PoseModel, load_pose
from clipstream.models.runtime import Placement
from clipstream.models.weights import find_weights
from clipstream.models.yolo import without_doubles

Picture = NDArray[np.uint8]


def asset(name: str) -> Picture:
    spec = find_spec("ultralytics")
    assert spec
    assert spec.submodule_search_locations
    picture = cv2.imread(str(Path(spec.submodule_search_locations[0], "assets", name)))
    assert picture is not None
    return picture.astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> PoseModel:
    return load_pose()


@pytest.fixture(scope="module")
def bus(model: PoseModel) -> People:
    return model(asset("bus.jpg")[None], 640)[0]


@pytest.fixture(scope="module")
def zidane(model: PoseModel) -> People:
    return model(asset("zidane.jpg")[None], 640)[0]


def keypoint(people: People, person: int, name: str) -> NDArray[np.float32]:
    place_px: NDArray[np.float32] = people.keypoints_px[person, KEYPOINTS.index(name)]
    return place_px


def test_four_people_walk_before_the_bus(bus: People) -> None:
    assert len(bus) == 4
    assert sorted(bus.scores, reverse=True) == list(bus.scores)
    # Measured by hand in the picture of 810×1080.
    expected = np.array([[50, 400, 243, 905], [222, 405, 345, 860], [668, 388, 810, 880], [0, 430, 70, 912]])
    seen = bus.boxes_px[np.argsort(bus.boxes_px[:, 0])]
    np.testing.assert_allclose(seen, expected[np.argsort(expected[:, 0])], atol=12)


def test_two_people_stand_at_the_edge_of_the_pitch(zidane: People) -> None:
    assert len(zidane) == 2
    right, left = np.argsort(zidane.boxes_px[:, 0])[::-1]
    # Noses and shoulders, measured by hand in the picture of 1280×720.
    np.testing.assert_allclose(keypoint(zidane, right, "nose"), (1000, 200), atol=20)
    np.testing.assert_allclose(keypoint(zidane, left, "nose"), (655, 360), atol=20)
    np.testing.assert_allclose(keypoint(zidane, right, "right_shoulder"), (855, 328), atol=25)
    np.testing.assert_allclose(keypoint(zidane, left, "right_shoulder"), (350, 420), atol=25)


def test_the_confidence_tells_what_is_seen_from_what_is_hidden(zidane: People) -> None:
    nose, ankle = KEYPOINTS.index("nose"), KEYPOINTS.index("left_ankle")
    assert zidane.confidences[:, nose].min() > 0.9
    assert zidane.confidences[:, ankle].max() < 0.3, "their feet are below the picture"


def test_numbers_have_the_shapes_that_are_written_down(bus: People) -> None:
    arrays = (bus.boxes_px, bus.scores, bus.keypoints_px, bus.confidences)
    assert [array.shape for array in arrays] == [(4, 4), (4,), (4, 17, 2), (4, 17)]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert (bus.width_px, bus.height_px) == (810, 1080)
    np.testing.assert_allclose(bus.boxes * [810, 1080, 810, 1080], bus.boxes_px, rtol=1e-5)
    np.testing.assert_allclose(bus.keypoints * [810, 1080], bus.keypoints_px, rtol=1e-5)
    assert len({joint for limb in SKELETON for joint in limb}) == len(KEYPOINTS)


def test_a_picture_whose_sides_are_no_multiples_of_32_loses_nothing(model: PoseModel, zidane: People) -> None:
    small = cv2.resize(asset("zidane.jpg"), (640, 360), interpolation=cv2.INTER_AREA).astype(np.uint8)
    (people,) = model(small[None])
    assert len(people) == 2
    np.testing.assert_allclose(people.boxes_px * 2, zidane.boxes_px, atol=4)


def test_the_grey_around_a_picture_is_not_counted(model: PoseModel) -> None:
    picture = cv2.resize(asset("zidane.jpg"), (640, 360), interpolation=cv2.INTER_AREA).astype(np.uint8)
    grey = np.full((448, 704, 3), 114, np.uint8)
    corner_px = np.array([32, 44], np.float32)  # a whole cell more on every side
    grey[44:404, 32:672] = picture
    ((inside,), (outside,)) = model(picture[None]), model(grey[None])
    for person in range(2):
        moved_px = keypoint(outside, person, "nose") - keypoint(inside, person, "nose")
        np.testing.assert_allclose(moved_px, corner_px, atol=4)


def test_people_stay_with_their_picture_in_a_batch(model: PoseModel) -> None:
    picture = cv2.resize(asset("zidane.jpg"), (320, 192), interpolation=cv2.INTER_AREA).astype(np.uint8)
    empty = np.full_like(picture, 90)
    found = model(np.stack([empty, picture, empty]))
    assert [len(people) for people in found] == [0, 2, 0]
    assert found[0].keypoints_px.shape == (0, 17, 2)
    assert model(np.zeros((0, 192, 320, 3), np.uint8)) == []


def test_one_network_is_shared_by_all_who_ask_for_the_same(model: PoseModel) -> None:
    assert load_pose() is model
    assert load_pose(str(find_weights("yolo11n-pose").path)) is model
    assert load_pose(placement=replace(Placement(), precision="bf16")) is not model


def test_in_bf16_the_same_people_are_found_within_a_twentieth_of_their_size(zidane: People, bus: People) -> None:
    half = load_pose(placement=Placement(precision="bf16"))
    for name, people in (("zidane.jpg", zidane), ("bus.jpg", bus)):
        (seen,) = half(asset(name)[None], 640)
        assert len(seen) == len(people)
        np.testing.assert_allclose(seen.scores, people.scores, atol=0.02)
        size_px = np.linalg.norm(people.boxes_px[:, 2:] - people.boxes_px[:, :2], axis=1)
        error = np.linalg.norm(seen.keypoints_px - people.keypoints_px, axis=2) / size_px[:, None]
        assert error[people.confidences > 0.5].max() < 0.05


def test_in_fp16_people_are_found_within_half_a_pixel_of_640(zidane: People, bus: People) -> None:
    half = load_pose(placement=Placement(precision="fp16"))
    for name, people in (("zidane.jpg", zidane), ("bus.jpg", bus)):
        (seen,) = half(asset(name)[None], 640)
        scale = max(people.width_px, people.height_px) / 640
        np.testing.assert_allclose(seen.boxes_px, people.boxes_px, atol=scale / 2)
        visible = people.confidences > 0.5
        np.testing.assert_allclose(seen.keypoints_px[visible], people.keypoints_px[visible], atol=scale / 2)


def test_weights_of_another_network_are_said_to_be_wrong(tmp_path: Path) -> None:
    from ultralytics.nn.tasks import DetectionModel

    other = DetectionModel("yolo11n.yaml", nc=2, verbose=False)
    torch.save({"model": other}, tmp_path / "detect.pt")
    with pytest.raises(FeatureUnavailableError, match="is no network for the 17 keypoints of COCO"):
        load_pose(str(tmp_path / "detect.pt"))


@pytest.mark.parametrize(
    ("name", "cells"), [("yolo26n-pose.yaml", 189), ("yolov8n-pose.yaml", 189), ("yolov8n-pose-p6.yaml", 340)]
)
def test_every_family_is_read_by_its_own_head(tmp_path: Path, name: str, cells: int) -> None:
    from ultralytics.nn.tasks import PoseModel as Network

    torch.manual_seed(0)
    torch.save({"model": Network(name, verbose=False)}, tmp_path / "random.pt")
    people = load_pose(str(tmp_path / "random.pt"))
    people._min_score, people._max_overlap = 0.0, 1.0
    (found,) = people(np.zeros((1, 96, 96, 3), np.uint8))
    assert len(found) == cells, "one a cell: 12×12, 6×6 and 3×3, or 16×16, 8×8, 4×4 and 2×2 where sides are doubled"
    assert np.isfinite(found.keypoints_px).all()


def test_without_suppression_the_surest_stand_first(tmp_path: Path) -> None:
    from ultralytics.nn.tasks import PoseModel as Network

    torch.manual_seed(0)
    network: Any = Network("yolo26n-pose.yaml", verbose=False)
    network.model[-1].end2end = True
    torch.save({"model": network}, tmp_path / "random.pt")
    people = load_pose(str(tmp_path / "random.pt"))
    people._min_score = 0.0
    (found,) = people(np.zeros((1, 64, 64, 3), np.uint8))
    assert len(found) == 84, "one a cell: 8×8, 4×4 and 2×2, however much they overlap"
    assert (np.diff(found.scores) <= 0).all()


def test_pixels_reach_the_network_in_the_layout_that_gpus_are_quickest_in(model: PoseModel) -> None:
    from clipstream.models.checkpoints import load_yolo
    from clipstream.models.yolo import PoseNetwork

    yolo: Any = load_yolo(find_weights("yolo11n-pose").path)
    seen = []
    yolo.model[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network = PoseNetwork(yolo)
    with torch.inference_mode():
        network(torch.zeros((2, 64, 64, 3), dtype=torch.uint8))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("seed", range(20))
def test_doubles_are_removed_bit_by_bit_as_torchvision_does_it(seed: int) -> None:
    from torchvision.ops import nms

    random = np.random.default_rng(seed)
    corners = random.uniform(0, 100, (seed * 7, 2, 2)).astype(np.float32)
    corners.sort(axis=1)
    corners[::9, 1] = corners[::9, 0]  # without any area
    boxes = torch.from_numpy(corners.reshape(-1, 4))
    scores = torch.from_numpy(random.integers(0, 20, len(boxes)).astype(np.float32) / 20)  # many are the same
    for max_overlap in (0.0, 0.3, 0.7):
        assert without_doubles(boxes, scores, max_overlap).tolist() == nms(boxes, scores, max_overlap).tolist()
