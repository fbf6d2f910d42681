"""Media behind HTTP addresses that have an end: fetched before a run, kept until what was found in them is written."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from clipstream.media.inputs import STATE_FOLDER, Input
from clipstream.media.live.address import AddressCheck, LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.probe import fingerprint
from clipstream.media.web.download import fetch
from clipstream.media.web.web_media import WebMedia
from clipstream.report.files import write_atomically
from clipstream.report.records import from_json, to_json

__all__ = ["Downloads", "WebInput"]

_FOLDER = "downloads"


@dataclass(frozen=True, slots=True)
class WebInput:
    """Media with an end to fetch and work on.

    Attributes:
        stream: Its name: the key in the dataflow and the name of its output folder.
        address: Where it was said to be; what is shown, without its secrets.
        media: What is there.
        check: Asked about every address before it is; raises InputError.
    """

    stream: str
    address: LiveAddress
    media: WebMedia
    check: AddressCheck | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class _Note:
    """What was fetched for a stream. It stays when the file goes, to know again what is finished."""

    identity: str
    file: str
    fingerprint: str


class Downloads:
    """The fetched files of an output folder."""

    def __init__(self, out: Path) -> None:
        self._folder = out / STATE_FOLDER / _FOLDER

    def fingerprint_of(self, item: WebInput) -> str | None:
        """Return the fingerprint of the file that was fetched for a stream, if it was all of these very media."""
        note = self._note(item.stream)
        return note.fingerprint if note is not None and note.identity == item.media.identity else None

    def get(self, item: WebInput, told: Callable[[float], None], stop: Event, options: ConnectionOptions) -> Input:
        """Return the media as a file, fetching them unless they are there. `told` and errors as of `fetch`."""
        note = self._note(item.stream)
        if note is not None and note.identity == item.media.identity:
            path = self._folder / note.file
            with suppress(OSError):
                if fingerprint(path) == note.fingerprint:
                    return Input(item.stream, path, str(item.address))
        got = fetch(item.media, self._folder, item.stream, told=told, stop=stop, options=options)
        # What is not whole is fetched again the next time.
        identity = "" if got.problem else item.media.identity
        with write_atomically(self._note_path(item.stream)) as temporary:
            note = _Note(identity, got.path.name, fingerprint(got.path))
            temporary.write_text(json.dumps(to_json(note)), encoding="utf-8")
        return Input(item.stream, got.path, str(item.address), got.problem)

    def drop(self, item: Input) -> None:
        """Remove the file that was fetched for an input, if it is such a one."""
        if item.origin is not None and item.path.parent == self._folder:
            with suppress(OSError):
                item.path.unlink()

    def _note(self, stream: str) -> _Note | None:
        with suppress(OSError, ValueError):
            return from_json(_Note, json.loads(self._note_path(stream).read_text(encoding="utf-8")))
        return None

    def _note_path(self, stream: str) -> Path:
        return self._folder / f"{stream}.json"
