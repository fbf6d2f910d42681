"""Flags made from the definition in `clipstream.settings`, their help, and the settings a command line asks for."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import click

from clipstream.settings import Settings, options
from clipstream.settings.configuration import read_environment, read_toml
from clipstream.settings.option import Option

__all__ = ["Flag", "Presentation", "RunCommand", "load_settings", "presentation_options", "settings_options"]

_PRESENTATION = "What is shown"


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a command talks.

    Attributes:
        as_json: One document on stdout instead of tables.
        quiet: Nothing but errors.
        debug: Tracebacks and the libraries' own messages.
    """

    FLAGS: ClassVar[frozenset[str]] = frozenset({"--json", "--quiet", "--debug"})

    as_json: bool = False
    quiet: bool = False
    debug: bool = False


class Flag(click.Option):
    """A flag that knows its heading in the help."""

    def __init__(self, declarations: Sequence[str], group: str, **attributes: Any) -> None:
        super().__init__(declarations, **attributes)
        self.group = group


class RunCommand(click.Command):
    """A command whose help shows the options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, one section a heading."""
        flags = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for group, grouped in groupby(flags, key=lambda flag: getattr(flag, "group", _PRESENTATION)):
            records = (flag.get_help_record(ctx) for flag in grouped)
            with formatter.section(group):
                formatter.write_dl([record for record in records if record], col_max=36)


def settings_options(names: Collection[str] | None = None) -> list[click.Parameter]:
    """Return a flag for every option of `Settings`, or those named, and `--config`."""
    config = Flag(
        ["--config"],
        "How it runs",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="TOML file with options; a flag or a CLIPSTREAM_ variable wins over it.",
    )
    return [*(_flag(option) for option in options() if names is None or option.name in names), config]


def presentation_options(*, quiet: bool = True) -> list[click.Parameter]:
    """Return the flags of `Presentation`, `--quiet` among them if wanted."""
    texts = {
        "json": "Print one machine-readable document on stdout; everything else goes to stderr.",
        "quiet": "Show nothing but errors.",
        "debug": "Show tracebacks and what the libraries say.",
    }
    return [
        Flag([f"--{name}"], _PRESENTATION, is_flag=True, help=text)
        for name, text in texts.items()
        if quiet or name != "quiet"
    ]


def load_settings(flags: Mapping[str, Any], config: Path | None) -> Settings:
    """Return the settings from flags, the environment, the configuration file, the preset they name and the defaults.

    Args:
        flags: By field name, as the flags of `settings_options` give them: texts, several of them, or a boolean.
        config: TOML file, if there is one.

    Raises:
        UsageError: Something does not fit; the message says whether a flag, a variable or the file is wrong.
    """
    from_file = read_toml(config, options()) if config else {}
    return Settings.from_layers(dict(_given(flags)), read_environment(os.environ, options()), from_file)


def _given(flags: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for option in options():
        value = flags.get(option.name)
        if value is None or value == ():
            continue
        if isinstance(value, str):
            value = option.parse(value, option.flag)
        elif option.kind in {"prompts", "commands"}:
            value = option.accept(value, option.flag)  # each as it stands, whatever divides them in a variable
        elif not isinstance(value, bool):
            value = option.parse(option.separator.join(value), option.flag)
        yield option.name, value


def _flag(option: Option) -> click.Option:
    if option.kind == "bool":
        return Flag(
            [f"{option.flag}/--no-{option.flag[2:]}", option.name], option.group, default=None, help=option.help
        )
    names = [option.flag, option.name, *([option.short] if option.short else [])]
    text = f"{option.help} [{option.default_text}]" if option.default_text else option.help
    return Flag(names, option.group, multiple=option.repeatable, metavar=option.metavar, help=text)
