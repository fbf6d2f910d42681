"""Every way in: what streams come over, and what is said where they do not."""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import av
import pytest
from watched_feed import Watch, Watched, watching

from clipstream.media.live import connection
from clipstream.media.live.address import LiveAddress
from clipstream.media.live.connection import LiveConnection
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.status import FeedState
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.media.recording.templates import note_tracks
from clipstream.testing import HttpServer, RtspServer, wait_until
from clipstream.testing.media import Sound, Video, even_times, make_clip, numbered, tone

RATE_HZ = 15
OPTIONS = ConnectionOptions(open_s=1, stall_s=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ways") / "clip.mp4"
    return make_clip(path, Video(even_times(60, RATE_HZ), numbered, gop=5, b_frames=0), Sound(((0, 4),), tone()))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate for 127.0.0.1 that nobody trusts, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with: the standard library cannot")
    file = tmp_path_factory.mktemp("certificate") / "own.pem"
    how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *how.split(), *names, "-keyout", file, "-out", file], check=True, capture_output=True)
    return file


def open_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def trouble_of(url: str, options: ConnectionOptions = OPTIONS) -> Trouble:
    with pytest.raises(ConnectionProblem) as told:
        LiveConnection(LiveAddress.parse(url), options)
    return told.value.trouble


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watching(OPTIONS) as start:
        yield start


def assert_all_came(cam: Watched, pictures: int = 20) -> None:
    wait_until(lambda: cam.has(pictures), 12)
    assert {(later - earlier) % 60 for earlier, later in pairwise(cam.numbers[:pictures])} == {1}


@pytest.fixture
def sender(clip: Path) -> Iterator[Callable[[int], Event]]:
    """Return what sends the clip to a UDP port as MPEG-TS, again and again, until the event it returns is set."""
    threads: list[tuple[Thread, Event]] = []

    def send(port: int, stop: Event) -> None:
        where = f"udp://127.0.0.1:{port}?pkt_size=1316"
        with av.open(where, "w", format="mpegts") as target, av.open(str(clip)) as source:
            copies = {track.index: target.add_stream_from_template(track) for track in source.streams}
            base_s = Fraction(0)
            while not stop.is_set():
                source.seek(0)
                for packet in source.demux():
                    if packet.dts is None:
                        continue
                    shift = round(base_s / (packet.time_base or 1))
                    packet.pts, packet.dts = (packet.pts or 0) + shift, packet.dts + shift
                    if packet.stream.type == "video" and stop.wait(1 / RATE_HZ):
                        return
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
                base_s += Fraction(60, RATE_HZ)

    def start(port: int) -> Event:
        stop = Event()
        thread = Thread(target=send, args=(port, stop))
        threads.append((thread, stop))
        thread.start()
        return stop

    yield start
    for thread, stop in threads:
        stop.set()
        thread.join()


def test_udp_is_read_stalls_when_the_sender_stops_and_goes_on_when_it_is_back(
    sender: Callable[[int], Event], watch: Watch
) -> None:
    port = open_port()
    stop = sender(port)
    cam = watch(f"udp://127.0.0.1:{port}", ConnectionOptions(open_s=3, stall_s=1))
    assert_all_came(cam)
    stop.set()
    wait_until(lambda: cam.feed.status.state is FeedState.STALLED)
    sender(port)
    wait_until(lambda: cam.feed.status.connections == 2, 12)


def test_udp_on_which_nothing_comes_is_silent_and_a_port_in_use_is_said_to_be() -> None:
    port = open_port()
    assert trouble_of(f"udp://127.0.0.1:{port}", ConnectionOptions(open_s=0.3, stall_s=0.3)) is Trouble.SILENT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        assert trouble_of(f"udp://127.0.0.1:{taken.getsockname()[1]}") is Trouble.BUSY


def test_rtsp_is_read_over_udp_where_that_is_asked(clip: Path, watch: Watch) -> None:
    with RtspServer(clip) as server:
        cam = watch(server.url, ConnectionOptions(udp=True, open_s=3, stall_s=1))
        assert_all_came(cam)


@pytest.mark.parametrize("kind", ["rtsps", "https"])
def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_that_is_vouched_for_is_not(
    clip: Path, certificate: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with RtspServer(clip, certificate=certificate) as camera, HttpServer(certificate) as web:
        url = camera.url if kind == "rtsps" else web.add_live("cam", clip, loop=True)
        assert url.startswith(f"{kind}://")
        assert trouble_of(url) is Trouble.CERTIFICATE
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert_all_came(watch(url))


def test_of_a_playlist_of_several_qualities_the_best_is_read_and_the_others_are_fetched_no_more(
    clip: Path, tmp_path: Path, watch: Watch
) -> None:
    with HttpServer() as server:
        lines = ["#EXTM3U"]
        for name, bandwidth in (("low", 100_000), ("best", 900_000), ("middle", 500_000)):
            server.add_live(name, clip, window=6, loop=True, speed=2)
            lines += [f"#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}", f"{name}/index.m3u8"]
        master = tmp_path / "master.m3u8"
        master.write_text("\n".join([*lines, ""]), encoding="utf-8")
        cam = watch(server.add_file("master.m3u8", master))
        assert_all_came(cam)
        before = len(server.answered)
        wait_until(lambda: len(server.answered) >= before + 5, 12)
        assert {one.path.partition("/")[0] for one in server.answered[before:]} == {"best"}


def test_what_a_playlist_offers_in_other_qualities_is_not_recorded(clip: Path, tmp_path: Path) -> None:
    with HttpServer() as server:
        for name in ("low", "best"):
            server.add_live(name, clip, window=3)
        master = tmp_path / "master.m3u8"
        master.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nlow/index.m3u8\n"
                          "#EXT-X-STREAM-INF:BANDWIDTH=99\nbest/index.m3u8\n", "utf-8")  # fmt: skip
        with LiveConnection(LiveAddress.parse(server.add_file("master.m3u8", master)), OPTIONS) as opened:
            tracks = {note.index for note in note_tracks(opened.container.streams)[0]}
            assert opened.video is not None
            assert opened.audio is not None
            assert tracks == {opened.video.index, opened.audio.index}
            assert {packet.stream_index for packet, _ in zip(opened, range(40), strict=False)} == tracks


def jpeg(number: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 180, "yuvj420p"
    encoder.time_base = Fraction(1)
    picture = av.VideoFrame.from_ndarray(numbered(number), format="bgr24").reformat(format="yuvj420p")
    return bytes(encoder.encode(picture)[0])


def test_pictures_that_come_without_times_have_the_time_at_which_they_come(watch: Watch) -> None:
    sent_s: list[float] = []
    over = Event()

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=next")
            self.end_headers()
            with suppress(OSError):
                while not over.wait(1 / 8):
                    picture = jpeg(len(sent_s))
                    head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(head.encode() + picture + b"\r\n")
                    sent_s.append(monotonic())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        cam = watch(f"http://127.0.0.1:{server.server_address[1]}/video.cgi", ConnectionOptions(open_s=5, stall_s=2))
        wait_until(lambda: cam.has(24), 15)
        cam.feed.close()
        over.set()
        server.shutdown()
        thread.join()
    shown_s = dict(zip(cam.numbers, cam.times_s, strict=True))
    last, before = cam.numbers[-1], cam.numbers[-9]
    assert shown_s[last] - shown_s[before] == pytest.approx(sent_s[last] - sent_s[before], abs=0.2)


def test_a_protocol_that_ffmpeg_lacks_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_NOT_EVERYWHERE", frozenset({"lacking"}))
    with pytest.raises(ConnectionProblem, match="built without this protocol") as told:
        connection.check_protocol(LiveAddress("lacking", "host", 9, "lacking://me:s3cret@host:9"))
    assert "s3cret" not in str(told.value)


def test_a_protocol_that_ffmpeg_has_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_NOT_EVERYWHERE", frozenset({"rtmp"}))
    connection.check_protocol(LiveAddress.parse("rtmp://host/live"))


def test_a_device_that_is_not_there_is_said_to_be_missing() -> None:
    assert trouble_of("/dev/video99") is Trouble.NO_DEVICE


def test_a_connection_that_is_made_again_is_open_with_its_first_picture(tmp_path: Path, watch: Watch) -> None:
    slow = make_clip(tmp_path / "slow.mp4", Video(even_times(20, 10), numbered, gop=20, b_frames=0))
    with RtspServer(slow) as server:
        cam = watch(server.url, ConnectionOptions(open_s=3, stall_s=2))
        sent = []
        for connections in (1, 2):
            wait_until(lambda: cam.feed.status.connections == connections, 12)  # noqa: B023 - over before the next
            sent.append(sum(one.client == connections for one in server.sent))
            server.drop()
    # The first waits for those that tell the rate, and more to know that nothing is reordered.
    assert sent[0] > 10
    assert sent[1] < 5
