"""Every option, once: this definition makes the flags, the environment variables, the TOML keys and the tables in docs.

An option's value comes from the first of: the flag, the environment (`CLIPSTREAM_` and the name in capitals), the TOML
file given with `--config`, the preset, the default. Outside, a duration goes without the `_s` of its field.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_origin

from clipstream.errors import UsageError
from clipstream.settings.configuration import accepted, filled_in, read_environment, read_preset
from clipstream.settings.live_options import LiveOptions
from clipstream.settings.option import Kind, Option, duration_text, option_field

__all__ = ["CODECS_NOT_CARRIED", "Settings", "options"]


CODECS_NOT_CARRIED = {"mov": ("vp9", "av1"), "ts": ("vp9", "av1"), "webm": ("h264", "hevc")}
"""Choices of `codec` that a choice of `container` has no place for, or none where players look."""

_FIND, _LENGTH, _LOOK, _CUT, _WRITE, _RUN = (
    "What counts as a highlight",
    "How long highlights are",
    "What is looked at",
    "How clips are cut",
    "What is written",
    "How it runs",
)


@dataclass(frozen=True, slots=True)
class Settings(LiveOptions):
    """All options of a run, checked.

    `preset` tells where values came from; `from_mapping({"preset": "talk"})` is what fills them in.

    Raises:
        UsageError: A value is out of range, two contradict each other, or a preset is named whose values are not here.
    """

    preset: Literal["auto", "sports", "talk", "vlog", "surveillance", "dance"] = option_field(
        "auto",
        "Kind of footage: sets what is not set otherwise to what suits it. auto: the defaults, for any footage.",
        _FIND,
        shapes_result=False,
    )
    top: int | None = option_field(None, "Keep the best N highlights of each stream.", _FIND, minimum=1)
    target_duration_s: float | None = option_field(
        None,
        "Keep the best highlights of each stream that fit into this time together.",
        _FIND,
        minimum=0.1,
        unit="s",
    )
    percentile: float | None = option_field(
        None,
        "A window counts when its score is at this percentile of the stream's windows or above, or nearly as good "
        "where the best are alike. Default 90; with --top or --target-duration, which already say how much is wanted, "
        "only the floor applies.",
        _FIND,
        minimum=0,
        maximum=100,
    )
    floor: float = option_field(
        2.0,
        "And when it is at least this many noticeable steps above the stream's usual level, in the feature that stands "
        "out most, so that dull footage gives nothing.",
        _FIND,
        minimum=0,
    )
    policy: Literal["auto", "whole", "running"] = option_field(
        "auto",
        "Judge a moment against the whole stream, or as it runs against a trailing horizon. auto: whole for files.",
        _FIND,
    )
    horizon_s: float = option_field(
        600.0, "How far back a running policy remembers what is usual.", _FIND, minimum=10, unit="s"
    )
    weight: tuple[tuple[str, float], ...] = option_field(
        (), "Weight of a feature in the score, as NAME=NUMBER. May be repeated.", _FIND
    )
    prompt: tuple[tuple[str, float], ...] = option_field(
        (), "What to look for, in words, with its weight if that is not 1. May be repeated.", _FIND, kind="prompts"
    )
    avoid: tuple[tuple[str, float], ...] = option_field(
        (), "What lowers the score, in words, with its weight if that is not 1. May be repeated.", _FIND, kind="prompts"
    )
    smoothing: Literal["gaussian", "median", "none"] = option_field("gaussian", "How the score is smoothed.", _FIND)
    smoothing_s: float = option_field(
        0.35,
        "Standard deviation of the Gaussian, or half-width of the median.",
        _FIND,
        minimum=0,
        unit="s",
        key="smoothing_width",
    )
    context_before_s: float = option_field(1.0, "Context kept before a highlight.", _LENGTH, minimum=0, unit="s")
    context_after_s: float = option_field(1.0, "Context kept after a highlight.", _LENGTH, minimum=0, unit="s")
    min_length_s: float = option_field(2.0, "Shortest clip.", _LENGTH, minimum=0.1, unit="s")
    max_length_s: float = option_field(30.0, "Longest clip.", _LENGTH, minimum=0.5, unit="s")
    merge_gap_s: float = option_field(
        0.0, "Highlights with no more than this between them become one.", _LENGTH, minimum=0, unit="s"
    )
    window_s: float = option_field(5.0, "Length of the analysis windows.", _LENGTH, minimum=0.5, unit="s")
    hop_s: float = option_field(3.0, "Distance between the starts of windows.", _LENGTH, minimum=0.5, unit="s")
    features: tuple[str, ...] = option_field(
        (), "Features to use, by name; all that are available by default. May be repeated.", _LOOK
    )
    analysis_fps: float = option_field(
        12.0, "Frames looked at per second of video; 0 for every frame.", _LOOK, minimum=0, unit="1/s"
    )
    scan: bool = option_field(
        False, "Look at keyframes and sound alone: an answer about a long film in seconds.", _LOOK
    )
    pose_fps: float = option_field(
        7.5,
        "Frames a second in which people are looked for; movement needs two in each half second.",
        _LOOK,
        minimum=4,
        maximum=60,
        unit="1/s",
    )
    pose_size: int = option_field(
        640,
        "Longer side of the pictures in which people are looked for; small people need 1280, which takes four times as "
        "long.",
        _LOOK,
        minimum=160,
        maximum=1920,
        unit="px",
    )
    embedding_fps: float = option_field(
        2.0, "Frames a second whose content is looked at as a whole.", _LOOK, minimum=0.1, maximum=60, unit="1/s"
    )
    pose_model: str = option_field("yolo11n-pose", "Pose model: a name, or a file of weights.", _LOOK)
    embedding_model: str = option_field(
        "auto",
        "Embedding model: MODEL:TAG or MODEL:FILE of open_clip; auto: CLIP if its weights are there, else the ImageNet "
        "network.",
        _LOOK,
    )
    cut: Literal["smart", "copy", "encode"] = option_field(
        "smart",
        "smart copies what it can and encodes again only from a cut to the next keyframe; copy encodes no picture, but "
        "a clip may start early; encode makes everything anew.",
        _CUT,
    )
    crf: int = option_field(
        18,
        "Quality where a clip is encoded whole: 0 is lossless, 18 looks it, 51 is worst.",
        _CUT,
        minimum=0,
        maximum=51,
    )
    codec: Literal["auto", "h264", "hevc", "vp9", "av1"] = option_field(
        "auto", "What --cut encode makes; auto: H.264 for 8 bit, HEVC for more, VP9 or AV1 in WebM.", _CUT
    )
    container: Literal["source", "mp4", "mov", "mkv", "webm", "ts"] = option_field(
        "source", "Kind of file the clips are; source: as the footage is, or MP4 where that is none of these.", _CUT
    )
    join: bool = option_field(False, "Join the clips of each stream to one reel as well.", _CUT)
    out: str = option_field("highlights", "Output folder.", _WRITE, shapes_result=False, short="-o")
    save: tuple[str, ...] = option_field(
        (),
        "Keep what was measured frame by frame in a Parquet file of its own. May be repeated.",
        _WRITE,
        choices=("poses", "embeddings"),
    )
    force: bool = option_field(
        False, "Do inputs again that are finished with the same settings.", _RUN, shapes_result=False
    )
    workers: int = option_field(
        1,
        "Worker threads; files are shared out among them.",
        _RUN,
        minimum=1,
        maximum=256,
        shapes_result=False,
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = option_field(
        "auto", "Where models run; auto: on a GPU if there is one.", _RUN
    )
    decode_threads: int = option_field(
        0,
        "Decoder threads a file; 0 shares the cores out among the workers.",
        _RUN,
        minimum=0,
        maximum=64,
        shapes_result=False,
    )
    epoch_s: float = option_field(
        0.5,
        "How often progress is saved.",
        _RUN,
        minimum=0.2,
        maximum=5,
        unit="s",
        shapes_result=False,
    )
    log_level: Literal["debug", "info", "warning", "error"] = option_field(
        "warning", "Least severe log event shown.", _RUN, shapes_result=False
    )
    log_format: Literal["auto", "console", "json"] = option_field(
        "auto",
        "Log lines for people or for machines; auto: JSON where stderr is no terminal.",
        _RUN,
        shapes_result=False,
    )

    def __post_init__(self) -> None:
        for option in options():
            option.check(getattr(self, option.name), option.key)
        self._refuse_an_empty_claim()
        if self.min_length_s > self.max_length_s:
            raise UsageError(
                f"min_length is {duration_text(self.min_length_s)} and max_length is "
                f"{duration_text(self.max_length_s)}; make the minimum the smaller."
            )
        if self.target_duration_s is not None and self.target_duration_s < self.min_length_s:
            raise UsageError(
                f"target_duration is {duration_text(self.target_duration_s)} and min_length is "
                f"{duration_text(self.min_length_s)}: not one clip would fit; make one of them fit the other."
            )
        if self.hop_s > self.window_s:
            raise UsageError(
                f"hop is {duration_text(self.hop_s)} and window is {duration_text(self.window_s)}: windows would leave "
                "gaps; make the hop at most the window."
            )
        for key, value_s in (("window", self.window_s), ("hop", self.hop_s)):
            if not (value_s * 2).is_integer():
                raise UsageError(
                    f"{key} is {duration_text(value_s)}: windows are made of half-second slices; "
                    "use a multiple of 0.5s."
                )
        if self.policy == "running" and (self.top is not None or self.target_duration_s is not None):
            raise UsageError(
                "top and target_duration choose among all highlights of a stream, which the running policy "
                "never knows; use the policy whole, or leave them out."
            )
        self.check_live()
        if self.codec != "auto" and self.cut != "encode":
            raise UsageError(
                f"codec is {self.codec} and cut is {self.cut}, which keeps the source's; "
                "add --cut encode, or leave the codec out."
            )
        if self.codec in CODECS_NOT_CARRIED.get(self.container, ()):
            raise UsageError(
                f"codec is {self.codec} and container is {self.container}, which cannot carry it; change one of them."
            )

    @property
    def weights(self) -> dict[str, float]:
        """Weights that were set, by feature."""
        return dict(self.weight)

    def fingerprint(self) -> str:
        """Return a short digest of everything that shapes the result."""
        shaping = {option.name for option in options() if option.shapes_result}
        state = {name: value for name, value in asdict(self).items() if name in shaping}
        return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """Return all options as JSON values, `pairs` and `prompts` as objects, without the secrets in them."""
        state = asdict(self)
        for option in options():
            if option.kind in {"pairs", "prompts"}:
                state[option.name] = dict(state[option.name])
            elif option.kind in {"list", "commands"}:
                state[option.name] = list(state[option.name])
            if option.shown:
                state[option.name] = [option.shown(text) for text in state[option.name]]
        return state

    @property
    def preset_weights(self) -> dict[str, float]:
        """Weights that the preset names, by feature, whether or not they were set otherwise."""
        return dict(read_preset(self.preset, options()).get("weight", ()))

    @classmethod
    def from_layers(cls, *layers: Mapping[str, Any]) -> "Settings":
        """Make settings from checked values by field name: the first layer that has one wins, the preset fills in.

        Raises:
            UsageError: Values contradict each other.
        """
        given: dict[str, Any] = {}
        for layer in reversed(layers):
            given |= layer
        preset = given.get("preset", "auto")
        values = filled_in(given, read_preset(preset, options()))
        try:
            return cls(**values)
        except UsageError as error:
            try:
                cls(**(given | {"preset": "auto"}))
            except UsageError:  # wrong without the preset too
                raise error from None
            raise UsageError(f"{error} (The preset {preset} sets what you did not.)") from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Make settings from `CLIPSTREAM_…` variables, as a flow that is run by Bytewax gets them.

        Raises:
            UsageError: A variable is unknown, or a value does not fit.
        """
        return cls.from_layers(read_environment(environment, options()))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Settings":
        """Make settings from raw values under their external keys, as a TOML file or a caller gives them.

        Raises:
            UsageError: A key is unknown, or a value does not fit.
        """
        return cls.from_layers(accepted(values, options(), ""))

    def _refuse_an_empty_claim(self) -> None:
        values = read_preset(self.preset, options()) if self.preset != "auto" else {}
        if values and not any(getattr(self, name) == value for name, value in values.items()):
            raise UsageError(
                f"preset is {self.preset}, but none of its values are set; "
                f"make the settings with Settings.from_mapping({{'preset': {self.preset!r}, …}}), which sets them."
            )


def options() -> tuple[Option, ...]:
    """Return every option, in order."""
    return _OPTIONS


def _describe() -> Iterable[Option]:
    inherited = {item.name for item in fields(LiveOptions)}
    for item in sorted(fields(Settings), key=lambda item: item.name in inherited):  # the particular comes last
        outside = dict(item.metadata)
        kind, choices = _kind(item.type)
        kind = outside.pop("kind") or ("duration" if outside["unit"] == "s" else kind)
        choices = outside.pop("choices") or choices
        outside["key"] = outside["key"] or (item.name.removesuffix("_s") if kind == "duration" else item.name)
        yield Option(name=item.name, default=item.default, kind=kind, choices=choices, **outside)


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    kinds: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "str", tuple[str, ...]: "list"}
    for candidate, kind in kinds.items():
        if annotation in (candidate, candidate | None):
            return kind, ()
    return "pairs", ()


_OPTIONS = tuple(_describe())
