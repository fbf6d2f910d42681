"""What runs keep to go on later, and who may write what: a folder for each run, a lock for each stream."""

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from clipstream.errors import UsageError
from clipstream.report.files import writing

__all__ = ["begin_run", "clear_other_runs", "only_run", "run_folder"]

_LIVE = "live.json"
_KEPT_S = 30 * 24 * 3600
"""Who comes back to other settings within a month goes on where he was with his files."""


def run_folder(state: Path, identity: object) -> Path:
    """Name the folder of a run by everything that its recovery store depends on, as JSON values."""
    # "jobs" of old: by this name what is unfinished is found again.
    return state / "jobs" / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def begin_run(folder: Path, live: Sequence[str]) -> None:
    """Make the folder of a run with these live streams, if it is not there.

    Raises:
        OSError: It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _LIVE).write_text(json.dumps(sorted(live)), encoding="utf-8")


def clear_other_runs(folder: Path, live: Collection[str]) -> set[str]:
    """Remove runs that nobody goes on with; return which live streams they had under way.

    That are those of which a live stream begins anew with the run in `folder`, and those untouched for a month. The
    locks of `only_run` on all live streams have to be held, so that none of the former is going.
    """
    anew: set[str] = set()
    for other in folder.parent.iterdir() if folder.parent.is_dir() else ():
        if other == folder:
            continue
        theirs = _live_streams(other) & set(live)
        if theirs or _touched_unix_s(other) < time.time() - _KEPT_S:
            anew |= theirs
            shutil.rmtree(other, ignore_errors=True)
    return anew


@contextmanager
def only_run(state: Path, streams: Sequence[str]) -> Iterator[None]:
    """Keep other runs from writing the same streams: a byte of one file is locked for each.

    Raises:
        UsageError: Another run writes one of them.
        OutputError: The state folder cannot be written.
    """
    with writing(state):
        lock = (state / "lock").open("a")
    with lock:
        for stream in streams:
            byte = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:6])
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            except BlockingIOError:
                raise UsageError(
                    f"{stream}: another run is writing it to {state.parent}; wait for that or stop it, "
                    "or choose another folder with --out."
                ) from None
        yield


def _live_streams(folder: Path) -> set[str]:
    with suppress(OSError, ValueError, TypeError):
        return set(json.loads((folder / _LIVE).read_text(encoding="utf-8")))
    return set()


def _touched_unix_s(folder: Path) -> float:
    """Return when anything of a run was last written, which a run that is going does at every epoch."""
    latest_s = 0.0
    for path in (folder, *folder.rglob("*")):
        with suppress(OSError):  # gone meanwhile
            latest_s = max(latest_s, path.stat().st_mtime)
    return latest_s
