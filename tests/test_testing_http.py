"""The loopback HTTP server: HLS that is whole, that goes on, that breaks off, and answers that fail."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from clipstream.testing import HttpServer, Sound, Video, even_times, make_clip, numbered, read_number

RATE_HZ = 10


@dataclass(frozen=True, slots=True)
class Clips:
    """`first` carries the numbers 0 to 29; `second` 100 to 119, in another size."""

    first: Path
    second: Path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("hls")
    long, short = even_times(30, RATE_HZ), even_times(20, RATE_HZ)
    return Clips(
        make_clip(folder / "first.mp4", Video(long, gop=5, b_frames=0), Sound([(0.0, 3.0)])),
        make_clip(
            folder / "second.mp4",
            Video(short, lambda index: numbered(100 + index, 480, 270), gop=5, b_frames=0),
            Sound([(0.0, 2.0)]),
        ),
    )


FIRST, SECOND = list(range(30)), list(range(100, 120))


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@dataclass(slots=True)
class Watched:
    """What a client saw."""

    numbers: list[int] = field(default_factory=list)
    times_s: list[Fraction] = field(default_factory=list)
    duration: int | None = None


def watch(url: str, then: Callable[[], object] | None = None, *, after: int = 1, timeout_s: float = 5.0) -> Watched:
    """Decode all pictures, and do something once `after` of them are seen."""
    seen = Watched()
    with av.open(url, timeout=timeout_s) as container:
        seen.duration = container.duration
        for frame in container.decode(video=0):
            seen.numbers.append(read_number(np.asarray(frame.to_ndarray(format="gray"), np.uint8)))
            seen.times_s.append((frame.pts or 0) * (frame.time_base or Fraction(0)))
            if len(seen.numbers) == after and then is not None:
                then()
    return seen


def test_a_file_is_served_whole_and_in_ranges(server: HttpServer, clips: Clips) -> None:
    assert watch(server.add_file("clips/a.mp4", clips.first)).numbers == FIRST
    assert server.answered[0].path == "clips/a.mp4"
    assert {one.status for one in server.answered} <= {200, 206}


def test_a_whole_playlist_states_its_duration_and_is_read_to_its_end(server: HttpServer, clips: Clips) -> None:
    seen = watch(server.add_vod("match", clips.first, segment_s=0.5))
    assert seen.numbers == FIRST
    assert seen.duration == pytest.approx(3_000_000, abs=50_000)
    assert {b - a for a, b in pairwise(seen.times_s)} == {Fraction(1, RATE_HZ)}


def test_a_discontinuity_begins_other_times_in_another_size(server: HttpServer, clips: Clips) -> None:
    seen = watch(server.add_vod("match", clips.first, clips.second))
    assert seen.numbers == FIRST + SECOND
    assert seen.times_s[30] == seen.times_s[0] < seen.times_s[29]


def test_a_live_playlist_grows_with_time_and_ends_after_the_last_clip(server: HttpServer, clips: Clips) -> None:
    seen = watch(server.add_live("cam", clips.first, clips.second, speed=2.0))
    assert seen.duration is None
    assert seen.numbers == FIRST + SECOND
    assert sum(one.path.endswith(".m3u8") for one in server.answered) > 1


def test_a_live_playlist_can_be_led_by_hand(server: HttpServer, clips: Clips) -> None:
    url = server.add_live("cam", clips.first, clips.second, speed=0)

    def go_on() -> None:
        server.publish("cam")
        server.end("cam")

    seen = watch(url, go_on, after=20)
    assert seen.numbers == FIRST + SECOND[:10]
    assert {one.path for one in server.answered if one.path.endswith(".ts")} == {f"cam/{n}.ts" for n in range(4)}


def test_a_live_playlist_that_loops_begins_again_with_a_discontinuity(server: HttpServer, clips: Clips) -> None:
    url = server.add_live("cam", clips.second, speed=0, loop=True)

    def go_on() -> None:
        server.publish("cam", 2)
        server.end("cam")

    seen = watch(url, go_on, after=20)
    assert seen.numbers == SECOND + SECOND + SECOND[:10]
    assert seen.times_s[20] == seen.times_s[0]


def test_segments_that_slid_out_long_ago_are_gone(server: HttpServer, clips: Clips) -> None:
    server.add_live("cam", clips.first, segment_s=0.5, window=1, speed=0)
    server.publish("cam", 4)
    with pytest.raises(av.error.HTTPNotFoundError):
        watch(server.url_of("cam/0.ts"))
    assert watch(server.url_of("cam/4.ts")).numbers == list(range(20, 25))


def test_what_is_not_there_is_not_found(server: HttpServer) -> None:
    with pytest.raises(av.error.HTTPNotFoundError):
        watch(server.url_of("nowhere/index.m3u8"))


def test_requests_fail_as_often_as_asked(server: HttpServer, clips: Clips) -> None:
    url = server.add_file("a.mp4", clips.first)
    server.fail(503, matching="a.mp4")
    with pytest.raises(av.error.HTTPServerError):
        watch(url)
    assert watch(url).numbers == FIRST
    assert [one.status for one in server.answered][:1] == [503]


def test_a_server_that_does_not_answer_is_given_up_in_time_and_answers_again(server: HttpServer, clips: Clips) -> None:
    url = server.add_vod("match", clips.first)
    server.stall()
    with pytest.raises(av.error.ExitError):
        watch(url, timeout_s=0.3)
    server.resume()
    assert watch(url).numbers == FIRST


def test_late_answers_are_answers(server: HttpServer, clips: Clips) -> None:
    url = server.add_vod("match", clips.second, segment_s=2.0)
    server.slow(0.1)
    assert watch(url).numbers == SECOND
    first, *_, last = server.answered
    assert last.at_s - first.at_s >= 0.09


def test_a_live_playlist_whose_server_vanishes_ends_like_any_other(server: HttpServer, clips: Clips) -> None:
    url = server.add_live("cam", clips.first, clips.second, speed=0)

    def vanish() -> None:
        server.refuse()
        server.drop()

    assert watch(url, vanish, after=20).numbers == FIRST
    server.accept()
    assert server.accepting


def test_only_a_live_playlist_is_published_piece_by_piece(server: HttpServer, clips: Clips) -> None:
    server.add_vod("match", clips.first)
    with pytest.raises(TypeError, match="match is whole already"):
        server.publish("match")
