"""The file being written: under a temporary name until it is whole."""

import contextlib
import errno
import os
import threading
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import av
import av.container
import av.error

from clipstream.errors import CutError, OutputError
from clipstream.media.cut.containers import carrier
from clipstream.media.cut.edit_list import end_track_at
from clipstream.media.cut.source import AnyPacket

__all__ = ["Output"]

_DISK_ERRORS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.EIO,
    }
)


class Output:
    """A container that appears under its name only when `commit` was called; otherwise nothing is left.

    Raises:
        OutputError: From any method: the file cannot be written.
        CutError: From any method: the container does not take what it was given.
    """

    def __init__(self, target: Path, metadata: Mapping[str, str]) -> None:
        self.target = target
        unique = f"{os.getpid():x}-{threading.get_ident():x}"
        self._temporary = target.with_name(f".{target.stem}.{unique}{target.suffix}")
        self._started = False
        options = dict(carrier(target).options)
        with self._writing():
            self.container: av.container.OutputContainer = av.open(
                f"file:{self._temporary}", mode="w", container_options=options
            )
        self.container.metadata.update(metadata)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with contextlib.suppress(OSError, ValueError):
                self.container.close()
        self._temporary.unlink(missing_ok=True)

    def write(self, packet: AnyPacket) -> None:
        """Write a packet whose stream and times are set."""
        with self._writing():
            self.container.mux_one(packet)

    def commit(self, ends_s: Mapping[int, Fraction] = MappingProxyType({})) -> None:
        """Finish the file and give it its name.

        `ends_s` says at which times of the clip tracks end that hold more frames than are to be shown.
        """
        with self._writing():
            self.container.close()
            for number, end_s in ends_s.items():
                end_track_at(self._temporary, number, end_s)
            self._temporary.replace(self.target)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _DISK_ERRORS:
                raise OutputError(
                    f"{self.target}: cannot be written ({error.strerror}); "
                    "make room, allow writing, or choose another folder."
                ) from error
            raise CutError(f"{self.target}: the container refuses what it is given ({error}).") from error
        except ValueError as error:
            raise CutError(f"{self.target}: the container refuses what it is given ({error}).") from error
