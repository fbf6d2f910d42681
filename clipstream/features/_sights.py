"""Sights: what is seen of each person in one slice, from picture to picture, packed to travel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipstream.features._posture import ANGLES, limb_speed, posture_of, seen_keypoints
from clipstream.features._tracking import SURE, Bodies, associate

if TYPE_CHECKING:
    from clipstream.models.pose import People

__all__ = ["DETAILS", "HEADER", "MOST_SIGHTS", "SIGHT", "see"]

Numbers = NDArray[np.float64]
Records = NDArray[Any]
"""An array of one of the structured types below."""

MOST_SIGHTS = 8
"""Of the people in a slice, so many travel with the row: the largest and surest."""

HEADER = np.dtype([("pictures", "<u2"), ("people", "<f2"), ("aspect", "<f4")])
"""Before the sights: pictures looked at, the median number of people in them, and their width over their height."""

SIGHT = np.dtype(
    [
        ("first_box", "<f2", 4),
        ("last_box", "<f2", 4),
        ("first_s", "<f2"),
        ("last_s", "<f2"),
        ("pictures", "u1"),
        ("score", "<f2"),
        ("confidence", "<f2"),
        ("stature", "<f2"),
        ("speed", "<f2"),
        ("tuck", "<f2"),
        ("angles_deg", "<f2", len(ANGLES)),
        ("inclination_deg", "<f2"),
        ("inverted", "<f2"),
        ("ankle", "<f2"),
        ("ankle_high", "<f2"),
        ("edge", "<f2"),
        ("look", "u1", 6),
    ]
)
"""One person in one slice. Boxes are left, top, right and bottom in fractions of the picture's width and height, times
in seconds after the slice's start; `stature` and the y of the ankles are in longer sides of the picture. Of several
pictures: the best score, the mean confidence, speed and edge, the smallest tuck ratio, the highest ankle, and of all
else the median; missing is NaN. `look` is the colour of the upper and of the lower body, in OpenCV's Lab."""

DETAILS = np.dtype(
    [
        ("pts_s", "<f8"),
        ("sight", "<i2"),
        ("score", "<f4"),
        ("box", "<f4", 4),
        ("keypoints", "<f4", (17, 2)),
        ("confidences", "<f2", 17),
    ]
)
"""One person in one picture. `sight` is the place among the slice's sights, -1 beyond `MOST_SIGHTS`; places are in
fractions of the picture's width and height."""

SPEED_OVER_S = 0.099
"""Movement is measured over as long at least: between nearer pictures, the network trembles more than people move."""

SAME_PERSON_SIZES = 0.1
"""Two people whose keypoints are nearer than this to each other, in sizes, are one, found twice."""

EDGE = 0.005
"""A box that comes so near to the picture's edge, in fractions of it, may be cut off there."""

_UPPER, _LOWER = [5, 6, 11, 12], [11, 12, 13, 14]
_UPPER_BOX, _LOWER_BOX = (0.3, 0.2, 0.7, 0.5), (0.3, 0.55, 0.7, 0.85)


def see(
    people: Sequence["People"], pictures: NDArray[np.uint8], pts_s: NDArray[np.float64], start_s: float
) -> tuple[bytes, Records]:
    """Return what travels, a `HEADER` and up to `MOST_SIGHTS` of `SIGHT`, and all `DETAILS`.

    Args:
        people: Those of each picture of the slice, one at least.
        pictures: (F, H, W, 3) BGR.
        pts_s: (F,) times.
        start_s: Where the slice begins.
    """
    kept = [_single(found) for found in people]
    width_px, height_px = people[0].width_px, people[0].height_px
    frame = np.repeat(np.arange(len(people)), [len(indices) for indices in kept])
    boxes_px, scores, keypoints_px, confidences = (
        np.concatenate([getattr(found, name)[indices] for found, indices in zip(people, kept, strict=True)])
        for name in ("boxes_px", "scores", "keypoints_px", "confidences")
    )
    boxes = boxes_px.astype(np.float64) / max(width_px, height_px)
    seen = seen_keypoints(keypoints_px, confidences)
    looks = np.array([_look(pictures[f], box, body) for f, box, body in zip(frame, boxes_px, seen, strict=True)])
    chains = _chains(frame, pts_s[frame], boxes, looks.reshape(-1, 6), scores)

    details = np.zeros(len(frame), DETAILS)
    sides_px = np.array([width_px, height_px], np.float32)
    details["pts_s"], details["score"], details["confidences"] = pts_s[frame], scores, confidences
    details["box"], details["keypoints"] = boxes_px / np.tile(sides_px, 2), keypoints_px / sides_px
    measured = _measured(seen, confidences, details["box"], max(width_px, height_px))
    sights = np.zeros(len(chains), SIGHT)
    for i, chain in enumerate(chains):
        sights[i] = _sight(details[chain], {name: column[chain] for name, column in measured.items()}, start_s)
        sights[i]["speed"] = _speed(seen[chain], pts_s[frame[chain]], measured["stature"][chain] * max(sides_px))
        sights[i]["look"] = looks[chain].mean(axis=0).round()

    extent = [np.ptp(box.reshape(2, 2), axis=0).prod() for box in sights["last_box"].astype(np.float64)]
    order = np.argsort(-np.array(extent) * sights["score"], kind="stable")[:MOST_SIGHTS]
    details["sight"] = -1
    for place, i in enumerate(order):
        details["sight"][chains[i]] = place
    counts = np.bincount(frame, minlength=len(people))
    header = np.array((len(people), np.median(counts), width_px / height_px), HEADER)
    return header.tobytes() + sights[order].tobytes(), details


def _single(people: "People") -> list[int]:
    """Return which of the people of a picture are no second sight of a surer one."""
    sizes_px = np.sqrt(np.prod(people.boxes_px[:, 2:] - people.boxes_px[:, :2], axis=1))
    kept: list[int] = []
    for i in range(len(people)):
        away_px = np.linalg.norm(people.keypoints_px[kept] - people.keypoints_px[i], axis=2).mean(axis=1)
        if not (away_px < SAME_PERSON_SIZES * sizes_px[i]).any():
            kept.append(i)
    return kept


def _look(picture: NDArray[np.uint8], box_px: NDArray[np.float32], body: Numbers) -> Numbers:
    """Return the mean colour of the upper and the lower body, (6,) Lab."""
    left, top, width, height = *box_px[:2], *(box_px[2:] - box_px[:2])
    colours: list[float] = []
    for joints, part in ((body[_UPPER], _UPPER_BOX), (body[_LOWER], _LOWER_BOX)):
        corners = np.array([left, top] * 2) + np.array([width, height] * 2) * part
        if not np.isnan(joints).any():
            corners = np.concatenate((joints.min(axis=0), joints.max(axis=0)))
        x, y = np.clip(corners[:2].astype(int), 0, (picture.shape[1] - 2, picture.shape[0] - 2))
        right, bottom = np.maximum(np.ceil(corners[2:]).astype(int), (x + 2, y + 2))
        crop = np.ascontiguousarray(picture[y:bottom, x:right])
        colours += cv2.mean(cv2.cvtColor(crop, cv2.COLOR_BGR2LAB))[:3]
    return np.array(colours)


def _chains(
    frame: NDArray[np.int64], at_s: Numbers, boxes: Numbers, looks: Numbers, scores: NDArray[np.float32]
) -> list[list[int]]:
    """Return which sights are one person's, one after the other."""
    chains: list[list[int]] = []
    velocities = np.zeros((len(frame), 2))
    for f in range(frame.max(initial=-1) + 1):
        now = np.flatnonzero(frame == f)
        last = [chain[-1] for chain in chains]
        known = Bodies(boxes[last], at_s[last], looks[last], velocities[last])
        seen = Bodies(boxes[now], at_s[now], looks[now], velocities[now])
        for i, given in zip(now, associate(known, seen, scores[now] >= SURE), strict=True):
            if given < 0:
                chains.append([int(i)])
                continue
            before = chains[given][-1]
            velocities[i] = _middle(boxes[i] - boxes[before]) / (at_s[i] - at_s[before])
            chains[given].append(int(i))
    return chains


def _middle(box: Numbers) -> Numbers:
    return np.asarray((box[:2] + box[2:]) / 2)


def _measured(
    seen: Numbers, confidences: NDArray[np.float32], boxes: NDArray[np.float32], side_px: int
) -> dict[str, Numbers]:
    posture = posture_of(seen)
    return {
        "confidence": confidences.mean(axis=1).astype(np.float64),
        "stature": posture.stature_px / side_px,
        "tuck": posture.tuck,
        "angles_deg": posture.angles_deg,
        "inclination_deg": posture.inclination_deg,
        "inverted": posture.inverted,
        "ankle": posture.ankle_px / side_px,
        "edge": ((boxes < EDGE) | (boxes > 1 - EDGE)).any(axis=1).astype(np.float64),
    }


def _sight(details: Records, measured: dict[str, Numbers], start_s: float) -> Records:
    sight = np.zeros((), SIGHT)
    first, last = details[0], details[-1]
    sight["first_box"], sight["last_box"] = first["box"], last["box"]
    sight["first_s"], sight["last_s"] = first["pts_s"] - start_s, last["pts_s"] - start_s
    sight["pictures"], sight["score"] = min(len(details), 255), details["score"].max()
    for name in ("stature", "angles_deg", "inclination_deg", "inverted", "ankle"):
        sight[name] = _median(measured[name])
    for name in ("confidence", "edge"):
        sight[name] = measured[name].mean()
    sight["tuck"] = np.fmin.reduce(measured["tuck"])
    sight["ankle_high"] = np.fmin.reduce(measured["ankle"])
    return sight


def _median(column: Numbers) -> Numbers:
    """Return the median along the first axis of what is there, NaN where nothing is."""
    ordered = np.sort(column, axis=0)  # NaN last
    count = (~np.isnan(ordered)).sum(axis=0)
    middle = [np.take_along_axis(ordered, np.maximum(at, 0)[None], axis=0)[0] for at in ((count - 1) // 2, count // 2)]
    return np.asarray(np.where(count, (middle[0] + middle[1]) / 2, np.nan))


def _speed(seen: Numbers, at_s: Numbers, statures_px: Numbers) -> float:
    """Return the mean speed of a person's limbs, in statures a second."""
    before = np.searchsorted(at_s, at_s - SPEED_OVER_S, side="right") - 1
    after = np.flatnonzero(before >= 0)
    stature_px = np.full(len(after), _median(statures_px))
    speeds = limb_speed(seen[before[after]], seen[after], at_s[after] - at_s[before[after]], stature_px)
    known = speeds[~np.isnan(speeds)]
    return float(known.mean()) if len(known) else float("nan")
