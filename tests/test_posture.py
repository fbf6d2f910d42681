"""What is measured of bodies whose limbs are known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipstream.features._posture import (
    ANGLES,
    MIN_CONFIDENCE,
    SHOULDERS_OF_STATURE,
    TRUNK_OF_STATURE,
    Posture,
    limb_speed,
    posture_of,
    seen_keypoints,
)
from clipstream.models.pose import KEYPOINTS

Body = NDArray[np.float64]
STANDING = {
    "nose": (50, 10),
    **{f"{side}_{part}": (50 + sign * 2, 8) for side, sign in (("left", 1), ("right", -1)) for part in ("eye", "ear")},
    "left_shoulder": (60, 30),
    "left_elbow": (60, 50),
    "left_wrist": (60, 70),
    "right_shoulder": (40, 30),
    "right_elbow": (40, 50),
    "right_wrist": (40, 70),
    "left_hip": (60, 80),
    "left_knee": (60, 120),
    "left_ankle": (60, 160),
    "right_hip": (40, 80),
    "right_knee": (40, 120),
    "right_ankle": (40, 160),
}
"""Somebody who stands upright: trunk 50 px, legs 80 px, 20 px between the shoulders."""


def body(**moved: tuple[float, float]) -> Body:
    assert not moved.keys() - set(KEYPOINTS)
    return np.array([{**STANDING, **moved}[name] for name in KEYPOINTS], np.float64)


def without(person: Body, *parts: str) -> Body:
    hidden = person.copy()
    hidden[[i for i, name in enumerate(KEYPOINTS) if any(part in name for part in parts)]] = np.nan
    return hidden


def turned(person: Body, degrees: float) -> Body:
    angle = np.radians(degrees)
    return np.asarray(person @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]))


def of(person: Body) -> Posture:
    return posture_of(person[None])


def angle(person: Body, name: str) -> float:
    return float(of(person).angles_deg[0, ANGLES.index(name)])


CROUCHING = body(
    left_knee=(95, 70),
    left_ankle=(70, 120),
    right_knee=(75, 70),
    right_ankle=(50, 120),
)


def test_the_tuck_ratio_is_the_legs_length_over_the_trunks() -> None:
    assert of(body()).tuck == pytest.approx(80 / 50)
    assert of(CROUCHING).tuck == pytest.approx(np.hypot(10, 40) / 50)


def test_a_trunk_that_leans_over_leaves_the_tuck_ratio() -> None:
    leaning = body(left_shoulder=(110, 80), right_shoulder=(90, 80))
    assert of(leaning).tuck == pytest.approx(80 / 50)


def test_a_side_view_is_measured_by_the_side_it_shows() -> None:
    person = without(body(), "right")
    assert of(person).tuck == pytest.approx(80 / 50)
    assert of(person).stature_px == pytest.approx(50 / TRUNK_OF_STATURE)
    assert np.isnan(angle(person, "right_knee"))
    assert angle(person, "left_knee") == pytest.approx(180)


@pytest.mark.parametrize(("across_px", "measured"), [(0.499, False), (0.501, True)])
def test_a_trunk_that_points_at_the_camera_measures_nothing(across_px: float, measured: bool) -> None:
    # Seen at a share of its length, which the shoulders tell.
    stature_px = 20 / SHOULDERS_OF_STATURE
    height_px = across_px * TRUNK_OF_STATURE * stature_px
    person = body(left_shoulder=(60, 80 - height_px), right_shoulder=(40, 80 - height_px))
    assert of(person).stature_px == pytest.approx(stature_px)
    assert np.isfinite(of(person).tuck[0]) == measured
    assert np.isfinite(of(person).inclination_deg[0]) == measured
    assert np.isfinite(of(person).inverted[0]) == measured


def test_crouching_makes_nobody_smaller() -> None:
    assert of(CROUCHING).stature_px == of(body()).stature_px == pytest.approx(50 / TRUNK_OF_STATURE)


def test_somebody_seen_to_the_waist_has_a_size_but_no_tuck_ratio() -> None:
    posture = of(without(body(), "hip", "knee", "ankle"))
    assert posture.stature_px == pytest.approx(20 / SHOULDERS_OF_STATURE)
    assert np.isnan([posture.tuck[0], posture.inclination_deg[0], posture.inverted[0], posture.ankle_px[0]]).all()


def test_nobody_is_measured_by_nothing() -> None:
    posture = of(np.full((17, 2), np.nan))
    assert np.isnan(posture.stature_px).all()
    assert np.isnan(posture.angles_deg).all()
    assert posture_of(np.zeros((0, 17, 2))).angles_deg.shape == (0, len(ANGLES))
    assert np.isnan(of(np.zeros((17, 2))).tuck).all(), "all in one point"


@pytest.mark.parametrize(
    ("name", "moved", "degrees"),
    [
        ("left_knee", {"left_ankle": (100, 120)}, 90),
        ("left_knee", {"left_ankle": (60, 80)}, 0),
        ("right_hip", {"right_knee": (0, 80)}, 90),
        ("left_elbow", {"left_wrist": (80, 50)}, 90),
        ("right_shoulder", {"right_elbow": (40, 50)}, 0),
        ("right_shoulder", {"right_elbow": (20, 30)}, 90),
        ("left_shoulder", {"left_elbow": (60, 10)}, 180),
    ],
)
def test_angles_of_limbs_are_those_between_their_bones(
    name: str, moved: dict[str, tuple[float, float]], degrees: float
) -> None:
    assert angle(body(**moved), name) == pytest.approx(degrees, abs=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, 89, 91, 180])
def test_the_trunks_inclination_is_that_from_upright_to_either_side(degrees: float) -> None:
    for sign in (1, -1):
        assert of(turned(body(), sign * degrees)).inclination_deg == pytest.approx(degrees)


def test_a_handstand_is_upside_down_and_touching_the_toes_is_not() -> None:
    assert of(body()).inverted == 0
    assert of(turned(body(), 180)).inverted == 1
    bent = body(left_shoulder=(70, 120), right_shoulder=(30, 120))
    assert of(bent).inclination_deg > 90
    assert of(bent).inverted == 0
    assert of(without(turned(body(), 180), "ankle")).inverted == 1, "by the knees"


def test_the_ankle_is_the_lower_one() -> None:
    assert of(body(left_ankle=(60, 140))).ankle_px == 160
    assert of(without(body(left_ankle=(60, 140)), "right_ankle")).ankle_px == 140


def test_what_is_hidden_is_missing_from_the_confidence_on() -> None:
    confidences = np.full((1, 17), MIN_CONFIDENCE, np.float32)
    confidences[0, 3] -= 1e-3
    seen = seen_keypoints(np.ones((1, 17, 2), np.float32), confidences)
    assert np.flatnonzero(np.isnan(seen[0, :, 0])).tolist() == [3]


def speed(before: Body, after: Body, gap_s: float = 0.1, stature_px: float = 100) -> float:
    return float(limb_speed(before[None], after[None], np.array([gap_s]), np.array([stature_px]))[0])


def test_neither_a_ride_nor_the_cameras_movement_is_movement_of_the_limbs() -> None:
    assert speed(body(), body() + np.array([40, -7])) == pytest.approx(0)


def test_limbs_are_as_fast_as_most_of_them() -> None:
    running = body()
    running[[i for i, name in enumerate(KEYPOINTS) if "shoulder" not in name and "hip" not in name]] += np.array([6, 8])
    assert speed(body(), running) == pytest.approx(10 / 100 / 0.1)
    astray = body(left_wrist=(900, 900), right_ankle=(900, 0))
    assert speed(body(), astray) == pytest.approx(0), "two that are found elsewhere are not most"


def test_speed_needs_five_keypoints_and_one_of_the_trunk() -> None:
    few = without(body(), "eye", "ear", "elbow", "wrist", "knee", "ankle")
    assert np.isfinite(speed(few, few)), "nose, shoulders and hips"
    assert np.isnan(speed(few, without(few, "nose")))
    assert np.isnan(speed(without(body(), "shoulder", "hip"), body()))


PLACES = st.floats(-500, 500, allow_nan=False)


@given(st.floats(0.05, 20), PLACES, PLACES, st.floats(-180, 180))
def test_no_ratio_or_angle_depends_on_where_how_large_or_how_turned_somebody_is(
    scale: float, x: float, y: float, degrees: float
) -> None:
    reference, moved = of(CROUCHING), of(turned(CROUCHING, degrees) * scale + np.array([x, y]))
    assert moved.tuck == pytest.approx(reference.tuck, rel=1e-6)
    np.testing.assert_allclose(moved.angles_deg, reference.angles_deg, atol=1e-4)
    assert moved.stature_px == pytest.approx(reference.stature_px * scale, rel=1e-6)


@given(st.lists(st.tuples(PLACES, PLACES), min_size=17, max_size=17), st.sets(st.integers(0, 16)))
def test_of_any_keypoints_what_is_measured_is_in_range_or_missing(
    places: list[tuple[float, float]], hidden: set[int]
) -> None:
    person = np.array(places)
    person[list(hidden)] = np.nan
    posture = of(person)
    ranges = [(posture.tuck, np.inf), (posture.angles_deg, 180), (posture.inclination_deg, 180), (posture.inverted, 1)]
    for numbers, most in ranges:
        known = numbers[~np.isnan(numbers)]
        assert ((known >= 0) & (known <= most + 1e-9)).all()


def test_angles_are_named_in_pairs() -> None:
    assert [tuple(pair) for pair in pairwise(ANGLES)][::2] == [
        (f"left_{joint}", f"right_{joint}") for joint in ("knee", "hip", "elbow", "shoulder")
    ]
