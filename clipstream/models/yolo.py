"""YOLO pose networks: from pixels to numbers, and from numbers to people."""

from collections.abc import Sequence
from copy import copy, deepcopy
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clipstream.models.runtime import Arrays

__all__ = ["ROWS", "HeadReader", "PoseNetwork", "Reader", "is_exported_pose", "read_exported", "without_doubles"]

_LIMBS = 17 * 3
"""Numbers of a person's keypoints: x, y and confidence of each."""

ROWS = 5 + _LIMBS
"""Numbers of a person: box, score and keypoints."""

_FOUND = ROWS + 1
"""Numbers of a person in an export that has removed doubles itself: the class stands behind the score."""


class Reader(Protocol):
    """Reads what a network said of one picture."""

    def __call__(
        self, outputs: Arrays, size_px: tuple[int, int], min_score: float, max_overlap: float, /
    ) -> NDArray[np.float32]:
        """Return (P, 56) float32, surest first: left, top, right, bottom, score, and 17 times x, y and confidence.

        Args:
            outputs: Of the network, without their first axis.
            size_px: Height and width of what the network saw; places are in its pixels.
            min_score: The least score a person needs.
            max_overlap: The largest overlap (intersection over union) of two people's boxes, where the network does not
                remove doubles itself.
        """
        ...


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
        """Return boxes (N, 4·B, A), scores (N, C, A) and keypoints (N, 51, A) for (N, H, W, 3) BGR uint8 pictures."""
        rgb = pictures.permute(0, 3, 1, 2).flip(1).to(next(self.parameters()).dtype) / 255
        boxes, scores, keypoints = self.model(rgb)
        return boxes, scores, keypoints


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


class HeadReader:
    """Reads the numbers of a `PoseNetwork` by the functions of its own head.

    Only what is likely enough is decoded, a few cells of thousands.

    Args:
        head: The head of the network; it may have been moved and halved.
    """

    def __init__(self, head: nn.Module) -> None:
        self._head: Any = head
        self._expected: Any = deepcopy(self._head.dfl).cpu().float()  # its weights, 0 to 15, are exact in any precision
        strides_px: Any = head.stride
        self._strides_px = tuple(strides_px.int().tolist())

    def __call__(
        self, outputs: Arrays, size_px: tuple[int, int], min_score: float, max_overlap: float, /
    ) -> NDArray[np.float32]:
        """Read as `Reader` says."""
        boxes, scores, keypoints = map(torch.from_numpy, outputs)
        surest = scores.amax(0).sigmoid()
        likely = (surest > min_score).nonzero().flatten()
        if not len(likely):
            return np.zeros((0, ROWS), np.float32)
        anchors, strides_px = _grid(size_px, self._strides_px)
        head = copy(self._head)  # shallow, because reading its numbers writes the grid into it
        head.anchors, head.strides = anchors[:, likely], strides_px[:, likely]
        cells = self._expected(boxes[None, :, likely])
        corners = (head.decode_bboxes(cells, head.anchors[None]) * head.strides)[0].T
        limbs = head.kpts_decode(keypoints[None, :, likely])[0].T
        surest = surest[likely]
        if head.end2end:  # one cell a person, by training
            kept = surest.argsort(descending=True, stable=True)
        else:
            corners = _corners(corners)
            kept = without_doubles(corners, surest, max_overlap)
        return torch.cat((corners, surest[:, None], limbs), 1)[kept].numpy()


def is_exported_pose(shape: Sequence[int]) -> bool:
    """Say whether an output of this shape, (56, A) or (M, 57), is people with the 17 keypoints of COCO."""
    return len(shape) == 2 and (shape[1] == _FOUND or shape[0] == ROWS)


def read_exported(
    outputs: Arrays, _size_px: tuple[int, int], min_score: float, max_overlap: float, /
) -> NDArray[np.float32]:
    """Read, as `Reader` says, the output of a network that ultralytics exported.

    (56, A) are all cells: middle, size, score and keypoints; A is a sum of products and never 57. (M, 57) are people
    among whom the network has removed doubles itself: corners, score, class and keypoints.
    """
    (numbers,) = map(torch.from_numpy, outputs)
    if numbers.shape[1] == _FOUND:
        rows = numbers[numbers[:, 4] > min_score]
        kept = rows[:, 4].argsort(descending=True, stable=True)
        return torch.cat((rows[:, :5], rows[:, 6:]), 1)[kept].numpy()
    rows = numbers[:, numbers[4] > min_score].T
    corners = _corners(rows[:, :4])
    kept = without_doubles(corners, rows[:, 4], max_overlap)
    return torch.cat((corners, rows[:, 4:]), 1)[kept].numpy()


def without_doubles(corners: Tensor, scores: Tensor, max_overlap: float) -> Tensor:
    """Return the indices of boxes that are not found before by a surer one, surest first.

    Greedy suppression, bit by bit as `torchvision.ops.nms`, which takes two seconds to import: it brings the compiler
    of torch along.

    Args:
        corners: (N, 4) left, top, right and bottom.
        scores: (N,).
        max_overlap: The largest overlap (intersection over union) of two boxes that are kept.
    """
    boxes: NDArray[np.float32] = corners.numpy()
    low, high = boxes[:, :2], boxes[:, 2:]
    areas = (high - low).prod(axis=1)
    left = scores.argsort(descending=True, stable=True).numpy()
    kept = []
    while len(left):
        surest, left = left[0], left[1:]
        kept.append(surest)
        sides = np.minimum(high[surest], high[left]) - np.maximum(low[surest], low[left])
        shared = sides.clip(0).prod(axis=1)
        with np.errstate(invalid="ignore"):  # two boxes without any area do not overlap
            left = left[~(shared / (areas[surest] + areas[left] - shared) > max_overlap)]
    return torch.tensor(np.array(kept, np.int64))


def _corners(boxes: Tensor) -> Tensor:
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat((middle - half, middle + half), 1)


@lru_cache(maxsize=16)
def _grid(size_px: tuple[int, int], strides_px: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the centres (2, A) of all cells, in cells, and their strides (1, A) in pixels."""
    centres, strides = [], []
    for stride_px in strides_px:
        y, x = torch.meshgrid(*(torch.arange(side_px // stride_px) + 0.5 for side_px in size_px), indexing="ij")
        centres.append(torch.stack((x.flatten(), y.flatten())))
        strides.append(torch.full((1, x.numel()), float(stride_px)))
    return torch.cat(centres, 1), torch.cat(strides, 1)
