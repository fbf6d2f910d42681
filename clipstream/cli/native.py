"""What the system sees of the program: standard streams that can be relied on, and a title without secrets."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

from clipstream.settings import options

__all__ = ["hide_secrets", "native_stderr_hidden", "prepare_standard_streams"]

_STDERR = 2


def prepare_standard_streams() -> None:
    """Open what the caller has closed, so that no other file gets its number, and let any name be printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for as long as the program
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def hide_secrets(arguments: Sequence[str]) -> None:
    """Take what may be secret in these arguments out of the command line that a list of processes shows.

    Of addresses that is user, password and parameters, of webhooks the path, too, and of commands all but the program.
    """
    # Imported late: most command lines have none of these.
    from setproctitle import getproctitle, setproctitle  # noqa: PLC0415

    from clipstream.media.live.address import scrub  # noqa: PLC0415

    title = shown = getproctitle()
    harmless = {option.flag: option.shown for option in options() if option.shown}
    for one, after in zip_longest(arguments, arguments[1:], fillvalue=""):
        flag, equals, text = one.partition("=")
        if flag in harmless:
            given = one if equals else f"{one} {after}"
            shown = shown.replace(given, f"{flag}{equals or ' '}{harmless[flag](text if equals else after)}")
    if (shown := scrub(shown)) != title:
        setproctitle(shown)


@contextmanager
def native_stderr_hidden(*, hide: bool = True) -> Iterator[None]:
    """Keep from stderr what libraries in C and Rust write past Python: a panic's backtrace, FFmpeg's lines.

    What is written to `sys.stderr` arrives as before.
    """
    if not hide:
        yield
        return
    with ExitStack() as undo:
        kept = os.dup(_STDERR)
        undo.callback(os.close, kept)
        undo.callback(os.dup2, kept, _STDERR)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        if _writes_there(sys.stderr):
            undo.callback(setattr, sys, "stderr", sys.stderr)
            encoding = sys.stderr.encoding
            sys.stderr = undo.enter_context(
                open(kept, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False)
            )
        yield


def _writes_there(file: TextIO) -> bool:
    try:
        return file.fileno() == _STDERR
    except (OSError, ValueError):
        return False  # replaced by something in memory, as tests do
