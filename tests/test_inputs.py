"""What the arguments on a command line stand for."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.errors import InputError, InputNotFoundError
from clipstream.media.inputs import STATE_FOLDER, _named, expand_inputs


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.mov", "notes.txt", ".hidden.mp4", "day/c.MKV", "day/a.mp4", ".trash/d.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def names(arguments: list[str]) -> list[tuple[str, str]]:
    return [(found.stream, found.path.name) for found in expand_inputs(arguments)[0]]


def test_a_file_is_named_by_its_stem(footage: Path) -> None:
    assert names([str(footage / "b.mp4")]) == [("b", "b.mp4")]


def test_a_folder_stands_for_the_media_in_it_and_below_without_what_is_hidden(footage: Path) -> None:
    assert [name for _, name in names([str(footage)])] == ["a.mov", "b.mp4", "a.mp4", "c.MKV"]


def test_a_pattern_that_the_shell_left_alone_is_expanded(footage: Path) -> None:
    assert names([str(footage / "**/*.m[pk][4v]")]) == [("b", "b.mp4"), ("a", "a.mp4")]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(footage: Path) -> None:
    (footage / "take [1].mp4").touch()
    assert names([str(footage / "take [1].mp4")]) == [("take-1", "take [1].mp4")]


def test_a_file_named_twice_counts_once(footage: Path) -> None:
    (footage / "link.mp4").symlink_to(footage / "b.mp4")
    arguments = [str(footage / "b.mp4"), str(footage / "link.mp4"), str(footage / "day" / ".." / "b.mp4")]
    assert names(arguments) == [("b", "b.mp4")]


def test_files_that_share_a_stem_get_the_same_names_in_any_order(footage: Path) -> None:
    arguments = [str(footage / "a.mov"), str(footage / "day" / "a.mp4"), str(footage / "b.mp4")]
    assert sorted(names(arguments)) == sorted(names(arguments[::-1]))
    assert dict(names(arguments)) == {"a": "a.mov", "a-2": "a.mp4", "b": "b.mp4"}


def test_a_number_never_takes_the_name_of_another_file(footage: Path) -> None:
    (footage / "a-2.mp4").touch()
    found = dict(names([str(footage / "a.mov"), str(footage / "day" / "a.mp4"), str(footage / "a-2.mp4")]))
    assert found == {"a": "a.mov", "a-2": "a-2.mp4", "a-3": "a.mp4"}


@given(st.lists(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=12), unique=True))
def test_stream_names_are_unique_and_safe_whatever_the_files_are_called(stems: list[str]) -> None:
    paths = [Path("/x") / f"{stem}.mp4" for stem in stems]
    streams = list(_named({path: path for path in paths}).values())
    assert len({stream.casefold() for stream in streams}) == len(stems)
    for stream in streams:
        assert stream
        assert not stream.startswith((".", "-"))
        assert not set(stream) & set('/\\:*?"<>| \n')


def test_letters_of_any_script_stay(tmp_path: Path) -> None:
    (tmp_path / "été – 東京.mp4").touch()
    assert names([str(tmp_path / "été – 東京.mp4")])[0][0] == "été-東京"


@pytest.mark.parametrize(
    ("argument", "seen"),
    [
        ("absent.mp4", "no such file"),
        ("*.webm", "no file matches"),
        ("empty", "no media files"),
    ],
)
def test_what_stands_for_nothing_is_told_and_the_rest_goes_on(footage: Path, argument: str, seen: str) -> None:
    (footage / "empty").mkdir()
    found, errors = expand_inputs([os.path.join(footage, argument), str(footage / "b.mp4")])  # noqa: PTH118 - a string
    assert [item.stream for item in found] == ["b"]
    assert [type(error) for error in errors] == [InputNotFoundError]
    assert seen in str(errors[0])


def test_a_live_address_is_turned_down_without_its_password() -> None:
    found, errors = expand_inputs(["rtsp://me:secret@camera/1"])
    assert not found
    assert isinstance(errors[0], InputError)
    assert "save it to a file" in str(errors[0])
    assert "secret" not in str(errors[0])


@pytest.fixture
def results(footage: Path) -> Path:
    """An output folder inside the footage: its clip is media, and no footage."""
    clip = footage / "out" / "b" / "clips" / "001_000000.000.mp4"
    clip.parent.mkdir(parents=True)
    clip.touch()
    (footage / "out" / STATE_FOLDER).mkdir()
    return footage / "out"


@pytest.mark.parametrize("argument", [".", "**/*.mp4", "out", "out/b"])
def test_clips_of_an_earlier_run_are_no_footage(results: Path, argument: str) -> None:
    found, _ = expand_inputs([str(results.parent / argument)])
    assert not any(results in item.path.parents for item in found)


@pytest.mark.parametrize("argument", ["out/b/clips", "out/b/clips/*.mp4", "out/b/clips/001_000000.000.mp4"])
def test_clips_that_are_named_are_taken(results: Path, argument: str) -> None:
    assert [name for _, name in names([str(results.parent / argument)])] == ["001_000000.000.mp4"]


def test_a_folder_that_happens_to_be_called_clips_is_footage(footage: Path) -> None:
    clip = footage / "holiday" / "first" / "clips" / "c.mp4"
    clip.parent.mkdir(parents=True)
    clip.touch()
    assert names([str(footage / "holiday")]) == [("c", "c.mp4")]


def test_a_link_goes_by_its_own_name(footage: Path) -> None:
    (footage / "final.mp4").symlink_to(footage / "b.mp4")
    assert names([str(footage / "final.mp4")]) == [("final", "final.mp4")]


def test_a_long_name_in_any_script_fits_a_file_system(tmp_path: Path) -> None:
    path = tmp_path / ("東" * 83 + ".mp4")
    path.touch()
    ((stream, _),) = names([str(path)])
    assert set(stream) == {"東"}
    assert 100 < len(stream.encode()) <= 120


def test_an_empty_argument_is_not_the_folder_one_is_in() -> None:
    found, errors = expand_inputs([""])
    assert not found
    assert "an argument is empty" in str(errors[0])
