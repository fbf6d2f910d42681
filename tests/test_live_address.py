"""Addresses of live streams: what they say, what they are called, and that they give nothing away."""

import pickle
from pathlib import Path

import pytest

from clipstream.errors import InputError, UsageError
from clipstream.media.live.address import Credentials, LiveAddress, check_public, is_live, scrub, stream_names

SECRETS = (
    "rtsp://me:s3cret@camera/live",
    "rtsp://me:s3cret@camera:8554/live?token=s3cret",
    "rtsp://me:s3@cret@camera/live",
    "https://me:s3cret@[::1]:8443/a.m3u8?sig=s3cret&channel=2",
    "srt://camera:9000?passphrase=s3cret",
)


@pytest.mark.parametrize("text", SECRETS)
def test_no_secret_is_shown_but_where_it_is_asked_for(text: str) -> None:
    address = LiveAddress.parse(text)
    shown = f"{address} {address!r} {address.name} {[address]} {scrub(f'failed: {text!r}')}"
    assert "s3" not in shown
    assert "cret" not in shown
    assert "me" not in shown.replace("camera", "").replace("LiveAddress", "")
    assert address.reveal() == text
    assert pickle.loads(pickle.dumps(address)) == address  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://me:pa/s3cret@camera/live",
        "rtsp://me:s3cret@",
        "rtsp://me:1/s3cret@camera/live",
        "rtsp://me:s3 cret@camera/",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(InputError) as caught:
        LiveAddress.parse(text)
    assert "s3" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_streams_are_told_from_files() -> None:
    assert all(map(is_live, ["rtsp://a/b", "RTSPS://a/b", "udp://@239.0.0.1:1234", "/dev/video0", "https://a/b.m3u8"]))
    assert not any(map(is_live, ["match.mp4", "/dev/null", "ftp://a/b", "file:a", "C:\\a.mp4", "rtsp:a"]))


def test_a_name_tells_host_port_and_path() -> None:
    names = {
        "rtsp://me:pw@camera.lan/live/1": "camera.lan-live-1",
        "rtsp://camera.lan:8554/live/1": "camera.lan-8554-live-1",
        "rtsp://camera/cam/realmonitor?channel=2&subtype=0&auth=x": "camera-cam-realmonitor-channel-2-subtype-0",
        "https://host/show/live.m3u8?token=1": "host-show-live",
        "/dev/video0": "video0",
        "udp://:1234": "1234",
    }
    assert {text: LiveAddress.parse(text).name for text in names} == names


def test_cameras_are_told_apart_whatever_the_order() -> None:
    addresses = [LiveAddress.parse(f"rtsp://camera/live?key={key}") for key in "abc"]
    names = stream_names([*addresses, addresses[0]], taken=["Camera-Live"])
    assert sorted(names.values()) == ["camera-live-2", "camera-live-3", "camera-live-4"]
    assert stream_names(reversed(addresses), taken=["camera-live"]) == names


def test_credentials_join_an_address_that_has_none(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("# cameras\ncamera:8554 she:p@ss/word\n\ncamera me:pw\n", encoding="utf-8")
    known = Credentials.read(path)
    joined = LiveAddress.parse("rtsp://camera:8554/live").joined(known)
    assert joined.reveal() == "rtsp://she:p%40ss%2Fword@camera:8554/live"
    assert str(joined) == "rtsp://camera:8554/live"
    assert LiveAddress.parse("rtsp://camera/live").joined(known).reveal() == "rtsp://me:pw@camera/live"
    assert LiveAddress.parse("rtsp://own:x@camera/live").joined(known).reveal() == "rtsp://own:x@camera/live"
    assert LiveAddress.parse("rtsp://other/live").joined(known).reveal() == "rtsp://other/live"
    assert repr(known) == "Credentials(2 hosts)"


def test_a_line_of_credentials_that_is_wrong_is_named_but_not_shown() -> None:
    with pytest.raises(UsageError, match="line 2: not understood") as caught:
        Credentials.parse("camera me:pw\ncamera s3cret")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "0"]
)
def test_a_private_address_is_refused_for_jobs(host: str) -> None:
    with pytest.raises(InputError, match="private network"):
        check_public(LiveAddress.parse(f"http://me:s3cret@{host}/video.mp4"))


def test_a_public_address_is_allowed_for_jobs() -> None:
    check_public(LiveAddress.parse("http://1.1.1.1/video.mp4"))
