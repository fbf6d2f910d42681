"""Frozen dataclasses to JSON values and back, checked on the way in.

By hand, because what the runtime dependencies offer either does not check types or runs code named in the data.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

__all__ = ["from_json", "to_json"]

T = TypeVar("T")


def to_json(value: object) -> Any:
    """Return `value` as JSON values: records and mappings as objects, tuples as arrays, NaN and infinity as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, Decimal | float):
        return float(value) if math.isfinite(value) else None
    return value


def from_json(record: type[T], value: object, where: str = "") -> T:
    """Return `value`, as `json.loads(…, parse_float=Decimal)` gives it, as the dataclass `record`.

    Keys that `record` does not know are passed over, so that a later version may add some; a key that is missing takes
    its default. A null stands for NaN where a float is wanted.

    Raises:
        ValueError: Something is missing or of another type; the message names it, as `highlights[2].score`.
    """
    if not isinstance(value, dict):
        raise _mismatch(where, "an object", value)
    hints = get_type_hints(record)
    known = {}
    for item in fields(record):  # type: ignore[arg-type]  # T is a dataclass by contract
        place = f"{where}.{item.name}" if where else item.name
        if item.name in value:
            known[item.name] = _checked(hints[item.name], value[item.name], place)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{place} is missing")
    return record(**known)


def _checked(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return _plain(value)
    if is_dataclass(kind):
        return from_json(kind, value, where)  # type: ignore[arg-type]  # is_dataclass allows instances too
    if get_origin(kind) is UnionType:
        (wanted,) = (argument for argument in get_args(kind) if argument is not NoneType)
        return None if value is None else _checked(wanted, value, where)
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise _mismatch(where, " or ".join(map(repr, get_args(kind))), value)
    return _several(kind, value, where) if get_origin(kind) else _scalar(kind, value, where)


def _several(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) is Mapping:
        if not isinstance(value, dict):
            raise _mismatch(where, "an object", value)
        return {key: _checked(get_args(kind)[1], item, f"{where}.{key}") for key, item in value.items()}
    if not isinstance(value, list):
        raise _mismatch(where, "an array", value)
    return tuple(_checked(get_args(kind)[0], item, f"{where}[{place}]") for place, item in enumerate(value))


def _scalar(kind: type, value: Any, where: str) -> Any:
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if kind is float and (number or value is None):
        return math.nan if value is None else float(value)
    if kind is Decimal and number:
        return Decimal(value)
    if kind in {int, str, bool} and type(value) is kind:
        return value
    raise _mismatch(where, {str: "text", int: "a whole number", bool: "true or false"}.get(kind, "a number"), value)


def _plain(value: Any) -> Any:
    """Floats were read as decimals for the sake of times; elsewhere they are floats again."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _mismatch(where: str, wanted: str, seen: object) -> ValueError:
    text = repr(seen)
    return ValueError(f"{where or 'the document'} is {text if len(text) <= 40 else text[:37] + '…'}, not {wanted}")
