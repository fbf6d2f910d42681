"""Who a folder of results belongs to: every camera card has its GX010001.MP4, and none gives way to another."""

import json
import re
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from clipstream.errors import InputError
from clipstream.media.inputs import RECORDINGS, STATE_FOLDER, Input
from clipstream.media.live.address import LiveAddress, LiveInput
from clipstream.media.probe import fingerprint
from clipstream.report.files import write_atomically
from clipstream.report.manifest import read_manifest
from clipstream.report.records import from_json, to_json
from clipstream.run.fetching import WebInput

__all__ = ["claim", "live_named_apart", "named_apart"]

_CLAIMS, _ADDRESSES = "sources", "addresses"
_KEY_BYTES, _HIDDEN_BYTES, _WHOLE_BYTES = 32, 8, 2
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
    """Give what has an address the name in `out` under which its results are, or else the next that is nobody's.

    Addresses that look the same without their secrets are told apart by digests of these, which `out` keeps. Of an
    address that is all the same but for a password or token, that is taken for a new one.

    Raises:
        OutputError: The digests cannot be written.
    """
    key = _key(out) if inputs else b""
    known = _known_addresses(out)
    own = [_Address.of(item.address, key) for item in inputs]
    names: dict[int, str] = {}
    used = set(taken)
    for alike in (_Address.is_same, _Address.is_same_place):
        for place, item in enumerate(inputs):
            fitting = (name for name in known if name not in used and alike(own[place], known[name]))
            stream = next(filter(_numbered(item).fullmatch, fitting), None)
            if place not in names and stream is not None:
                names[place] = stream
                used.add(stream)
    for place, item in enumerate(inputs):
        stream, number = names.get(place), 1
        while stream is None:
            candidate = item.stream if number == 1 else f"{item.stream}-{number}"
            if candidate not in used and candidate not in known and _is_free_for(out, candidate, str(item.address)):
                stream = candidate
            number += 1
        names[place] = stream
        used.add(stream)
        if known.get(stream) != own[place]:
            with write_atomically(out / STATE_FOLDER / _ADDRESSES / f"{stream}.json") as temporary:
                temporary.write_text(json.dumps(to_json(own[place])), encoding="utf-8")
    return [replace(item, stream=names[place]) for place, item in enumerate(inputs)]


@dataclass(frozen=True, slots=True)
class _Address:
    """An address as it is shown, and keyed digests of what it hides.

    That of the whole, with the password, is too short to find that one by trying many.
    """

    shown: str
    user: str
    parameters: str
    whole: str

    @classmethod
    def of(cls, address: LiveAddress, key: bytes) -> "_Address":
        def digest(text: str, size: int) -> str:
            return blake2b(text.encode(), digest_size=size, key=key).hexdigest() if text else ""

        user, parameters = (digest(text, _HIDDEN_BYTES) for text in address.hidden)
        return cls(str(address), user, parameters, digest(address.reveal(), _WHOLE_BYTES))

    def is_same(self, other: "_Address") -> bool:
        return self == other

    def is_same_place(self, other: "_Address") -> bool:
        # Where a user was left out at first, it is no other stream.
        same_user = self.user == other.user or not self.user or not other.user
        return same_user and (self.shown, self.parameters) == (other.shown, other.parameters)


def _numbered(item: _Addressed) -> re.Pattern[str]:
    """Return what the names look like that were given to an input and its namesakes."""
    base = item.address.name if item.stream.startswith(item.address.name) else item.stream
    return re.compile(rf"{re.escape(base)}(-\d+)?")


def _known_addresses(out: Path) -> dict[str, _Address]:
    """Return whose each name is, where something is kept under it."""
    known = {}
    for path in sorted((out / STATE_FOLDER / _ADDRESSES).glob("*.json")):
        if (out / path.stem).is_dir() or (out / STATE_FOLDER / RECORDINGS / path.stem).is_dir():
            with suppress(OSError, ValueError):
                known[path.stem] = from_json(_Address, json.loads(path.read_text(encoding="utf-8")))
    return known


def _key(out: Path) -> bytes:
    path = out / STATE_FOLDER / _ADDRESSES / "key"
    with suppress(OSError):
        return path.read_bytes()
    key = secrets.token_bytes(_KEY_BYTES)
    with write_atomically(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_bytes(key)
    return key


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
