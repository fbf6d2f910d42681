"""Servers of strangers: nobody goes where they send, what they list is not opened, what never ends is broken off."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from threading import Event, Thread

import pytest

from clipstream.errors import InputError, OutputError
from clipstream.media.live.address import AddressCheck, LiveAddress
from clipstream.media.live.connection import LiveConnection
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.media.web import download, web_media
from clipstream.media.web.download import fetch
from clipstream.media.web.web_media import WebMedia, find_media
from clipstream.testing import HttpServer, RtspServer
from clipstream.testing.media import Sound, Video, even_times, make_clip

RATE_HZ = 10


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    video = Video(even_times(60, RATE_HZ), gop=10, b_frames=0)
    return make_clip(tmp_path_factory.mktemp("strange") / "film.mp4", video, Sound([(0.0, 6.0)]))


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.fixture
def private() -> Iterator[HttpServer]:
    """Return the server that nobody may ask."""
    with HttpServer() as server:
        yield server


def all_but(server: HttpServer) -> AddressCheck:
    def check(address: LiveAddress) -> None:
        if address.port == server.port:
            raise InputError("no.")

    return check


def checked(check: AddressCheck, *, stall_s: float = 2.0) -> ConnectionOptions:
    return ConnectionOptions(open_s=3, stall_s=stall_s, check=check)


def found(url: str, options: ConnectionOptions | None = None) -> WebMedia:
    media = find_media(LiveAddress.parse(url), options)
    assert media is not None
    return media


def problem_of(action: Callable[[], object]) -> Trouble:
    with pytest.raises(ConnectionProblem) as told:
        action()
    return told.value.trouble


def packets_of(url: str, options: ConnectionOptions, most: int = 1000) -> tuple[int, Trouble | None]:
    """Return how many packets came, and why no more."""
    count = 0
    with LiveConnection(LiveAddress.parse(url), options) as connection:
        try:
            for _ in connection:
                count += 1
                if count == most:
                    return count, None
        except ConnectionProblem as problem:
            return count, problem.trouble
    raise AssertionError


@contextmanager
def answering(write: Callable[[BaseHTTPRequestHandler, Event], None]) -> Iterator[str]:
    """Give the address of a server that answers every request as `write` does, which ends once the event is set."""
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                write(self, over)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        over.set()
        server.shutdown()


def trickle(out: BaseHTTPRequestHandler, text: bytes, over: Event) -> None:
    out.wfile.write(text)
    while not over.wait(0.02):
        out.wfile.write(b"#")


def test_an_rtsp_server_that_sends_elsewhere_is_refused_where_addresses_are_checked(private: HttpServer) -> None:
    def answer() -> None:
        client, _ = camera.accept()
        with client:
            while request := client.recv(2000).decode():
                said = (
                    f"302 Moved\r\nLocation: rtsp://127.0.0.1:{private.port}/a" if "DESCRIBE" in request else "200 OK"
                )
                number = next(line for line in request.splitlines() if line.startswith("CSeq"))
                client.sendall(f"RTSP/1.0 {said}\r\n{number}\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as camera:
        Thread(target=answer, daemon=True).start()
        address = LiveAddress.parse(f"rtsp://127.0.0.1:{camera.getsockname()[1]}/live")
        assert problem_of(lambda: LiveConnection(address, checked(all_but(private)))) is Trouble.BARRED
    assert private.connections == 0


def test_an_rtsp_server_that_sends_nobody_elsewhere_is_read_as_without_a_check(film: Path) -> None:
    with RtspServer(film, user="me", password="right", speed=4) as camera:  # noqa: S106 - of this test alone
        url = camera.url_of("live", credentials=True)
        assert packets_of(url, checked(lambda _: None), most=RATE_HZ) == (RATE_HZ, None)


def test_a_live_playlist_is_checked_each_time_it_is_loaded(server: HttpServer, private: HttpServer, film: Path) -> None:
    url = server.add_live("live", film, speed=8)
    server.redirect("live/5.ts", private.add_file("secret.ts", film))
    count, trouble = packets_of(url, checked(all_but(private)))
    assert count > 3 * RATE_HZ
    assert trouble is Trouble.BARRED
    assert private.connections == 0


def test_a_finished_playlist_is_checked_while_it_is_fetched(
    server: HttpServer, private: HttpServer, film: Path, tmp_path: Path
) -> None:
    options = checked(all_but(private))
    media = found(server.add_vod("film", film), options)
    server.redirect("film/3.ts", private.add_file("secret.ts", film))
    assert problem_of(
        lambda: fetch(media, tmp_path, "film", told=lambda _: None, stop=Event(), options=options)
    ) is Trouble.BARRED  # fmt: skip
    assert private.connections == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["httpproxy://{}/1.ts", "crypto+http://{}/1.ts", "file:///etc/hostname", "rtp://{}"])
def test_a_playlist_that_names_what_is_no_http_is_refused_where_addresses_are_checked(
    name: str, server: HttpServer, tmp_path: Path
) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXTINF:1,\n{name.format('127.0.0.1:9')}\n#EXT-X-ENDLIST\n", "utf-8")
    url = server.add_file("list.m3u8", playlist)
    assert problem_of(lambda: found(url, checked(lambda _: None))) is Trouble.BARRED
    trouble = problem_of(lambda: LiveConnection(LiveAddress.parse(url), checked(lambda _: None)))
    assert trouble in {Trouble.BARRED, Trouble.NOT_MEDIA}  # FFmpeg refuses some by itself


def test_an_encrypted_playlist_is_refused_where_addresses_are_checked(server: HttpServer, tmp_path: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text('#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="key"\n#EXTINF:1,\n0.ts\n#EXT-X-ENDLIST\n', "utf-8")
    url = server.add_file("list.m3u8", playlist)
    assert problem_of(lambda: found(url, checked(lambda _: None))) is Trouble.BARRED


def test_what_is_checked_and_allowed_arrives_as_without_a_check(server: HttpServer, film: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    options = checked(lambda address: asked.append(str(address)))
    url = server.add_vod("film", film)
    server.redirect("film/1.ts", server.url_of("film/2.ts"))
    server.fail(404, times=100, matching="film/4.ts")
    got = [
        fetch(found(url, how), tmp_path / name, "film", told=lambda _: None, stop=Event(), options=how)
        for name, how in (("plain", ConnectionOptions(stall_s=2)), ("checked", options))
    ]
    assert got[0].problem == got[1].problem is not None
    assert got[0].path.read_bytes() == got[1].path.read_bytes()
    assert {url, server.url_of("film/0.ts"), server.url_of("film/2.ts")} <= set(asked)


def test_a_checked_playlist_is_known_by_what_it_says_whatever_it_is_called(
    server: HttpServer, film: Path, tmp_path: Path
) -> None:
    server.add_vod("film", film)
    playlist = tmp_path / "watch"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm/0.ts\n#EXT-X-ENDLIST\n", "utf-8")
    address = LiveAddress.parse(server.add_file("watch", playlist))
    with LiveConnection(address, checked(lambda _: None)) as connection:
        assert connection.container.format.name == "hls"


def test_segments_of_a_redirected_playlist_are_where_it_is(server: HttpServer, film: Path) -> None:
    server.add_live("live", film, speed=0)
    url = server.redirect("watch", server.url_of("live/index.m3u8"))
    count, trouble = packets_of(url, checked(lambda _: None), most=RATE_HZ)
    assert (count, trouble) == (RATE_HZ, None)


def test_a_checked_stream_that_cannot_be_had_says_why(server: HttpServer) -> None:
    url = server.url_of("absent.m3u8")
    assert problem_of(lambda: LiveConnection(LiveAddress.parse(url), checked(lambda _: None))) is Trouble.NOT_FOUND


def test_no_more_of_a_file_is_taken_than_the_server_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_end(out: BaseHTTPRequestHandler, over: Event) -> None:
        out.send_response(200)
        asked.append(out.path)
        if len(asked) == 1:
            out.send_header("Content-Length", "1000000")
        out.end_headers()
        while not over.is_set() and len(asked) > 1:
            out.wfile.write(bytes(1 << 16))

    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    asked: list[str] = []
    with answering(without_end) as url:
        media = found(f"{url}film.mp4")
        assert media.size_bytes == 1_000_000
        got = fetch(media, tmp_path, "film", told=lambda _: None, stop=Event())
    assert got.path.stat().st_size == 1_000_000
    assert got.problem == "truncated: the server sent more than the 1.0 MB that it stated; the rest was left out"


@pytest.mark.parametrize("kind", ["file", "playlist"])
def test_nothing_is_fetched_that_the_disk_has_no_room_for(
    kind: str, server: HttpServer, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "lacking_bytes", lambda _folder, wanted: 7_000_000 if wanted else 0)
    media = found(server.add_file("film.mp4", film) if kind == "file" else server.add_vod("film", film))
    with pytest.raises(OutputError, match="lacks 7 MB"):
        fetch(media, tmp_path, "film", told=lambda _: None, stop=Event())
    assert list(tmp_path.glob("film*")) == []


def test_a_playlist_that_gives_far_more_than_it_states_is_broken_off(
    server: HttpServer, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_LONGER_S", 0)
    playlist = tmp_path / "short.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm/0.ts\n#EXT-X-ENDLIST\n", "utf-8")
    server.add_vod("film", film, segment_s=6)
    got = fetch(found(server.add_file("short.m3u8", playlist)), tmp_path, "film", told=lambda _: None, stop=Event())
    assert got.problem == "truncated: more came than the 1.0 s in the playlist"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\n\r\n#EXTM3U\n",
        b"HTTP/1.0 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["body", "head", "size of a chunk"],
)
def test_an_answer_that_trickles_is_not_waited_for(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_media, "_PATIENCE", 1)
    options = ConnectionOptions(stall_s=0.2)
    with answering(lambda out, over: trickle(out, head, over)) as url:
        address = LiveAddress.parse(f"{url}list.m3u8")
        assert problem_of(lambda: find_media(address, options)) is Trouble.SILENT


def test_variants_that_each_come_late_and_empty_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(out: BaseHTTPRequestHandler, over: Event) -> None:
        asked.append(out.path)
        out.send_response(200)
        out.end_headers()
        if out.path == "/list.m3u8":
            variants = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH={number}\n{number}.m3u8\n" for number in range(40))
            out.wfile.write(f"#EXTM3U\n{variants}".encode())
        else:
            over.wait(0.05)

    monkeypatch.setattr(web_media, "_PATIENCE", 1)
    asked: list[str] = []
    with answering(late) as url:
        address = LiveAddress.parse(f"{url}list.m3u8")
        assert problem_of(lambda: find_media(address, checked(lambda _: None, stall_s=0.2))) is Trouble.SILENT
    assert len(asked) < 8


def test_redirections_that_each_come_late_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(out: BaseHTTPRequestHandler, over: Event) -> None:
        over.wait(0.05)
        hop = int(out.path[1:])
        out.send_response(302 if hop < 9 else 200)
        out.send_header("Location", f"/{hop + 1}")
        out.end_headers()

    monkeypatch.setattr(web_media, "_PATIENCE", 1)
    with answering(late) as url:
        address = LiveAddress.parse(f"{url}0")
        assert problem_of(lambda: find_media(address, ConnectionOptions(stall_s=0.2))) is Trouble.SILENT


def test_no_host_of_a_playlist_is_looked_up_when_no_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(address: LiveAddress) -> None:
        looked_up.append(address.host)
        if len(looked_up) == 3:
            monkeypatch.setattr(web_media, "monotonic", lambda: inf)

    def answer(out: BaseHTTPRequestHandler, _over: Event) -> None:
        out.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n#EXTM3U\n" + b"".join(b"http://h%d/\n" % n for n in range(9)))

    looked_up: list[str] = []
    with answering(answer) as url:
        assert problem_of(lambda: find_media(LiveAddress.parse(url), checked(lookup))) is Trouble.SILENT
    assert len(looked_up) == 3


@pytest.mark.parametrize("begin", [b"#EXTM3U\n", b"G"])
def test_a_checked_stream_that_trickles_is_given_up(begin: bytes) -> None:
    options = ConnectionOptions(open_s=0.2, stall_s=0.2, check=lambda _: None)
    with answering(lambda out, over: trickle(out, b"HTTP/1.0 200 OK\r\n\r\n" + begin, over)) as url:
        address = LiveAddress.parse(f"{url}live")
        assert problem_of(lambda: LiveConnection(address, options)) is Trouble.SILENT


def test_of_very_many_variants_some_are_looked_at(
    server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_media, "_MOST", 5)
    master = tmp_path / "master.m3u8"
    lines = [f"#EXT-X-STREAM-INF:BANDWIDTH={number}\nmaster.m3u8" for number in range(1, 50)]
    master.write_text("#EXTM3U\n" + "\n".join(lines) + "\n", "utf-8")
    assert find_media(LiveAddress.parse(server.add_file("master.m3u8", master)), checked(lambda _: None)) is None
    server.wait_until(lambda: len(server.answered) >= 6)
    assert len(server.answered) == 6
