"""Runs on cameras that fail on command: started beside a test, watched, ended by it, held against what was sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self

import av
import numpy as np
import pytest

from clipstream import Input, Outcome, Settings, run_job
from clipstream.live import Camera, Cameras
from clipstream.media.live.address import LiveAddress, LiveInput
from clipstream.media.live.status import FeedStatus
from clipstream.report.manifest import Highlight, read_manifest
from clipstream.results import Interval
from clipstream.testing import RtspServer, make_scene, wait_until
from clipstream.testing.media import read_number

__all__ = [
    "MOMENTS",
    "RATE_HZ",
    "SPEED",
    "LiveRun",
    "assert_nothing_lost",
    "intact_numbers",
    "make_footage",
    "numbers_in",
    "whole_moments",
]

SPEED = 4.0
"""How fast the servers send: a quarter of the time to wait, while FFmpeg's own waiting stays what it is."""

RATE_HZ = 10
_LENGTH_S = 120
MOMENTS = tuple((start_s, start_s + 1.5) for start_s in range(4, _LENGTH_S, 8))
"""When something happens in the footage, which no test is to see twice: its frames are numbered once."""

_MARGIN_FRAMES = 2 * RATE_HZ
"""Context, and half-seconds that begin anywhere."""

_SETTINGS = {"features": ("motion", "audio"), "percentile": 0, "stall_s": 1.0, "analysis_fps": 0}


def make_footage(path: Path, length_s: int = _LENGTH_S) -> Path:
    """Write footage in which every frame has its number, and something happens every eight seconds."""
    return make_scene(path, moments_s=MOMENTS, duration_s=length_s, rate_hz=RATE_HZ, gop=RATE_HZ, b_frames=0)


@dataclass
class LiveRun:
    """A run in a thread of its own. Leave it, or `finish` it, to let its cameras end as `--for` does.

    Attributes:
        out: Its output folder.
        live: Address of each camera by name.
        files: Files beside them.
        options: Settings that differ from those that the tests have in common.
        clips: Stream and date of arrival of every clip, as it was told.
        seen: By stream and frame number, the stream time at which the analysis saw it.
        outcomes: What came of it.
    """

    out: Path
    live: dict[str, str]
    files: Sequence[Path] = ()
    options: dict[str, object] = field(default_factory=dict)
    clips: list[tuple[str, Interval, float]] = field(default_factory=list)
    seen: dict[str, dict[int, float]] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self._over, self._cameras = Event(), list[Cameras]()
        self._patch = pytest.MonkeyPatch()
        self._thread = Thread(target=self._run, name="run")

    def __enter__(self) -> Self:
        run = self

        class Watched(Cameras):
            over = property(lambda _: run._over.is_set())

            def open(self, stream: str, n: int) -> Camera:
                run._cameras[:] = [self]
                camera = super().open(stream, n)
                plain = camera.take
                camera.take = lambda **how: run._note(stream, plain(**how))  # type: ignore[method-assign]
                return camera

        self._patch.setattr("clipstream.run.run.Cameras", Watched)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(30)
        self._patch.undo()
        assert not self._thread.is_alive(), "the run does not end"

    def until(self, condition: Callable[[FeedStatus], object], stream: str = "cam", timeout_s: float = 15) -> float:
        """Wait until a camera's status is such, and return how long that took in seconds."""
        start_s = monotonic()
        wait_until(lambda: self.status(stream) is not None and condition(self.status(stream)), timeout_s)  # type: ignore[arg-type]
        return monotonic() - start_s

    def status(self, stream: str = "cam") -> FeedStatus | None:
        """Return how a camera is doing, once it is there."""
        assert self.error is None, self.error
        statuses = [status for status, _ in self._cameras[0].statuses()] if self._cameras else []
        return next((status for status in statuses if status.stream == stream), None)

    def more_clips(self, count: int, stream: str = "cam", timeout_s: float = 25) -> None:
        """Wait until so many more clips of a camera are there."""
        wanted = self._count(stream) + count
        wait_until(lambda: self.error is not None or self._count(stream) >= wanted, timeout_s)
        assert self.error is None, self.error

    def finish(self) -> tuple[Outcome, ...]:
        """Let the cameras end, wait for everything to be written, and return what came of it."""
        self.__exit__(None, None, None)
        assert self.error is None, self.error
        return self.outcomes

    def highlights(self, stream: str = "cam") -> tuple[Highlight, ...]:
        """Return what the manifest of a camera lists."""
        manifest = read_manifest(self.out / stream)
        assert manifest is not None
        return manifest.highlights

    def assert_no_frame_is_shown_twice(self, stream: str = "cam") -> list[list[int]]:
        """Check that no frame is in two of a camera's clips, or in one twice, and return the numbers in each."""
        clips = [numbers_in(self.out / stream / one.clip) for one in self.highlights(stream) if one.clip]
        everything = [number for clip in clips for number in clip]
        assert len(everything) == len(set(everything)), clips
        return clips

    def started(self, stream: str, duration_s: Fraction | None) -> None: ...

    def progressed(self, stream: str, media_s: Fraction) -> None: ...

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
        assert path.is_file()
        self.clips.append((stream, interval, monotonic()))

    def finished(self, outcome: Outcome) -> None: ...

    def _count(self, stream: str) -> int:
        return sum(one[0] == stream for one in self.clips)

    def _note(self, stream: str, slices: list) -> list:  # type: ignore[type-arg]
        seen = self.seen.setdefault(stream, {})
        for batch in (batch for item in slices for batch in item.frames.values()):
            for picture, time_s in zip(batch.pixels[batch.lead :], batch.pts_s[batch.lead :], strict=True):
                seen[read_number(picture)] = float(time_s)
        return slices

    def _run(self) -> None:
        settings = Settings(out=str(self.out), **(_SETTINGS | self.options))  # type: ignore[arg-type]  # tests name them
        live = [LiveInput(stream, LiveAddress.parse(url)) for stream, url in self.live.items()]
        try:
            self.outcomes = run_job([Input(file.stem, file) for file in self.files], settings, self, live)
        except BaseException as error:  # noqa: BLE001 - told where it is waited for
            self.error = error


def numbers_in(clip: Path) -> list[int]:
    """Return the numbers of all frames of a clip."""
    with av.open(str(clip)) as container:
        return [read_number(frame.to_ndarray(format="gray").astype(np.uint8)) for frame in container.decode(video=0)]


def intact_numbers(server: RtspServer, camera: str = "live") -> set[int]:
    """Return the numbers of the frames that were sent, but for those that refer to one that was not."""
    intact, refers = set(), False
    for one in server.sent:
        if one.camera == camera and one.kind == "video":
            refers = one.fate == "sent" and (refers or one.keyframe)
            if refers:
                intact.add(one.number)
    return intact


def whole_moments(server: RtspServer, camera: str = "live") -> set[int]:
    """Return which moments were sent whole, with what surrounds them, to one client without anything between them."""
    runs: list[list[int]] = [[]]
    last = None
    for one in server.sent:
        if one.camera != camera or one.kind != "video":
            continue
        follows = last is not None and (one.client, one.number) == (last.client, last.number + 1)
        if not follows or one.fate != "sent":
            runs.append([])
        if one.fate == "sent":
            runs[-1].append(one.number)
        last = one
    spans = [(run[0], run[-1]) for run in runs if run]
    return {
        place
        for place, (start_s, end_s) in enumerate(MOMENTS)
        for first, last_sent in spans
        if first <= max(start_s * RATE_HZ - _MARGIN_FRAMES, 0) and end_s * RATE_HZ + _MARGIN_FRAMES <= last_sent
    }


def assert_nothing_lost(run: LiveRun, server: RtspServer, stream: str = "cam", camera: str = "live") -> list[list[int]]:
    """Check a camera's clips against what was sent, and return the numbers in each.

    Every moment that was sent whole is whole in one clip; no frame is in two; each clip begins with the frame that was
    asked for, and nothing that came intact is missing within it.
    """
    found = run.highlights(stream)
    assert all(one.clip is not None for one in found), [one.notes for one in found]
    clips = run.assert_no_frame_is_shown_twice(stream)
    intact = intact_numbers(server, camera)
    for one, clip in zip(found, clips, strict=True):
        assert clip == sorted(clip)
        assert not (set(range(clip[0], clip[-1])) & intact) - set(clip), clip
        if not one.notes:
            seen = run.seen[stream]
            asked = min((number for number in seen if seen[number] >= float(one.start_s)), key=lambda n: seen[n])
            assert clip[0] == asked, (one, clip)
    for place in whole_moments(server, camera):
        start_s, end_s = MOMENTS[place]
        moment = set(range(start_s * RATE_HZ + 1, int(end_s * RATE_HZ)))
        assert any(moment <= set(clip) for clip in clips), (place, moment, clips)
    return clips
