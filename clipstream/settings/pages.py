"""docs/options.md and docs/presets.md, made from what they describe."""

import tomllib
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from clipstream.settings import options
from clipstream.settings.configuration import PRESETS, accepted
from clipstream.settings.option import Option

__all__ = ["PresetLine", "options_page", "preset_lines", "presets_page"]

PresetLine = tuple[str, Any, str]
"""A key of a preset's file, its value, and the comment above it in one line."""

_OPTIONS_HEAD = """\
# Options

<!-- Made by `python -c "from clipstream.settings.pages import *; print(options_page(), end='')"`; a test compares. -->

Each option is a flag, a key in the TOML file given with `--config`, and an environment variable. The flag wins over the
variable, the variable over the file, the file over the [preset](presets.md), the preset over the default. A `TIME` is
written `90`, `90s`, `1m30s`, `2h` or `1:30`. What is on or off is `--scan` or `--no-scan`, and `true` or `false`
elsewhere. What may be repeated is a list or a table in TOML, and separated by commas in a variable; prompts, which may
hold commas, by semicolons."""

_PRESETS_HEAD = """\
# Presets

<!-- Made by `python -c "from clipstream.settings.pages import *; print(presets_page(), end='')"`; a test compares. -->

A preset sets options to what suits a kind of footage: `--preset sports`, `CLIPSTREAM_PRESET=sports`, or
`preset = "sports"` in the TOML file given with `--config`. What you set yourself, in any of the three, wins over the
preset: `--preset sports --pose-fps 5` is sports with fewer poses. Weights are set feature by feature: `--preset sports
--weight audio=0` silences the crowd and leaves the others as they are. A weight counts in proportion to those of the
other features that take part. With `--top` or `--target-duration`, which already say how much is wanted, the percentile
of a preset does not apply.

The presets are TOML files in `clipstream/settings/presets/`; a copy given with `--config` is a preset of your own. In
Python, `Settings.from_mapping({"preset": "sports", "top": 5})` applies one."""


def options_page() -> str:
    """Return docs/options.md: every option as flag, TOML key and variable, under its heading."""
    lines = [_OPTIONS_HEAD]
    for group, grouped in groupby(options(), key=lambda option: option.group):
        lines += [f"\n## {group}\n", "| flag | TOML key | variable | default | |", "| --- | --- | --- | --- | --- |"]
        lines += [_option_row(option) for option in grouped]
    return "\n".join(lines) + "\n"


def presets_page() -> str:
    """Return docs/presets.md: what each preset sets, and why."""
    lines = [_PRESETS_HEAD]
    (preset,) = (option for option in options() if option.name == "preset")
    for name in preset.choices:
        about, *rest = preset_lines(name)
        lines += [f"\n## {name}\n", about[2]]
        if rest:
            lines += ["\n| option | value | default | why |", "| --- | --- | --- | --- |"]
            lines += [_preset_row(line) for line in rest]
    return "\n".join(lines) + "\n"


def preset_lines(name: str) -> Iterator[PresetLine]:
    """Yield what the file of a preset says: first its head, without key and value, then each of its keys in order."""
    comment: list[str] = []
    for line in (PRESETS / f"{name}.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
            continue
        if line:
            key, value = line.split("=", 1)
            yield key.strip(), tomllib.loads(f"value = {value}")["value"], " ".join(comment)
        elif comment:
            yield "", None, " ".join(comment)
        comment.clear()
    if comment:
        yield "", None, " ".join(comment)


def _option_row(option: Option) -> str:
    flag = f"{option.flag} {option.metavar}".rstrip().replace("|", "\\|")
    flags = f"`{option.short}`, `{flag}`" if option.short else f"`{flag}`"
    default = f"`{option.default_text}`" if option.default_text else ""
    return f"| {flags} | `{option.key}` | `{option.variable}` | {default} | {option.help} |"


def _preset_row(line: PresetLine) -> str:
    key, value, why = line
    if key.startswith("weight."):
        return f"| `{key}` | `{value:g}` | | {why} |"
    option = {option.key: option for option in options()}[key]
    written = option.written(accepted({key: value}, options(), "")[option.name])
    default = f"`{option.default_text}`" if option.default_text else ""
    return f"| `{key}` | `{written}` | {default} | {why} |"
