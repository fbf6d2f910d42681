"""Containers are read packet by packet, and whoever stops reading leaves nothing behind."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av.container

import clipstream
from clipstream.media.packets import demux

MEDIA = Path(clipstream.__file__).parent / "media"


class Reader:
    """Reads on and on and, as PyAV's own, keeps what it reads with until it is closed."""

    closed = False

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        return 1

    def close(self) -> None:
        self.closed = True


class Container:
    def __init__(self) -> None:
        self.reader = Reader()

    def demux(self, *_: object) -> Reader:
        return self.reader


def test_a_reader_that_is_left_at_some_packet_is_closed() -> None:
    container = Container()
    packets = demux(cast("av.container.InputContainer", container))
    next(packets)
    assert not container.reader.closed
    del packets
    assert container.reader.closed


def test_nothing_in_the_media_room_reads_in_another_way() -> None:
    readers = {
        path.relative_to(MEDIA).as_posix()
        for path in MEDIA.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "demux"
    }
    assert readers == {"packets.py"}
