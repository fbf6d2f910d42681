"""Who a folder of results belongs to: every camera card has its GX010001.MP4, and none gives way to another."""

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from clipstream.errors import InputError
from clipstream.fetching import WebInput
from clipstream.media.inputs import STATE_FOLDER, Input
from clipstream.media.live.address import LiveInput
from clipstream.media.probe import fingerprint
from clipstream.report.files import write_atomically
from clipstream.report.manifest import read_manifest
from clipstream.report.records import from_json, to_json

__all__ = ["claim", "live_named_apart", "named_apart"]

_CLAIMS = "sources"
_Addressed = TypeVar("_Addressed", LiveInput, WebInput)


@dataclass(frozen=True, slots=True)
class _Claim:
    path: str
    fingerprint: str


def named_apart(out: Path, inputs: Sequence[Input]) -> list[Input]:
    """Give each file the name in `out` under which its results are, or else the next that is nobody's.

    A file keeps its results when it is moved or changed, though not both.
    """
    owned = {item: name for item in inputs if (name := _owned(out, item))}
    taken = set(owned.values())
    named = []
    for item in inputs:
        stream, number = owned.get(item), 1
        while stream is None:
            candidate = item.stream if number == 1 else f"{item.stream}-{number}"
            if candidate not in taken and not _belongs_to_another(out, candidate, item.path):
                stream = candidate
            number += 1
        taken.add(stream)
        named.append(replace(item, stream=stream))
    return named


def live_named_apart(out: Path, inputs: Sequence[_Addressed], taken: Collection[str]) -> list[_Addressed]:
    """Give what has an address the name in `out` under which its results are, or else the next that is nobody's."""
    used = set(taken)
    named = []
    for item in inputs:
        stream, number = item.stream, 1
        while stream in used or not _is_free_for(out, stream, str(item.address)):
            number += 1
            stream = f"{item.stream}-{number}"
        used.add(stream)
        named.append(replace(item, stream=stream))
    return named


def _is_free_for(out: Path, stream: str, address: str) -> bool:
    owner = _owner(out, stream)
    return owner is None or owner.path == address


def claim(out: Path, item: Input, source_fingerprint: str) -> None:
    """Write down whose results `out` is about to hold under the stream's name.

    Raises:
        OutputError: It cannot be written.
    """
    with write_atomically(_claim_path(out, item.stream)) as temporary:
        owner = _Claim(item.origin or str(item.path.absolute()), source_fingerprint)
        temporary.write_text(json.dumps(to_json(owner)), encoding="utf-8")


def _owned(out: Path, item: Input) -> str | None:
    """Return the name under which `out` holds this very file's results, if it does."""
    for claimed in sorted((out / STATE_FOLDER / _CLAIMS).glob("*.json")):
        owner = _owner(out, claimed.stem)
        if owner is not None and Path(owner.path) == item.path.absolute():
            return claimed.stem
    return None


def _belongs_to_another(out: Path, stream: str, path: Path) -> bool:
    owner = _owner(out, stream)
    if owner is None or Path(owner.path).absolute() == path.absolute():
        return False
    try:
        return owner.fingerprint != fingerprint(path)
    except InputError:
        return False  # it is reported where it is opened


def _owner(out: Path, stream: str) -> _Claim | None:
    if not (out / stream).is_dir():
        return None
    with suppress(OSError, ValueError):
        return from_json(_Claim, json.loads(_claim_path(out, stream).read_text(encoding="utf-8")))
    manifest = read_manifest(out / stream)
    return None if manifest is None else _Claim(manifest.source.path, manifest.source.fingerprint)


def _claim_path(out: Path, stream: str) -> Path:
    return out / STATE_FOLDER / _CLAIMS / f"{stream}.json"
