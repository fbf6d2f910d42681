"""What the motion feature says of scenes whose movement is known, and of real clips."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as testing
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from clipstream.features import motion
from clipstream.media.slices import FrameBatch, MediaNeeds, Slice
from clipstream.settings import Settings

FEATURE = motion.create(Settings())
REQUEST = FEATURE.needs.frames[0]
SCENE, CAMERA = 0, 1
WIDTH, HEIGHT, RATE_HZ = 256, 144, 12

Pictures = NDArray[np.uint8]
SliceMaker = Callable[..., list[Slice]]
SliceReading = Callable[[Path, MediaNeeds], list[Slice]]
Move = Callable[[int], tuple[float, float]]


def landscape(seed: int = 0) -> Pictures:
    """Return a wide grey-level scene with structure at every scale, as photographs have."""
    random = np.random.default_rng(seed)
    layers = [random.normal(0, 4 * size**0.5, (400 // size + 1, 1200 // size + 1)) for size in (2, 4, 8, 16, 32, 64)]
    scene = np.sum([cv2.resize(layer, (1200, 400), interpolation=cv2.INTER_CUBIC) for layer in layers], axis=0)
    return np.asarray(np.clip(128 + scene, 0, 255), np.uint8)


SCENERY = landscape()


def film(
    *,
    camera: Move = lambda _: (0, 0),
    ball: Move | None = None,
    light: Callable[[int], float] = lambda _: 0,
    count: int = 24,
) -> Pictures:
    """Return (count, H, W, 3) BGR: the landscape, a camera over it, a ball on it, and a little sensor noise."""
    random = np.random.default_rng(0)
    frames = []
    for i in range(count):
        x, y = camera(i)
        seen = cv2.getRectSubPix(SCENERY, (WIDTH, HEIGHT), (200 + x, 200 + y))
        if ball:
            centre = tuple(round(16 * (place - edge)) for place, edge in zip(ball(i), (x, y), strict=True))
            cv2.circle(seen, centre, 14 * 16, 255, -1, lineType=cv2.LINE_AA, shift=4)
        noisy = seen + float(light(i)) + random.normal(0, 1, seen.shape)
        frames.append(np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return np.stack(frames)


@pytest.fixture(scope="module")
def said_of(make_slices: SliceMaker) -> Callable[..., NDArray[np.float32]]:
    def say(pictures: Pictures, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
        times_s = [Fraction(i, rate_hz) for i in range(len(pictures))]
        return FEATURE.extract(make_slices(FEATURE.needs, pictures=pictures, times_s=times_s))

    return say


Said = Callable[..., NDArray[np.float32]]


def roll(speed_px: float, i: int) -> tuple[float, float]:
    return 40 + speed_px * i, 80


rolling: Move = partial(roll, 6)


def test_nothing_moves_in_a_still_scene(said_of: Said) -> None:
    said = said_of(film())
    assert (said[:, SCENE] < 2 * FEATURE.signals[SCENE].min_spread).all()
    assert (said[:, CAMERA] < FEATURE.signals[CAMERA].min_spread).all()


def test_a_pan_moves_the_camera_and_little_in_the_scene(said_of: Said) -> None:
    pan = said_of(film(camera=lambda i: (5 * i, 0)))
    assert pan[:, CAMERA] == pytest.approx(100 * 5 * RATE_HZ / WIDTH, rel=0.05)
    ball = said_of(film(ball=rolling))
    assert (pan[:, SCENE] < 0.25 * ball[:, SCENE]).all()


@pytest.mark.parametrize(
    "speed",
    [(0, 2), (6, 3), (5, 0)],
    ids=["tilt", "diagonal", "pan"],
)
def test_whichever_way_the_camera_moves_what_moves_in_the_scene_is_seen_alike(
    said_of: Said, speed: tuple[int, int]
) -> None:
    still = said_of(film(ball=rolling))
    moving = said_of(film(ball=rolling, camera=lambda i: (speed[0] * i, speed[1] * i)))
    np.testing.assert_allclose(moving[:, SCENE], still[:, SCENE], rtol=0.25)


def test_a_zoom_is_movement_of_the_camera(said_of: Said) -> None:
    frames = film()
    zoomed = [
        cv2.warpAffine(frame, cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, 1.2 * 1.02**i), (WIDTH, HEIGHT))
        for i, frame in enumerate(frames)
    ]
    assert (said_of(np.stack(zoomed))[:, SCENE] < 0.35 * said_of(film(ball=rolling))[:, SCENE]).all()


def test_a_faster_ball_moves_more(said_of: Said) -> None:
    speeds = [said_of(film(ball=partial(roll, speed_px)))[:, SCENE].mean() for speed_px in (1, 2, 4, 8)]
    assert speeds == sorted(speeds)
    assert speeds[-1] > 2 * speeds[0]


@pytest.mark.parametrize("odd", ["cut", "flash", "two flashes"])
def test_a_cut_or_a_flash_in_a_slice_does_not_move_it(said_of: Said, odd: str) -> None:
    plain = film(ball=rolling)
    frames = plain.copy()
    if odd == "cut":
        frames[9:] = 255 - frames[9:]
    else:
        frames[9] = 255
    if odd == "two flashes":
        frames[15] = 255
    np.testing.assert_allclose(said_of(frames)[:, SCENE], said_of(plain)[:, SCENE], rtol=0.35)


def test_light_that_flickers_does_not_move_the_scene(said_of: Said) -> None:
    flicker = said_of(film(light=lambda i: 8 * (-1) ** i))
    np.testing.assert_allclose(flicker[:, SCENE], said_of(film())[:, SCENE], atol=FEATURE.signals[SCENE].min_spread)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_does_not_move(said_of: Said, level: int) -> None:
    assert (said_of(np.full((12, HEIGHT, WIDTH, 3), level, np.uint8)) == 0).all()


def test_without_two_pictures_the_numbers_are_missing(said_of: Said) -> None:
    assert np.isnan(FEATURE.extract([Slice("s", 0)])).all()
    assert np.isnan(said_of(film(count=1))).all()
    lead_alone = FrameBatch(film(count=1), np.zeros(1), lead=1)
    assert np.isnan(FEATURE.extract([Slice("s", 1, {REQUEST: lead_alone})])).all()


def test_keyframes_seconds_apart_are_compared(said_of: Said) -> None:
    frames = np.stack([landscape(seed)[:HEIGHT, :WIDTH, None].repeat(3, axis=2) for seed in range(4)])
    batch = FrameBatch(frames[:2], np.array([1.0, 6.0]), lead=1)
    scene, camera = FEATURE.extract([Slice("s", 12, {REQUEST: batch})])[0]
    assert scene > 10
    assert camera == 0


@given(order=st.permutations(range(4)))
@testing(max_examples=5, deadline=None)
def test_the_order_of_slices_in_a_call_changes_nothing(make_slices: SliceMaker, order: list[int]) -> None:
    frames = film(ball=rolling, camera=lambda i: (3 * i, 0))
    slices = make_slices(FEATURE.needs, pictures=frames, times_s=[Fraction(i, RATE_HZ) for i in range(len(frames))])
    one_by_one = np.concatenate([FEATURE.extract([piece]) for piece in slices])
    np.testing.assert_array_equal(FEATURE.extract([slices[i] for i in order]), one_by_one[order])


def test_threads_and_replays_give_the_same_bits(make_slices: SliceMaker) -> None:
    frames = film(ball=rolling, camera=lambda i: (7 * i, i))
    slices = make_slices(FEATURE.needs, pictures=frames, times_s=[Fraction(i, RATE_HZ) for i in range(len(frames))])
    expected = FEATURE.extract(slices)
    with ThreadPoolExecutor(4) as threads:
        for said in threads.map(lambda _: FEATURE.extract(slices), range(16)):
            np.testing.assert_array_equal(said, expected)


@pytest.mark.parametrize("name", ["skate.mp4", "basketball_kids.mp4", "shots_bikes.mp4", "multi_p2s_cam01.mp4"])
def test_which_frames_were_left_out_matters_little(real_media: Path, read_slices: SliceReading, name: str) -> None:
    levels = []
    for rate_hz in (8, 12, 24):
        feature = motion.create(Settings(analysis_fps=rate_hz))
        levels.append(np.nanmedian(feature.extract(read_slices(real_media / "videos" / name, feature.needs))[:, SCENE]))
    assert max(levels) < 1.35 * min(levels)


@pytest.mark.parametrize("name", ["skate.mp4", "pancake_flips.mkv"])
def test_half_the_resolution_leaves_the_order_of_moments(
    real_media: Path, read_slices: SliceReading, name: str
) -> None:
    slices = read_slices(real_media / "videos" / name, FEATURE.needs)
    coarse = [Slice(piece.stream, piece.n, {REQUEST: halved(piece.frames[REQUEST])}) for piece in slices]
    fine, rough = FEATURE.extract(slices)[:, SCENE], FEATURE.extract(coarse)[:, SCENE]
    assert spearmanr(fine, rough).statistic > 0.99


def halved(batch: FrameBatch) -> FrameBatch:
    """Return what a source of half the width would have given."""
    height, width = batch.pixels.shape[1:3]
    small = [cv2.resize(p, (width // 2, height // 2), interpolation=cv2.INTER_AREA) for p in batch.pixels]
    back = [cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in small]
    return FrameBatch(np.stack(back).astype(np.uint8), batch.pts_s, batch.lead)


def test_every_trick_of_the_skate_clip_stands_out(real_media: Path, read_slices: SliceReading) -> None:
    scene = FEATURE.extract(read_slices(real_media / "videos" / "skate.mp4", FEATURE.needs))[:, SCENE]
    middle = np.nanmedian(scene)
    deviations = (scene - middle) / (1.4826 * np.nanmedian(np.abs(scene - middle)))
    for start_s, end_s in ((8.233, 9.1), (11.9, 12.433), (21.767, 22.533)):
        assert deviations[int(2 * start_s) : int(2 * end_s) + 1].max() > 1.5
