"""Which features there are, and which of them a run uses."""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.features.base import AnyFeature, FeatureInfo
from clipstream.media.slices import MediaNeeds
from clipstream.settings import Settings

__all__ = ["Selection", "feature_names", "features_asked_for", "select_features"]

ENTRY_POINT_GROUP = "clipstream.features"
_NOT_FEATURES = frozenset({"base", "registry"})


@dataclass(frozen=True, slots=True)
class Selection:
    """The features of a run.

    Attributes:
        features: What is used, in order of name.
        left_out: Features that would be used by default but cannot, and why.
        infos: The same features as plain data, with the weights of this run.
    """

    features: tuple[AnyFeature, ...]
    left_out: tuple[tuple[str, str], ...]
    infos: tuple[FeatureInfo, ...]

    @property
    def slices_ahead(self) -> int:
        """Slices worth having ready while a model runs on others; 0 if no feature runs a model.

        Decoding comes in bursts, a group of pictures at a time: with two slices ready the model waits for it now and
        then (CLIP at 2 fps: a tenth longer by the clock than with four, and eight gain nothing more).
        """
        return max((max(2 * at_once, 4) for at_once in self._slices_at_once), default=0)

    @property
    def streams_at_once(self) -> int:
        """Streams that a worker should read at a time, so that models see larger batches where they gain from it."""
        return max((min(at_once, 4) for at_once in self._slices_at_once), default=1)

    @property
    def _slices_at_once(self) -> list[int]:
        return [feature.slices_at_once for feature in self.features if hasattr(feature, "slices_at_once")]

    @property
    def needs(self) -> MediaNeeds:
        """What all features together want of a slice."""
        requests = dict.fromkeys(request for feature in self.features for request in feature.needs.frames)
        audio = [feature.needs.audio for feature in self.features if feature.needs.audio is not None]
        return MediaNeeds(tuple(requests), max(audio, key=lambda request: request.lead_samples, default=None))


def feature_names() -> tuple[str, ...]:
    """Return the name of every feature that is installed, clipstream's own and others'."""
    return tuple(sorted(_built_in() | set(_entry_points())))


def select_features(settings: Settings) -> Selection:
    """Make the features that `settings` asks for, or all that are available.

    Raises:
        UsageError: A feature or a weight names something that is not installed, or a model that was asked for cannot
            be had.
        FeatureUnavailableError: A feature that was named lacks its weights or library.
    """
    names = feature_names()
    weighed = [name for name in settings.weights if name not in settings.preset_weights]
    for name in (*settings.features, *weighed):
        if name not in names:
            raise UsageError(f"there is no feature {name!r}; installed are {', '.join(names)}.")
    features, left_out = [], []
    for name in sorted(_named(settings)) if settings.features else names:
        try:
            feature = _create(name, settings)
        except FeatureUnavailableError as error:
            if settings.features:
                raise
            left_out.append((name, str(error)))
        else:
            features += [] if feature is None else [feature]
    weights = _weights(features, settings)
    infos = tuple(
        FeatureInfo(
            feature.name,
            weights[feature.name],
            feature.signals,
            getattr(feature, "about", ""),
            getattr(feature, "alternatives", False),
        )
        for feature in features
    )
    if not any(info.weight for info in infos):
        raise UsageError(
            f"no feature in use has a weight ({', '.join(info.name for info in infos) or 'none is available'}): "
            "there would be nothing to score; add one such as motion or audio, or set --weight."
        )
    _check_savable(settings, features, left_out)
    return Selection(tuple(features), tuple(left_out), infos)


def features_asked_for(settings: Settings, features: Sequence[AnyFeature]) -> frozenset[str]:
    """Return the names of the features that were named, and of those in use whose table is to be saved.

    Where one of the others fails on the way, the result is what was asked for all the same.
    """
    saving = (feature.name for feature in features if getattr(feature, "saves", None) in settings.save)
    return frozenset(_named(settings) | set(saving))


def _named(settings: Settings) -> set[str]:
    prompted = ["prompts"] if settings.prompt or settings.avoid else []  # as good as named
    return {*settings.features, *prompted}


def _weights(features: Sequence[AnyFeature], settings: Settings) -> dict[str, float]:
    """Return what each feature weighs; one that was asked for in words outweighs all others together."""
    weights = {feature.name: settings.weights.get(feature.name, feature.weight) for feature in features}
    for feature in features:
        if getattr(feature, "outweighs", False) and feature.name not in settings.weights:
            others = sum(weight for name, weight in weights.items() if name != feature.name)
            weights[feature.name] = max(feature.weight, 1.5 * others)
    return weights


def _check_savable(settings: Settings, features: Sequence[AnyFeature], left_out: Sequence[tuple[str, str]]) -> None:
    for kind in settings.save:
        if not any(getattr(feature, "saves", None) == kind for feature in features):
            used = ", ".join(feature.name for feature in features)
            why = "".join(f"; {name} is left out: {reason.rstrip('.')}" for name, reason in left_out)
            raise UsageError(
                f"save is {kind}, which no feature in use gives ({used}{why}); add the feature that does, or do "
                "without it."
            )


def _built_in() -> set[str]:
    import clipstream.features as package  # noqa: PLC0415 - the package imports this module

    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return {name for name in modules if not name.startswith("_")} - _NOT_FEATURES


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _create(name: str, settings: Settings) -> AnyFeature | None:
    if name in _built_in():
        create = importlib.import_module(f"clipstream.features.{name}").create
    else:
        create = _entry_points()[name].load()
    return cast("AnyFeature | None", create(settings))
