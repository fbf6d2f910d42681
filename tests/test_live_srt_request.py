"""What an address of SRT asks for, without a library to ask."""

import struct

import pytest

from clipstream.errors import InputError
from clipstream.media.live import srt, srt_library
from clipstream.media.live.address import Credentials, LiveAddress, stream_names
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.srt_library import load_library
from clipstream.media.live.srt_request import SrtRequest
from clipstream.media.live.troubles import ConnectionProblem, Trouble


def asked(url: str) -> SrtRequest:
    return SrtRequest.of(LiveAddress.parse(url))


def number(value: int) -> bytes:
    return struct.pack("=i", value)


def values(query: str) -> dict[str, bytes]:
    return {flag.name: flag.value for flag in asked(f"srt://camera:9000?{query}").flags}


def test_a_host_is_called_and_a_port_alone_is_listened_on() -> None:
    assert asked("srt://camera:9000") == SrtRequest("camera", 9000, listens=False, flags=())
    assert asked("srt://[::1]:9000?mode=caller") == SrtRequest("::1", 9000, listens=False, flags=())
    assert asked("srt://:9000?mode=listener") == SrtRequest("", 9000, listens=True, flags=())
    assert asked("srt://10.0.0.1:9000?mode=listener") == SrtRequest("10.0.0.1", 9000, listens=True, flags=())


def test_options_have_the_names_and_units_of_ffmpeg_and_the_values_of_libsrt() -> None:
    assert values("latency=200000&rcvlatency=1500&connect_timeout=3000") == {
        "latency": number(200),
        "rcvlatency": number(1),
        "connect_timeout": number(3000),
    }
    assert values("pbkeylen=32&passphrase=0123456789") == {"pbkeylen": number(32), "passphrase": b"0123456789"}
    assert values("maxbw=5000000000") == {"maxbw": struct.pack("=q", 5_000_000_000)}
    assert values("minversion=0x010300&tlpktdrop=0") == {"minversion": number(0x010300), "tlpktdrop": number(0)}
    assert values("linger=5") == {"linger": struct.pack("=ii", 1, 5)}


def test_what_is_left_to_ffmpegs_default_or_to_the_stall_is_not_set() -> None:
    assert values("latency=-1&pbkeylen=0&passphrase=&timeout=1000000&listen_timeout=-1") == {"pbkeylen": number(0)}


def test_a_streamid_is_whole_as_access_control_writes_it() -> None:
    assert values("streamid=#!::r=show/cam,m=request&latency=0")["streamid"] == b"#!::r=show/cam,m=request"
    assert values("srt_streamid=%23!::u=me")["srt_streamid"] == b"#!::u=me"


def test_the_kind_of_transmission_is_set_before_what_it_would_reset() -> None:
    names = [flag.name for flag in asked("srt://camera:9000?latency=1000&transtype=live&tlpktdrop=1").flags]
    assert names == ["transtype", "latency", "tlpktdrop"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("nonsense=1", "no option nonsense;"),
        ("latency=soon", "option latency cannot be that; it is a whole number of microseconds."),
        ("latency=-5", "option latency"),
        ("latency=", "option latency"),
        ("mss=99999999999", "option mss"),
        ("passphrase=s3cret", "option passphrase cannot be that; it is 10 to 79 characters long"),
        ("pbkeylen=20", "option pbkeylen cannot be that; it is 0, 16, 24 or 32."),
        ("mode=rendezvous", "option mode cannot be that; it is caller or listener."),
        ("transtype=other", "option transtype"),
        ("nakreport=yes", "option nakreport cannot be that; it is 0 or 1."),
        ("passphrase=0123456789&s3cret", "no option …;"),
        ("passphrase=0123456789&S3cret=1", "no option …;"),
    ],
)
def test_what_cannot_be_right_is_named_in_one_line_without_a_secret(query: str, said: str) -> None:
    with pytest.raises(InputError) as told:
        asked(f"srt://camera:9000?{query}")
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert "3cret" not in str(told.value)


@pytest.mark.parametrize(
    "rest",
    ["#passphrase=s3cret-s3cret", "/s3cret?cret?passphrase=s3cret-s3cret", "/#s3cret"],
)
def test_what_looks_like_a_path_may_be_a_secret_and_is_refused_unseen(rest: str) -> None:
    with pytest.raises(InputError, match="SRT knows no path") as told:
        LiveAddress.parse(f"srt://camera:9000{rest}")
    assert "cret" not in str(told.value)


def test_no_parameter_is_shown_not_even_one_that_cameras_use() -> None:
    address = LiveAddress.parse("srt://camera:9000/?camera=s3cret&latency=0")
    assert (str(address), address.name) == ("srt://camera:9000/?…&…", "camera-9000")


@pytest.mark.parametrize(
    ("url", "said"), [("srt://camera", "names no port"), ("srt://:9000", "names no host"), ("srt://", "names no host")]
)
def test_an_address_without_host_or_port_is_refused(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        asked(url)


def test_nothing_shows_a_passphrase_or_a_streamid() -> None:
    address = LiveAddress.parse("srt://me:s3cret-s3cret@camera:9000?passphrase=0s3cret789&streamid=#!::u=s3cret")
    assert "s3cret" not in f"{address} {address!r} {address.name} {SrtRequest.of(address)!r}"
    assert address.name == "camera-9000"


@pytest.mark.parametrize("url", ["srt://camera:9000?latency=0", "srt://:9000?mode=listener&streamid=#!::r=a"])
def test_the_password_that_credentials_know_is_the_passphrase(url: str) -> None:
    known = Credentials.parse("camera me:wrong%20one\ncamera:9000 me:p@ss/w+rd %&\n:9000 me:p@ss/w+rd %&")
    joined = LiveAddress.parse(url).joined(known)
    assert [flag.value for flag in SrtRequest.of(joined).flags if flag.name == "passphrase"] == [b"p@ss/w+rd %&"]
    assert str(joined) == str(LiveAddress.parse(url))


def test_streams_of_one_server_are_told_apart_by_their_streamid_and_by_nothing_else() -> None:
    def hidden(query: str) -> tuple[str, str]:
        return LiveAddress.parse(f"srt://camera:9000?{query}").hidden

    assert hidden("streamid=#!::r=a") != hidden("streamid=#!::r=b")
    assert hidden("streamid=a&latency=1000&passphrase=0123456789") == hidden("streamid=a")
    one, other = (LiveAddress.parse(f"srt://camera:9000?streamid=#!::r={name}") for name in "ab")
    assert set(stream_names([one, other]).values()) == {"camera-9000", "camera-9000-2"}


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srt_library, "find_library", lambda _: None)
    monkeypatch.setattr(srt_library, "_HOMEBREW", ())
    for module in (srt, srt_library):
        monkeypatch.setattr(module, "load_library", load_library.__wrapped__)
    address = LiveAddress.parse("srt://127.0.0.1:9000?passphrase=s3cret-s3cret")
    with pytest.raises(ConnectionProblem, match="apt install ffmpeg, dnf install srt-libs or brew install srt") as told:
        srt.check_srt(address)
    assert "s3cret" not in str(told.value)
    with pytest.raises(ConnectionProblem) as met:
        srt.SrtReading(address, ConnectionOptions())
    assert met.value.trouble is Trouble.NO_LIBRARY
