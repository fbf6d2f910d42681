"""The list of a live stream's highlights, which grows for weeks: on disk, and in memory only where each of them is."""

import errno
import os
import struct
import tempfile
from bisect import insort
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from weakref import finalize

import structlog

from clipstream.errors import InputError, OutputError
from clipstream.report.files import writing
from clipstream.report.manifest import (
    MANIFEST_NAME,
    FailedFeature,
    Highlight,
    Manifest,
    decode_highlight,
    encode_highlight,
    parse_manifest,
    write_manifest,
)
from clipstream.report.tables import highlight_row, write_rows

__all__ = ["Listing", "earlier_manifest"]

_SAME_DATE_MS = 60_000

_BLOCK_BYTES = 1 << 16

_PLACE = struct.Struct("<qqqqqqII")

_log = structlog.get_logger()


class _Place(NamedTuple):
    """What is in memory of a highlight, packed: what it is found by, and where its texts are."""

    date_ms: int
    start_ms: int
    end_ms: int
    clip: int
    at: int
    number: int
    line_bytes: int
    row_bytes: int


class Listing:
    """The highlights of a live stream so far, in order of time, and the files that list them.

    Their numbers are the order in which they were listed, and stay: what had to wait for its clip comes with a later
    number at an earlier place.

    Both files are written whole for every highlight, so that each is right at any moment. Each highlight is put into
    text but once: with ten thousand of them, doing it anew took a second, and writing what is known takes a twentieth.
    The texts wait in a file without a name that is gone with the process, because the two that have names are open to
    everybody; in memory, a highlight takes a hundred bytes. The manifest survives a power cut, for it cannot be made
    again.

    Args:
        folder: The stream's folder in the output folder, made if needed.
        manifest: What is known so far.

    Raises:
        OutputError: From any method: the folder cannot be made, written into or read back. It may be tried again.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._head = replace(manifest, highlights=())
        self._earlier = manifest.highlights
        self._listed: list[bytes] | None = None
        self._texts: int | None = None
        self._end = 0
        with suppress(OutputError):  # told when something is to be listed: until then, nothing is lost
            self._all()

    @property
    def highlights(self) -> tuple[Highlight, ...]:
        """What is listed, in order of time, read back."""
        return tuple(map(decode_highlight, self._lines(self._all())))

    def find(self, peak_ms: int, date_ms: int) -> Highlight | None:
        """Return the highlight of a moment: found again after a crash, it may begin and end elsewhere.

        Args:
            peak_ms: Stream time of its peak.
            date_ms: Date at which it starts, for stream time begins anew where the state folder was removed.
        """
        for packed, one in zip(self._all(), _places(self._all()), strict=True):
            if one.start_ms <= peak_ms < one.end_ms and (not one.date_ms or abs(one.date_ms - date_ms) < _SAME_DATE_MS):
                return next(map(decode_highlight, self._lines([packed])))
        return None

    def has_clip(self, name: str) -> bool:
        """Say whether a clip of such a name is listed."""
        return any(one.clip == hash(name) for one in _places(self._all()))

    def add(self, highlight: Highlight, instead_of: Highlight | None = None) -> Highlight:
        """List a highlight in both files, perhaps in place of one that is listed; return it with the next number.

        Raises:
            OutputError: A file cannot be written; then it is not listed.
        """
        numbers = [one.number for one in _places(self._all())]
        out = numbers.index(instead_of.number) if instead_of is not None else len(numbers)
        del numbers[out : out + 1]
        numbered = replace(highlight, number=max(numbers, default=0) + 1)
        source = self._head.source
        head = replace(self._head, source=replace(source, duration_s=max(numbered.end_s, source.duration_s)))
        listed, end = [*self._all()[:out], *self._all()[out + 1 :]], self._end
        try:
            insort(listed, self._put_down(numbered), key=_when)
            self._write(head, listed)
        except BaseException:
            self._end = end
            raise
        self._head, self._listed = head, listed
        return numbered

    def note(self, failures: tuple[FailedFeature, ...]) -> None:
        """Take note of the features that failed so far, for when the files are written next."""
        self._head = replace(self._head, failures=failures)

    def stop(self) -> None:
        """Say in the manifest that the stream was stopped.

        Raises:
            OutputError: A file cannot be written.
        """
        self._write(replace(self._head, status="stopped"), self._all())

    def _all(self) -> list[bytes]:
        """Return what is in memory of each highlight, in order of time."""
        if self._listed is None:
            if self._texts is None:
                with writing(self._folder):
                    self._folder.mkdir(parents=True, exist_ok=True)
                    texts = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed with this
                finalize(self, texts.close)
                self._texts = texts.fileno()
            self._end = 0
            self._listed = sorted(map(self._put_down, self._earlier), key=_when)
            self._earlier = ()
        return self._listed

    def _put_down(self, one: Highlight) -> bytes:
        """Write the texts of a highlight behind the others, and return what is kept in memory of it."""
        assert self._texts is not None
        packed, left = _in_text(one, at=self._end)
        end = self._end + len(left)
        with writing(self._folder):
            while left:  # a disk that is almost full takes a part; the rest says why
                left = left[os.pwrite(self._texts, left, end - len(left)) :]
        self._end = end
        return packed

    def _write(self, head: Manifest, listed: Iterable[bytes]) -> None:
        write_rows(self._folder, self._rows(listed))
        write_manifest(self._folder, head, lines=self._lines(listed), durable=True)

    def _lines(self, listed: Iterable[bytes]) -> Iterator[str]:
        return self._read((one.at, one.line_bytes) for one in _places(listed))

    def _rows(self, listed: Iterable[bytes]) -> Iterator[str]:
        return self._read((one.at + one.line_bytes, one.row_bytes) for one in _places(listed))

    def _read(self, spans: Iterable[tuple[int, int]]) -> Iterator[str]:
        assert self._texts is not None
        block, begin = b"", 0
        for at, size in spans:
            if not begin <= at <= at + size <= begin + len(block):
                with writing(self._folder):
                    block, begin = os.pread(self._texts, max(size, _BLOCK_BYTES), at), at
                    if len(block) < size:  # of a damaged disk, a read gives what comes before the damage
                        raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield block[at - begin : at - begin + size].decode()


def _in_text(one: Highlight, at: int) -> tuple[bytes, bytes]:
    """Return what is kept in memory of a highlight whose texts begin at `at`, and these texts."""
    line, row = encode_highlight(one).encode(), highlight_row(one).encode()
    times_ms = (_ms(one.start_s), _ms(one.end_s))
    packed = _PLACE.pack(_date_ms(one.date), *times_ms, hash(one.clip), at, one.number, len(line), len(row))
    return packed, line + row


def _places(listed: Iterable[bytes]) -> Iterator[_Place]:
    return map(_Place._make, _PLACE.iter_unpack(b"".join(listed)))


def _when(packed: bytes) -> tuple[int, int]:
    """Return what highlights are in order of: dates, because stream time begins anew where the state folder goes."""
    (one,) = _places([packed])
    return one.date_ms, one.start_ms


def _date_ms(date: str | None) -> int:
    """Return a date in milliseconds since 1970; 0 where there is none, or none that can be read."""
    with suppress(ValueError):
        return round(datetime.fromisoformat(date or "").timestamp() * 1000)
    return 0


def _ms(time_s: Decimal) -> int:
    return int(time_s.scaleb(3))


def earlier_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in a live stream's folder, `None` when there is none.

    One that is damaged, or holds numbers with which no list can go on, is kept under another name, with a warning: it
    cannot be made again, and somebody may mend it.

    Raises:
        OutputError: It is damaged and cannot be renamed.
    """
    path = folder / MANIFEST_NAME
    try:
        return _listable(parse_manifest(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        now = datetime.now(UTC)
        aside = path.with_name(f"{MANIFEST_NAME}.damaged-{now:%Y-%m-%dT%H-%M-%S}.{now.microsecond // 1000:03d}Z")
        with writing(path):
            path.rename(aside)
        _log.warning("manifest_damaged", stream=folder.name, kept_as=aside.name, why=str(error.__cause__ or error))
        return None


def _listable(manifest: Manifest) -> Manifest:
    """Return a manifest all of whose highlights can be listed.

    Raises:
        InputError: One of them cannot be.
    """
    for place, one in enumerate(manifest.highlights):
        try:
            _in_text(replace(one, number=2 * one.number), at=0)  # those to come have larger numbers
        except (struct.error, ArithmeticError, ValueError) as error:
            raise InputError(f"highlights[{place}] cannot be listed ({error})") from None
    return manifest
