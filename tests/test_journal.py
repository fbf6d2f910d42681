"""A journal: whatever happens to its file, what is read from it is what was written, or is known to be missing."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.errors import OutputError
from clipstream.features.base import Observation
from clipstream.saved.journal import Journal

HERE, OTHER = "a" * 64, "b" * 64
SEEN = [Observation(b"light", b"details of the first"), Observation(b""), Observation(b"\x00" * 40, b"\xff" * 9)]


def begun(folder: Path, identity: str = HERE) -> Journal:
    journal = Journal(folder / "deep" / "poses.journal")
    journal.begin(identity)
    return journal


def written(folder: Path) -> Path:
    journal = begun(folder)
    for n, observation in enumerate(SEEN):
        journal.append(n, observation)
    return folder / "deep" / "poses.journal"


def read(journal: Journal) -> list[Observation | None]:
    kept = list(journal.observations())
    assert [n for n, _ in kept] == list(range(len(kept)))
    return [observation for _, observation in kept]


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    written(tmp_path)
    assert read(begun(tmp_path)) == SEEN


def test_a_journal_goes_on_where_it_was_and_is_begun_anew_for_anything_else(tmp_path: Path) -> None:
    written(tmp_path)
    going_on = begun(tmp_path)
    going_on.append(3, Observation(b"fourth"))
    assert read(going_on) == [*SEEN, Observation(b"fourth")]
    assert read(begun(tmp_path, OTHER)) == []


def test_torn_at_any_byte_it_holds_the_records_before_and_takes_the_next(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    sizes = [16 + len(one.light) + len(one.details) for one in SEEN]
    header = len(whole) - sum(sizes)
    for length in range(len(whole)):
        torn = Journal(tmp_path / "torn")
        (tmp_path / "torn").write_bytes(whole[:length])
        torn.begin(HERE)
        complete = sum(length >= header + sum(sizes[: k + 1]) for k in range(len(sizes)))
        assert read(torn) == SEEN[:complete]
        torn.append(complete, Observation(b"next"))
        assert read(torn) == [*SEEN[:complete], Observation(b"next")]
        assert (tmp_path / "torn").stat().st_size == header + sum(sizes[:complete]) + 16 + len(b"next")


def test_a_byte_that_changed_ends_it_there(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    header = len(whole) - sum(16 + len(one.light) + len(one.details) for one in SEEN)
    for place in range(header, len(whole)):
        (tmp_path / "changed").write_bytes(whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :])
        kept = read(Journal(tmp_path / "changed"))
        assert kept == SEEN[: len(kept)]
        assert len(kept) < len(SEEN)


@given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=20), st.binary(max_size=20)), max_size=30))
def test_of_a_slice_seen_again_the_last_record_counts_and_gaps_are_known(
    records: list[tuple[int, bytes, bytes]],
) -> None:
    with TemporaryDirectory() as folder:
        journal = begun(Path(folder))
        for n, light, details in records:
            journal.append(n, Observation(light, details))
        last = {n: Observation(light, details) for n, light, details in records}
        assert read(journal) == [last.get(n) for n in range(max(last, default=-1) + 1)]


def test_nothing_is_open_between_two_calls(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.append(0, SEEN[0])
    journal.remove()
    assert not journal.begun
    journal.remove()


def test_what_cannot_be_written_is_one_line_about_the_file(tmp_path: Path) -> None:
    (tmp_path / "deep").touch()
    with pytest.raises(OutputError, match=r"poses\.journal: cannot be written \(.+a folder should be"):
        begun(tmp_path)
    full = Journal(Path("/dev/full"))
    full._sound = True
    with pytest.raises(OutputError, match=r"No space left on device.*: free some space"):
        full.append(0, SEEN[0])
