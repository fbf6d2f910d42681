"""Which features there are, which of them a run uses, and that each hears or sees its own events alone."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.metadata import EntryPoint
from typing import cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.features import registry
from clipstream.features.base import Feature, Signal
from clipstream.features.registry import feature_names, select_features
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.settings import Settings

SliceMaker = Callable[..., list[Slice]]


def test_every_module_without_an_underscore_is_a_feature() -> None:
    assert feature_names() == ("audio", "embedding", "motion", "pose", "prompts", "shots")


def test_by_default_all_that_have_something_to_do_are_used_in_order_of_name() -> None:
    selection = select_features(Settings())
    used = [name for name in feature_names() if name != "prompts"]  # nothing was written to look for
    assert [feature.name for feature in selection.features] == used
    assert [info.name for info in selection.infos] == used
    assert selection.left_out == ()


def test_named_features_alone_are_used_once_each() -> None:
    selection = select_features(Settings(features=("shots", "motion", "shots")))
    assert [feature.name for feature in selection.features] == ["motion", "shots"]


def test_a_weight_that_was_set_takes_the_place_of_the_features_own() -> None:
    weights = {info.name: info.weight for info in select_features(Settings(weight=(("audio", 0.7),))).infos}
    assert weights == {"audio": 0.7, "embedding": 0.05, "motion": 0.4, "pose": 0.8, "shots": 0.0}


@pytest.mark.parametrize("settings", [Settings(features=("smell",)), Settings(weight=(("smell", 1.0),))])
def test_an_unknown_name_is_answered_with_those_that_are_installed(settings: Settings) -> None:
    with pytest.raises(UsageError, match="'smell'; installed are audio, embedding, motion"):
        select_features(settings)


def test_features_without_any_weight_would_score_nothing() -> None:
    with pytest.raises(UsageError, match="no feature in use has a weight"):
        select_features(Settings(features=("shots",)))


class Installed:
    """Stands where a third party's package would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, create: Callable[[Settings], Feature]) -> None:
        point = EntryPoint("smell", "nose:create", registry.ENTRY_POINT_GROUP)
        monkeypatch.setattr(EntryPoint, "load", lambda _: create)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])


class Smell:
    name = "smell"
    weight = 0.1
    signals: tuple[Signal, ...] = ()
    needs = MediaNeeds()

    def extract(self, slices: Sequence[Slice]) -> NDArray[np.float32]:
        return np.empty((len(slices), 0), np.float32)


def absent(_: Settings) -> Feature:
    raise FeatureUnavailableError("smell: there are no weights; put nose.pt into CLIPSTREAM_WEIGHTS.")


def test_a_third_partys_feature_is_used_like_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    Installed(monkeypatch, lambda _: Smell())
    assert [feature.name for feature in select_features(Settings()).features][-1] == "smell"


def test_what_is_unavailable_is_left_out_by_default_and_the_reason_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    Installed(monkeypatch, absent)
    selection = select_features(Settings())
    assert [name for name, _ in selection.left_out] == ["smell"]
    assert "CLIPSTREAM_WEIGHTS" in selection.left_out[0][1]


def test_what_is_unavailable_but_was_named_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Installed(monkeypatch, absent)
    with pytest.raises(FeatureUnavailableError, match="CLIPSTREAM_WEIGHTS"):
        select_features(Settings(features=("smell", "audio")))


def test_signals_are_named_after_their_feature_and_share_its_score() -> None:
    for feature in select_features(Settings()).features:
        assert all(signal.name.startswith(f"{feature.name.rstrip('s')}_") for signal in feature.signals)
        assert sum(abs(signal.weight) for signal in feature.signals) == pytest.approx(1 if feature.weight else 0)
        assert all(signal.min_spread > 0 for signal in feature.signals)


@pytest.mark.parametrize(("fps", "rate_hz"), [(12.0, Fraction(12)), (0.0, None)])
def test_pictures_are_scaled_once_for_all_features(fps: float, rate_hz: Fraction | None) -> None:
    settings = Settings(analysis_fps=fps, features=("motion", "shots"))
    requests = {request for feature in select_features(settings).features for request in feature.needs.frames}
    assert [(r.side_px, r.pixel_format, r.rate_hz, r.lead_frames) for r in requests] == [(256, "bgr24", rate_hz, 1)]


def test_listing_the_features_imports_none_of_them() -> None:
    program = (
        "import sys; from clipstream.features.registry import feature_names; feature_names(); "
        "print(sorted({'cv2', 'scenedetect', 'torch', 'librosa'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"


def test_the_features_import_neither_bytewax_nor_librosa() -> None:
    program = (
        "import sys; from clipstream.features import audio, motion, pose, shots; "
        "print(sorted({'bytewax', 'librosa', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"


# What each event, in the slice that begins at 2.5 s, may move. `shot_change` follows whatever happens to the picture.
EVENTS: dict[str, set[str]] = {
    "nothing": set(),
    "pan": {"motion_camera"},
    "ball": {"motion_scene"},
    "cut": {"shot_cut_s"},
    "flash": set(),
    "click": {"audio_loudness", "audio_onset", "audio_change"},
    "other sound": {"audio_change"},
}


@pytest.mark.parametrize(("event", "moved"), EVENTS.items(), ids=EVENTS)
def test_an_event_moves_its_own_signals_in_its_own_slice_alone(
    make_slices: SliceMaker, event: str, moved: set[str]
) -> None:
    features = cast("tuple[Feature, ...]", select_features(Settings(features=("audio", "motion", "shots"))).features)
    lead = max(feature.needs.audio.lead_samples for feature in features if feature.needs.audio)
    assert lead
    needs = MediaNeeds(features[1].needs.frames, features[0].needs.audio)
    slices = make_slices(
        needs, pictures=film(event), times_s=[Fraction(i, 12) for i in range(72)], samples=sound(event)
    )
    outside = {}
    for feature in features:
        for signal, said in zip(feature.signals, feature.extract(slices)[1:].T, strict=True):
            level = np.zeros_like(said) if signal.boundary else said - np.median(said)
            spread = max(1.4826 * np.median(np.abs(level)), signal.min_spread)
            stands_out = ~np.isnan(said) if signal.boundary else level > 3 * spread
            outside[signal.name] = np.flatnonzero(stands_out) + 1
    outside.pop("shot_change")
    assert {name for name, where in outside.items() if where.size} == moved
    # What was different a moment ago makes the next half second differ from it too.
    allowed = ([5], [5, 6]) if event == "click" else ([5],)
    assert all(where.tolist() in allowed for where in outside.values() if where.size)


def film(event: str) -> NDArray[np.uint8]:
    """Return six seconds at 12 Hz; the event is in the slice that begins at 2.5 s."""
    random = np.random.default_rng(0)
    blocks = random.integers(40, 200, (10, 40), dtype=np.uint8)
    wide = cv2.GaussianBlur(cv2.resize(blocks, (640, 160), interpolation=cv2.INTER_CUBIC), (9, 9), 0)
    frames = []
    for i in range(72):
        step = min(max(i - 29, 0), 6)
        x = 5 * step if event == "pan" else 300 if event == "cut" and i >= 32 else 0
        frame = wide[8:152, x : x + 256].copy()
        if event == "ball" and 30 <= i < 36:
            cv2.circle(frame, (60 + 8 * step, 70), 14, 255, -1)
        if event == "flash" and i == 32:
            frame[:] = 255
        frames.append(np.clip(frame + random.normal(0, 1, frame.shape), 0, 255))
    return np.repeat(np.asarray(frames, np.uint8)[..., None], 3, axis=3)


def sound(event: str) -> NDArray[np.float32]:
    """Return six seconds of quiet noise; the other sound begins in the middle of the slice and stays."""
    samples = np.random.default_rng(0).normal(0, 0.01, 96_000).astype(np.float32)
    if event == "click":
        samples[43_000:43_080] += 0.8
    if event == "other sound":
        samples[42_000:] = 0.0141 * np.sin(2 * np.pi * 500 * np.arange(54_000) / 16_000)
    return samples
