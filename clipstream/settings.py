"""Every option, once: this definition makes the flags, the environment variables, the TOML keys and the tables in docs.

An option's value comes from the first of: the flag, the environment (`CLIPSTREAM_` and the name in capitals), the TOML
file given with `--config`, the default.
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from clipstream.errors import UsageError

__all__ = ["Option", "Settings", "options", "read_toml"]


@dataclass(frozen=True, slots=True)
class Option:
    """How a field of `Settings` looks from outside.

    Attributes:
        name: Field name; the flag is `--` with dashes, the TOML key the name itself.
        help: One sentence.
        group: Heading it stands under.
        default: Its default.
        kind: `"int"`, `"float"`, `"str"`, `"bool"`, `"choice"`, `"list"` or `"pairs"` (NAME=NUMBER).
        choices: What a choice may be.
        minimum: Smallest value allowed.
        maximum: Largest value allowed.
        unit: Unit, where it has one.
        shapes_result: Whether it changes what is found or written, so that a finished input has to be done again.
        short: One-letter flag.
    """

    name: str
    help: str
    group: str
    default: Any
    kind: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    shapes_result: bool = True
    short: str | None = None


def _option(
    default: Any,
    text: str,
    group: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str = "",
    shapes_result: bool = True,
    short: str | None = None,
) -> Any:
    metadata = {
        "help": text,
        "group": group,
        "minimum": minimum,
        "maximum": maximum,
        "unit": unit,
        "shapes_result": shapes_result,
        "short": short,
    }
    return field(default=default, metadata=metadata)


_FIND, _LENGTH, _LOOK, _WRITE, _RUN = (
    "What counts as a highlight",
    "How long highlights are",
    "What is looked at",
    "What is written",
    "How it runs",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All options of a run, checked.

    Raises:
        UsageError: A value is out of range, or two contradict each other.
    """

    top: int | None = _option(None, "Keep the best N highlights of each stream.", _FIND, minimum=1)
    target_duration_s: float | None = _option(
        None,
        "Keep the best highlights of each stream up to this many seconds together.",
        _FIND,
        minimum=0.1,
        unit="s",
    )
    percentile: float | None = _option(
        None,
        "A window counts when its score is at this percentile of the stream's windows or above. Default 90; with --top "
        "or --target-duration, which already say how much is wanted, only the floor applies.",
        _FIND,
        minimum=0,
        maximum=100,
    )
    floor: float = _option(
        1.5,
        "And when its score is at least this many robust standard deviations above usual, so that dull footage gives "
        "nothing.",
        _FIND,
        minimum=0,
    )
    policy: Literal["auto", "whole", "running"] = _option(
        "auto",
        "Judge a moment against the whole stream, or as it runs against a trailing horizon. auto: whole for files.",
        _FIND,
    )
    horizon_s: float = _option(
        600.0, "How far back a running policy remembers what is usual.", _FIND, minimum=10, unit="s"
    )
    weight: tuple[tuple[str, float], ...] = _option(
        (), "Weight of a feature in the score, as NAME=NUMBER. May be repeated.", _FIND
    )
    smoothing: Literal["gaussian", "median", "none"] = _option("gaussian", "How the score is smoothed.", _FIND)
    smoothing_s: float = _option(
        0.5, "Standard deviation of the Gaussian, or half-width of the median.", _FIND, minimum=0, unit="s"
    )
    context_before_s: float = _option(1.0, "Context kept before a highlight.", _LENGTH, minimum=0, unit="s")
    context_after_s: float = _option(1.0, "Context kept after a highlight.", _LENGTH, minimum=0, unit="s")
    min_length_s: float = _option(2.0, "Shortest clip.", _LENGTH, minimum=0.1, unit="s")
    max_length_s: float = _option(30.0, "Longest clip.", _LENGTH, minimum=0.5, unit="s")
    merge_gap_s: float = _option(0.5, "Highlights closer than this become one.", _LENGTH, minimum=0, unit="s")
    window_s: float = _option(5.0, "Length of the analysis windows.", _LENGTH, minimum=0.5, unit="s")
    hop_s: float = _option(3.0, "Distance between the starts of windows.", _LENGTH, minimum=0.5, unit="s")
    features: tuple[str, ...] = _option(
        (), "Features to use, by name; all that are available by default. May be repeated.", _LOOK
    )
    analysis_fps: float = _option(
        12.0, "Frames looked at per second of video; 0 for every frame.", _LOOK, minimum=0, unit="1/s"
    )
    scan: bool = _option(False, "Look at keyframes and sound alone: an answer about a long film in seconds.", _LOOK)
    out: str = _option("highlights", "Output folder.", _WRITE, shapes_result=False, short="-o")
    crf: int = _option(
        18,
        "Quality where a clip is encoded: 0 is lossless, 18 looks it, 51 is worst.",
        _WRITE,
        minimum=0,
        maximum=51,
    )
    force: bool = _option(False, "Do inputs again that are finished with the same settings.", _RUN, shapes_result=False)
    workers: int = _option(
        1,
        "Worker threads; files are shared out among them.",
        _RUN,
        minimum=1,
        maximum=256,
        shapes_result=False,
    )
    decode_threads: int = _option(
        0,
        "Decoder threads a file; 0 shares the cores out among the workers.",
        _RUN,
        minimum=0,
        maximum=64,
        shapes_result=False,
    )
    epoch_s: float = _option(
        0.5,
        "How often progress is saved.",
        _RUN,
        minimum=0.2,
        maximum=5,
        unit="s",
        shapes_result=False,
    )
    log_level: Literal["debug", "info", "warning", "error"] = _option(
        "warning", "Least severe log event shown.", _RUN, shapes_result=False
    )
    log_format: Literal["auto", "console", "json"] = _option(
        "auto",
        "Log lines for people or for machines; auto: JSON where stderr is no terminal.",
        _RUN,
        shapes_result=False,
    )

    def __post_init__(self) -> None:
        for option in options():
            _check(option, getattr(self, option.name))
        if self.min_length_s > self.max_length_s:
            raise UsageError(
                f"min_length_s is {self.min_length_s:g} and max_length_s is {self.max_length_s:g}: "
                "make the minimum the smaller."
            )
        if self.hop_s > self.window_s:
            raise UsageError(
                f"hop_s is {self.hop_s:g} and window_s is {self.window_s:g}: windows would leave gaps; "
                "make the hop at most the window."
            )
        for name in ("window_s", "hop_s"):
            if getattr(self, name) * 2 != int(getattr(self, name) * 2):
                raise UsageError(
                    f"{name} is {getattr(self, name):g}: windows are made of half-second slices; use a multiple of 0.5."
                )
        if self.policy == "running" and (self.top is not None or self.target_duration_s is not None):
            raise UsageError(
                "--top and --target-duration choose among all highlights of a stream, which a running policy "
                "never knows: use --policy whole, or leave them out."
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
        """Return all options as JSON values, `pairs` as objects."""
        state = asdict(self)
        state["weight"] = self.weights
        state["features"] = list(self.features)
        return state

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Settings":
        """Make settings from raw values, as a TOML file or a caller gives them.

        Raises:
            UsageError: A key is unknown, or a value does not fit.
        """
        known = {option.name: option for option in options()}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UsageError(_unknown_key(unknown[0], known))
        return cls(**{name: _coerce(known[name], value) for name, value in values.items()})


def options() -> tuple[Option, ...]:
    """Return every option, in order."""
    return _OPTIONS


def read_toml(path: Path) -> dict[str, Any]:
    """Return the options in a TOML file, keys checked, dashes allowed for underscores.

    Raises:
        UsageError: The file is absent or no TOML, a key is unknown, or a value does not fit.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such configuration file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the configuration file cannot be read ({error}).") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}.") from error
    known = {option.name: option for option in options()}
    values = {}
    for key, value in raw.items():
        name = key.replace("-", "_")
        if name not in known:
            raise UsageError(f"{path}: {_unknown_key(key, known)}")
        try:
            values[name] = _coerce(known[name], value)
            _check(known[name], values[name])
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None
    return values


def _unknown_key(key: str, known: Mapping[str, Option]) -> str:
    import difflib  # noqa: PLC0415 - only for an error message

    close = difflib.get_close_matches(key.replace("-", "_"), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "'clipstream --help' lists them."
    return f"there is no option {key!r}; {hint}"


def _coerce(option: Option, value: Any) -> Any:
    if option.kind == "list":
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
    elif option.kind == "pairs":
        pairs = value.items() if isinstance(value, Mapping) else value
        try:
            return tuple(sorted((str(name), float(number)) for name, number in pairs))
        except (TypeError, ValueError):
            pass
    elif value is None and option.default is None:
        return None
    elif option.kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif (option.kind == "int" and isinstance(value, int) and not isinstance(value, bool)) or (
        option.kind == "bool" and isinstance(value, bool)
    ):
        return value
    elif option.kind in {"str", "choice"} and isinstance(value, str | Path):
        return str(value)
    raise UsageError(f"{option.name} = {value!r} is no {_KIND_NAMES[option.kind]}.")


def _check(option: Option, value: Any) -> None:
    if value is None:
        return
    if option.choices and value not in option.choices:
        raise UsageError(f"{option.name} is {value!r}: choose one of {', '.join(option.choices)}.")
    if option.kind in {"int", "float"}:
        if not math.isfinite(value):
            raise UsageError(f"{option.name} is {value}: give a finite number.")
        if option.minimum is not None and value < option.minimum:
            raise UsageError(f"{option.name} is {value:g}: the smallest allowed is {option.minimum:g}.")
        if option.maximum is not None and value > option.maximum:
            raise UsageError(f"{option.name} is {value:g}: the largest allowed is {option.maximum:g}.")
    if option.kind == "pairs":
        for name, number in value:
            if not (math.isfinite(number) and number >= 0):
                raise UsageError(f"{option.name} {name}={number:g}: a weight is 0 or more.")


_KIND_NAMES = {
    "int": "whole number",
    "float": "number",
    "str": "text",
    "choice": "text",
    "bool": "true or false",
    "list": "list of texts",
    "pairs": "table of numbers",
}


def _describe() -> tuple[Option, ...]:
    described = []
    for item in fields(Settings):
        kind, choices = _kind(item.type)
        described.append(
            Option(name=item.name, default=item.default, kind=kind, choices=choices, **_outside(item.metadata))
        )
    return tuple(described)


def _outside(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return dict(metadata)


def _kind(annotation: Any) -> tuple[str, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    for candidate in (bool, int, float, str):
        if annotation == candidate or annotation == (candidate | None):
            return candidate.__name__, ()
    if annotation == tuple[str, ...]:
        return "list", ()
    return "pairs", ()


_OPTIONS = _describe()
