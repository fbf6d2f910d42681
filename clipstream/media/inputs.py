"""What the arguments on a command line mean: files, folders and patterns become named streams."""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipstream.errors import InputError, InputNotFoundError

__all__ = ["MEDIA_SUFFIXES", "RECORDINGS", "STATE_FOLDER", "Input", "expand_inputs", "safe_name"]

STATE_FOLDER = ".clipstream"
"""Where a run keeps its state inside the output folder, which is known by it."""

RECORDINGS = "recordings"
"""Where in there each live stream has a folder of what came last."""

# FFmpeg's own list holds hundreds, among them .dat, .bin and .txt, which lie in folders beside footage.
MEDIA_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aiff", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flac", ".flv", ".h264"}
    | {".hevc", ".ivf", ".m2t", ".m2ts", ".m2v", ".m4a", ".m4b", ".m4v", ".mjpeg", ".mk3d", ".mka", ".mkv", ".mov"}
    | {".mp2", ".mp3", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".oga", ".ogg", ".ogm", ".ogv"}
    | {".opus", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".wav", ".webm", ".wma", ".wmv", ".wtv", ".y4m"}
)
"""Suffixes, in small letters, by which media files in a folder are known. A file that is named needs none of them."""


_NAME_BYTES = 120
"""Longest name of a stream: file systems allow 255 bytes, and others' tools add to it."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file to work on.

    Attributes:
        stream: Its name: the key in the dataflow and the name of its output folder.
        path: The file.
        origin: Of a file that was fetched for the run, the address it came from, without its secrets.
        problem: What is missing in such a file, in one line.
    """

    stream: str
    path: Path
    origin: str | None = None
    problem: str | None = None

    @property
    def source(self) -> str:
        """Where it comes from: its origin, or the path."""
        return self.origin or str(self.path)

    @property
    def name(self) -> str:
        """The last part of its source, for people."""
        return self.path.name if self.origin is None else self.origin.partition("?")[0].rpartition("/")[2]


def expand_inputs(arguments: Sequence[str]) -> tuple[list[Input], list[InputError]]:
    """Return the inputs that files, folders and glob patterns stand for, and what is wrong with the others.

    A folder stands for the media files in it and below it, hidden ones left out, sorted; a pattern that the shell left
    alone, `**` included, for what it matches. Neither takes the clips of an earlier run for footage: those have to be
    named, or their very folder. A file named twice counts once. A stream is named by its file's stem, made safe for a
    file system; files that share a stem are told apart by a number, in the order of their paths, so that the order of
    the arguments changes no name.
    """
    paths: dict[Path, Path] = {}
    errors: list[InputError] = []
    for argument in arguments:
        try:
            for path in _expand(argument):
                paths.setdefault(path.resolve(), path)
        except InputError as error:
            errors.append(error)
        except (OSError, ValueError) as error:
            errors.append(InputError(f"{argument}: cannot be read ({error})."))
    names = _named(paths)
    return [Input(names[real], path) for real, path in paths.items()], errors


def _expand(argument: str) -> list[Path]:
    scheme = re.match(r"([a-z][a-z0-9+.-]+)://", argument, re.IGNORECASE)
    if scheme:
        # The address itself may hold a password.
        raise InputError(f"{scheme[1]}://…: live streams are not supported in this version; save it to a file first.")
    if not argument.strip():
        raise InputNotFoundError("an argument is empty; name a file, a folder or a pattern.")
    path = Path(argument)
    if path.is_dir():
        found = [one for one in _media_in(path.rglob("*"), below=path) if one.parent == path or not _is_clip(one)]
        if not found:
            raise InputNotFoundError(f"{argument}: the folder holds no media files; name another, or the files.")
        return found
    if path.exists():
        return [path]
    if not glob.has_magic(argument):
        raise InputNotFoundError(f"{argument}: there is no such file; check the name.")
    matches = [Path(match) for match in glob.glob(argument, recursive=True)]  # noqa: PTH207 - takes absolute ones too
    found = sorted(match for match in matches if match.is_file())
    found += [inner for match in sorted(matches) if match.is_dir() for inner in _media_in(match.iterdir(), below=match)]
    if "**" in argument:
        found = [one for one in found if not _is_clip(one)]
    if not found:
        raise InputNotFoundError(f"{argument}: no file matches; check the pattern.")
    return found


def _media_in(paths: Iterable[Path], *, below: Path) -> list[Path]:
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in MEDIA_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(below).parts)
        and path.is_file()
    )


def _is_clip(path: Path) -> bool:
    """Say whether a file is a clip of an earlier run: OUT/STREAM/clips/FILE, where OUT holds the state folder."""
    folders = path.absolute().parents
    return folders[0].name == "clips" and len(folders) > 2 and (folders[2] / STATE_FOLDER).is_dir()


def _named(paths: Mapping[Path, Path]) -> dict[Path, str]:
    """Name files, given with the paths by which the user knows them: a link goes by its own name."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    # Names that need no number go first, so that none is taken by a number: `a-2.mp4` keeps its own.
    ordered = sorted(paths)
    stems = {path: safe_name(paths[path].stem) for path in ordered}
    first = {stems[path].casefold(): path for path in reversed(ordered)}
    for path in sorted(ordered, key=lambda path: first[stems[path].casefold()] != path):
        name, number = stems[path], 2
        while name.casefold() in taken:
            name, number = f"{stems[path]}-{number}", number + 1
        taken.add(name.casefold())
        names[path] = name
    return names


def safe_name(stem: str) -> str:
    """Keep letters and digits of any script; what a file system or a shell may object to becomes a dash."""
    safe = re.sub(r"[^\w.-]+", "-", stem).encode()[:_NAME_BYTES].decode(errors="ignore")
    return safe.strip("-.") or "stream"
