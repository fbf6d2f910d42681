"""SRT as PyAV reads it: what is still to come, what ends it, and what an FFmpeg that knows SRT is told."""

import io
from collections.abc import Callable

import av
import pytest
from srt_sender import free_port

from clipstream.errors import InputError
from clipstream.media.live import connection, srt
from clipstream.media.live.address import LiveAddress
from clipstream.media.live.connection import LiveConnection
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.srt import SrtReading, has_library
from clipstream.media.live.srt_library import SrtError
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.testing.media import Video, even_times, make_clip, numbered

OPTIONS = ConnectionOptions(open_s=2, stall_s=1)
SECRET = "correct horse battery"  # noqa: S105 - of this test alone
HIDDEN = SECRET.replace(" ", "%20")
STUFFING = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 7


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read over a socket of its own, whether this machine has libsrt or not."""
    monkeypatch.setattr(connection, "has_library", lambda: True)


def trouble_of(url: str, options: ConnectionOptions = OPTIONS) -> Trouble:
    with pytest.raises(ConnectionProblem) as told:
        LiveConnection(LiveAddress.parse(url), options).close()
    return told.value.trouble


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ...]:
    """Make the messages of a short stream."""
    clip = make_clip(
        tmp_path_factory.mktemp("srt") / "clip.mp4", Video(even_times(60, 15), numbered, gop=5, b_frames=0)
    )
    written = io.BytesIO()
    with av.open(written, "w", format="mpegts") as target, av.open(str(clip)) as source:
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            packet.stream = track
            if packet.dts is not None:
                target.mux(packet)
    whole = written.getvalue()
    return tuple(whole[place : place + 1316] for place in range(0, len(whole), 1316))


class Scripted:
    """A socket that gives what it was told to, and then fails, or gives the same for ever."""

    def __init__(self, *messages: bytes, then: bytes | BaseException) -> None:
        self.messages, self.then = list(messages), then

    def ready(self, wait_s: float) -> bool:
        return True

    def receive(self) -> bytes:
        if self.messages:
            return self.messages.pop(0)
        if isinstance(self.then, BaseException):
            raise self.then
        return self.then

    def close(self) -> None: ...


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., LiveAddress]:
    """Return what makes an address of which that is read which is given."""

    def address(*messages: bytes, then: bytes | BaseException) -> LiveAddress:
        monkeypatch.setattr(srt, "_opened", lambda *_: Scripted(*messages, then=then))
        return LiveAddress.parse("srt://camera:9000")

    return address


@pytest.fixture
def scripted(script: Callable[..., LiveAddress]) -> Callable[..., SrtReading]:
    return lambda *messages: SrtReading(script(*messages, then=SrtError(2001)), OPTIONS)


def test_stuffing_alone_is_read_only_while_there_is_time(script: Callable[..., LiveAddress]) -> None:
    reading = SrtReading(script(then=STUFFING), OPTIONS)
    assert STUFFING in reading.read(99_999)
    reading.until_s = 0
    assert reading.read(99_999) == b""
    assert reading.trouble is Trouble.SILENT


def test_a_stream_of_which_stuffing_alone_is_left_has_stalled(
    script: Callable[..., LiveAddress], stream: tuple[bytes, ...]
) -> None:
    options = ConnectionOptions(open_s=5, stall_s=0.4)
    with (
        LiveConnection(script(*stream, then=STUFFING), options) as opened,
        pytest.raises(ConnectionProblem) as told,
    ):
        list(opened)
    assert told.value.trouble is Trouble.STALLED


def test_an_interruption_is_not_lost_within_pyav(script: Callable[..., LiveAddress], stream: tuple[bytes, ...]) -> None:
    with pytest.raises(KeyboardInterrupt):
        LiveConnection(script(then=KeyboardInterrupt()), OPTIONS)
    address = script(*stream, *[STUFFING] * 9999, then=KeyboardInterrupt())
    with LiveConnection(address, OPTIONS) as opened, pytest.raises(KeyboardInterrupt):
        list(opened)


def test_what_is_read_in_pieces_of_any_size_is_whole(scripted: Callable[..., SrtReading]) -> None:
    sent = bytes(range(256)) * 12
    reading = scripted(sent[:1316], sent[1316:2632], b"", sent[2632:])
    got = b"".join(iter(lambda: reading.read(100), b""))
    assert got == sent
    assert reading.trouble is Trouble.ENDED


def test_who_was_not_heard_for_long_is_lost_and_has_not_ended(
    scripted: Callable[..., SrtReading], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(srt, "_LOST_AFTER_S", -1)
    reading = scripted(b"something")
    assert reading.read(99) == b"something"
    assert reading.read(99) == b""
    assert reading.trouble is Trouble.LOST


def test_an_ffmpeg_that_knows_srt_itself_is_told_the_passphrase_as_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, str | None]] = []

    def opening(file: object, *, options: dict[str, str], **_: object) -> None:
        asked.append((file, options.get("passphrase")))
        raise av.error.TimeoutError(110, "no answer")

    monkeypatch.setattr(connection, "has_library", lambda: False)
    monkeypatch.setattr(connection, "_has_protocol", lambda _: True)
    monkeypatch.setattr("clipstream.media.live.connection.av.open", opening)
    for place in (f"me:{HIDDEN}@camera:9000?latency=0", f"camera:9000?passphrase={HIDDEN}&latency=0"):
        connection.check_protocol(LiveAddress.parse(f"srt://{place}"))
        assert trouble_of(f"srt://{place}") is Trouble.SILENT
    assert trouble_of("srt://camera:9000?streamid=#!::r=a") is Trouble.SILENT
    assert asked == [("srt://camera:9000?latency=0", SECRET)] * 2 + [("srt://camera:9000?streamid=#!::r=a", None)]
    with pytest.raises(InputError, match="no option whatever"):
        connection.check_protocol(LiveAddress.parse("srt://camera:9000?whatever=1"))


@pytest.mark.skipif(not has_library(), reason="libsrt is not on this machine")
def test_a_library_is_asked_before_an_ffmpeg_that_knows_srt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_has_protocol", lambda _: True)
    assert trouble_of(f"srt://127.0.0.1:{free_port()}?mode=listener", ConnectionOptions(open_s=0)) is Trouble.UNCALLED
