"""Who watches a run, and what they are told: how it goes, and what became of each input."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from clipstream.report.manifest import Manifest
from clipstream.results import Interval

__all__ = ["FetchWatcher", "Outcome", "OutcomeState", "WarmUpWatcher", "Watcher"]

OutcomeState = Literal["done", "already_done", "stopped", "failed", "bad_input"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one input.

    Attributes:
        stream: Its name.
        source: The file, or the address without its secrets.
        folder: Where its results are.
        state: `"done"`, `"already_done"` (with the same settings, nothing was repeated), `"stopped"` (the same command
            goes on with it), `"failed"`, or `"bad_input"`.
        message: One line: why it failed, or what is to be known about it.
        manifest: What was found.
        read_s: Of a live stream, for how much of its time something came and was looked at in this run.
    """

    stream: str
    source: Path | str
    folder: Path
    state: OutcomeState
    message: str | None = None
    manifest: Manifest | None = None
    read_s: Fraction | None = None


class Watcher(Protocol):
    """Told how a run goes. Called from worker threads; must return at once."""

    def started(self, stream: str, duration_s: Fraction | None) -> None:
        """A stream is about to be read; its duration as far as its container tells."""

    def progressed(self, stream: str, media_s: Fraction) -> None:
        """A stream has been read up to `media_s`."""

    def clip_written(self, stream: str, interval: Interval, path: Path) -> None:
        """A clip is there."""

    def finished(self, outcome: Outcome) -> None:
        """An input is done with, one way or another."""


@runtime_checkable
class FetchWatcher(Protocol):
    """A watcher that is also told how fetching goes."""

    def fetching(self, stream: str, share: float) -> None:
        """So much of a stream has been fetched, 0 to 1, or from now on will be."""


@runtime_checkable
class WarmUpWatcher(Protocol):
    """A watcher that is also told of live streams whether it is known what is usual in them."""

    def warming_up(self, stream: str, seconds: float) -> None:
        """It is not known, and nothing is given out, until so many seconds were seen; with 0 seconds, it is known."""
