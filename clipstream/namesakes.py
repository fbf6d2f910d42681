"""Who a folder of results belongs to: every camera card has its GX010001.MP4, and none gives way to another."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from clipstream.errors import InputError
from clipstream.media.inputs import STATE_FOLDER, Input
from clipstream.media.probe import fingerprint
from clipstream.report.files import write_atomically
from clipstream.report.manifest import read_manifest
from clipstream.report.records import from_json, to_json

__all__ = ["claim", "named_apart"]

_CLAIMS = "sources"


@dataclass(frozen=True, slots=True)
class _Claim:
    path: str
    fingerprint: str


def named_apart(out: Path, inputs: Sequence[Input]) -> list[Input]:
    """Give each file whose name in `out` belongs to another file's results the next free one.

    A file keeps its results when it is moved or changed, though not both.
    """
    taken = {item.stream for item in inputs}
    named = []
    for item in inputs:
        stream, number = item.stream, 1
        while _belongs_to_another(out, stream, item.path) or (stream != item.stream and stream in taken):
            number += 1
            stream = f"{item.stream}-{number}"
        taken.add(stream)
        named.append(replace(item, stream=stream))
    return named


def claim(out: Path, item: Input, source_fingerprint: str) -> None:
    """Write down whose results `out` is about to hold under the stream's name.

    Raises:
        OutputError: It cannot be written.
    """
    with write_atomically(_claim_path(out, item.stream)) as temporary:
        owner = _Claim(str(item.path.absolute()), source_fingerprint)
        temporary.write_text(json.dumps(to_json(owner)), encoding="utf-8")


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
