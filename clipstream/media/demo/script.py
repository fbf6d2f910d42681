"""Who does what and when in the demo scene: calm strolls, and three moments worth keeping."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from clipstream.media.demo.figure import (
    Colour,
    Look,
    Picture,
    Placed,
    Pose,
    blend,
    draw_figure,
    run_pose,
    shade,
    walk_pose,
)

__all__ = ["DURATION_S", "MOMENTS", "Moment", "draw_people"]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something worth keeping, in media time."""

    name: str
    start_s: Fraction
    end_s: Fraction


DURATION_S = Fraction(24)
MOMENTS = (
    Moment("leap", Fraction("5.0"), Fraction("6.8")),
    Moment("cartwheels", Fraction("11.6"), Fraction("13.4")),
    Moment("dance", Fraction("18.2"), Fraction("20.6")),
)

_Spot = NDArray[np.float64]
"""(2,) x and y in pixels."""

_TALL = 0.35
"""Height of the people on the path, in heights of the picture."""

_STEP, _STRIDE = 0.7, 1.5
"""Length of a double step at a walk and at a run, in heights of the figure: what keeps feet from sliding."""

_TURN_S = 0.3
_BEATS_HZ = 2.5

_GIRL = Look((172, 198, 238), (40, 62, 104), (84, 88, 222), (150, 96, 60), (244, 240, 240), ponytail=True)
_BOY = Look((120, 160, 206), (36, 34, 44), (150, 150, 52), (130, 176, 208), (60, 60, 70))
_WALKER = Look((168, 190, 228), (170, 176, 180), (96, 190, 232), (120, 104, 110), (70, 80, 96), hat=(90, 128, 168))
_FRIENDS: tuple[tuple[float, Colour, Colour], ...] = (
    (0.83, (200, 120, 150), (58, 98, 150)),
    (0.92, (110, 176, 240), (34, 40, 52)),
)


@dataclass(frozen=True, slots=True)
class _Act:
    """What somebody does until the next act, going from `x` to the next act's `x`, in widths of the picture."""

    start_s: float
    x: float
    what: str
    facing: int = 1


_GIRL_ACTS = (
    _Act(0.0, 0.12, "walk"),
    _Act(5.0, 0.36, "run"),
    _Act(5.7, 0.47, "leap"),
    _Act(6.5, 0.61, "run"),
    _Act(6.8, 0.655, "walk"),
    _Act(10.0, 0.745, "stand", -1),
    _Act(12.6, 0.745, "cheer", -1),
    _Act(13.4, 0.745, "stand", -1),
    _Act(14.4, 0.745, "walk", -1),
    _Act(17.9, 0.55, "stand", -1),
    _Act(18.2, 0.55, "dance", -1),
    _Act(20.6, 0.55, "stand", -1),
    _Act(21.0, 0.55, "walk"),
    _Act(24.0, 0.67, "walk"),
)
_BOY_ACTS = (
    _Act(0.0, 0.9, "walk", -1),
    _Act(5.2, 0.76, "stand", -1),
    _Act(6.0, 0.76, "cheer", -1),
    _Act(6.8, 0.76, "stand", -1),
    _Act(7.6, 0.76, "walk", -1),
    _Act(11.4, 0.6, "stand", -1),
    _Act(11.6, 0.6, "cartwheel", -1),
    _Act(13.1, 0.28, "cheer"),
    _Act(13.5, 0.28, "stand"),
    _Act(14.0, 0.28, "walk"),
    _Act(17.7, 0.41, "stand"),
    _Act(18.2, 0.41, "dance"),
    _Act(20.6, 0.41, "stand"),
    _Act(21.2, 0.41, "walk"),
    _Act(24.0, 0.52, "walk"),
)
_WALKER_ACTS = (_Act(0.0, 0.98, "walk", -1), _Act(24.0, 0.3, "walk", -1))


def draw_people(picture: Picture, time_s: float) -> None:
    """Draw everybody as they are at a time, the farthest first."""
    height_px, width_px = picture.shape[:2]
    walker = _placed(_WALKER_ACTS, time_s, width_px, 0.655 * height_px, 0.15 * height_px)
    _draw_dog(picture, walker.x_px - 0.085 * height_px, walker.ground_px, 0.15 * height_px, time_s)
    draw_figure(picture, walker, _WALKER)
    draw_figure(picture, _placed(_GIRL_ACTS, time_s, width_px, 0.815 * height_px, _TALL * height_px), _GIRL)
    draw_figure(picture, _placed(_BOY_ACTS, time_s, width_px, 0.855 * height_px, 1.06 * _TALL * height_px), _BOY)
    _draw_friends(picture, time_s)


def _placed(acts: tuple[_Act, ...], time_s: float, width_px: int, ground_px: float, height_px: float) -> Placed:
    """Place somebody: the pose flows from one act into the next, and a change of side is a turn."""
    number = max(index for index, act in enumerate(acts[:-1]) if act.start_s <= time_s)
    act, following = acts[number], acts[number + 1]
    elapsed_s = time_s - act.start_s
    share = elapsed_s / (following.start_s - act.start_s)
    heights = width_px / height_px
    pose = _POSES[act.what](elapsed_s, share, abs(following.x - act.x) * share * heights)
    facing = float(act.facing)
    if number and elapsed_s < _TURN_S:
        before = acts[number - 1]
        length_s = act.start_s - before.start_s
        last = _POSES[before.what](length_s, 1.0, abs(act.x - before.x) * heights)
        if act.what != "cartwheel":  # whose roll begins where it stands
            pose = blend(last if before.what != "cartwheel" else _POSES["cheer"](0, 0, 0), pose, elapsed_s / _TURN_S)
        facing = before.facing + (act.facing - before.facing) * elapsed_s / _TURN_S
    if act.what == "dance":
        facing *= _spin(elapsed_s)
    return Placed(pose, (act.x + (following.x - act.x) * share) * width_px, ground_px, height_px, facing)


def _stand(elapsed_s: float, _share: float, _way: float) -> Pose:
    breath = math.sin(2 * math.pi * 0.3 * elapsed_s)
    return Pose(lean=1 + breath, arm=5 + 2 * breath, arm_far=-3 - 2 * breath, elbow=16, elbow_far=14)


def _cheer(elapsed_s: float, _share: float, _way: float) -> Pose:
    wave = math.sin(2 * math.pi * 3 * elapsed_s)
    return Pose(lean=-3, arm=158 + 14 * wave, arm_far=172 - 14 * wave, elbow=12, elbow_far=10, lift=0.03 * abs(wave))


def _leap(_elapsed_s: float, share: float, _way: float) -> Pose:
    crouch = Pose(lean=26, thigh=66, thigh_far=38, knee=92, knee_far=78, arm=-58, arm_far=-48, elbow=20, elbow_far=20)
    split = Pose(
        lean=6, nod=-8, thigh=82, thigh_far=-52, knee=14, knee_far=26, arm=128, arm_far=-128, elbow=10, elbow_far=-10,
        lift=0.42 * 4 * share * (1 - share),
    )  # fmt: skip
    return blend(blend(crouch, split, share * 4), crouch, (share - 0.75) * 4)


def _cartwheel(_elapsed_s: float, share: float, _way: float) -> Pose:
    star = Pose(
        lean=0, thigh=36, thigh_far=-36, knee=0, knee_far=0, arm=148, arm_far=-148, elbow=0, elbow_far=0,
        roll=720 * share,
    )  # fmt: skip
    return blend(Pose(arm=170, arm_far=175, roll=star.roll), star, min(share, 1 - share) * 12)


def _dance(elapsed_s: float, _share: float, _way: float) -> Pose:
    beat = math.pi * _BEATS_HZ * elapsed_s
    swing, bounce = math.sin(beat), abs(math.sin(beat))
    return Pose(
        lean=6 * swing,
        nod=-5 * swing,
        thigh=34 * max(0.0, swing) + 6,
        thigh_far=34 * max(0.0, -swing) - 6,
        knee=12 + 62 * max(0.0, swing),
        knee_far=12 + 62 * max(0.0, -swing),
        arm=96 + 68 * swing,
        arm_far=-96 + 68 * swing,
        elbow=34,
        elbow_far=-34,
        lift=0.11 * bounce,
    )


def _spin(elapsed_s: float) -> float:
    """Two whole turns, one in the middle of each half of the dance; 1 before and after."""
    turns = sum(min(max((elapsed_s - begin) / 0.6, 0.0), 1.0) for begin in (0.6, 1.5))
    return math.cos(2 * math.pi * turns)


_POSES: Mapping[str, Callable[[float, float, float], Pose]] = {
    "cartwheel": _cartwheel,
    "cheer": _cheer,
    "dance": _dance,
    "leap": _leap,
    "run": lambda _elapsed_s, _share, way: run_pose(way / _STRIDE),
    "stand": _stand,
    "walk": lambda _elapsed_s, _share, way: walk_pose(way / _STEP),
}


def _excitement(time_s: float) -> float:
    """How much the friends cheer, 0 to 1: it rises within a moment and ebbs after it."""
    rises = (min((time_s - float(one.start_s) - 0.5) / 0.4, (float(one.end_s) + 0.7 - time_s) / 0.6) for one in MOMENTS)
    return min(max(0.0, *rises), 1.0)


def _draw_friends(picture: Picture, time_s: float) -> None:
    """Draw two friends on a blanket, seen from behind."""
    height_px, width_px = picture.shape[:2]
    corners = np.array([(0.75, 0.97), (0.79, 0.915), (0.965, 0.915), (1.0, 0.97)]) * (width_px, height_px)
    cv2.fillConvexPoly(picture, corners.round().astype(np.int32), (150, 150, 226), cv2.LINE_AA)
    for first, second in pairwise(np.linspace(0, 1, 10)[::2]):
        (ax, ay), (bx, by) = (
            corners[0] + (corners[3] - corners[0]) * first,
            corners[1] + (corners[2] - corners[1]) * second,
        )
        cv2.line(picture, (round(ax), round(ay)), (round(bx), round(by)), (196, 200, 240), 3, cv2.LINE_AA)
    excited = _excitement(time_s)
    for number, (x, shirt, hair) in enumerate(_FRIENDS):
        wave = math.sin(2 * math.pi * (2.6 * time_s + 0.4 * number)) * excited
        seat = np.array((x * width_px, (0.945 - 0.008 * abs(wave)) * height_px))
        size = 0.2 * height_px
        shoulder, head = seat - (0, 0.5 * size), seat - (0, 0.82 * size)
        for side in (-1, 1):
            angle = math.radians(28 + excited * (120 + 14 * wave * side))
            joint = np.add(shoulder, (side * 0.19 * size, 0.02 * size))
            hand = joint + 0.46 * size * np.array((side * math.sin(angle), math.cos(angle)))
            _line(picture, joint, hand, 0.1 * size, shade(shirt, 0.86))
            _line(picture, hand, hand, 0.1 * size, (160, 186, 228))
        _line(picture, seat - (0, 0.12 * size), seat - (0, 0.36 * size), 0.5 * size, shirt)
        _line(picture, shoulder, head, 0.14 * size, (150, 176, 216))
        _line(picture, head, head, 0.34 * size, hair)


def _draw_dog(picture: Picture, x_px: float, ground_px: float, size_px: float, time_s: float) -> None:
    """Draw a dog that trots to the left."""
    coat, dark = (70, 116, 178), (56, 92, 144)

    def at(x: float, y: float) -> _Spot:
        return np.array((x_px + x * size_px, ground_px - y * size_px))

    trot = 2 * math.pi * 1.9 * time_s
    for x, phase in ((0.17, 0.0), (-0.13, math.pi), (0.2, math.pi), (-0.16, 0.0)):
        swing = 0.06 * math.sin(trot + phase)
        _line(picture, at(x, 0.2), at(x + swing, 0.02), 0.05 * size_px, dark if x in {0.17, -0.13} else coat)
    _line(picture, at(0.23, 0.27), at(0.34, 0.4 + 0.05 * math.sin(3 * trot)), 0.04 * size_px, coat)
    _line(picture, at(-0.16, 0.25), at(0.18, 0.25), 0.15 * size_px, coat)
    _line(picture, at(-0.2, 0.29), at(-0.26, 0.36), 0.09 * size_px, coat)
    _line(picture, at(-0.27, 0.38), at(-0.36, 0.36), 0.09 * size_px, coat)
    _line(picture, at(-0.235, 0.4), at(-0.21, 0.31), 0.05 * size_px, dark)


def _line(picture: Picture, first: _Spot, second: _Spot, width_px: float, colour: Colour) -> None:
    start, end = ((round(float(x) * 16), round(float(y) * 16)) for x, y in (first, second))
    cv2.line(picture, start, end, colour, max(1, round(width_px)), cv2.LINE_AA, 4)
