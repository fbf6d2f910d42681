"""Fixtures that every test may use."""

import logging
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import structlog
from numpy.typing import NDArray
from receiver import Receiver, receiving

from clipstream.features.base import FeatureInfo, Signal
from clipstream.media.cut.encoders import ordinary_priority
from clipstream.media.slices import FrameBatch, MediaNeeds, Slice, StreamEnd
from clipstream.results import Interval, Reason, StreamSummary
from clipstream.settings import options
from clipstream.timing import AUDIO_RATE_HZ, SAMPLES_PER_SLICE, slice_at

REAL_MEDIA = Path(__file__).parents[2] / "shared" / "media"


@pytest.fixture(scope="session")
def real_media() -> Path:
    """Return the folder of real clips, or skip where it is absent."""
    if not REAL_MEDIA.is_dir():
        pytest.skip("the folder of real clips is not beside this checkout")
    return REAL_MEDIA


SliceMaker = Callable[..., list[Slice]]


@pytest.fixture(scope="session")
def make_slices() -> SliceMaker:
    """Return what cuts pictures and sound in memory into slices, as decoding would, to feed features with."""
    return _make_slices


def _make_slices(
    needs: MediaNeeds,
    pictures: NDArray[np.uint8] | None = None,
    times_s: Sequence[Fraction] = (),
    samples: NDArray[np.float32] | None = None,
) -> list[Slice]:
    lead = needs.audio.lead_samples if needs.audio else 0
    last_s = max([*times_s, Fraction(0 if samples is None else len(samples) - 1, AUDIO_RATE_HZ)])
    slices = []
    for n in range(slice_at(last_s) + 1):
        frames, audio = {}, None
        if pictures is not None:
            inside = [i for i, time_s in enumerate(times_s) if slice_at(time_s) == n]
            for request in needs.frames:
                shown = [i for i in inside[:1] for i in range(max(0, i - request.lead_frames), i)] + inside
                pts_s = np.array([float(times_s[i]) for i in shown])
                frames[request] = FrameBatch(pictures[shown], pts_s, len(shown) - len(inside))
        if samples is not None:
            audio = np.zeros(lead + SAMPLES_PER_SLICE, np.float32)
            start = n * SAMPLES_PER_SLICE - lead
            piece = samples[max(0, start) : max(0, start + len(audio))]
            audio[max(0, -start) : max(0, -start) + len(piece)] = piece
        slices.append(Slice("made", n, frames, audio, frame_count=len(frames)))
    return slices


@pytest.fixture(scope="session")
def read_slices() -> Callable[[Path, MediaNeeds], list[Slice]]:
    """Return what reads a whole clip into slices."""
    return _read_slices


def _read_slices(path: Path, needs: MediaNeeds) -> list[Slice]:
    from clipstream.media.decode import SliceReader

    with SliceReader(path, path.stem, needs) as reader:
        return [piece for piece in reader if piece.end is None]


@pytest.fixture(autouse=True)
def _ordinary_priority() -> Iterator[None]:
    """Undo what SVT-AV1 does to a process run by root, which would starve everything beside it."""
    yield
    ordinary_priority()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a run sets up for its log, so that the next test sees its own."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        logging.captureWarnings(capture=False)
        root.handlers[:] = before
        root.setLevel(level)


@pytest.fixture
def clean_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No options from outside: for tests of the command line."""
    for option in options():
        monkeypatch.delenv(option.variable, raising=False)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Return a web service on loopback that keeps what is posted to it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with receiving() as made:
        yield made


SummaryMaker = Callable[..., StreamSummary]


@pytest.fixture(scope="session")
def make_summary() -> SummaryMaker:
    """Return what makes the summary of a stream: noise, with highlights of the second to the fourth-last second."""
    return _make_summary


def _make_summary(
    slices: int = 60, *, highlights: int = 2, missing: bool = False, problem: str | None = None, label: str = "loudness"
) -> StreamSummary:
    random = np.random.default_rng(slices)
    loud, moving = Signal("audio_loudness", label, "dB", 1.0, 1.5), Signal("motion_scene", "movement", "", 1.0, 0.5)
    camera = Signal("motion_camera", "movement of the camera", "%/s", 0.0, 1.0)
    features = (FeatureInfo("audio", 0.2, (loud,)), FeatureInfo("motion", 0.4, (moving, camera)))
    numbers = np.full((slices, 6), np.nan) if missing else random.normal(size=(slices, 6))
    windows = [(3.0 * k, min(3.0 * k + 5, slices / 2)) for k in range(-(-slices // 6))]
    reasons = (
        Reason("audio", label, -12.5, -31.0, "dB", 21.44, 0.75),
        Reason("motion", "movement", 9.0, 2.5, "", 6.12, 0.25),
    )
    found = tuple(
        Interval(
            "match", n, 6_000 * n - 4_000, 6_000 * n - 1_877, 6_000 * n - 3_000, 4.0 + n, reasons, highlights + 1 - n
        )
        for n in range(1, highlights + 1)
    )
    return StreamSummary(
        stream="match",
        features=features,
        values=numbers[:, :3].astype(np.float32),
        feature_scores=numbers[:, 3:5].astype(np.float32),
        scores=numbers[:, 5].astype(np.float32),
        noticeable=3 * numbers[:, 5].astype(np.float32),
        window_scores=np.array([np.nan if missing else 1.0 + k for k in range(len(windows))], np.float32),
        window_spans_s=np.array(windows).reshape(-1, 2),
        threshold=float("nan") if missing else 2.25,
        floor=1.5,
        intervals=found,
        errors=0,
        end=StreamEnd(Fraction(slices, 2), problem=problem),
        explanation=None if found else "Nothing stands out: the best window scores 0.90 and the floor is 1.5.",
    )
