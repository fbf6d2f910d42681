"""The rest of the test kit: media with known truth, and waiting."""

import threading
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from clipstream.testing import make_scene, read_number, wait_until


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    return make_scene(path, moments_s=[(1.0, 2.0)], duration_s=3, rate_hz=10)


def test_every_picture_of_a_scene_carries_its_number(scene: Path) -> None:
    with av.open(str(scene)) as container:
        pictures = [np.asarray(frame.to_ndarray(format="gray"), np.uint8) for frame in container.decode(video=0)]
    assert [read_number(picture) for picture in pictures] == list(range(30))
    moved = np.array([np.abs(b[60:130].astype(int) - a[60:130]).mean() for a, b in pairwise(pictures)])
    assert moved[10:19].min() > 4 * moved[:9].max()


def test_a_scene_is_loud_in_its_moments_alone(scene: Path) -> None:
    with av.open(str(scene)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    rate_hz = len(samples) / 3
    within = samples[int(1.1 * rate_hz) : int(1.9 * rate_hz)]
    before = samples[: int(0.9 * rate_hz)]
    assert within.std() > 10 * before.std()


def test_waiting_ends_when_the_condition_holds() -> None:
    done = threading.Event()
    threading.Timer(0.02, done.set).start()
    wait_until(done.is_set)
    assert done.is_set()


def test_waiting_in_vain_is_an_error_that_says_how_long() -> None:
    with pytest.raises(TimeoutError, match=r"waited 0\.02 s in vain"):
        wait_until(lambda: False, 0.02)


def test_a_waiter_is_woken_by_whoever_changes_the_answer() -> None:
    changed, values = threading.Condition(), list[int]()

    def change() -> None:
        with changed:
            values.append(1)
            changed.notify_all()

    threading.Timer(0.02, change).start()
    wait_until(lambda: values, changed=changed)
    with pytest.raises(TimeoutError):
        wait_until(lambda: len(values) > 1, 0.02, changed=changed)
