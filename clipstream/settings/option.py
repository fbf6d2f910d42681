"""What an option is, and how its value is read: from a flag or the environment as text, from TOML as a value."""

import difflib
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from clipstream.errors import UsageError

__all__ = [
    "ENVIRONMENT_PREFIX",
    "JOB_VARIABLE",
    "MESSAGE_VARIABLES",
    "Kind",
    "Option",
    "duration_text",
    "option_field",
    "parse_duration",
    "program_alone",
    "suggestion",
    "without_secrets",
]

ENVIRONMENT_PREFIX = "CLIPSTREAM_"
JOB_VARIABLE = "JOB_MESSAGE"
"""The variable that describes a batch job."""

MESSAGE_VARIABLES = tuple(
    ENVIRONMENT_PREFIX + name
    for name in (
        *("KEY", "STREAM", "NUMBER", "CLIP", "START_S", "END_S", "PEAK_S", "START_DATE", "END_DATE", "PEAK_DATE"),
        *("SCORE", "REASON", "MANIFEST", "SCHEMA"),
    )
)
"""What a program is given that is told of a clip: the fields of a message. It may run clipstream in its turn."""

Kind = Literal["int", "float", "duration", "str", "bool", "choice", "list", "pairs", "prompts", "commands"]
"""`duration` is seconds as a float; `list` a tuple of texts; `pairs` a tuple of (name, number), sorted by name;
`prompts` a tuple of (text, number) in the order given, where the number may be left out for 1; `commands` a tuple of
texts that may hold commas, a line each in a variable."""

_DURATION = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s?)?"
    r"|(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d{1,2}(?:\.\d+)?)",
    re.ASCII,
)
_BOOLEANS = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)
_EXPECTED: Mapping[Kind, str] = {
    "int": "give a whole number",
    "float": "give a number",
    "duration": "give seconds, or a time such as 90s, 1m30s, 2h or 1:30",
    "str": "give a text",
    "bool": "give true or false",
    "choice": "give a text",
    "list": "give one or more names",
    "pairs": "give NAME=NUMBER",
    "prompts": "give a text, or TEXT=NUMBER",
    "commands": "give one or more texts",
}
_METAVARS: Mapping[Kind, str] = {
    "int": "N",
    "float": "NUMBER",
    "duration": "TIME",
    "str": "TEXT",
    "bool": "",
    "choice": "NAME",
    "list": "NAME",
    "pairs": "NAME=NUMBER",
    "prompts": "TEXT[=NUMBER]",
    "commands": "TEXT",
}


@dataclass(frozen=True, slots=True)
class Option:
    """How a field of `Settings` looks from outside.

    Attributes:
        name: Field name in `Settings`, with its unit.
        key: External name: the TOML key, and what flag and variable are made from.
        help: What it does.
        group: Heading it stands under.
        default: Its default; `None` where leaving it out means something else.
        kind: What its value is.
        choices: What a choice, or each name of a list, may be.
        minimum: Smallest value allowed.
        maximum: Largest value allowed.
        unit: Unit, where it has one.
        shapes_result: Whether it changes what is found or written, so that a finished input has to be done again.
        short: One-letter flag.
        shown: What others may see of one of its texts, where these may hold secrets.
    """

    name: str
    key: str
    help: str
    group: str
    default: Any
    kind: Kind
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    shapes_result: bool = True
    short: str | None = None
    shown: Callable[[str], str] | None = None

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENVIRONMENT_PREFIX + self.key.upper()

    @property
    def repeatable(self) -> bool:
        """Whether the flag may be given several times."""
        return self.kind in {"list", "pairs", "prompts", "commands"}

    @property
    def separator(self) -> str:
        """What stands between several values in one text: something that none of them holds."""
        return {"prompts": ";", "commands": "\n"}.get(self.kind, ",")

    @property
    def metavar(self) -> str:
        """What stands for its value in a table: `N`, `TIME`, `a|b`, …; empty for what is on or off."""
        return "|".join(self.choices) if self.choices else _METAVARS[self.kind]

    @property
    def default_text(self) -> str:
        """The default as one would write it; empty where there is none."""
        return "" if self.default is None or self.repeatable else self.written(self.default)

    def written(self, value: Any) -> str:
        """Return a single value as one would write it."""
        if self.kind == "duration":
            return duration_text(value)
        if self.kind == "bool":
            return "true" if value else "false"
        return str(value) if self.kind in {"str", "choice"} else f"{value:g}"

    def parse(self, text: str, where: str) -> Any:
        """Return the value that `text` stands for, checked; several are divided by the `separator`.

        Raises:
            UsageError: It stands for none that fits; the message begins with `where`.
        """
        return self.check(self._from_text(text.strip(), where), where)

    def accept(self, value: Any, where: str) -> Any:
        """Return a value as TOML or a caller gives it, checked. Durations may be numbers or texts.

        Raises:
            UsageError: It does not fit; the message begins with `where`.
        """
        return self.check(self._from_value(value, where), where)

    def check(self, value: Any, where: str) -> Any:
        """Return a value of the right type if it is within its limits.

        Raises:
            UsageError: It is not; the message begins with `where`.
        """
        if self.kind in {"int", "float", "duration"} and value is not None:
            self._check_number(value, where)
        for name in (value if self.kind == "list" else (value,)) if self.choices else ():
            if name not in self.choices:
                otherwise = f"choose one of {', '.join(self.choices)}."
                raise UsageError(f"{where} is {name!r}; {suggestion(name, self.choices, otherwise)}")
        if self.kind == "str" and value is not None and not value:
            raise self._misfit(value, where)
        if self.kind == "commands" and not all(value):
            raise self._misfit("", where)
        if self.kind in {"pairs", "prompts"}:
            self._check_weighted(value, where)
        return value

    def _check_weighted(self, value: Sequence[tuple[str, float]], where: str) -> None:
        seen: set[str] = set()
        for name, number in value:
            if not (math.isfinite(number) and number >= 0):
                raise UsageError(f"{where} has {name}={number:g}; give 0 or more.")
            if not name and self.kind == "prompts":
                raise UsageError(f"{where}: a prompt is empty; say in a few words what to look for.")
            if not name:
                raise self._misfit(name, where)
            if name in seen:
                raise UsageError(f"{where} has {name!r} more than once; give it once, with one weight.")
            seen.add(name)

    def _check_number(self, value: float, where: str) -> None:
        shown = duration_text if self.kind == "duration" else "{:g}".format
        if not math.isfinite(value):
            raise UsageError(f"{where} is {value}; give a finite number.")
        if self.minimum is not None and value < self.minimum:
            raise UsageError(f"{where} is {shown(value)}; the smallest allowed is {shown(self.minimum)}.")
        if self.maximum is not None and value > self.maximum:
            raise UsageError(f"{where} is {shown(value)}; the largest allowed is {shown(self.maximum)}.")

    def _from_text(self, text: str, where: str) -> Any:
        try:
            return _FROM_TEXT[self.kind](text)
        except (ValueError, KeyError):
            raise self._misfit(text, where) from None

    def _from_value(self, value: Any, where: str) -> Any:
        number = _is_number(value)
        fitted: Any = value
        match self.kind:
            case "str" | "choice" if isinstance(value, str | Path):
                fitted = str(value)
            case "bool" if isinstance(value, bool):
                pass
            case "int" if number and float(value).is_integer():
                fitted = int(value)
            case "float" | "duration" if number:
                fitted = float(value)
            case "duration" | "list" | "pairs" | "prompts" | "commands" if isinstance(value, str):
                fitted = self._from_text(value, where)
            case "prompts" if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
                fitted = tuple(_prompt(text) for text in value)
            case "prompts" if isinstance(value, Mapping) and all(_is_number(one) for one in value.values()):
                fitted = tuple((text.strip(), float(number)) for text, number in value.items())
            case "list" | "commands" if isinstance(value, list | tuple) and all(
                isinstance(name, str) for name in value
            ):
                fitted = tuple(map(str.strip, value))
            case "pairs" if isinstance(value, Mapping) and all(_is_number(one) for one in value.values()):
                fitted = _pairs(value.items())
            case _:
                raise self._misfit(value, where)
        return fitted

    def _misfit(self, value: Any, where: str) -> UsageError:
        return UsageError(f"{where} is {value!r}; {_EXPECTED[self.kind]}.")


def option_field(
    default: Any,
    text: str,
    group: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str = "",
    shapes_result: bool = True,
    short: str | None = None,
    key: str | None = None,
    kind: Kind | None = None,
    choices: tuple[str, ...] = (),
    shown: Callable[[str], str] | None = None,
) -> Any:
    """Return a dataclass field that is an option; the arguments are attributes of `Option`, `text` its help."""
    metadata = {
        "key": key,
        "kind": kind,
        "choices": choices,
        "help": text,
        "group": group,
        "minimum": minimum,
        "maximum": maximum,
        "unit": unit,
        "shapes_result": shapes_result,
        "short": short,
        "shown": shown,
    }
    return field(default=default, metadata=metadata)


def parse_duration(text: str) -> float:
    """Return the seconds that `90`, `90s`, `1m30s`, `2h`, `1:30` or `1:02:03.5` stand for.

    >>> parse_duration("1m30s")
    90.0

    Raises:
        ValueError: It stands for no length of time.
    """
    found = _DURATION.fullmatch(text)
    if not found or not text:
        raise ValueError(f"{text!r} is no duration")
    h, m, s, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    if seconds >= 60 or (hours and minutes >= 60):
        raise ValueError(f"{text!r} is no duration")
    return (h + hours) * 3600 + (m + minutes) * 60 + s + seconds


def program_alone(command: str) -> str:
    """Return a command without what its program is told: keys and passwords, as like as not.

    >>> program_alone("/usr/bin/upload --key 'T0 KEN' {clip}"), program_alone("ls")
    ('upload …', 'ls')
    """
    try:
        program, *rest = shlex.split(command)
    except ValueError:
        return "…"
    return f"{Path(program).name} …" if rest else Path(program).name


def without_secrets(text: str) -> str:
    """Return a text in which every web address is cut off behind its host, and lacks user and password.

    >>> without_secrets("https://me:secret@chat.example/hook/T0KEN?key=1")
    'https://chat.example/…'
    """
    return re.sub(r"(\w+://)(?:[^\s/@]*@)?([^\s/?#]+)\S*", r"\1\2/…", text)


def duration_text(duration_s: float) -> str:
    """Return seconds as one writes them on the command line.

    >>> duration_text(5400.0), duration_text(0.5)
    ('1h30m', '0.5s')
    """
    if duration_s < 60 or duration_s != int(duration_s):
        return f"{duration_s:.10g}s"
    minutes, seconds = divmod(int(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def suggestion(given: str, known: Sequence[str], otherwise: str) -> str:
    """Return the closest of the names in `known` as a question, or `otherwise` where none is close.

    >>> suggestion("gausian", ["gaussian", "median"], "choose another.")
    "did you mean 'gaussian'?"
    """
    close = difflib.get_close_matches(given, known, n=1)
    return f"did you mean {close[0]!r}?" if close else otherwise


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _pairs(items: Iterable[Iterable[Any]]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted({name.strip(): float(number) for name, number in items}.items()))


def _prompt(text: str) -> tuple[str, float]:
    words, equals, number = text.rpartition("=")
    if equals and re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", number, re.ASCII):
        return words.strip(), float(number)
    return text.strip(), 1.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FROM_TEXT: Mapping[Kind, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "duration": parse_duration,
    "str": str,
    "bool": lambda text: _BOOLEANS[text.lower()],
    "choice": str,
    "list": _names,
    "pairs": lambda text: _pairs(pair.split("=") for pair in _names(text)),
    "commands": lambda text: tuple(filter(None, map(str.strip, text.split("\n")))),
    "prompts": lambda text: tuple(_prompt(part) for part in text.split(";") if part.strip()),
}
