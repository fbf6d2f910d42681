"""Features that fail in the middle of a stream: counted, so that no such result passes for a whole one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from clipstream.errors import ClipstreamError

__all__ = ["Failure", "add_failures", "in_one_line"]

_LONGEST = 160
"""Characters of an error that travel with a row, which has to stay light; a GPU's words for it run to a page."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A feature that failed.

    Attributes:
        feature: Its name.
        slices: In how many slices.
        error: What it said the first time, in one line.
    """

    feature: str
    slices: int
    error: str


def add_failures(before: tuple[Failure, ...], more: Iterable[Failure]) -> tuple[Failure, ...]:
    """Return the failures of both, one a feature, in the order in which they first failed."""
    together = {one.feature: one for one in before}
    for one in more:
        first = together.get(one.feature, replace(one, slices=0))
        together[one.feature] = replace(first, slices=first.slices + one.slices)
    return tuple(together.values())


def in_one_line(error: Exception) -> str:
    r"""Return what an error says, short and in one line, with its name where it is none of ours.

    >>> in_one_line(MemoryError())
    'MemoryError'
    >>> in_one_line(RuntimeError("CUDA error:\n  out of luck."))
    'RuntimeError: CUDA error: out of luck'
    """
    name = "" if isinstance(error, ClipstreamError) else type(error).__name__
    text = ": ".join(filter(None, (name, " ".join(str(error).split()))))
    return text.rstrip(".") if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
