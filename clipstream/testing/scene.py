"""A scene whose highlights are known: a box that drifts and now and then rushes about while a crowd roars."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipstream.testing.media import Sound, Video, burn, even_times, make_clip

__all__ = ["MOMENTS_S", "make_scene"]

MOMENTS_S = ((6.0, 8.0), (15.0, 17.0))
"""When something happens in a scene where nothing else is asked for."""

_WIDTH_PX, _HEIGHT_PX = 320, 180
_CONTRAST = 10
"""Of the number in each frame: its blinking has to be no motion worth mentioning, and to survive encoding."""


def make_scene(
    path: Path,
    *,
    moments_s: Sequence[tuple[float, float]] = MOMENTS_S,
    duration_s: int = 22,
    rate_hz: int = 15,
    gop: int = 30,
    b_frames: int = 2,
    codec: str = "libx264",
    seed: int = 0,
) -> Path:
    """Write a scene in H.264 (or what else `codec` encodes) and AAC, 320×180, and return its path.

    Every frame carries its number, which `read_number` reads. Between two `moments_s`, given in seconds as (start,
    end), the box moves by 1 px a frame and the noise has an RMS of 0.01; within them by 29 px and 0.3.
    """
    random = np.random.default_rng(seed)
    wall = random.integers(90, 150, (_HEIGHT_PX, _WIDTH_PX, 1), dtype=np.uint8).repeat(3, axis=2)

    def busy(t: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        return np.asarray(sum((np.asarray(t) >= a) & (np.asarray(t) < b) for a, b in moments_s), np.bool_)

    places: list[float] = [0.0]
    for index in range(1, duration_s * rate_hz):
        places.append(places[-1] + (29.0 if busy(index / rate_hz) else 1.0))

    def draw(index: int) -> NDArray[np.uint8]:
        picture = wall.copy()
        left = round(places[index]) % 240
        picture[50:140, left : left + 80] = (30, 60, 220)
        return burn(picture, index, _CONTRAST)

    def wave(t: NDArray[np.float64]) -> NDArray[np.float64]:
        level = np.where(busy(t), 0.3, 0.01)
        return level * random.standard_normal(len(t))

    video = Video(even_times(duration_s * rate_hz, rate_hz), draw, codec=codec, gop=gop, b_frames=b_frames)
    return make_clip(path, video, Sound([(0.0, float(duration_s))], wave))
