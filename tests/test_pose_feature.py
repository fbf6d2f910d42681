"""What the pose feature says of pictures and clips whose people are known."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from test_pose_model import asset

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.extraction import follows
from clipstream.features import pose
from clipstream.features._sights import DETAILS, HEADER, MOST_SIGHTS, SIGHT
from clipstream.features._sketch import packed
from clipstream.features.base import FollowingFeature, Observation
from clipstream.features.registry import select_features
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.models.runtime import Placement
from clipstream.results import Row
from clipstream.settings import Settings

SliceMaker = Callable[..., list[Slice]]
SliceReading = Callable[[Path, MediaNeeds], list[Slice]]
Numbers = NDArray[np.float64]

TRICKS_S = ((8.233, 9.1), (11.9, 12.433), (21.767, 22.533))
"""Labelled by the author of skate.mp4."""


@pytest.fixture(scope="module")
def feature() -> FollowingFeature:
    return pose.create(Settings(features=("pose",), save=("poses",)))


def numbers_of(feature: FollowingFeature, observed: list[tuple[int, Observation]]) -> dict[str, Numbers]:
    """Return each signal, by its name without `pose_`, of slices in order."""
    follower = feature.follower()
    rows = np.array([follower.follow(n, one.light) for n, one in observed], np.float64)
    names = [signal.name.removeprefix("pose_") for signal in feature.signals]
    return dict(zip(names, rows.T, strict=True))


def observed_in(feature: FollowingFeature, slices: list[Slice]) -> list[tuple[int, Observation]]:
    return [(piece.n, seen) for piece, seen in zip(slices, feature.observe(slices), strict=True)]


@pytest.fixture(scope="module")
def skate(feature: FollowingFeature, real_media: Path, read_slices: SliceReading) -> list[tuple[int, Observation]]:
    return observed_in(feature, read_slices(real_media / "videos" / "skate.mp4", feature.needs))


@pytest.fixture(scope="module")
def basketball(real_media: Path, read_slices: SliceReading, feature: FollowingFeature) -> list[Slice]:
    return read_slices(real_media / "videos" / "basketball_kids.mp4", feature.needs)[:8]


def scaled(name: str) -> NDArray[np.uint8]:
    picture = asset(name)
    scale = 640 / max(picture.shape)
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize(("name", "count"), [("bus.jpg", 4), ("zidane.jpg", 2)])
def test_everybody_in_a_picture_is_counted(
    feature: FollowingFeature, make_slices: SliceMaker, name: str, count: int
) -> None:
    slices = make_slices(feature.needs, pictures=scaled(name)[None], times_s=[Fraction(0)])
    said = numbers_of(feature, observed_in(feature, slices))
    assert said["people"] == count
    assert said["subject"] > 0
    assert 0 < said["size"] < 1
    assert np.isnan(said["speed"]), "one picture shows no movement"


def test_a_picture_of_nobody_has_no_people_and_no_other_number(
    feature: FollowingFeature, make_slices: SliceMaker
) -> None:
    slices = make_slices(feature.needs, pictures=np.full((2, 360, 640, 3), 90, np.uint8), times_s=[Fraction(0)] * 2)
    said = numbers_of(feature, observed_in(feature, slices))
    assert said.pop("people") == 0
    assert np.isnan(list(said.values())).all()


def test_what_was_not_looked_at_is_missing_not_zero(feature: FollowingFeature) -> None:
    observed = observed_in(feature, [Slice("blind", 0)])
    assert observed[0][1] == Observation(b"")
    assert np.isnan(list(numbers_of(feature, observed).values())).all()


def test_the_skater_is_one_person_for_the_whole_of_it(
    feature: FollowingFeature, skate: list[tuple[int, Observation]]
) -> None:
    said = numbers_of(feature, skate)
    assert len(skate) == 48
    assert (said["subject"] == 1).all()
    assert np.isfinite(said["score"]).all(), "and always in sight"


def test_passers_by_are_not_taken_for_the_skater(
    feature: FollowingFeature, skate: list[tuple[int, Observation]]
) -> None:
    said = numbers_of(feature, skate)
    assert (said["people"] > 1).sum() >= 3, "somebody stands behind him"
    # Where his middle is at the end of a slice, across the picture, by eye.
    for at_s, across in (
        (4.0, 0.62),
        (8.4, 0.50),
        (11.2, 0.53),
        (12.4, 0.51),
        (16.0, 0.56),
        (20.0, 0.58),
        (22.0, 0.55),
    ):
        n = int(2 * at_s)
        assert said["left"][n] - 0.03 < across < said["left"][n] + said["width"][n] + 0.03


def test_the_tuck_ratio_dips_at_the_three_tricks(
    feature: FollowingFeature, skate: list[tuple[int, Observation]]
) -> None:
    tuck = numbers_of(feature, skate)["tuck"]
    # He gathers for the jump before the label begins.
    tricks = [slice(int(2 * start_s) - 1, int(2 * end_s) + 1) for start_s, end_s in TRICKS_S]
    usual = np.nanmedian(tuck)
    assert usual == pytest.approx(1.5, abs=0.1)
    for trick in tricks:
        assert np.nanmin(tuck[trick]) < 0.75 * usual
    elsewhere = np.delete(tuck, np.r_[tuple(tricks)])
    assert (elsewhere < 0.75 * usual).sum() <= 2, "once more he crouches, on the way to the third"


def test_limbs_move_most_at_the_tricks(feature: FollowingFeature, skate: list[tuple[int, Observation]]) -> None:
    speed = numbers_of(feature, skate)["speed"]
    fastest = np.argsort(-speed)[:5]
    near = [any(start_s - 0.5 <= n / 2 <= end_s + 0.5 for start_s, end_s in TRICKS_S) for n in fastest]
    assert sum(near) >= 4


def test_a_stream_that_is_resumed_is_followed_as_if_it_had_not_stopped(
    feature: FollowingFeature, skate: list[tuple[int, Observation]]
) -> None:
    whole, before = feature.follower(), feature.follower()
    for n, one in skate[:20]:
        before.follow(n, one.light)
    after = feature.follower(before.state())
    said = [whole.follow(n, one.light) for n, one in skate]
    np.testing.assert_array_equal([after.follow(n, one.light) for n, one in skate[20:]], said[20:])


@pytest.mark.parametrize("placement", [None, Placement()])
def test_slices_are_seen_alike_in_any_company(
    basketball: list[Slice],
    make_slices: SliceMaker,
    feature: FollowingFeature,
    monkeypatch: pytest.MonkeyPatch,
    placement: Placement | None,
) -> None:
    if placement is not None:
        monkeypatch.setattr("clipstream.models.runtime.choose_placement", lambda *_: placement)
        feature = pose.create(Settings(features=("pose",), save=("poses",)))
    part = basketball[4:7]
    other = make_slices(feature.needs, pictures=scaled("bus.jpg")[None], times_s=[Fraction(0)])
    same_size = make_slices(feature.needs, pictures=part[0].frames[feature.needs.frames[0]].pixels[:1], times_s=[0])
    alone = [feature.observe([piece])[0] for piece in part]
    mixed = feature.observe([part[0], *other, part[1], *same_size, part[2]])
    assert [mixed[0], mixed[2], mixed[4]] == alone
    assert all(one.light for one in alone)


def test_what_travels_is_small_and_details_stay_unless_they_are_kept(
    feature: FollowingFeature, basketball: list[Slice]
) -> None:
    light_only = pose.create(Settings(features=("pose",)))
    kept, dropped = (one.observe(basketball[:1])[0] for one in (feature, light_only))
    assert HEADER.itemsize < len(kept.light) < 720
    assert kept.light == dropped.light
    assert dropped.details == b""
    assert len(kept.details) % DETAILS.itemsize == 0


def test_the_table_has_a_row_for_everybody_in_every_picture(feature: FollowingFeature, basketball: list[Slice]) -> None:
    observed = observed_in(feature, basketball)
    batches = list(feature.table(observed, 426, 240))  # type: ignore[attr-defined]  # what a feature that saves has
    table = pa.Table.from_batches(batches, feature.schema)  # type: ignore[attr-defined]
    details = np.frombuffer(b"".join(one.details for _, one in observed), DETAILS)
    assert table.num_rows == len(details) > 30
    columns = table.to_pydict()
    assert columns["time_s"] == sorted(columns["time_s"])
    assert [int(2 * time_s) for time_s in columns["time_s"]] == columns["slice"]
    said = numbers_of(feature, observed)
    for n, subject in enumerate(said["subject"]):
        rows = zip(columns["slice"], columns["track"], columns["is_subject"], strict=True)
        shown = {track for at, track, is_subject in rows if at == n and is_subject}
        assert shown <= {int(subject)}
    boxes = np.array(columns["box_px"])
    assert (boxes[:, 2:] <= (426.01, 240.01)).all()
    assert boxes[:, 2].max() > 240, "pixels of the source, not of what the network saw, nor fractions"
    keypoints, confidences = np.array(columns["keypoints_px"]), np.array(columns["keypoint_confidences"])
    assert keypoints.shape == (len(details), 17, 2)
    sure = confidences > 0.8
    inside = (keypoints >= boxes[:, None, :2] - 8) & (keypoints <= boxes[:, None, 2:] + 8)
    assert np.asarray(inside.all(axis=2))[sure].mean() > 0.98


def test_a_scan_leaves_people_out_unless_they_are_asked_for() -> None:
    with pytest.raises(FeatureUnavailableError, match="--scan looks at keyframes alone"):
        pose.create(Settings(scan=True))
    assert follows(pose.create(Settings(scan=True, features=("pose",))))


@pytest.mark.parametrize("features", [(), ("pose", "motion")])
def test_a_model_that_was_named_is_not_done_without(tmp_path: Path, features: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="no such file of weights"):
        select_features(Settings(features=features, pose_model=str(tmp_path / "none.pt")))


def test_without_the_weights_of_the_usual_model_the_feature_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise FeatureUnavailableError("there are no weights.")

    monkeypatch.setattr("clipstream.models.pose.load_pose", none)
    assert ("pose", "there are no weights.") in select_features(Settings()).left_out


def test_a_run_without_people_does_not_load_torch() -> None:
    program = (
        "import sys; from clipstream.features import pose; from clipstream.features.registry import select_features; "
        "from clipstream.settings import Settings; select_features(Settings(features=('motion',))); "
        "print(sorted({'torch', 'ultralytics', 'pyarrow', 'bytewax'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"


def test_a_row_of_the_largest_crowd_stays_under_a_kilobyte() -> None:
    light = b"x" * (HEADER.itemsize + MOST_SIGHTS * SIGHT.itemsize)
    sketch = packed(np.random.default_rng(0).standard_normal(1280).astype(np.float32))
    values = np.zeros(sum(len(info.signals) for info in select_features(Settings()).infos), np.float32)
    row = Row("a-camera-with-quite-a-long-name", 1_000_000, values.tobytes(), 60, observed=(sketch, light))
    assert len(pickle.dumps(row)) < 1024
