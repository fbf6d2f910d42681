"""The list of a live stream's highlights grows for weeks: always whole on disk, cheap to go on with, and never lost."""

import csv
import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from stat import S_ISDIR

import pytest
from structlog.testing import capture_logs
from test_clip_counts import Later, live_output

from clipstream.errors import OutputError
from clipstream.live.listing import Listing, earlier_manifest
from clipstream.output import ClipTally
from clipstream.report.manifest import Highlight, Manifest, Source, encode_highlight, read_manifest, write_manifest
from clipstream.results import Reason

BEGUN = Manifest("cam", Source("rtsp://camera/gate", "cam"), status="running", settings={"features": ["motion"]})
REASON = Reason("audio", "loudness", -9.0, -31.0, "dBFS", 21.4, 0.8)


def moment(minute: int, note: str = 'cut: "plain", whole') -> Highlight:
    start_s = Decimal(minute * 60_000 + 250).scaleb(-3)
    return Highlight(
        number=0,
        rank=None,
        start_s=start_s,
        end_s=start_s + 4,
        peak_s=start_s + 2,
        start="",
        end="",
        peak="",
        score=5.25,
        peak_score=7.5,
        reason="loudness; movement",
        reasons=(REASON,),
        clip=f"clips/{minute}.mp4",
        notes=(note, "über\nzwei Zeilen"),
    )


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "highlights.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def growing(tmp_path: Path) -> Listing:
    return Listing(tmp_path, BEGUN)


def test_what_is_listed_is_in_both_files_when_that_returns(growing: Listing, tmp_path: Path) -> None:
    for minute in (1, 2, 3):
        added = growing.add(moment(minute))
        assert added.number == minute
        on_disk = read_manifest(tmp_path)
        assert on_disk is not None
        assert on_disk.highlights == growing.highlights
        assert on_disk.highlights[-1] == added
        assert [row["clip"] for row in rows(tmp_path)] == [f"clips/{number}.mp4" for number in range(1, minute + 1)]


def test_the_file_that_grows_is_the_one_that_would_be_written_whole(growing: Listing, tmp_path: Path) -> None:
    growing.add(moment(1))
    growing.add(moment(2))
    grown = (tmp_path / "manifest.json").read_text(encoding="utf-8")
    found = read_manifest(tmp_path)
    assert found is not None
    assert found.highlights == growing.highlights
    assert write_manifest(tmp_path, found).read_text(encoding="utf-8") == grown


def test_a_highlight_is_put_into_text_once_however_many_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []

    def noted(one: Highlight, plain: Callable[[Highlight], str] = encode_highlight) -> str:
        encoded.append(one.number)
        return plain(one)

    monkeypatch.setattr("clipstream.live.listing.encode_highlight", noted)
    growing = Listing(tmp_path, replace(BEGUN, highlights=(replace(moment(1), number=1),)))
    growing.add(moment(2))
    growing.add(moment(3))
    growing.stop()
    assert encoded == [1, 2, 3]


def test_a_line_of_the_manifest_is_a_highlight(growing: Listing, tmp_path: Path) -> None:
    growing.add(moment(1))
    growing.add(moment(2))
    lines = (tmp_path / "manifest.json").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith('    {"number": ') for line in lines) == 2


def test_a_highlight_that_is_cut_at_last_takes_the_place_of_its_failure(growing: Listing, tmp_path: Path) -> None:
    growing.add(moment(1))
    failed = growing.add(replace(moment(2), clip=None))
    growing.add(moment(3))
    assert growing.add(moment(2), instead_of=failed).number == 4
    assert [row["clip"] for row in rows(tmp_path)] == ["clips/1.mp4", "clips/2.mp4", "clips/3.mp4"]


def test_what_had_to_wait_is_listed_at_its_time_and_no_number_changes(growing: Listing, tmp_path: Path) -> None:
    for minute in (2, 3, 1):
        growing.add(moment(minute))
    on_disk = read_manifest(tmp_path)
    assert on_disk is not None
    assert on_disk.highlights == growing.highlights
    assert [(one.clip, one.number) for one in on_disk.highlights] == [
        ("clips/1.mp4", 3),
        ("clips/2.mp4", 1),
        ("clips/3.mp4", 2),
    ]
    assert [row["number"] for row in rows(tmp_path)] == ["3", "1", "2"]


def test_where_stream_time_began_anew_the_order_is_that_of_dates(growing: Listing) -> None:
    for minute, date in ((50, "2026-11-21T10:00:00.000Z"), (1, "2026-11-21T12:00:00.000Z")):
        growing.add(replace(moment(minute), date=date))
    growing.add(replace(moment(60), date="2026-11-21T11:00:00.000Z"))
    assert [one.clip for one in growing.highlights] == ["clips/50.mp4", "clips/60.mp4", "clips/1.mp4"]


def test_the_manifest_says_how_far_the_stream_has_come_and_that_it_was_stopped(
    growing: Listing, tmp_path: Path
) -> None:
    growing.add(moment(2))
    growing.add(moment(1))
    growing.stop()
    found = read_manifest(tmp_path)
    assert found is not None
    assert (found.status, found.source.duration_s) == ("stopped", Decimal("124.250"))


@pytest.mark.parametrize("refused", ["fsync", "pwrite"])
def test_what_cannot_be_written_is_not_listed(
    growing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    growing.add(moment(1))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, refused, refuse)
        with pytest.raises(OutputError, match="free some space"):
            growing.add(moment(2))
    assert len(growing.highlights) == 1
    assert growing.add(moment(2)).number == 2
    assert [row["clip"] for row in rows(tmp_path)] == ["clips/1.mp4", "clips/2.mp4"]


def test_what_was_listed_before_waits_for_a_disk_with_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    earlier = tuple(replace(moment(minute), number=minute) for minute in (1, 2))
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", refuse)
        growing = Listing(tmp_path, replace(BEGUN, highlights=earlier))
        with pytest.raises(OutputError, match="free some space"):
            growing.add(moment(3))
    assert growing.add(moment(3)).number == 3
    assert growing.highlights[:2] == earlier
    assert len(rows(tmp_path)) == 3


@pytest.mark.parametrize("given", ["an error", "what comes before the damage"])
def test_what_cannot_be_read_back_is_told_in_words_and_the_files_stay_as_they_are(
    growing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    def read(descriptor: int, size: int, at: int, plain: Callable[[int, int, int], bytes] = os.pread) -> bytes:
        if given == "an error":
            raise OSError(5, "Input/output error")
        return plain(descriptor, size, at)[:100]

    growing.add(moment(1))
    before = (tmp_path / "manifest.json").read_bytes()
    with monkeypatch.context() as damaged:
        damaged.setattr(os, "pread", read)
        for use in (lambda: growing.highlights, lambda: growing.find(62_250, 0), lambda: growing.add(moment(2))):
            with pytest.raises(OutputError, match="Input/output error"):
                use()
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert growing.add(moment(2)).number == 2


def test_a_folder_that_cannot_be_made_is_told_when_something_is_to_be_listed(tmp_path: Path) -> None:
    (tmp_path / "cam").write_text("in the way", encoding="utf-8")
    growing = Listing(tmp_path / "cam", BEGUN)
    with pytest.raises(OutputError, match="a file is where a folder should be"):
        growing.add(moment(1))
    (tmp_path / "cam").unlink()
    assert growing.add(moment(1)).number == 1


def test_a_disk_that_takes_one_byte_at_a_time_gets_every_text_whole(
    growing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(descriptor: int, data: bytes, at: int, plain: Callable[[int, bytes, int], int] = os.pwrite) -> int:
        return plain(descriptor, data[:1], at)

    monkeypatch.setattr(os, "pwrite", put)
    added = growing.add(moment(1))
    assert growing.highlights == (added,)
    assert rows(tmp_path)[0]["notes"] == "; ".join(added.notes)


def test_what_is_listed_takes_less_than_300_bytes_of_memory_each(growing: Listing) -> None:
    growing.add(moment(0))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for minute in range(1, 201):
            growing.add(moment(minute))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 200 < 300


def test_files_that_somebody_took_away_or_changed_are_whole_again_with_the_next_highlight(
    growing: Listing, tmp_path: Path
) -> None:
    growing.add(moment(1))
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    (tmp_path / "highlights.csv").unlink()
    growing.add(moment(2))
    on_disk = read_manifest(tmp_path)
    assert on_disk is not None
    assert [one.number for one in on_disk.highlights] == [1, 2]
    assert [row["number"] for row in rows(tmp_path)] == ["1", "2"]
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", "highlights.csv"}


def test_a_moment_is_found_by_its_peak_and_the_date_at_which_it_starts(growing: Listing) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    undated = growing.add(moment(1))
    dated = growing.add(replace(moment(2), date=noon.isoformat()))
    noon_ms = round(noon.timestamp() * 1000)
    assert growing.find(62_250, noon_ms) == undated
    assert growing.find(122_250, noon_ms + 59_999) == dated
    assert growing.find(122_250, noon_ms - 60_000) is None
    assert growing.find(124_250, noon_ms) is None
    assert (growing.has_clip("clips/2.mp4"), growing.has_clip("clips/3.mp4")) == (True, False)


def test_a_manifest_is_stored_before_it_takes_the_place_of_the_last(
    growing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing.add(moment(1))
    before = (tmp_path / "manifest.json").read_bytes()
    stored: list[tuple[str, bool]] = []

    def note(descriptor: int, plain: Callable[[int], None] = os.fsync) -> None:
        is_new = (tmp_path / "manifest.json").read_bytes() != before
        stored.append(("folder" if S_ISDIR(os.fstat(descriptor).st_mode) else "file", is_new))
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    growing.add(moment(2))
    assert stored == [("file", False), ("folder", True)]


def damages() -> Iterator[tuple[str, Callable[[bytes], bytes], str]]:
    yield "truncated", lambda whole: whole[: len(whole) // 2], ""
    yield "empty", lambda _: b"", "Expecting value"
    yield "no text", lambda _: b"\xff\xfe\x00", "can't decode"
    yield "another schema", lambda whole: whole.replace(b"manifest/1", b"manifest/9"), "clipstream/manifest/9"
    yield "time beyond bounds", lambda whole: whole.replace(b'"start_s": 60.25', b'"start_s": 1e30'), "highlights[0]"
    yield "time beyond decimals", lambda whole: whole.replace(b'"end_s": 64.25', b'"end_s": 1e999999'), "highlights[0]"
    yield "number beyond bounds", lambda whole: whole.replace(b'"number": 1', b'"number": %d' % 2**70), "highlights[0]"
    yield "last number", lambda whole: whole.replace(b'"number": 1', b'"number": %d' % (2**63 - 1)), "highlights[0]"
    yield "half a character", lambda whole: whole.replace(b"plain", b"\\ud83d"), "highlights[0]"
    yield "wrong type", lambda whole: whole.replace(b'"errors": 0', b'"errors": "0"'), "errors is '0'"


@pytest.mark.parametrize(("damage", "why"), [pytest.param(*rest, id=name) for name, *rest in damages()])
def test_a_damaged_manifest_is_set_aside_as_it_is_and_told_in_one_line(
    growing: Listing, tmp_path: Path, damage: Callable[[bytes], bytes], why: str
) -> None:
    growing.add(moment(1))
    path = tmp_path / "manifest.json"
    path.write_bytes(damage(path.read_bytes()))
    damaged = path.read_bytes()
    with capture_logs() as logged:
        assert earlier_manifest(tmp_path) is None
        assert earlier_manifest(tmp_path) is None, "and is gone"
    (aside,) = tmp_path.glob("manifest.json.*")
    assert aside.read_bytes() == damaged
    (event,) = logged
    assert (event["event"], event["log_level"], event["kept_as"]) == ("manifest_damaged", "warning", aside.name)
    assert why in event["why"]
    assert "\n" not in event["why"]
    Listing(tmp_path, BEGUN).add(moment(2))
    assert aside.read_bytes() == damaged


def test_a_live_stream_over_a_damaged_manifest_begins_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam" / "manifest.json").write_text("{", encoding="utf-8")
    with capture_logs() as logged:
        output = live_output(tmp_path, Later(), ClipTally())
    assert [entry["event"] for entry in logged] == ["manifest_damaged"]
    output.close()
    found = read_manifest(tmp_path / "cam")
    assert found is not None
    assert (found.status, found.highlights) == ("stopped", ())


def test_a_manifest_in_order_stays_where_it_is_and_none_is_none(growing: Listing, tmp_path: Path) -> None:
    with capture_logs() as logged:
        assert earlier_manifest(tmp_path) is None
        growing.add(moment(1))
        assert earlier_manifest(tmp_path) == read_manifest(tmp_path)
    assert not logged
    assert not list(tmp_path.glob("manifest.json.*"))
