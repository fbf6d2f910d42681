"""Files that appear whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clipstream.errors import OutputError

__all__ = ["make_durable", "write_atomically", "writing"]

_ELSEWHERE = "choose another folder with --out"
_ADVICE = {
    errno.ENOSPC: f"free some space, or {_ELSEWHERE}",
    errno.EDQUOT: f"free some space, or {_ELSEWHERE}",
    errno.EACCES: f"allow writing there, or {_ELSEWHERE}",
    errno.EPERM: f"allow writing there, or {_ELSEWHERE}",
    errno.EROFS: _ELSEWHERE,
    errno.EEXIST: f"a file is where a folder should be; move it, or {_ELSEWHERE}",
    errno.ENOTDIR: f"a file is where a folder should be; move it, or {_ELSEWHERE}",
    errno.EISDIR: f"a folder is where the file should be; move it, or {_ELSEWHERE}",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says about writing below `path` into one line about `path`.

    Raises:
        OutputError: An OSError left the block.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        seen = error.strerror or str(error).splitlines()[0]
        advice = _ADVICE.get(error.errno or 0, _ELSEWHERE)
        raise OutputError(f"{path}: cannot be written ({seen}): {advice}.") from error


def make_durable(path: Path) -> None:
    """Let a file and its name survive a power cut, as far as the file system can promise that.

    Raises:
        OutputError: The file cannot be stored.
    """
    with writing(path):
        _store(path)
        _store_names(path.parent)


@contextmanager
def write_atomically(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path to write, and rename it to `path` when the block ends without an exception.

    The temporary file lies beside `path` under a name that starts with a dot and is always the same, so that what a
    killed run leaves behind is overwritten by the next. Missing folders are made. A block that raises leaves `path` as
    it was and removes the temporary file.

    Args:
        path: The file.
        durable: Whether it has to survive a power cut: for what cannot be made again.

    Raises:
        OutputError: A folder or file cannot be made, written or renamed.
    """
    temporary = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if durable:  # before the rename, which could otherwise outlive what was written
                _store(temporary)
            temporary.replace(path)
            if durable:
                _store_names(path.parent)
        except BaseException:
            _discard(temporary)
            raise


def _discard(path: Path) -> None:
    with suppress(OSError):  # the exception on its way says more
        path.unlink(missing_ok=True)


def _store(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _store_names(folder: Path) -> None:
    with suppress(OSError):  # not every file system can
        _store(folder)
