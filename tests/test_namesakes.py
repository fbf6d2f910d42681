"""Addresses that look the same without their secrets: each keeps its own results, and no secret is written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clipstream.media.inputs import RECORDINGS, STATE_FOLDER
from clipstream.media.live.address import LiveAddress, LiveInput, stream_names
from clipstream.run.namesakes import live_named_apart

Namer = Callable[..., list[str]]


@pytest.fixture
def named(tmp_path: Path) -> Namer:
    """Return what gives addresses their names as a run does that then keeps something of each."""

    def run(*urls: str, stream: str | None = None) -> list[str]:
        addresses = [LiveAddress.parse(url) for url in urls]
        names = stream_names(addresses)
        inputs = [LiveInput(stream or names[address], address) for address in addresses]
        found = [item.stream for item in live_named_apart(tmp_path, inputs, ())]
        for name in found:
            (tmp_path / STATE_FOLDER / RECORDINGS / name).mkdir(parents=True, exist_ok=True)
        return found

    return run


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("rtsp://one:pw@nvr/live", "rtsp://two:pw@nvr/live"),
        ("https://relay/live.m3u8?src=door&token=1", "https://relay/live.m3u8?src=yard&token=1"),
        ("https://relay/live.m3u8?token=1", "https://relay/live.m3u8?src=yard"),
    ],
)
def test_streams_that_differ_in_what_is_not_shown_have_a_name_each_in_any_later_run(
    named: Namer, first: str, second: str
) -> None:
    own, other = named(first), named(second)
    assert own != other
    assert named(first) == own
    assert named(second) == other
    assert named(second, first) == [*other, *own]
    assert named(first, second) == [*own, *other]


def test_streams_that_differ_in_a_token_alone_are_told_apart_once_they_were_given_together(named: Namer) -> None:
    first, second = "https://relay/live.m3u8?token=1", "https://relay/live.m3u8?token=2"
    own, other = named(first, second)
    assert own != other
    assert named(second) == [other]
    assert named(second, first) == [other, own]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("rtsp://me:old@camera/live", "rtsp://me:new@camera/live"),
        ("rtsp://camera/live", "rtsp://me:pw@camera/live"),
        ("https://relay/live.m3u8?id=3&token=1&expires=5", "https://relay/live.m3u8?id=3&token=2&expires=9"),
    ],
)
def test_a_stream_keeps_its_name_when_its_password_or_token_is_another(named: Namer, before: str, after: str) -> None:
    assert named(before) == named(after)


def test_streams_of_one_job_each_have_a_name_of_their_own(named: Namer) -> None:
    url = "rtsp://camera/live"
    assert named(url, stream="monday") == ["monday"]
    assert named(url, stream="tuesday") == ["tuesday"]
    assert named("rtsp://other/live", stream="monday") == ["monday-2"]
    assert named(url, stream="monday") == ["monday"]


def test_a_stream_that_is_given_twice_has_two_names(named: Namer) -> None:
    assert named("rtsp://camera/live", "rtsp://camera/live", stream="cam") == ["cam", "cam-2"]


def test_a_name_of_which_nothing_is_left_is_free(named: Namer, tmp_path: Path) -> None:
    (name,) = named("https://relay/live.m3u8?src=door")
    (tmp_path / STATE_FOLDER / RECORDINGS / name).rmdir()
    assert named("https://relay/live.m3u8?src=yard") == [name]


def test_no_secret_is_written(named: Namer, tmp_path: Path) -> None:
    named("rtsp://admin:s3cret@camera/live?src=yard")
    files = [path for path in (tmp_path / STATE_FOLDER).rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert not [word for word in (b"admin", b"s3cret", b"yard") if word in path.read_bytes()]
