"""People in pictures: a box and the 17 COCO keypoints of each, by a YOLO pose network."""

from collections.abc import Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import nms

from clipstream.errors import FeatureUnavailableError
from clipstream.models.checkpoints import load_yolo
from clipstream.models.runtime import Placement, Runner, shared
from clipstream.models.weights import find_weights, sha256_of

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

_STRIDES_PX = (8, 16, 32)
"""Pixels a cell of each feature map stands for; sides of what goes in are multiples of the largest."""


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

    Args:
        runner: Runs a `PoseNetwork`.
        head: That network's head, which knows how its numbers are read.
        min_score: The least score a person needs.
        max_overlap: The largest overlap (intersection over union) of two people's boxes.
    """

    def __init__(self, runner: Runner, head: nn.Module, min_score: float = 0.25, max_overlap: float = 0.7) -> None:
        self.runner = runner
        self._head: Any = head
        self._expected: Any = deepcopy(self._head.dfl).cpu().float()  # its weights, 0 to 15, are exact in any precision
        self._min_score = min_score
        self._max_overlap = max_overlap

    def __call__(self, pictures: NDArray[np.uint8], side_px: int | None = None) -> list[People]:
        """Find the people in (N, H, W, 3) BGR uint8 pictures of one size.

        Pictures are seen as they are, or with their longer side scaled to `side_px`, with grey added up to multiples of
        32; what is found is in pixels of the pictures given. To be the same whatever else is running, pictures are to
        be given in the same company: in fp32, torch computes a single one slightly unlike one of several.
        """
        if not len(pictures):
            return []
        height_px, width_px = pictures.shape[1:3]
        seen, scale, (left_px, top_px) = _letterboxed(pictures, side_px)
        boxes, scores, keypoints = self.runner(seen)
        anchors, strides = _grid(*seen.shape[1:3])
        found = []
        for box, score, points in zip(boxes, scores, keypoints, strict=True):
            person = self._people(box, score, points, anchors, strides)
            person[:, (0, 2)] = ((person[:, (0, 2)] - left_px) / scale).clip(0, width_px)
            person[:, (1, 3)] = ((person[:, (1, 3)] - top_px) / scale).clip(0, height_px)
            limbs = person[:, 5:].reshape(-1, len(KEYPOINTS), 3)
            places = (limbs[..., :2] - np.array([left_px, top_px], np.float32)) / np.float32(scale)
            found.append(People(person[:, :4], person[:, 4], places, limbs[..., 2], width_px, height_px))
        return found

    def _people(
        self,
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
        keypoints: NDArray[np.float32],
        anchors: Tensor,
        strides: Tensor,
    ) -> NDArray[np.float32]:
        """Return (P, 5 + 51): box, score, and x, y and confidence of every keypoint.

        Only what is likely enough is decoded, a few cells of thousands, and by the head itself.
        """
        surest = torch.from_numpy(scores).amax(0).sigmoid()
        likely = (surest > self._min_score).nonzero().flatten()
        if not len(likely):
            return np.zeros((0, 5 + len(keypoints)), np.float32)
        head = copy(self._head)  # shallow, because reading its numbers writes the grid into it
        head.anchors, head.strides = anchors[:, likely], strides[:, likely]
        cells = self._expected(torch.from_numpy(boxes)[None, :, likely])
        corners = (head.decode_bboxes(cells, head.anchors[None]) * head.strides)[0].T
        limbs = head.kpts_decode(torch.from_numpy(keypoints)[None, :, likely])[0].T
        surest = surest[likely]
        if head.end2end:  # one cell a person, by training
            kept = surest.argsort(descending=True, stable=True)
        else:
            middle, half = corners[:, :2], corners[:, 2:] / 2
            corners = torch.cat((middle - half, middle + half), 1)
            kept = nms(corners, surest, self._max_overlap)
        return torch.cat((corners, surest[:, None], limbs), 1)[kept].numpy()


class PoseNetwork(nn.Module):
    """A YOLO pose network from pixels to the numbers of its head, which are read afterwards in full precision.

    In bf16 a coordinate of 640 pixels would be off by two.

    Args:
        model: As `load_yolo` gives it; its last layer is the head.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        layers: Any = model.model
        layers[-1] = _Undecoded(layers[-1])
        self.model = model

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (N, 64, A), scores (N, 1, A) and keypoints (N, 51, A) for (N, H, W, 3) BGR uint8 pictures."""
        rgb = pictures.permute(0, 3, 1, 2).flip(1).to(next(self.parameters()).dtype) / 255
        boxes, scores, keypoints = self.model(rgb)
        return boxes.float(), scores.float(), keypoints.float()


class _Undecoded(nn.Module):
    """A head that gives its numbers as they are."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head: Any = head
        self.f, self.i = self.head.f, self.head.i  # where ultralytics connects the layer

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        branches = self.head.one2one if self.head.end2end else self.head.one2many
        numbers = self.head.forward_head(list(features), **branches)
        return numbers["boxes"], numbers["scores"], numbers["kpts"]


def load_pose(weights: str = "yolo11n-pose", placement: Placement | None = None) -> PoseModel:
    """Return the process's pose model of these weights.

    Args:
        weights: A name in the catalogue or the folder of weights, or the path of an ultralytics checkpoint (`.pt`).
        placement: Where it runs; torch on the CPU in fp32 if not given.

    Raises:
        FeatureUnavailableError: The weights are missing, damaged, or of no network that finds 17 keypoints.
    """
    found, placement = find_weights(weights), placement or Placement()
    checksum = sha256_of(found.path)

    def build() -> PoseModel:
        model: Any = load_yolo(found.path)
        head = model.model[-1]
        shape = tuple(getattr(head, "kpt_shape", ()))
        if shape != (len(KEYPOINTS), 3) or tuple(head.stride.int().tolist()) != _STRIDES_PX:
            raise FeatureUnavailableError(
                f"{found.path}: is no network for the 17 keypoints of COCO; name one such as yolo11n-pose."
            )
        return PoseModel(Runner(PoseNetwork(model), placement, name=found.name, identity=checksum), head)

    return shared(("pose", checksum, placement), build)


def _grid(height_px: int, width_px: int) -> tuple[Tensor, Tensor]:
    """Return the centres (2, A) of all cells, in cells, and their strides (1, A) in pixels."""
    centres, strides = [], []
    for stride in _STRIDES_PX:
        rows, columns = torch.arange(height_px // stride) + 0.5, torch.arange(width_px // stride) + 0.5
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centres.append(torch.stack((x.flatten(), y.flatten())))
        strides.append(torch.full((1, x.numel()), float(stride)))
    return torch.cat(centres, 1), torch.cat(strides, 1)


def _letterboxed(pictures: NDArray[np.uint8], side_px: int | None) -> tuple[NDArray[np.uint8], float, tuple[int, int]]:
    """Return pictures with sides that are multiples of the stride, by what they were scaled, and the margin in px."""
    count, height_px, width_px = pictures.shape[:3]
    scale = side_px / max(height_px, width_px) if side_px else 1.0
    inner_px = max(1, round(height_px * scale)), max(1, round(width_px * scale))
    stride_px = _STRIDES_PX[-1]
    outer_px = [-(-size // stride_px) * stride_px for size in inner_px]
    if scale == 1 and list(inner_px) == outer_px:
        return pictures, scale, (0, 0)
    top_px, left_px = ((outer - inner) // 2 for outer, inner in zip(outer_px, inner_px, strict=True))
    boxed = np.full((count, *outer_px, 3), _GREY, np.uint8)
    inside = boxed[:, top_px : top_px + inner_px[0], left_px : left_px + inner_px[1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    for target, picture in zip(inside, pictures, strict=True):
        target[...] = picture if scale == 1 else cv2.resize(picture, inner_px[::-1], interpolation=how)
    return boxed, scale, (left_px, top_px)
