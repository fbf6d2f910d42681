"""SRT: called and calling, with and without a passphrase, through senders that come and go."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from shutil import which
from threading import Thread
from time import monotonic
from typing import Any

import pytest
from srt_sender import free_port, sending
from watched_feed import Watch, watching

from clipstream.errors import InputError
from clipstream.media.live import connection
from clipstream.media.live.address import LiveAddress, check_public
from clipstream.media.live.connection import LiveConnection
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.srt import SrtReading
from clipstream.media.live.srt_library import SrtClosedError, SrtError, SrtSocket, load_library
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.testing import wait_until
from clipstream.testing.media import Sound, Video, even_times, make_clip, numbered, tone

RATE_HZ = 15
OPTIONS = ConnectionOptions(open_s=2, stall_s=1)
SECRET = "correct horse battery"  # noqa: S105 - of this test alone
HIDDEN = SECRET.replace(" ", "%20")
STUFFING = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 7


@pytest.fixture(scope="module", autouse=True)
def _library() -> None:
    try:
        load_library()
    except OSError:
        pytest.skip("libsrt is not on this machine")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("srt") / "clip.mp4"
    return make_clip(path, Video(even_times(60, RATE_HZ), numbered, gop=5, b_frames=0), Sound(((0, 4),), tone()))


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watching(OPTIONS) as start:
        yield start


@pytest.fixture
def port() -> int:
    return free_port()


def listener(port: int, *more: str) -> str:
    return f"srt://127.0.0.1:{port}?" + "&".join(["mode=listener", *more])


def caller(port: int, *more: str) -> str:
    return f"srt://127.0.0.1:{port}?" + "&".join(["latency=20000", *more])


def trouble_of(url: str, options: ConnectionOptions = OPTIONS) -> Trouble:
    with pytest.raises(ConnectionProblem) as told:
        LiveConnection(LiveAddress.parse(url), options).close()
    return told.value.trouble


def test_every_picture_of_a_sender_that_is_called_comes_and_closing_is_prompt(
    clip: Path, port: int, watch: Watch
) -> None:
    with sending(listener(port), clip):
        cam = watch(caller(port))
        wait_until(lambda: cam.has(20), 12)
        start_s = monotonic()
        cam.feed.close()
        assert monotonic() - start_s < 1
    assert {(later - earlier) % 60 for earlier, later in pairwise(cam.numbers[:20])} == {1}


def test_a_sender_that_stalls_ends_and_comes_back_is_read_on(clip: Path, port: int, watch: Watch) -> None:
    with sending(listener(port), clip) as sender:
        cam = watch(caller(port))
        cam.until(connections=1)
        sender.stalled.set()
        assert cam.until(trouble=Trouble.STALLED) < OPTIONS.stall_s + 0.8
        sender.stalled.clear()
        cam.until(connections=2)
        sender.drop()
        cam.until(trouble=Trouble.ENDED)
        assert cam.until(connections=3) < 3
    cam.until(trouble=Trouble.SILENT)


def test_nobody_who_is_called_is_silent_and_so_is_who_sends_nothing(port: int) -> None:
    assert trouble_of(caller(port), ConnectionOptions(open_s=0.3, stall_s=0.3)) is Trouble.SILENT
    with sending(listener(port), None):
        assert trouble_of(caller(port), ConnectionOptions(open_s=0.3, stall_s=0.3)) is Trouble.SILENT


def test_senders_that_call_come_and_go_and_a_port_is_heard_again_at_once(clip: Path, port: int, watch: Watch) -> None:
    cam = watch(listener(port))
    cam.until(trouble=Trouble.UNCALLED)
    for connections in (1, 2):
        with sending(caller(port), clip):
            cam.until(connections=connections)
        cam.until(trouble=Trouble.ENDED)
    assert set(cam.feed.status.troubles) == {Trouble.UNCALLED, Trouble.ENDED}


def test_a_port_that_is_listened_on_already_is_said_to_be_in_use(port: int) -> None:
    with sending(listener(port), None):
        wait_until(lambda: trouble_of(listener(port), ConnectionOptions(open_s=0.1)) is Trouble.BUSY)
        assert trouble_of(listener(port, "mss=1400")) is Trouble.BUSY


def test_a_port_that_another_program_has_is_said_to_be_in_use() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        assert trouble_of(listener(taken.getsockname()[1])) is Trouble.BUSY


def test_a_passphrase_lets_in_a_wrong_one_is_told_apart_and_neither_is_shown(
    clip: Path, port: int, watch: Watch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sending(listener(port, f"passphrase={HIDDEN}", "pbkeylen=32"), clip):
        wrong = watch(caller(port, "passphrase=wrong%20horse%20battery"))
        wrong.until(trouble=Trouble.ENCRYPTION)
        assert trouble_of(caller(port)) is Trouble.ENCRYPTION
        right = watch(caller(port, f"passphrase={HIDDEN}"))
        right.until(connections=1)
    shown = capsys.readouterr()
    assert "passphrase is wrong" in shown.out
    assert "horse" not in f"{shown.out}{shown.err}{wrong.feed.status}{right.feed.status}"


def test_the_password_of_an_address_is_the_passphrase(clip: Path, port: int) -> None:
    with sending(listener(port, f"passphrase={HIDDEN}"), clip):
        url = f"srt://anyone:{HIDDEN}@127.0.0.1:{port}"
        LiveConnection(LiveAddress.parse(url), OPTIONS).close()


@pytest.mark.parametrize("host", ["[::1]", "localhost"])
def test_numbers_of_ipv6_and_names_are_called(clip: Path, port: int, host: str) -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
            one.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with sending(f"srt://[::]:{port}?mode=listener", clip):
        LiveConnection(LiveAddress.parse(f"srt://{host}:{port}"), OPTIONS).close()


def test_of_a_name_with_several_addresses_the_one_that_answers_is_read(
    clip: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = socket.getaddrinfo

    def looked_up(host: str, *more: Any, **how: Any) -> list[Any]:
        if host != "several":
            return plain(host, *more, **how)
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (one, port)) for one in ("127.0.0.2", "127.0.0.1")]

    with sending(listener(port), clip):
        monkeypatch.setattr(socket, "getaddrinfo", looked_up)
        LiveConnection(LiveAddress.parse(f"srt://several:{port}"), OPTIONS).close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here to count descriptors in")
def test_connections_that_are_made_again_and_again_leave_nothing_open(clip: Path, port: int) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with sending(listener(port), clip) as sender:
        address = LiveAddress.parse(caller(port))
        before = descriptors()
        for _ in range(20):
            reading = SrtReading(address, OPTIONS)
            assert reading.read(188)[:1] == b"\x47"
            sender.drop()
            reading.close()
            wait_until(lambda: not sender.sending.is_set())
        # libsrt takes back what is closed within a few seconds.
        wait_until(lambda: descriptors() <= before + 4, 12)


def test_closing_ends_what_waits_in_another_thread(port: int) -> None:
    waiting = SrtSocket()
    waiting.listen(socket.AF_INET, ("127.0.0.1", port))
    met: list[SrtError] = []

    def wait() -> None:
        try:
            while not waiting.ready(0.05):
                pass
        except SrtError as error:
            met.append(error)

    thread = Thread(target=wait)
    thread.start()
    waiting.close()
    thread.join(5)
    assert met


def test_closing_ends_the_wait_for_a_sender_and_says_that_none_has_called(port: int, watch: Watch) -> None:
    cam = watch(listener(port), ConnectionOptions(open_s=60))
    wait_until(lambda: cam.feed.status.attempts == 1)
    cam.feed.close()
    assert "nobody has called" in cam.problem()
    wait_until(lambda: "read cam" not in {thread.name for thread in threading.enumerate()})


@pytest.mark.parametrize("url", [listener, caller])
def test_a_feed_that_the_end_of_the_program_breaks_off_logs_nothing(
    port: int,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: Callable[[int], str],
) -> None:
    def closed(*_: object) -> bool:
        raise SrtClosedError

    monkeypatch.setattr(SrtSocket, "ready", closed)
    cam = watch(url(port))
    wait_until(lambda: "read cam" not in {thread.name for thread in threading.enumerate()})
    assert not cam.feed.status.troubles
    assert "stream_waiting" not in capsys.readouterr().out


def test_a_message_without_content_is_the_end_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = SrtSocket()
    try:
        monkeypatch.setattr(SrtSocket, "_call", lambda *_: 0)
        with pytest.raises(SrtError):
            reading.receive()
    finally:
        reading.close()


def test_a_program_that_ends_while_a_thread_still_reads_ends_at_once_and_well(clip: Path, port: int) -> None:
    program = (
        "import sys, threading\n"
        "from clipstream.media.live.srt import *\n"
        "from clipstream.media.live.address import LiveAddress\n"
        "from clipstream.media.live.connection_options import ConnectionOptions\n"
        "reading = SrtReading(LiveAddress.parse(sys.argv[1]), ConnectionOptions(open_s=60))\n"
        "threading.Thread(target=lambda: [reading.read(9999) for _ in iter(int, 1)], daemon=True).start()\n"
    )
    with sending(listener(port), None):
        ran = subprocess.run(
            [sys.executable, "-c", program, caller(port)], capture_output=True, text=True, check=False, timeout=20
        )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("reason", "trouble"),
    [
        (10, Trouble.ENCRYPTION),
        (11, Trouble.ENCRYPTION),
        (16, Trouble.SILENT),
        (5, Trouble.REFUSED),
        (1401, Trouble.UNAUTHORISED),
        (1403, Trouble.FORBIDDEN),
        (1404, Trouble.NOT_FOUND),
    ],
)
def test_why_a_server_lets_nobody_in_is_told_apart(
    port: int, monkeypatch: pytest.MonkeyPatch, reason: int, trouble: Trouble
) -> None:
    monkeypatch.setattr(SrtSocket, "connect", lambda *_: False)
    monkeypatch.setattr(SrtSocket, "refusal", reason)
    assert trouble_of(caller(port)) is trouble


def test_a_host_that_cannot_be_reached_or_is_unknown_is_told(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trouble_of("srt://name.invalid:9000") is Trouble.UNKNOWN_HOST

    def unreachable(*_: object) -> bool:
        raise SrtError(1003, 101)

    monkeypatch.setattr(SrtSocket, "connect", unreachable)
    assert trouble_of(caller(port)) is Trouble.UNREACHABLE


def test_a_private_address_is_not_called_where_that_is_not_allowed(port: int) -> None:
    assert trouble_of(caller(port), ConnectionOptions(check=check_public)) is Trouble.BARRED


def test_a_value_that_the_library_refuses_is_named() -> None:
    with pytest.raises(InputError, match="does not take this value of option smoother") as told:
        connection.check_protocol(LiveAddress.parse(f"srt://camera:9000?smoother=none&passphrase={HIDDEN}"))
    assert "horse" not in str(told.value)


def test_a_feed_whose_address_cannot_be_right_ends_and_says_so(port: int, watch: Watch) -> None:
    assert (
        watch(caller(port, "mss=10")).problem().endswith("libsrt does not take this value of option mss; give another")
    )


def test_ffmpeg_is_called_with_all_that_an_address_may_ask_for(clip: Path, port: int) -> None:
    ffmpeg = which("ffmpeg")
    known = subprocess.run([ffmpeg, "-protocols"], capture_output=True, text=True, check=True).stdout if ffmpeg else ""
    if ffmpeg is None or " srt\n" not in known:
        pytest.skip("no ffmpeg here that can send over SRT")
    how = ["-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c", "copy", "-f", "mpegts"]
    program = [ffmpeg, *how, "-passphrase", SECRET, listener(port)]
    with subprocess.Popen(program, stderr=subprocess.DEVNULL) as process:
        try:
            asked = f"passphrase={HIDDEN}&streamid=#!::r=cam,m=request&rcvbuf=4000000&lossmaxttl=20&tlpktdrop=1"
            address = LiveAddress.parse(caller(port, asked, "transtype=live", "minversion=0x010300", "maxbw=0"))
            with LiveConnection(address, ConnectionOptions(open_s=5)) as opened:
                assert opened.rate_hz == RATE_HZ
                assert opened.audio is not None
                assert sum(packet.size > 0 for packet, _ in zip(opened, range(40), strict=False)) == 40
        finally:
            process.kill()
