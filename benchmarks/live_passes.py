"""A file shown over and over by a camera: whether each pass gives what the file gives, frame by frame."""

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.live_watch import watching
from clipstream.testing import RtspServer

__all__ = ["Pass", "passes"]

_SMALL_PX = (32, 18)
_AS_BY_DEFAULT: dict[str, object] = {"features": []}
"""All features that are there, as the command looks at a file and at a camera alike."""

Pictures = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Pass:
    """A clip as a part of the file.

    Attributes:
        number: The pass it begins in, from 0.
        frames: Which frames of the file; past its end, those of the next pass.
        same: How many are the file's to the bit.
        worst_db: The least PSNR of the others against the file's; infinite where there are none.
    """

    number: int
    frames: range
    same: int
    worst_db: float


def passes(out: Path, minutes: float, file: Path) -> list[tuple[str, str, str]]:
    """Show a file by a camera for some minutes; compare the clips with the file's highlights and its frames."""
    with watching(out / "file", _AS_BY_DEFAULT, {}, [file]) as watch:
        watch.wait("finished", 0, timeout_s=600)
    source = _pictures(file)
    rate_hz = len(source) / watch.of("finished")[0]["duration_s"]
    wanted = [_frames(told, rate_hz) for told in watch.of("clip")]
    with RtspServer(file) as server, watching(out / "camera", _AS_BY_DEFAULT, {"cam": server.url}) as watch:
        watch.wait("camera", 0, state="running")
        Event().wait(60 * minutes)
    seen = [_seen(told, source, rate_hz) for told in watch.of("clip")]
    of_pass = defaultdict(list)
    for one in seen:
        of_pass[one.number].append(one.frames)
    # The first pass goes by before it is known what is usual, and the last is broken off.
    whole = range(1, max(of_pass, default=0))
    found = [[any(_alike(one, moment) for one in of_pass[number]) for moment in wanted] for number in whole]
    others = sum(not any(_alike(one, moment) for moment in wanted) for number in whole for one in of_pass[number])
    frames, same = sum(len(one.frames) for one in seen), sum(one.same for one in seen)
    worst_db = min((one.worst_db for one in seen), default=math.inf)
    return [
        (
            f"{minutes:g} minutes of {file.name}: its {len(wanted)} highlights found on each pass after the first",
            f"all on {len(whole)}",
            f"all on {sum(all(one) for one in found)}, {others} clips of something else",
        ),
        (
            f"… frames of the {len(seen)} clips against the file's",
            "the same, edges ≥ 45 dB",
            f"{same} of {frames} to the bit, the others ≥ {worst_db:.1f} dB",
        ),
    ]


def _frames(told: dict[str, Any], rate_hz: float) -> range:
    return range(round(told["start_ms"] / 1000 * rate_hz), round(told["end_ms"] / 1000 * rate_hz))


def _alike(one: range, other: range) -> bool:
    both = min(one.stop, other.stop) - max(one.start, other.start)
    return both >= max(len(one), len(other)) / 2


def _seen(told: dict[str, Any], source: Pictures, rate_hz: float) -> Pass:
    clip = _pictures(Path(told["path"]))
    # The frame after which all others follow, by small pictures: large ones would take minutes.
    small, small_clip = _small(source), _small(clip)
    length = len(source)
    first = min(range(length), key=lambda at: _error(small[(at + np.arange(len(clip))) % length], small_clip))
    theirs = source[(first + np.arange(len(clip))) % length]
    errors = [_error(one, other) for one, other in zip(clip, theirs, strict=True)]
    worst = max(errors)
    return Pass(
        number=round((told["start_ms"] / 1000 * rate_hz - first) / length),
        frames=range(first, first + len(clip)),
        same=sum(error == 0 for error in errors),
        worst_db=10 * math.log10(255**2 / worst) if worst else math.inf,
    )


def _error(one: Pictures, other: Pictures) -> float:
    return float(np.square(one.astype(np.int16) - other, dtype=np.int32).mean())


def _pictures(path: Path) -> Pictures:
    with av.open(str(path)) as container:
        return np.array([frame.to_ndarray(format="gray") for frame in container.decode(video=0)], np.uint8)


def _small(pictures: Pictures) -> Pictures:
    return np.array([cv2.resize(one, _SMALL_PX, interpolation=cv2.INTER_AREA) for one in pictures], np.uint8)
