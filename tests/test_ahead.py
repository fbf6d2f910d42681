"""Reading ahead: the same slices as without, never more of them than asked, and nothing left behind."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event
from threading import enumerate as threads
from typing import Self, cast

import numpy as np
import pytest
from scenes import make_scene

from clipstream.media.ahead import ReadAhead, ReadHere
from clipstream.media.decode import SliceReader
from clipstream.media.slices import FrameRequest, MediaNeeds, Slice

SMALL = FrameRequest(side_px=64, rate_hz=Fraction(4))


class Counted:
    """A reader that says how far it was read."""

    def __init__(self, slices: int, *, breaks: bool = False) -> None:
        self.read, self.closed = 0, Event()
        self._slices, self._breaks = slices, breaks
        self.reached = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()

    def __iter__(self) -> Iterator[Slice]:
        for n in range(self._slices):
            self.read = n + 1
            yield Slice("s", n)
        self.reached.set()
        if self._breaks:
            raise OSError("the disk went away")


def ahead_of(reader: Counted, ahead: int = 2) -> ReadAhead:
    return ReadAhead(lambda: cast("SliceReader", reader), ahead)


def taken(reader: ReadAhead | ReadHere, until: int) -> list[Slice]:
    """Take slices, as one that asks again and again does, up to the end slice or `until` of them."""
    slices: list[Slice] = []
    while len(slices) < until and not (slices and slices[-1].end):
        slices += reader.take()
    return slices


def test_slices_are_the_same_as_without(tmp_path: Path) -> None:
    path = make_scene(tmp_path / "scene.mp4", rate_hz=10)

    def opened() -> SliceReader:
        return SliceReader(path, "s", MediaNeeds((SMALL,)))

    plain, early = taken(ReadHere(opened), 1000), taken(reader := ReadAhead(opened, 3), 1000)
    reader.close()
    assert [one.n for one in early] == [one.n for one in plain]
    assert early[-1].end == plain[-1].end
    for one, other in zip(plain[:-1], early[:-1], strict=True):
        assert np.array_equal(one.frames[SMALL].pixels, other.frames[SMALL].pixels)


def test_no_more_is_read_than_asked_for() -> None:
    source = Counted(100)
    reader = ahead_of(source, ahead=3)
    assert [one.n for one in taken(reader, 5)][:5] == [0, 1, 2, 3, 4]
    reader.close()
    assert source.read <= 5 + 3 + 3 + 1  # taken, ready when they were taken, ready now, in hand
    assert source.closed.is_set()


def test_what_was_read_before_a_failure_comes_first() -> None:
    source = Counted(3, breaks=True)
    reader = ahead_of(source, ahead=5)
    assert source.reached.wait(5)
    slices = taken(reader, 3)
    assert [one.n for one in slices] == [0, 1, 2]
    assert source.closed.wait(5)
    with pytest.raises(OSError, match="the disk went away"):
        taken(reader, 1)
    reader.close()


def test_closing_leaves_no_thread_behind() -> None:
    before = set(threads())
    reader = ahead_of(Counted(1000))
    reader.close()
    assert set(threads()) == before
