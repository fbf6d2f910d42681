"""People of the demo scene: a pose is a set of joint angles, a look is colours, and a figure is both on the ground."""

import math
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Colour", "Look", "Picture", "Placed", "Pose", "blend", "draw_figure", "run_pose", "shade", "walk_pose"]

Picture = NDArray[np.uint8]
"""(H, W, 3) BGR."""

Colour = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

_Point = complex
"""Right is positive real, down is positive imaginary, in heights of the figure or pixels of the picture."""

_SHIFT = 4
_HEAD, _TORSO, _THIGH, _SHIN, _FOOT, _UPPER_ARM, _FOREARM = 0.085, 0.29, 0.235, 0.235, 0.07, 0.155, 0.145


@dataclass(frozen=True, slots=True)
class Look:
    """What a figure wears, BGR."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    ponytail: bool = False
    hat: Colour | None = None


@dataclass(frozen=True, slots=True)
class Pose:
    """Joint angles in degrees: limbs from hanging straight down, forward positive; the far limb of a pair is `_far`.

    Attributes:
        lean: Of the torso, forward.
        nod: Of the head, forward of the torso.
        thigh: Near thigh.
        thigh_far: Far thigh.
        knee: How far the near shin is bent back from its thigh.
        knee_far: How far the far shin is bent back.
        arm: Near upper arm.
        arm_far: Far upper arm.
        elbow: How far the near forearm is bent forward from its upper arm.
        elbow_far: How far the far forearm is bent forward.
        roll: Of the whole figure, forward.
        lift: How high the lowest point is above the ground, in heights of the figure.
    """

    lean: float = 2.0
    nod: float = 0.0
    thigh: float = 3.0
    thigh_far: float = -3.0
    knee: float = 3.0
    knee_far: float = 3.0
    arm: float = 4.0
    arm_far: float = -4.0
    elbow: float = 12.0
    elbow_far: float = 12.0
    roll: float = 0.0
    lift: float = 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """A pose in the picture.

    Attributes:
        pose: What the figure does.
        x_px: Where its hips are.
        ground_px: Where its ground is.
        height_px: How tall it stands.
        facing: 1 to the right, -1 to the left; between, it is turning.
    """

    pose: Pose
    x_px: float
    ground_px: float
    height_px: float
    facing: float


def blend(first: Pose, second: Pose, share: float) -> Pose:
    """Return the pose between two, eased: the first at 0, the second at 1."""
    share = min(max(share, 0.0), 1.0)
    share = share * share * (3 - 2 * share)
    return Pose(
        **{
            item.name: (1 - share) * getattr(first, item.name) + share * getattr(second, item.name)
            for item in fields(Pose)
        }
    )


def walk_pose(cycles: float) -> Pose:
    """Return a calm walk after so many double steps. The knee bends while its leg swings forward."""
    phase = 2 * math.pi * cycles
    swing, lifted, lifted_far = math.sin(phase), max(0.0, math.cos(phase)), max(0.0, -math.cos(phase))
    return Pose(
        lean=3,
        thigh=22 * swing + 4,
        thigh_far=-22 * swing + 4,
        knee=5 + 40 * lifted**2,
        knee_far=5 + 40 * lifted_far**2,
        arm=-22 * swing,
        arm_far=22 * swing,
        elbow=14 - 8 * swing,
        elbow_far=14 + 8 * swing,
    )


def run_pose(cycles: float) -> Pose:
    """Return a run after so many double steps."""
    phase = 2 * math.pi * cycles
    swing, lifted, lifted_far = math.sin(phase), max(0.0, math.cos(phase)), max(0.0, -math.cos(phase))
    return replace(
        walk_pose(cycles),
        lean=14,
        thigh=44 * swing + 12,
        thigh_far=-44 * swing + 12,
        knee=18 + 80 * lifted,
        knee_far=18 + 80 * lifted_far,
        arm=-48 * swing,
        arm_far=48 * swing,
        elbow=85,
        elbow_far=85,
        lift=0.05 * abs(math.sin(phase)),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """Return a darker (below 1) or lighter colour."""
    blue, green, red = (min(255, round(part * factor)) for part in colour)
    return blue, green, red


def draw_figure(picture: Picture, placed: Placed, look: Look) -> None:
    """Draw a figure with its shadow, its far limbs darker and behind."""
    pen = _Pen(picture, placed)
    pose = placed.pose
    chest = _up(pose.lean) * _TORSO
    neck, shoulder = chest * 1.08, chest * 0.93
    head = chest + _up(pose.lean + pose.nod) * (_HEAD * 1.42)
    legs = [_leg(pose.thigh_far, pose.knee_far), _leg(pose.thigh, pose.knee)]
    arms = [
        _chain(shoulder, (pose.arm_far, _UPPER_ARM), (pose.arm_far + pose.elbow_far, _FOREARM)),
        _chain(shoulder, (pose.arm, _UPPER_ARM), (pose.arm + pose.elbow, _FOREARM)),
    ]
    crown = head + _up(pose.lean + pose.nod) * _HEAD
    pen.stand_on(
        [leg[-1] + 0.028j for leg in legs] + [leg[-2] + 0.028j for leg in legs] + [arm[-1] for arm in arms] + [crown]
    )
    pen.shadow()
    _draw_arm(pen, arms[0], look, 0.8)
    _draw_leg(pen, legs[0], look, 0.78)
    _draw_leg(pen, legs[1], look, 1.0)
    pen.limb(0.02 * chest, 0.9 * chest, 0.155, shade(look.shirt, 0.94))
    pen.limb(0.1 * chest, 0.86 * chest, 0.145, look.shirt)
    pen.limb(chest, neck + 0.03 * _up(pose.lean), 0.06, shade(look.skin, 0.9))
    _draw_head(pen, head, pose.lean + pose.nod, look)
    _draw_arm(pen, arms[1], look, 1.0)


def _draw_arm(pen: "_Pen", joints: list[_Point], look: Look, light: float) -> None:
    shoulder, elbow, hand = joints
    pen.limb(elbow, hand, 0.044, shade(look.skin, light))
    pen.disc(hand, 0.03, shade(look.skin, light))
    pen.limb(shoulder, elbow, 0.06, shade(look.shirt, 0.9 * light))


def _draw_leg(pen: "_Pen", joints: list[_Point], look: Look, light: float) -> None:
    hip, knee, ankle, toe = joints
    pen.limb(ankle, toe, 0.05, shade(look.shoes, light))
    pen.limb(knee, ankle, 0.062, shade(look.trousers, light))
    pen.limb(hip, knee, 0.086, shade(look.trousers, light))


def _draw_head(pen: "_Pen", centre: _Point, tilt: float, look: Look) -> None:
    up = _up(tilt)
    forward = up * 1j

    def at(ahead: float, above: float) -> _Point:
        return centre + _HEAD * (ahead * forward + above * up)

    if look.ponytail:
        pen.limb(at(-0.9, 0.35), at(-1.5, -0.9), 0.062, shade(look.hair, 0.92))
        pen.disc(at(-1.5, -0.9), 0.022, shade(look.hair, 0.92))
    pen.disc(at(-0.14, 0.12), _HEAD * 1.06, look.hair)
    pen.disc(at(0.12, -0.1), _HEAD * 0.9, look.skin)
    pen.limb(at(-0.45, 0.72), at(0.55, 0.66), _HEAD * 0.62, look.hair)
    pen.disc(at(-0.28, -0.08), _HEAD * 0.2, shade(look.skin, 0.9))
    pen.disc(at(0.5, 0.05), _HEAD * 0.12, (52, 40, 40))
    pen.disc(at(0.4, -0.36), _HEAD * 0.17, _mix(look.skin, (120, 110, 235), 0.35))
    pen.limb(at(0.46, -0.4), at(0.7, -0.52), _HEAD * 0.09, (84, 74, 150))
    if look.hat is not None:
        pen.limb(at(-0.5, 0.8), at(0.45, 0.8), _HEAD * 0.95, look.hat)
        pen.limb(at(-1.15, 0.5), at(1.2, 0.5), _HEAD * 0.26, shade(look.hat, 0.85))


class _Pen:
    """Draws in the figure's own frame: hips at 0, one unit its height, facing right, upright."""

    def __init__(self, picture: Picture, placed: Placed) -> None:
        self._picture, self._placed = picture, placed
        roll = math.radians(placed.pose.roll)
        self._roll = complex(math.cos(roll), math.sin(roll))
        self._hip_px = 0.0

    def stand_on(self, points: list[_Point]) -> None:
        """Put the lowest of the points on the ground, or as far above it as the pose says."""
        lowest = max((point * self._roll).imag for point in points)
        self._hip_px = self._placed.ground_px - (lowest + self._placed.pose.lift) * self._placed.height_px

    def limb(self, first: _Point, second: _Point, width: float, colour: Colour) -> None:
        """Draw a capsule."""
        thickness = max(1, round(width * self._placed.height_px))
        cv2.line(self._picture, self._px(first), self._px(second), colour, thickness, cv2.LINE_AA, _SHIFT)

    def disc(self, centre: _Point, radius: float, colour: Colour) -> None:
        """Draw a disc."""
        radius_px = round(radius * self._placed.height_px * (1 << _SHIFT))
        cv2.circle(self._picture, self._px(centre), radius_px, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def shadow(self) -> None:
        """Darken the ground below, less where the figure is in the air."""
        height = self._placed.height_px
        half_w, half_h = round(0.24 * height), max(2, round(0.035 * height))
        left, top = round(self._placed.x_px) - half_w, round(self._placed.ground_px) - half_h
        x, y = np.ogrid[-1 : 1 : 2j * half_w, -1 : 1 : 2j * half_h]
        depth = 0.34 * np.clip(1.6 * (1 - (x.T**2 + y.T**2)), 0, 1) / (1 + 5 * max(self._placed.pose.lift, 0.0))
        rows = slice(max(top, 0), max(min(top + 2 * half_h, self._picture.shape[0]), 0))
        columns = slice(max(left, 0), max(min(left + 2 * half_w, self._picture.shape[1]), 0))
        inside = depth[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None]
        self._picture[rows, columns] = (self._picture[rows, columns] * (1 - inside)).astype(np.uint8)

    def _px(self, point: _Point) -> tuple[int, int]:
        turned = point * self._roll * self._placed.height_px
        x = self._placed.x_px + turned.real * self._placed.facing
        return round(x * (1 << _SHIFT)), round((self._hip_px + turned.imag) * (1 << _SHIFT))


def _leg(thigh: float, knee: float) -> list[_Point]:
    return _chain(0j, (thigh, _THIGH), (thigh - knee, _SHIN), (thigh - knee + 84, _FOOT))


def _chain(start: _Point, *bones: tuple[float, float]) -> list[_Point]:
    joints = [start]
    for angle, length in bones:
        joints.append(joints[-1] - _up(-angle) * length)
    return joints


def _up(lean: float) -> _Point:
    angle = math.radians(lean)
    return complex(math.sin(angle), -math.cos(angle))


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    blue, green, red = (round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True))
    return blue, green, red
