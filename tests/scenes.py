"""Footage with moments at known times, and how to run the program on it."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from media_factory import Sound, Video, even_times, make_clip
from numpy.typing import NDArray

__all__ = ["MOMENTS_S", "clip_digests", "make_scene", "run_program"]

MOMENTS_S = ((6.0, 8.0), (15.0, 17.0))
"""When something happens in a scene: a box rushes about and the crowd roars."""

_ROOT = Path(__file__).parents[1]


def make_scene(
    path: Path,
    *,
    moments_s: Sequence[tuple[float, float]] = MOMENTS_S,
    duration_s: int = 22,
    rate_hz: int = 15,
    seed: int = 0,
) -> Path:
    """Write a scene of a box that drifts over a textured wall; in its moments the box rushes and there is noise."""
    noise = np.random.default_rng(seed)
    wall = noise.integers(90, 150, (180, 320, 1), dtype=np.uint8).repeat(3, axis=2)

    def busy(t: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        return np.asarray(sum((np.asarray(t) >= a) & (np.asarray(t) < b) for a, b in moments_s), np.bool_)

    places: list[float] = [0.0]
    for index in range(1, duration_s * rate_hz):
        places.append(places[-1] + (29.0 if busy(index / rate_hz) else 1.0))

    def draw(index: int) -> NDArray[np.uint8]:
        picture = wall.copy()
        left = round(places[index]) % 240
        picture[50:140, left : left + 80] = (30, 60, 220)
        return picture

    def wave(t: NDArray[np.float64]) -> NDArray[np.float64]:
        level = np.where(busy(t), 0.3, 0.01)
        return level * noise.standard_normal(len(t))

    return make_clip(
        path,
        Video(even_times(duration_s * rate_hz, rate_hz), draw),
        Sound([(0.0, float(duration_s))], wave),
    )


def run_program(
    *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "clipstream", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
        env=None if environment is None else dict(environment),
        timeout=120,
    )


def clip_digests(folder: Path) -> dict[str, str]:
    """Return name and content hash of every clip below `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("[!.]*/clips/*"))
    }
