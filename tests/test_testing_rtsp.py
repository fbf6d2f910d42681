"""The loopback RTSP server: what FFmpeg sees of it, in good order and with every fault."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.error
import numpy as np
import pytest

from clipstream.errors import NoUsableStreamError
from clipstream.testing import RtspServer, Scheme, Sound, Video, even_times, make_clip, numbered, read_number
from clipstream.testing.media import Draw, tone

RATE_HZ, FRAMES, GOP = 15, 30, 15
SPEED = 8.0
AWKWARD = ":/@?#"


@dataclass(slots=True)
class Clips:
    """Clips of two seconds, each made when first asked for."""

    folder: Path
    made: dict[str, Path] = field(default_factory=dict)

    def __call__(
        self, name: str, codec: str = "libx264", b_frames: int = 0, sound: str | None = "aac", draw: Draw = numbered
    ) -> Path:
        if name not in self.made:
            video = Video(even_times(FRAMES, RATE_HZ), draw, codec=codec, gop=GOP, b_frames=b_frames)
            rate_hz, layout = (8_000, "mono") if sound == "pcm_alaw" else (48_000, "stereo")
            track = Sound([(0.0, 2.0)], tone(), sound, rate_hz, layout) if sound else None
            suffix = ".mov" if sound == "pcm_alaw" else ".mp4"
            self.made[name] = make_clip(self.folder / f"{name}{suffix}", video, track)
        return self.made[name]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("cameras"))


@pytest.fixture
def server(clips: Clips) -> Iterator[RtspServer]:
    with RtspServer(clips("plain"), speed=SPEED) as server:
        yield server


@dataclass(slots=True)
class Watched:
    """What a client saw: number, time and width of each picture; packets without PTS; packets that did not decode."""

    numbers: list[int] = field(default_factory=list)
    times_s: list[Fraction | None] = field(default_factory=list)
    widths_px: list[int] = field(default_factory=list)
    without_time: int = 0
    errors: int = 0
    sound_packets: int = 0
    ended: bool = False


def watch(
    url: str,
    count: int,
    then: Callable[[], object] | None = None,
    *,
    after: int = 5,
    transport: str = "tcp",
    timeout_s: float = 5.0,
    seen: Watched | None = None,
) -> Watched:
    """Decode `count` pictures or to the end, and do something once `after` of them are seen."""
    seen = seen or Watched()
    options = {"rtsp_transport": transport, "analyzeduration": "200000"}
    with av.open(url, options=options, timeout=timeout_s) as container:
        for packet in container.demux():
            seen.sound_packets += packet.stream.type == "audio" and packet.size > 0
            if packet.stream.type != "video":
                continue
            seen.without_time += packet.size > 0 and packet.pts is None
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                seen.errors += 1
                continue
            for frame in frames:
                assert isinstance(frame, av.VideoFrame)
                seen.numbers.append(read_number(np.asarray(frame.to_ndarray(format="gray"), np.uint8)))
                seen.times_s.append(
                    None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
                )
                seen.widths_px.append(frame.width)
                if len(seen.numbers) == after and then is not None:
                    then()
            if len(seen.numbers) >= count:
                return seen
    seen.ended = True
    return seen


def steps_s(seen: Watched) -> list[Fraction]:
    known = [time_s for time_s in seen.times_s if time_s is not None]
    return [b - a for a, b in pairwise(known)]


def frames_with(server: RtspServer, fate: str) -> list[int]:
    return [one.number for one in server.sent if one.kind == "video" and one.fate == fate]


@pytest.mark.parametrize(
    ("name", "codec", "b_frames", "sound"),
    [
        ("plain", "libx264", 0, "aac"),
        ("reordered", "libx264", 2, "aac"),
        ("mute", "libx264", 2, None),
        ("hevc", "libx265", 2, "libopus"),
        ("telephone", "libx264", 0, "pcm_alaw"),
    ],
)
def test_frames_come_in_order_and_time_goes_on_over_the_seam(
    clips: Clips, name: str, codec: str, b_frames: int, sound: str | None
) -> None:
    with RtspServer(clips(name, codec, b_frames, sound), speed=SPEED) as server:
        seen = watch(server.url, FRAMES + 20)
    assert seen.numbers == [number % FRAMES for number in range(len(seen.numbers))]
    assert set(steps_s(seen)) == {Fraction(1, RATE_HZ)}
    assert (seen.sound_packets > 20) is (sound is not None)


def test_datagrams_carry_the_same(server: RtspServer) -> None:
    assert watch(server.url, 20, transport="udp").numbers[:20] == list(range(20))


def test_what_was_sent_is_known_to_the_frame(server: RtspServer) -> None:
    watch(server.url, FRAMES + 5)
    server.wait_until(lambda: not server.connections)
    video = [one for one in server.sent if one.kind == "video"]
    assert [one.number for one in video[: FRAMES + 1]] == [*range(FRAMES), 0]
    assert [one.source_pts_s for one in video[:2]] == [0, Fraction(1, RATE_HZ)]
    assert video[FRAMES].source_pts_s == 0
    assert video[FRAMES].stream_pts_s == 2
    assert [one.number for one in video if one.keyframe][:3] == [0, GOP, 0]
    assert video == sorted(video, key=lambda one: one.at_s)
    pace = (video[FRAMES].at_s - video[0].at_s) * SPEED
    assert pace >= 2.0 - 0.1


def test_it_begins_where_it_is_told_and_ends_with_the_file_if_it_is_not_to_loop(clips: Clips) -> None:
    with RtspServer(clips("plain"), speed=SPEED, loop=False, start_at_s=1.2) as server:
        seen = watch(server.url, 999)
    assert seen.ended
    assert seen.numbers == list(range(GOP, FRAMES))


def test_cameras_are_watched_at_once_and_one_that_fails_leaves_the_others_alone(
    server: RtspServer, clips: Clips
) -> None:
    other = server.add("garden/cam2", clips("hevc", "libx265", 2, "libopus"))
    results: dict[str, Watched] = {"first": Watched(), "second": Watched()}
    threads = [
        threading.Thread(target=lambda: watch(server.url, 40, seen=results["first"])),
        threading.Thread(
            target=lambda: watch(other, 40, lambda: server.jump(50, on="garden/cam2"), seen=results["second"])
        ),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(steps_s(results["first"])) < 1
    assert max(steps_s(results["second"])) > 49
    assert {(one.camera, one.client) for one in server.sent} in (
        {("live", 1), ("garden/cam2", 2)},
        {("live", 2), ("garden/cam2", 1)},
    )


def test_whoever_comes_later_begins_at_a_keyframe_of_the_same_time(server: RtspServer) -> None:
    watch(server.url, 5)
    seen = watch(server.url, 10)
    assert seen.numbers[0] in {0, GOP}
    first, second = ([one for one in server.sent if one.client == client] for client in (1, 2))
    assert second[0].stream_pts_s > first[-1].stream_pts_s


def test_a_stall_keeps_the_connection_and_what_is_shown_meanwhile_is_lost(server: RtspServer) -> None:
    def stall() -> None:
        server.stall()
        count = len(server.sent)
        resume = threading.Timer(0.3, server.resume)
        resume.start()
        stalled.append(count)

    stalled: list[int] = []
    seen = watch(server.url, 60, stall)
    assert max(steps_s(seen)) > 1
    before, after = server.sent[stalled[0] - 1], server.sent[stalled[0]]
    assert after.keyframe
    assert after.at_s - before.at_s > 0.25
    assert after.client == before.client


def test_a_stall_ends_in_a_timeout_where_one_is_set(server: RtspServer) -> None:
    with pytest.raises(av.error.ExitError):
        watch(server.url, 999, server.stall, timeout_s=0.5)


@pytest.mark.parametrize("reset", [False, True])
def test_a_drop_is_an_ordinary_end(server: RtspServer, reset: bool) -> None:
    assert watch(server.url, 999, lambda: server.drop(reset=reset)).ended
    assert watch(server.url, 5).numbers


def test_a_closed_port_refuses_and_opens_again_under_the_same_number(server: RtspServer) -> None:
    url = server.url
    server.refuse()
    with pytest.raises(av.error.ConnectionRefusedError):
        watch(url, 1)
    server.accept()
    assert server.url == url
    assert watch(url, 1).numbers


def test_a_connection_that_is_hung_up_on_is_invalid_data(server: RtspServer) -> None:
    server.refuse("hang_up")
    with pytest.raises(av.error.InvalidDataError):
        watch(server.url, 1)


def test_a_connection_that_is_never_answered_is_given_up_in_time(server: RtspServer) -> None:
    server.refuse("silent")
    with pytest.raises(av.error.InvalidDataError):
        watch(server.url, 1, timeout_s=0.3)


def test_after_a_restart_time_begins_again_near_zero(server: RtspServer) -> None:
    assert watch(server.url, 999, lambda: server.restart(0.2), after=FRAMES).ended
    with pytest.raises(av.error.ConnectionRefusedError):
        watch(server.url, 1)
    server.wait_until(lambda: server.accepting)
    watch(server.url, 5)
    before = [one for one in server.sent if one.client == 1]
    after = [one for one in server.sent if one.client == 2]
    assert before[-1].stream_pts_s > 1.5
    assert after[0].stream_pts_s < 0.2 * SPEED + 1.1
    assert after[0].keyframe


@pytest.mark.parametrize("seconds", [100.0, -0.5])
def test_a_jump_moves_the_times_and_not_the_pictures(server: RtspServer, seconds: float) -> None:
    seen = watch(server.url, 40, lambda: server.jump(seconds))
    assert seen.numbers == [number % FRAMES for number in range(len(seen.numbers))]
    steps = steps_s(seen)
    assert [step for step in steps if step != Fraction(1, RATE_HZ)] == [
        pytest.approx(Fraction(seconds) + Fraction(1, RATE_HZ), abs=0.003)
    ]


def test_lost_frames_are_missing_and_named(server: RtspServer) -> None:
    seen = watch(server.url, 60, lambda: server.lose(3))
    lost = frames_with(server, "lost")
    assert len(lost) == 3
    assert max(steps_s(seen)) > Fraction(3, RATE_HZ)


def test_corrupt_h264_does_not_decode(server: RtspServer) -> None:
    seen = watch(server.url, 60, lambda: server.corrupt(3))
    assert len(frames_with(server, "corrupt")) == 3
    assert seen.errors >= 2  # FFmpeg may count the last of them to the picture after it


def test_corrupt_hevc_is_left_out_without_an_error(clips: Clips) -> None:
    with RtspServer(clips("hevc", "libx265", 2, "libopus"), speed=SPEED) as server:
        seen = watch(server.url, 60, lambda: server.corrupt(3))
        assert len(frames_with(server, "corrupt")) == 3
    assert seen.errors == 0
    assert max(steps_s(seen)) >= Fraction(4, RATE_HZ)


def test_slow_sending_stretches_the_world_and_not_the_stream(server: RtspServer) -> None:
    changed: list[int] = []

    def slow() -> None:
        server.slow(4)
        changed.append(len(server.sent))

    seen = watch(server.url, 40, slow)
    assert set(steps_s(seen)) == {Fraction(1, RATE_HZ)}
    first, *_, last = server.sent[changed[0] + 1 :]
    assert (last.at_s - first.at_s) * SPEED / 4 == pytest.approx(float(last.stream_pts_s - first.stream_pts_s), abs=0.2)


def test_another_size_comes_on_the_same_connection(server: RtspServer, clips: Clips) -> None:
    big = clips("big", draw=lambda index: numbered(index, 640, 360))
    seen = watch(server.url, 50, lambda: server.change(big))
    assert seen.widths_px == sorted(seen.widths_px)
    assert set(seen.widths_px) == {320, 640}
    assert min(steps_s(seen)) > 0


def test_another_codec_needs_another_connection(server: RtspServer, clips: Clips) -> None:
    hevc = clips("hevc", "libx265", 2, "libopus")
    assert watch(server.url, 999, lambda: server.change(hevc)).ended
    with av.open(server.url, options={"rtsp_transport": "tcp"}, timeout=5) as container:
        assert container.streams.video[0].codec_context.name == "hevc"


def test_the_first_packets_come_without_time(server: RtspServer) -> None:
    server.untimed(6)
    assert watch(server.url, 12).without_time == 6


def test_a_wrong_path_is_not_found(server: RtspServer) -> None:
    with pytest.raises(av.error.HTTPNotFoundError):
        watch(server.url_of("nowhere"), 1)


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_only_the_right_password_is_let_in(clips: Clips, scheme: Scheme) -> None:
    with RtspServer(clips("plain"), speed=SPEED, user="me@home", password=AWKWARD, scheme=scheme) as server:
        with pytest.raises(av.error.HTTPUnauthorizedError):
            watch(server.url, 1)
        with pytest.raises(av.error.HTTPUnauthorizedError):
            watch(server.url.replace("//", "//me%40home:wrong@"), 1)
        assert "@" not in server.url
        assert watch(server.url_of("live", credentials=True), 3).numbers


def test_a_file_that_no_camera_can_send_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "old.mkv", Video(even_times(5), codec="mpeg4"))
    with pytest.raises(NoUsableStreamError, match=r"old\.mkv has no H\.264"):
        RtspServer(path)


def test_closing_leaves_no_thread_and_no_connection(clips: Clips) -> None:
    before = threading.active_count()
    with RtspServer(clips("plain"), speed=SPEED) as server:
        seen = watch(server.url, 999, lambda: threading.Thread(target=server.close).start())
        assert seen.ended
    server.close()
    assert threading.active_count() == before
    assert server.connections == 0


def test_the_example_in_the_documentation_runs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "testing.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.+?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(example, names)  # noqa: S102 - our own page
    assert names["seen"]
