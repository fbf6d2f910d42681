"""What the outputs of a run have in common, and how they speak of what went wrong."""

import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from clipstream.errors import ClipstreamError, OutputError
from clipstream.log import traceback_of
from clipstream.media.cutter import Cutter
from clipstream.output.tally import ClipTally
from clipstream.report.manifest import Manifest
from clipstream.results import Interval
from clipstream.saved.saving import Saving
from clipstream.settings import Settings

__all__ = ["OutputContext", "in_words", "printable", "tell"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OutputContext:
    """What the outputs of a run have in common.

    Attributes:
        out: The output folder.
        settings: The run's.
        left_out: Features that could not be used, and why.
        cutter: What cuts the clips.
        pool: Where clips are cut and files written: as many streams at a time as it has threads.
        stopped: Asked often; once true, work is given up and nothing half-done stays.
        clip_written: Told of every clip as it appears. It raises `OutputError` where that has to be told again.
        stream_written: Told when all of a stream is written.
        tally: Where clips are counted.
        saving: What writes the tables that `--save` asks for, if anything is to.
        asked_for: Features without which a file's result is not what was asked for.
    """

    out: Path
    settings: Settings
    left_out: tuple[tuple[str, str], ...]
    cutter: Cutter
    pool: Executor
    stopped: Callable[[], bool]
    clip_written: Callable[[str, Interval, Path], None]
    stream_written: Callable[[str, Manifest], None]
    tally: ClipTally = field(default_factory=ClipTally)
    saving: Saving | None = None
    asked_for: frozenset[str] = frozenset()


def tell(callback: Callable[..., None], *news: object) -> None:
    """Call back; who listens and fails, on a closed terminal say, does not make a written file unwritten.

    Raises:
        OutputError: What is to be told further could not be written down, and would be lost.
    """
    try:
        callback(*news)
    except OutputError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a listener does wrong
        _log.debug("listener_failed", error=str(error), exc_info=traceback_of(error))


def in_words(error: BaseException) -> str:
    """Return what an error says, with its name where it is none of ours."""
    return str(error) if isinstance(error, ClipstreamError) else f"{type(error).__name__}: {error}"


def printable(path: str) -> str:
    """Return a path as text that any file can hold: what in it is no UTF-8 becomes a replacement character."""
    return os.fsencode(path).decode("utf-8", "replace")
