"""Live streams as slices: what comes of each fault, against a server on this machine."""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import av.container
import av.packet
import pytest

from clipstream.media.live.address import LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.feed import LiveFeed
from clipstream.media.live.status import FeedState, FeedStatus
from clipstream.media.live.troubles import Trouble
from clipstream.media.slices import AudioRequest, FrameRequest, MediaNeeds, Slice
from clipstream.testing import HttpServer, RtspServer
from clipstream.testing.media import Sound, Video, even_times, make_clip, numbered, read_number, tone

REQUEST = FrameRequest(160, "gray", None)
NEEDS = MediaNeeds((REQUEST,), AudioRequest())
OPTIONS = ConnectionOptions(open_s=3, stall_s=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "clip.mp4"
    return make_clip(path, Video(even_times(60, 15), numbered, gop=5), Sound(((0, 4),), tone()))


@pytest.fixture
def server(clip: Path) -> Iterator[RtspServer]:
    with RtspServer(clip) as running:
        yield running


class Watched:
    """A feed whose slices are collected while something is waited for."""

    def __init__(self, feed: LiveFeed) -> None:
        self.feed, self.slices = feed, list[Slice]()

    def until(self, condition: Callable[[FeedStatus], object], timeout_s: float = 12) -> float:
        start_s = time.monotonic()
        pause = Event()
        while not condition(self.feed.status):
            assert time.monotonic() - start_s < timeout_s, self.feed.status
            self.slices += self.feed.take()
            pause.wait(0.01)
        self.slices += self.feed.take()
        return time.monotonic() - start_s

    def more(self, slices: int) -> None:
        wanted = self.feed.status.slices + slices
        self.until(lambda status: status.slices >= wanted)

    def close(self) -> None:
        self.feed.close()
        while taken := self.feed.take():
            self.slices += taken

    @property
    def numbers(self) -> list[int]:
        return [read_number(picture) for item in self.slices if item.end is None for batch in item.frames.values()
                for picture in batch.pixels[batch.lead :]]  # fmt: skip


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    opened: list[Watched] = []

    def start(url: str, **more: Any) -> Watched:
        opened.append(Watched(LiveFeed(LiveAddress.parse(url), "cam", NEEDS, options=OPTIONS, **more)))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def running(status: FeedStatus) -> bool:
    return status.state is FeedState.RUNNING


def assert_consecutive(slices: list[Slice]) -> None:
    assert [item.n for item in slices] == list(range(len(slices)))
    assert [item.end is not None for item in slices] == [False] * (len(slices) - 1) + [True]


def test_every_picture_and_the_sound_come_in_slices_and_closing_is_prompt(
    server: RtspServer, watch: Callable[..., Watched]
) -> None:
    cam = watch(server.url)
    cam.more(5)
    start_s = time.monotonic()
    cam.close()
    assert time.monotonic() - start_s < 1
    assert_consecutive(cam.slices)
    # Where it is closed, pictures are missing to which the last ones refer.
    assert {(later - earlier) % 60 for earlier, later in pairwise(cam.numbers[:-4])} == {1}
    assert all(item.audio is not None and abs(item.audio).max() > 0.3 for item in cam.slices[1:4])
    end = cam.slices[-1].end
    assert end is not None
    assert end.problem is None


@pytest.mark.parametrize("jump_s", [-40.0, 500.0])
def test_a_jump_of_the_timestamps_loses_one_picture_at_most(
    server: RtspServer, watch: Callable[..., Watched], jump_s: float
) -> None:
    cam = watch(server.url)
    cam.more(3)
    server.jump(jump_s)
    cam.more(4)
    cam.close()
    assert_consecutive(cam.slices)
    assert len(cam.slices) < 15
    # One picture of those that are being reordered when the jump comes may be lost.
    assert sum((later - earlier) % 60 - 1 for earlier, later in pairwise(cam.numbers[:-4])) <= 1


def test_a_stall_is_seen_and_read_on_when_it_is_over(server: RtspServer, watch: Callable[..., Watched]) -> None:
    cam = watch(server.url)
    cam.more(3)
    server.stall()
    assert cam.until(lambda status: status.state is FeedState.STALLED) < OPTIONS.stall_s + 0.8
    assert cam.feed.status.trouble is Trouble.STALLED
    server.resume()
    cam.until(running)
    cam.more(2)
    cam.close()
    assert_consecutive(cam.slices)


def test_a_stall_is_told_early_enough_though_ffmpeg_looks_every_tenth_of_a_second_alone(
    server: RtspServer, watch: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads_s: list[float] = []

    plain: Any = av.container.open

    def opening(*arguments: Any, **options: Any) -> object:
        reads_s.append(options["timeout"][1])
        return plain(*arguments, **options)

    monkeypatch.setattr("clipstream.media.live.connection.av.open", opening)
    watch(server.url).until(running)
    assert OPTIONS.stall_s - 0.2 < reads_s[0] < OPTIONS.stall_s - 0.1


def test_nothing_is_dropped_of_what_a_playlist_holds_at_the_start(clip: Path, watch: Callable[..., Watched]) -> None:
    with HttpServer() as web:
        cam = watch(web.add_live("cam", clip, segment_s=10, window=8, loop=True))
        start_s, pause = time.monotonic(), Event()
        while cam.feed.status.slices < 22:  # nearly all of three pieces of four seconds
            assert time.monotonic() - start_s < 20
            pause.wait(0.02)
        assert cam.feed.status.dropped == 0


def test_a_lost_server_is_found_again_and_the_gap_is_as_long_as_in_the_world(
    server: RtspServer, watch: Callable[..., Watched]
) -> None:
    cam = watch(server.url)
    cam.more(3)
    before = cam.feed.status.end_s
    lost_s = time.monotonic()
    server.refuse()
    server.drop()
    cam.until(lambda status: status.trouble is Trouble.REFUSED)
    server.accept()
    assert cam.until(running) < 4
    gap_s = time.monotonic() - lost_s
    # What came while the connection was being opened is handed over at once, and so dated up to a second late.
    assert float(cam.feed.status.end_s - before) == pytest.approx(gap_s, abs=1)
    cam.more(2)
    cam.close()
    assert_consecutive(cam.slices)
    assert cam.feed.status.connections == 2


@pytest.mark.parametrize(
    ("url", "trouble"),
    [
        ("rtsp://me:s3cret@127.0.0.1:{port}/nothing", Trouble.NOT_FOUND),
        ("rtsp://me:s3cret@127.0.0.1:9/live", Trouble.REFUSED),
        ("rtsp://me:s3cret@name.invalid/live", Trouble.UNKNOWN_HOST),
    ],
)
def test_what_keeps_a_stream_from_being_read_is_told_without_its_secrets(
    server: RtspServer,
    watch: Callable[..., Watched],
    capsys: pytest.CaptureFixture[str],
    url: str,
    trouble: Trouble,
) -> None:
    cam = watch(url.format(port=server.port))
    cam.until(lambda status: status.trouble is trouble)
    cam.close()
    (end,) = cam.slices
    assert end.end is not None
    assert end.end.problem is not None
    assert trouble.value in end.end.problem
    shown = capsys.readouterr()
    assert shown.out.count("stream_waiting") == 1
    assert "s3cret" not in f"{shown.out}{shown.err}{end.end}{cam.feed.status}"


def test_wrong_credentials_are_told_and_right_ones_let_in(clip: Path, watch: Callable[..., Watched]) -> None:
    with RtspServer(clip, user="me", password="p@ss/word") as guarded:  # noqa: S106 - of this test alone
        watch(guarded.url).until(lambda status: status.trouble is Trouble.UNAUTHORISED)
        watch(guarded.url_of("live", credentials=True)).until(running)


def test_slices_that_are_not_taken_in_time_are_dropped_oldest_first_and_counted(
    server: RtspServer, watch: Callable[..., Watched]
) -> None:
    cam = watch(server.url, waiting_slices=2)
    start_s, pause = time.monotonic(), Event()
    while cam.feed.status.dropped < 2:
        assert time.monotonic() - start_s < 10
        pause.wait(0.02)
    cam.close()
    assert_consecutive(cam.slices)
    dropped = cam.feed.status.dropped
    assert [item.frame_count for item in cam.slices[:dropped]] == [0] * dropped
    assert cam.slices[dropped].frame_count > 0


class Recorder:
    """Notes what a sink is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def begin(
        self,
        container: av.container.InputContainer,
        offset_s: Fraction,
        date_of: Callable[[Fraction], float | None] | None = None,
        *,
        rate_hz: Fraction | None = None,
    ) -> None:
        self.told.append(("begin", len(container.streams), offset_s))
        assert date_of is not None

    def write(self, packet: "av.packet.Packet[Any]") -> None:
        assert packet.dts is not None
        assert packet.time_base is not None
        self.told.append((packet.stream_index, packet.dts * packet.time_base))

    def end(self) -> None:
        self.told.append(("end",))


def test_a_recorder_sees_every_packet_in_stream_time_across_connections(
    server: RtspServer, watch: Callable[..., Watched]
) -> None:
    recorder = Recorder()
    cam = watch(server.url, sink=recorder)
    cam.more(2)
    server.drop()
    cam.until(lambda status: status.connections == 2)
    cam.more(2)
    cam.close()
    marks = [item for item in recorder.told if isinstance(item[0], str)]
    assert marks == [("begin", 2, 0), ("end",), ("begin", 2, 0), ("end",)]
    for track in (0, 1):
        times = [item[1] for item in recorder.told if item[0] == track]
        assert all(earlier < later for earlier, later in pairwise(times))
    assert len(recorder.told) - 4 == cam.feed.status.packets


def test_a_recorder_that_fails_keeps_nothing_from_being_read(server: RtspServer, watch: Callable[..., Watched]) -> None:
    class Full(Recorder):
        def write(self, packet: "av.packet.Packet[Any]") -> None:
            raise OSError(28, "No space left on device")

    cam = watch(server.url, sink=Full())
    cam.more(2)
    assert cam.feed.status.record_failures > 10


def test_less_is_looked_at_when_told_so(server: RtspServer, watch: Callable[..., Watched]) -> None:
    cam = watch(server.url)
    cam.feed.set_rate(3)
    cam.more(5)
    cam.close()
    assert 0 < len(cam.numbers) <= sum(item.frame_count for item in cam.slices) / 2


def test_a_stream_is_given_up_where_that_was_asked(watch: Callable[..., Watched]) -> None:
    cam = watch("rtsp://127.0.0.1:9/live", give_up_s=0.1)
    cam.until(lambda status: status.state is FeedState.ENDED)
    (end,) = cam.slices
    assert end.end is not None
    assert end.end.problem is not None
    assert Trouble.REFUSED.value in end.end.problem
