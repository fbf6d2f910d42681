"""People in pictures: a box and the 17 COCO keypoints of each, by a YOLO pose network."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipstream.errors import FeatureUnavailableError
from clipstream.models.checkpoints import load_yolo
from clipstream.models.exported import EXPORTED, load_exported
from clipstream.models.runtime import Placement, Runner, make_engine, shared
from clipstream.models.weights import find_weights, sha256_of
from clipstream.models.yolo import HeadReader, PoseNetwork, Reader, read_exported

__all__ = ["KEYPOINTS", "SKELETON", "People", "PoseModel", "load_pose"]

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""The keypoints of COCO in order; left and right are the person's own."""

SKELETON = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
"""Pairs of keypoints that a limb or an edge of the face joins."""

_GREY = 114
"""What YOLO networks were trained to see beside a picture."""


@dataclass(frozen=True, eq=False, slots=True)
class People:
    """The P people of one picture, surest first.

    Attributes:
        boxes_px: (P, 4) float32, left, top, right and bottom, clipped to the picture.
        scores: (P,) float32 in [0, 1], how sure it is that there is a person.
        keypoints_px: (P, 17, 2) float32, x and y in the order of `KEYPOINTS`; may lie outside the picture.
        confidences: (P, 17) float32 in [0, 1], how sure it is that the keypoint is visible. What is hidden is placed
            all the same, where the network supposes it.
        width_px: Width of the picture.
        height_px: Height of the picture.
    """

    boxes_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints_px: NDArray[np.float32]
    confidences: NDArray[np.float32]
    width_px: int
    height_px: int

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def boxes(self) -> NDArray[np.float32]:
        """The boxes in fractions of the picture's width and height."""
        sides_px: NDArray[np.float32] = np.array([self.width_px, self.height_px] * 2, np.float32)
        return np.divide(self.boxes_px, sides_px)

    @property
    def keypoints(self) -> NDArray[np.float32]:
        """The keypoints in fractions of the picture's width and height.

        Angles and lengths are true only in pixels: a fraction of the width is another length than one of the height.
        """
        sides_px: NDArray[np.float32] = np.array([self.width_px, self.height_px], np.float32)
        return np.divide(self.keypoints_px, sides_px)


class PoseModel:
    """Finds people and their keypoints. Any thread may call it.

    Attributes:
        runner: Runs the network.
        checksum: SHA-256 of its weights.
        size_px: The only height and width the network takes, or `None` where it takes any. Pictures of that size are
            not scaled.

    Args:
        runner: Runs the network, from BGR pixels to what `reader` reads.
        reader: Reads what the network says.
        checksum: As above.
        stride_px: Sides of what goes in are multiples of it.
        size_px: As above.
        min_score: The least score a person needs.
        max_overlap: The largest overlap (intersection over union) of two people's boxes.
    """

    def __init__(
        self,
        runner: Runner,
        reader: Reader,
        *,
        checksum: str = "",
        stride_px: int = 32,
        size_px: tuple[int, int] | None = None,
        min_score: float = 0.25,
        max_overlap: float = 0.7,
    ) -> None:
        self.runner = runner
        self.checksum, self.size_px = checksum, size_px
        self._read = reader
        self._stride_px = stride_px
        self._min_score = min_score
        self._max_overlap = max_overlap

    def __call__(self, pictures: NDArray[np.uint8], side_px: int | None = None) -> list[People]:
        """Find the people in (N, H, W, 3) BGR uint8 pictures of one size.

        Pictures are seen as they are, or with their longer side scaled to `side_px`, or scaled into the only size the
        network takes, with grey added around; what is found is in pixels of the pictures given. To be the same whatever
        else is running, pictures are to be given in the same company: in fp32, torch computes a single one slightly
        unlike one of several.
        """
        if not len(pictures):
            return []
        height_px, width_px = pictures.shape[1:3]
        seen, scale, (left_px, top_px) = self._letterboxed(pictures, side_px)
        found, seen_px = [], (seen.shape[1], seen.shape[2])
        for outputs in zip(*self.runner(seen), strict=True):
            person = self._read(outputs, seen_px, self._min_score, self._max_overlap)
            person[:, (0, 2)] = ((person[:, (0, 2)] - left_px) / scale).clip(0, width_px)
            person[:, (1, 3)] = ((person[:, (1, 3)] - top_px) / scale).clip(0, height_px)
            limbs = person[:, 5:].reshape(-1, len(KEYPOINTS), 3)
            places = (limbs[..., :2] - np.array([left_px, top_px], np.float32)) / np.float32(scale)
            found.append(People(person[:, :4], person[:, 4], places, limbs[..., 2], width_px, height_px))
        return found

    def _letterboxed(
        self, pictures: NDArray[np.uint8], side_px: int | None
    ) -> tuple[NDArray[np.uint8], float, tuple[int, int]]:
        """Return pictures of a size the network takes, by what they were scaled, and the margin in px."""
        count, height_px, width_px = pictures.shape[:3]
        if self.size_px:
            scale = min(self.size_px[0] / height_px, self.size_px[1] / width_px)
        else:
            scale = side_px / max(height_px, width_px) if side_px else 1.0
        inner_px = max(1, round(height_px * scale)), max(1, round(width_px * scale))
        outer_px = self.size_px or tuple(-(-size // self._stride_px) * self._stride_px for size in inner_px)
        if inner_px == outer_px == (height_px, width_px):
            return pictures, scale, (0, 0)
        top_px, left_px = ((outer - inner) // 2 for outer, inner in zip(outer_px, inner_px, strict=True))
        boxed = np.full((count, *outer_px, 3), _GREY, np.uint8)
        inside = boxed[:, top_px : top_px + inner_px[0], left_px : left_px + inner_px[1]]
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        for target, picture in zip(inside, pictures, strict=True):
            target[...] = picture if scale == 1 else cv2.resize(picture, inner_px[::-1], interpolation=how)
        return boxed, scale, (left_px, top_px)


def load_pose(weights: str = "yolo11n-pose", placement: Placement | None = None) -> PoseModel:
    """Return the process's pose model of these weights.

    Args:
        weights: A name in the catalogue or the folder of weights, or a path: an ultralytics checkpoint (`.pt`), or its
            export to ONNX (`.onnx`), OpenVINO (the folder, or the `.xml` in it) or TensorRT (`.engine`).
        placement: Where it runs; torch on the CPU in fp32 if not given.

    Raises:
        UsageError: An export does not run on this device.
        FeatureUnavailableError: The weights are missing, damaged, or of no network that finds 17 keypoints, or the
            library that runs an export is not installed.
    """
    found, placement = find_weights(weights), placement or Placement()
    checksum = sha256_of(found.path)
    if (numbers := found.path.with_suffix(".bin")).is_file() and found.path.suffix == ".xml":
        checksum += sha256_of(numbers)

    def build() -> PoseModel:
        if found.path.suffix in EXPORTED:
            exported = load_exported(found.path, placement, found.name)
            return PoseModel(exported.runner, read_exported, checksum=checksum, size_px=exported.size_px)
        model: Any = load_yolo(found.path)
        head = model.model[-1]
        if tuple(getattr(head, "kpt_shape", ())) != (len(KEYPOINTS), 3):
            raise FeatureUnavailableError(
                f"{found.path}: is no network for the 17 keypoints of COCO; name one such as yolo11n-pose."
            )
        reader = HeadReader(head)  # before the engine takes the weights, of which it needs a few
        runner = Runner(make_engine(PoseNetwork(model), placement, checksum), placement, name=found.name)
        return PoseModel(runner, reader, checksum=checksum, stride_px=int(head.stride.max()))

    return shared(("pose", checksum, placement), build)
