"""Media behind HTTP that have an end: fetched as they are, then worked on like files."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest
from scenes import clip_digests, make_scene, run_program

from clipstream.errors import InputError, StoppedError
from clipstream.media.live.address import LiveAddress
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.media.web import download
from clipstream.media.web.download import Fetched, fetch
from clipstream.media.web.web_media import WebMedia, find_media
from clipstream.report.manifest import Manifest, read_manifest
from clipstream.testing import HttpServer
from clipstream.testing.media import Sound, Video, even_times, make_clip, numbered, read_number

RATE_HZ = 10
FEW = ("--features", "motion", "--features", "audio", "--top", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("http")


@pytest.fixture(scope="module")
def film(folder: Path) -> Path:
    """Six seconds with the numbers 0 to 59."""
    return make_clip(folder / "film.mp4", Video(even_times(60, RATE_HZ), gop=10), Sound([(0.0, 6.0)]))


@pytest.fixture(scope="module")
def advert(folder: Path) -> Path:
    """Four seconds with the numbers 100 to 139, in another size."""
    video = Video(even_times(40, RATE_HZ), lambda index: numbered(100 + index, 480, 270), gop=10)
    return make_clip(folder / "advert.mp4", video, Sound([(0.0, 4.0)]))


@pytest.fixture(scope="module")
def scene(folder: Path) -> Path:
    return make_scene(folder / "scene.mp4", rate_hz=5, duration_s=20)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


def found(url: str) -> WebMedia:
    media = find_media(LiveAddress.parse(url))
    assert media is not None
    return media


def fetched(url: str, folder: Path, stop: Event | None = None) -> Fetched:
    return fetch(found(url), folder, "film", told=lambda _: None, stop=stop or Event())


def pictures(path: Path) -> list[tuple[int, float]]:
    """Return number and time of every picture."""
    with av.open(str(path)) as container:
        return [
            (read_number(frame.to_ndarray(format="gray").astype(np.uint8)), frame.time or 0.0)
            for frame in container.decode(video=0)
        ]


def only_manifest(out: Path) -> Manifest:
    (path,) = out.glob("*/manifest.json")
    manifest = read_manifest(path.parent)
    assert manifest is not None
    return manifest


def test_a_file_and_a_finished_playlist_have_an_end_and_a_playlist_that_goes_on_has_none(
    server: HttpServer, film: Path
) -> None:
    file, playlist = found(server.add_file("film.mp4", film)), found(server.add_vod("film", film))
    assert (file.kind, file.size_bytes, file.suffix) == ("file", film.stat().st_size, ".mp4")
    assert playlist.kind == "playlist"
    assert file.identity == found(server.url_of("film.mp4")).identity != playlist.identity
    assert find_media(LiveAddress.parse(server.add_live("live", film, speed=0))) is None


def test_what_is_asked_for_in_vain_is_told_apart(server: HttpServer, film: Path) -> None:
    url = server.add_file("film.mp4", film)
    told = []
    for status in (401, 403, 404, 500):
        server.fail(status, matching="film")
        with pytest.raises(ConnectionProblem) as problem:
            found(url)
        told.append(problem.value.trouble)
    assert told == [Trouble.UNAUTHORISED, Trouble.FORBIDDEN, Trouble.NOT_FOUND, Trouble.SERVER]
    server.refuse()
    with pytest.raises(ConnectionProblem) as problem:
        found(url)
    assert problem.value.trouble is Trouble.REFUSED


def test_every_address_is_checked_before_it_is_asked(server: HttpServer, film: Path) -> None:
    def check(address: LiveAddress) -> None:
        asked.append(str(address))
        if "inner" in str(address):
            raise InputError("no.")

    inner = server.add_file("inner.mp4", film)
    asked: list[str] = []
    with pytest.raises(InputError, match="no"):
        find_media(LiveAddress.parse(server.redirect("film.mp4", inner)), ConnectionOptions(check=check))
    assert asked == [server.url_of("film.mp4"), inner]
    server.wait_until(lambda: server.answered)
    assert [one.path for one in server.answered] == ["film.mp4"]


def test_a_playlist_that_names_a_forbidden_address_is_refused(server: HttpServer, film: Path, tmp_path: Path) -> None:
    playlist = tmp_path / "evil.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nhttp://10.1.2.3/0.ts\n#EXT-X-ENDLIST\n", "utf-8")

    def check(address: LiveAddress) -> None:
        if address.host == "10.1.2.3":
            raise InputError("no.")

    with pytest.raises(InputError, match="no"):
        find_media(LiveAddress.parse(server.add_file("evil.m3u8", playlist)), ConnectionOptions(check=check))
    server.add_vod("film", film)
    master = tmp_path / "master.m3u8"
    master.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfilm/index.m3u8\n"
                      "#EXT-X-STREAM-INF:BANDWIDTH=2\nevil.m3u8\n", "utf-8")  # fmt: skip
    url = server.add_file("master.m3u8", master)
    with pytest.raises(InputError, match="no"):
        find_media(LiveAddress.parse(url), ConnectionOptions(check=check))
    assert found(url).kind == "playlist"


def test_a_file_arrives_byte_for_byte(server: HttpServer, film: Path, tmp_path: Path) -> None:
    got = fetched(server.add_file("film.mp4", film), tmp_path)
    assert (got.path.name, got.problem) == ("film.mp4", None)
    assert got.path.read_bytes() == film.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_where_a_connection_breaks_off_the_next_goes_on(
    server: HttpServer, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    url = server.add_file("film.mp4", film)
    media = found(url)
    server.cut_short(20_000, times=3, matching="film")
    got = fetch(media, tmp_path, "film", told=lambda _: None, stop=Event())
    assert got == Fetched(tmp_path / "film.mp4")
    assert got.path.read_bytes() == film.read_bytes()
    server.wait_until(lambda: [one.status for one in server.answered[1:]] == [200, 206, 206, 206])


def test_what_never_comes_is_said_to_be_missing_and_nothing_at_all_is_an_error(
    server: HttpServer, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    media = found(server.add_file("film.mp4", film))
    server.cut_short(20_000, matching="film")
    server.cut_short(0, times=100, matching="film")
    got = fetch(media, tmp_path, "film", told=lambda _: None, stop=Event())
    assert got.problem == "truncated: 0.0 of 0.1 MB came before the server broke off"
    assert got.path.read_bytes() == film.read_bytes()[:20_000]
    with pytest.raises(ConnectionProblem):
        fetch(media, tmp_path, "other", told=lambda _: None, stop=Event())


def test_what_came_before_a_stop_is_not_fetched_again(server: HttpServer, film: Path, tmp_path: Path) -> None:
    media, stop = found(server.add_file("film.mp4", film)), Event()
    server.cut_short(30_000, matching="film")
    with pytest.raises(StoppedError):
        fetch(media, tmp_path, "film", told=lambda _: stop.set(), stop=stop)
    (part,) = tmp_path.iterdir()
    assert 0 < part.stat().st_size <= 30_000
    fetch(media, tmp_path, "film", told=lambda _: None, stop=Event())
    server.wait_until(lambda: server.answered[-1].status == 206)
    assert (tmp_path / "film.mp4").read_bytes() == film.read_bytes()


def test_a_playlist_that_is_stopped_leaves_nothing(server: HttpServer, film: Path, tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(StoppedError):
        fetched(server.add_vod("film", film), tmp_path, stop)
    assert list(tmp_path.iterdir()) == []


def test_a_playlist_becomes_one_file_and_discontinuities_follow_each_other(
    server: HttpServer, film: Path, advert: Path, tmp_path: Path
) -> None:
    got = fetched(server.add_vod("film", film, advert, film), tmp_path)
    assert got.problem is None
    seen = pictures(got.path)
    assert [number for number, _ in seen] == [*range(60), *range(100, 140), *range(60)]
    steps = [after - before for (_, before), (_, after) in pairwise(seen)]
    assert all(0 < step < 0.35 for step in steps)
    inside = [step for n, step in enumerate(steps) if n not in {59, 99, 100}]
    assert inside == pytest.approx([0.1] * len(inside))


def test_segments_that_cannot_be_had_are_a_gap_and_said(server: HttpServer, film: Path, tmp_path: Path) -> None:
    url = server.add_vod("film", film)
    server.fail(404, times=100, matching="film/2.ts")
    got = fetched(url, tmp_path)
    assert got.problem == "truncated: 1.0 s of the 6.0 s in the playlist did not come"
    assert [number for number, _ in pictures(got.path)] == [*range(20), *range(30, 60)]
    server.fail(404, times=100, matching="film/3.ts")
    server.fail(404, times=100, matching="film/4.ts")
    server.fail(404, times=100, matching="film/5.ts")
    assert "truncated: 4.0 s" in str(fetched(url, tmp_path).problem)


def test_highlights_of_a_film_on_the_web_are_those_of_the_file_and_secrets_stay_away(
    server: HttpServer, scene: Path, tmp_path: Path
) -> None:
    plain = run_program(scene, "-o", tmp_path / "plain", *FEW)
    url = server.add_file("scene.mp4", scene).replace("http://", "http://me:geheim@") + "?token=geheim"
    web = run_program(url, "-o", tmp_path / "web", *FEW)
    assert (plain.returncode, web.returncode) == (0, 0), web.stderr
    ours, theirs = only_manifest(tmp_path / "web"), only_manifest(tmp_path / "plain")
    assert [(one.start_s, one.end_s, one.frames) for one in ours.highlights] == [
        (one.start_s, one.end_s, one.frames) for one in theirs.highlights
    ]
    assert ours.source.path == server.url_of("scene.mp4") + "?…"
    assert (ours.source.name, ours.source.size_bytes) == ("scene.mp4", scene.stat().st_size)
    assert list(tmp_path.glob("web/.clipstream/downloads/*.mp4")) == []
    everything = [path.read_bytes() for path in (tmp_path / "web").rglob("*") if path.is_file()]
    assert not any(b"geheim" in content for content in everything)
    assert "geheim" not in web.stdout + web.stderr
    asked = len(server.answered)
    again = run_program(url, "-o", tmp_path / "web", *FEW)
    assert "already finished" in again.stdout
    server.wait_until(lambda: len(server.answered) == asked + 1)


def test_a_playlist_with_holes_is_done_and_the_manifest_says_so(
    server: HttpServer, scene: Path, tmp_path: Path
) -> None:
    url = server.add_vod("scene", scene)
    server.fail(404, times=100, matching="scene/3.ts")
    ran = run_program(url, "-o", tmp_path, *FEW, "--json")
    assert ran.returncode == 0, ran.stderr
    (outcome,) = json.loads(ran.stdout)["outcomes"]
    assert outcome["state"] == "done"
    assert outcome["source"] == outcome["manifest"]["source"]["path"] == url
    assert outcome["manifest"]["source"]["problem"].startswith("truncated: ")
    assert len(clip_digests(tmp_path)) == 2


def test_what_is_no_media_or_not_there_is_one_line_that_names_the_address(server: HttpServer, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>no film</html>", encoding="utf-8")
    urls = server.add_file("page.html", page), server.url_of("absent.mp4")
    ran = run_program(*urls, "-o", tmp_path / "out", *FEW)
    assert ran.returncode == 2
    errors = sorted(line for line in ran.stderr.splitlines() if line.startswith("clipstream: "))
    assert [line.split(": ")[1] for line in errors] == [urls[1], urls[0]]
    assert ".clipstream" not in ran.stderr
    assert {path.suffix for path in tmp_path.glob("out/.clipstream/downloads/*")} == {".json"}
