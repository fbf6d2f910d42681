"""Where the shots feature sees cuts: in made scenes, and in real clips whose cuts were labelled."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as testing
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipstream.features import shots
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.settings import Settings

FEATURE = shots.create(Settings())
CHANGE, CUT_S = 0, 1
RATE_HZ = 12

Pictures = NDArray[np.uint8]
SliceMaker = Callable[..., list[Slice]]
SliceReading = Callable[[Path, MediaNeeds], list[Slice]]


def scene(seed: int) -> Pictures:
    """Return a (72, 128, 3) BGR picture of coloured blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def shot(seed: int, count: int) -> Pictures:
    """Return `count` pictures of one scene with a little noise."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 2, (count, 72, 128, 3))
    return np.asarray(np.clip(scene(seed) + noise, 0, 255), np.uint8)


@pytest.fixture(scope="module")
def said_of(make_slices: SliceMaker) -> Callable[..., NDArray[np.float32]]:
    def say(pictures: Pictures, rate_hz: Fraction = Fraction(RATE_HZ)) -> NDArray[np.float32]:
        times_s = [i / rate_hz for i in range(len(pictures))]
        return FEATURE.extract(make_slices(FEATURE.needs, pictures=pictures, times_s=times_s))

    return say


Said = Callable[..., NDArray[np.float32]]


def cuts_s(said: NDArray[np.float32]) -> list[float]:
    return [n / 2 + float(cut_s) for n, cut_s in enumerate(said[:, CUT_S]) if not np.isnan(cut_s)]


def test_one_shot_has_no_cut(said_of: Said) -> None:
    said = said_of(shot(1, 36))
    assert cuts_s(said) == []
    assert (said[:, CHANGE] < 27).all()


@given(at=st.integers(1, 35))
@testing(max_examples=12, deadline=None)
def test_a_cut_is_given_once_at_the_first_picture_after_it(said_of: Said, at: int) -> None:
    said = said_of(np.concatenate([shot(1, at), shot(2, 36 - at)]))
    assert cuts_s(said) == pytest.approx([at / RATE_HZ], abs=1e-6)
    cut = said[np.flatnonzero(~np.isnan(said[:, CUT_S])), CUT_S]
    assert ((cut >= 0) & (cut < 0.5)).all()


@pytest.mark.parametrize("at", [1, 7, 9])
@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_within_a_slice_is_no_cut(said_of: Said, at: int, length: int) -> None:
    pictures = shot(1, 36)
    pictures[at : at + length] = 255
    said = said_of(pictures)
    assert cuts_s(said) == []
    assert said[at // 6, CHANGE] > 27


def test_a_flash_and_a_cut_in_one_slice_are_told_apart(said_of: Said) -> None:
    pictures = np.concatenate([shot(1, 10), shot(2, 14)])
    pictures[7] = 255
    assert cuts_s(said_of(pictures)) == pytest.approx([10 / RATE_HZ])


def test_a_slow_fade_is_no_cut_and_a_fast_one_is_not_doubled(said_of: Said) -> None:
    def fade(frames: int) -> Pictures:
        share = np.clip((np.arange(36) - 7) / frames, 0, 1)[:, None, None, None]
        return np.asarray((1 - share) * scene(1) + share * scene(2), np.uint8)

    assert cuts_s(said_of(fade(24))) == []
    assert len(cuts_s(said_of(fade(2)))) == 1


def test_movement_that_goes_on_is_no_cut(said_of: Said) -> None:
    wide = np.concatenate([scene(seed) for seed in range(9)], axis=1)
    pan = np.stack([wide[:, 24 * i : 24 * i + 128] for i in range(36)])
    said = said_of(pan)
    assert (said[:, CHANGE] > 27).all(), "otherwise this would show nothing"
    assert cuts_s(said) == []


def test_hue_that_trembles_in_the_dark_is_no_cut(said_of: Said) -> None:
    pictures = np.zeros((24, 72, 128, 3), np.uint8)
    pictures[9:] = (3, 0, 1)
    assert cuts_s(said_of(pictures)) == []
    assert said_of(pictures)[1, CHANGE] < 3


def test_a_cut_in_black_and_white_is_one_too(said_of: Said) -> None:
    grey = np.concatenate([shot(1, 9), shot(2, 15)]).mean(axis=3, keepdims=True).repeat(3, axis=3).astype(np.uint8)
    assert cuts_s(said_of(grey)) == pytest.approx([9 / RATE_HZ])


def test_pictures_seconds_apart_say_how_different_they_are_but_not_where_it_is_cut(said_of: Said) -> None:
    said = said_of(np.concatenate([shot(1, 2), shot(2, 2)]), rate_hz=Fraction(1, 2))
    assert np.nanmax(said[:, CHANGE]) > 27
    assert cuts_s(said) == []


def test_without_two_pictures_the_numbers_are_missing(said_of: Said) -> None:
    assert np.isnan(FEATURE.extract([Slice("s", 0)])).all()
    assert np.isnan(said_of(shot(1, 1))).all()


def test_a_cut_is_a_boundary() -> None:
    assert [signal.name for signal in FEATURE.signals if signal.boundary] == ["shot_cut_s"]
    assert FEATURE.weight == 0


def test_all_labelled_cuts_of_the_bikes_are_found_and_no_others(real_media: Path, read_slices: SliceReading) -> None:
    labels = json.loads((real_media / "labels" / "intervals.json").read_text())["shots_bikes.mp4"]["cuts"]
    found = cuts_s(FEATURE.extract(read_slices(real_media / "videos" / "shots_bikes.mp4", FEATURE.needs)))
    assert found == pytest.approx(labels, abs=1 / RATE_HZ + 0.01)


def test_the_cuts_of_an_animation_are_found_and_its_fade_from_black_is_none(
    real_media: Path, read_slices: SliceReading
) -> None:
    found = cuts_s(FEATURE.extract(read_slices(real_media / "videos" / "shots_bbb_0_30_vp8.webm", FEATURE.needs)))
    assert found == pytest.approx([11.83, 15.63, 22.96], abs=0.1)


@pytest.mark.parametrize(
    "name", ["skate.mp4", "pancake_flips.mkv", "basketball_kids.mp4", "face_smile.mp4", "dance_musepose.mp4"]
)
def test_a_clip_of_one_shot_has_no_cut(real_media: Path, read_slices: SliceReading, name: str) -> None:
    assert cuts_s(FEATURE.extract(read_slices(real_media / "videos" / name, FEATURE.needs))) == []
