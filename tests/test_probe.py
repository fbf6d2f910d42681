"""Opening a file, finding its zero of time and describing its tracks."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from clipstream.errors import InputError, InputNotFoundError, NoUsableStreamError, UnreadableMediaError
from clipstream.media.orientation import Orientation
from clipstream.media.probe import fingerprint, media_origin, open_media, probe
from clipstream.testing.media import Sound, Video, even_times, make_clip, numbered, read_number


def test_a_file_is_described(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", Video(even_times(60, Fraction(30000, 1001))), Sound([(0, 2)]))
    info = probe(path)
    assert info.video is not None
    assert info.audio is not None
    assert (info.video.codec, info.video.width_px, info.video.height_px) == ("h264", 320, 180)
    assert info.video.average_rate == Fraction(30000, 1001)
    assert (info.video.frames, info.video.has_b_frames, info.video.decodable) == (60, True, True)
    assert (info.audio.codec, info.audio.rate_hz, info.audio.channels) == ("aac", 48000, 2)
    assert info.duration_s == 60 * Fraction(1001, 30000)
    assert info.size_bytes == path.stat().st_size
    assert [track.split(": ")[1].split()[:2] for track in info.tracks] == [["video", "h264"], ["audio", "aac"]]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_every_orientation_is_told_and_undone(tmp_path: Path, rotation_deg: int, mirrored: bool) -> None:
    def stored(index: int) -> NDArray[np.uint8]:
        # rot90 turns counter-clockwise: what a player undoes by turning clockwise.
        picture: NDArray[np.uint8] = np.rot90(numbered(index), rotation_deg // 90)
        return picture[:, ::-1] if mirrored else picture

    video = Video(even_times(3), draw=stored, rotation_deg=rotation_deg, mirrored=mirrored)
    path = make_clip(tmp_path / "a.mp4", video)
    info = probe(path).video
    assert info is not None
    assert (info.rotation_deg, info.mirrored) == (rotation_deg, mirrored)
    assert (info.display_width_px, info.display_height_px) == (320, 180)
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            upright = Orientation.of(frame).upright(frame.to_ndarray(format="bgr24").astype(np.uint8))
            assert read_number(upright) == index


def test_the_shape_of_pixels_counts_for_the_display_size(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mkv", Video(even_times(3), sample_aspect=Fraction(2)))).video
    assert info is not None
    assert (info.width_px, info.display_width_px, info.sample_aspect) == (320, 640, Fraction(2))


@pytest.mark.parametrize(
    ("name", "video_start_s", "sound_start_s", "origin_s"),
    [
        ("a.mp4", 2, 0, 0),
        ("a.mp4", 0, 2, 0),
        ("a.mp4", 2, 3, 2),
        ("a.mkv", 2, 3, 2),
        ("a.ts", 2, 3, 2),
        ("a.ts", 7, None, 7),
        ("a.mp4", 2, None, 2),
        ("a.mp4", None, 3, 3),
    ],
)
def test_time_begins_with_the_earliest_track(
    tmp_path: Path, name: str, video_start_s: int | None, sound_start_s: int | None, origin_s: int
) -> None:
    video = None if video_start_s is None else Video(even_times(30, start_s=video_start_s))
    sound = None if sound_start_s is None else Sound([(sound_start_s, sound_start_s + 1)])
    with open_media(make_clip(tmp_path / name, video, sound)) as container:
        # The priming of an AAC encoder, 1024 samples, lies before the sound itself.
        assert abs(media_origin(container) - origin_s) <= (0 if video and name == "a.mp4" else Fraction(22, 1000))


def test_the_priming_of_an_encoder_does_not_move_the_picture(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", Video(even_times(30)), Sound([(0, 1)]))
    with open_media(path) as container:
        sound = container.streams.audio[0]
        assert sound.start_time is not None
        assert sound.start_time < 0
        assert media_origin(container) == 0


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 180, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        song = container.add_stream("aac", rate=48000, layout="mono")
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(1), format="bgr24")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(song.encode(frame))
        container.mux(song.encode(None))
    info = probe(path)
    assert info.video is None
    assert info.audio is not None
    assert any("still picture" in track for track in info.tracks)


def _garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(20_000))


def _no_index(path: Path) -> None:
    data = make_clip(path, Video(even_times(30))).read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def _no_permission(path: Path) -> None:
    make_clip(path, Video(even_times(3))).chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("the tests run as a user who may read everything")


@pytest.mark.parametrize(
    ("spoil", "kind", "seen"),
    [
        (lambda _: None, InputNotFoundError, "no such file"),
        (Path.mkdir, UnreadableMediaError, "folder"),
        (Path.touch, UnreadableMediaError, "empty"),
        (os.mkfifo, UnreadableMediaError, "no ordinary file"),
        (_garbage, UnreadableMediaError, "not a media file"),
        (_no_index, UnreadableMediaError, "without its index (moov)"),
        (_no_permission, UnreadableMediaError, "permission"),
    ],
)
def test_what_cannot_be_opened_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], None], kind: type[InputError], seen: str
) -> None:
    path = tmp_path / "a.mp4"
    spoil(path)
    with pytest.raises(kind) as caught:
        probe(path)
    assert seen in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("three tricks at the park\n" * 100)
    with pytest.raises(UnreadableMediaError, match="text"):
        probe(path)


def test_a_name_that_looks_like_a_protocol_or_a_sequence_is_a_name(tmp_path: Path) -> None:
    for name in ("concat:a.mp4", "take%03d.mp4"):
        assert probe(make_clip(tmp_path / "x.mp4", Video(even_times(3))).rename(tmp_path / name)).video is not None


def test_a_codec_without_a_decoder_is_no_usable_stream(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", Video(even_times(30)))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(NoUsableStreamError, match="video of an unknown codec"):
        probe(path)


def test_a_track_without_a_description_leaves_the_others_usable(real_media: Path) -> None:
    info = probe(real_media / "odd" / "ax_sample_missing_stsd.mp4")
    assert info.video is not None
    assert info.video.decodable
    assert info.audio is not None
    assert not info.audio.decodable
    assert info.duration_s == Fraction(1001, 1000)


def test_a_fingerprint_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(300_000))
    os.utime(path, ns=(1, 1))
    seen = {fingerprint(path)}
    assert fingerprint(path) in seen
    for position in (0, 299_999):
        path.write_bytes(bytes(position) + b"x" + bytes(299_999 - position))
        os.utime(path, ns=(1, 1))
        seen.add(fingerprint(path))
    os.utime(path, ns=(2, 2))
    seen.add(fingerprint(path))
    assert len(seen) == 4
    with pytest.raises(InputNotFoundError):
        fingerprint(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mp4", "ffconcat version 1.0\nfile film.mp4\n"),
        ("b.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfilm.mp4\n#EXT-X-ENDLIST\n"),
        ("c.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfilm.mp4\n#EXT-X-ENDLIST\n"),
        ("d.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
        ("e.mpd", '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>\n'),
    ],
)
def test_a_list_of_other_files_is_no_media_file(name: str, text: str, tmp_path: Path) -> None:
    make_clip(tmp_path / "film.mp4", Video(even_times(5, 10)))
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(UnreadableMediaError, match="a list that names other files"):
        open_media(path)
