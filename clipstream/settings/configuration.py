"""Where the values of options come from beside the command line: TOML files, environment variables, presets.

Everything here is given the options it reads for, so that their definition in `clipstream.settings` can use it.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clipstream.errors import UsageError
from clipstream.settings.option import ENVIRONMENT_PREFIX, MESSAGE_VARIABLES, Option, suggestion

__all__ = ["PRESETS", "accepted", "filled_in", "read_environment", "read_preset", "read_toml"]

PRESETS = Path(__file__).with_name("presets")
"""Folder of the presets, a TOML file each."""

_OTHER_VARIABLES = frozenset({"CLIPSTREAM_CACHE", "CLIPSTREAM_INPUTS", "CLIPSTREAM_WEIGHTS", *MESSAGE_VARIABLES})
"""Variables with our prefix that are no options: what the flows read, the folders of models, and messages."""


def accepted(values: Mapping[str, Any], known: Sequence[Option], where: str) -> dict[str, Any]:
    """Return raw values under their external keys by field name, checked. Keys may have dashes for underscores.

    Raises:
        UsageError: A key is unknown, or a value does not fit; the message begins with `where`.
    """
    by_key = {option.key: option for option in known}
    fitting = {}
    for given, value in values.items():
        option = by_key.get(given.replace("-", "_"))
        if option is None:
            hint = suggestion(given.replace("-", "_"), list(by_key), "'clipstream --help' lists them.")
            raise UsageError(f"{where}there is no option {given!r}; {hint}")
        fitting[option.name] = option.accept(value, f"{where}{given}")
    return fitting


def read_toml(path: Path, known: Sequence[Option]) -> dict[str, Any]:
    """Return the options in a TOML file by field name, checked. Its keys may have dashes for underscores.

    Raises:
        UsageError: The file is absent or no TOML, a key is unknown, or a value does not fit.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such configuration file; check the name.") from None
    except OSError as error:
        raise UsageError(f"{path}: the configuration file cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: no TOML file ({error}); write lines such as: top = 5") from error
    return accepted(values, known, f"{path}: ")


def read_environment(environment: Mapping[str, str], known: Sequence[Option]) -> dict[str, Any]:
    """Return the options in environment variables by field name, checked. An empty variable counts as unset.

    Raises:
        UsageError: A variable that starts with `CLIPSTREAM_` is unknown, or a value does not fit.
    """
    by_variable = {option.variable: option for option in known}
    given = {name: text for name, text in environment.items() if name.startswith(ENVIRONMENT_PREFIX) and text}
    for name in sorted(given.keys() - by_variable.keys() - _OTHER_VARIABLES):
        hint = suggestion(name, list(by_variable), "unset it; 'clipstream --help' lists the options.")
        raise UsageError(f"{name}: there is no such variable; {hint}")
    return {
        by_variable[name].name: by_variable[name].parse(text, name)
        for name, text in given.items()
        if name in by_variable
    }


def read_preset(name: str, known: Sequence[Option]) -> dict[str, Any]:
    """Return the values that the preset `name` sets, by field name, checked; those of `auto` are none."""
    return read_toml(PRESETS / f"{name}.toml", known)


def filled_in(given: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are `given`, and those of the preset where none is.

    Weights are filled in feature by feature, as the features' own weights are. The percentile of a preset gives way to
    `top` and `target_duration_s`, which say how much is wanted, as the default does.
    """
    values = {**preset, **given}
    if "weight" in values:
        weights = dict(preset.get("weight", ())) | dict(given.get("weight", ()))
        values["weight"] = tuple(sorted(weights.items()))
    if "percentile" not in given and given.keys() & {"top", "target_duration_s"}:
        values.pop("percentile", None)
    return values
