"""`main cut`: just cut, at times that are typed or listed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cut_factory import ffmpeg_complaints

from clipstream.cli import main
from clipstream.cli.documents import CUT_SCHEMA
from clipstream.errors import CutError
from clipstream.media.cut import SmartCutter
from clipstream.media.cutter import ClipResult, ClipSpec
from clipstream.media.inputs import expand_inputs
from clipstream.testing.media import Sound, Video, even_times, make_clip, read_number

pytestmark = pytest.mark.usefixtures("clean_surroundings")

Capture = pytest.CaptureFixture[str]
RATE_HZ = 10


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds, a keyframe every second, numbered pictures."""
    path = tmp_path_factory.mktemp("film") / "match.mp4"
    return make_clip(path, Video(even_times(60, RATE_HZ), gop=10), Sound([(0.0, 6.0)]))


def cut(film: Path, out: Path, *arguments: str | Path) -> int:
    return main(["cut", str(film), "-o", str(out), *map(str, arguments)])


def names(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "match" / "clips").iterdir())


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [
            read_number(np.asarray(frame.to_ndarray(format="gray"), np.uint8)) for frame in container.decode(video=0)
        ]


def test_clips_are_exact_and_named_by_where_they_start_and_end(film: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cut(film, tmp_path, "--from", "2.5", "--to", "0:04.5", "--from", "1", "--to", "2") == 0
    assert names(tmp_path) == ["000001.000-000002.000.mp4", "000002.500-000004.500.mp4"]
    clips = tmp_path / "match" / "clips"
    assert numbers(clips / "000001.000-000002.000.mp4") == list(range(10, 20))
    assert numbers(clips / "000002.500-000004.500.mp4") == list(range(25, 45))
    assert not ffmpeg_complaints(clips / "000002.500-000004.500.mp4")
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{clips / '000001.000-000002.000.mp4'}: 1s, 10 frames, copied without loss"
    assert second.startswith(f"{clips / '000002.500-000004.500.mp4'}: 2s, 20 frames, copied without loss but for")


def test_the_same_command_again_gives_the_same_files_and_another_adds_its_own(film: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert cut(film, tmp_path, "--from", "1", "--to", "2", "--quiet") == 0
    assert cut(film, tmp_path, "--from", "1", "--to", "3", "--quiet", "--container", "mkv") == 0
    assert names(tmp_path) == ["000001.000-000002.000.mp4", "000001.000-000003.000.mkv"]


def test_another_file_of_the_same_name_leaves_the_clips_of_the_first_alone(film: Path, tmp_path: Path) -> None:
    other = make_clip(tmp_path / "match.mp4", Video(even_times(30, RATE_HZ), gop=10))
    out = tmp_path / "out"
    for path in (film, other, film):
        assert cut(path, out, "--from", "1", "--to", "2", "--quiet") == 0
    assert sorted(path.name for path in out.glob("[!.]*")) == ["match", "match-2"]
    assert len(names(out)) == 1


def test_a_list_from_a_table_or_a_manifest_is_cut_beside_what_is_typed(film: Path, tmp_path: Path) -> None:
    table, manifest = tmp_path / "highlights.csv", tmp_path / "manifest.json"
    table.write_text("start_s,end_s\n1.5,2\n3,4\n", encoding="utf-8")
    manifest.write_text('{"highlights": [{"start_s": 1.5, "end_s": 2}]}', encoding="utf-8")
    assert cut(film, tmp_path, "--intervals", table, "--from", "5", "--to", "5.5", "--quiet") == 0
    assert len(names(tmp_path)) == 3
    assert cut(film, tmp_path / "other", "--intervals", manifest, "--quiet") == 0
    assert names(tmp_path / "other") == ["000001.500-000002.000.mp4"]


def test_joined_there_is_a_reel_of_these_clips_beside_them(film: Path, tmp_path: Path, capsys: Capture) -> None:
    spans = ("--from", "1", "--to", "2", "--from", "4", "--to", "4.5")
    assert cut(film, tmp_path, *spans, "--join", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    reel = tmp_path / "match" / "clips" / "reel_000001.000-000004.500.mp4"
    assert (document["reel"]["path"], document["reel"]["frames"]) == (str(reel), 15)
    assert numbers(reel) == [*range(10, 20), *range(40, 45)]


def test_json_says_what_was_asked_what_was_made_and_what_was_not(film: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cut(film, tmp_path, "--from", "1", "--to", "2", "--from", "7", "--to", "8", "--json") == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["source"]) == (CUT_SCHEMA, str(film))
    (clip,) = document["clips"]
    assert (clip["from_s"], clip["to_s"], clip["start_s"], clip["end_s"]) == (1, 2, 1, 2)
    assert (clip["frames"], clip["copied"], clip["notes"]) == (10, 10, [])
    (error,) = document["errors"]
    assert error["kind"] == "UsageError"
    assert "there is nothing from 00:00:07.000 on, it is 00:00:06.000 long; choose an earlier time." in error["message"]


def test_an_end_beyond_the_footage_is_told(film: Path, tmp_path: Path, capsys: Capture) -> None:
    assert cut(film, tmp_path, "--from", "5", "--to", "60") == 0
    assert "note: ends with the footage at 00:00:06.000, not at 00:01:00.000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing says what to cut; give --from and --to, or a list with --intervals."),
        (["--from", "1"], "--from is given 1 times and --to 0; every clip needs one of each."),
        (["--from", "4", "--to", "2"], "a clip from 4 s to 2 s is empty: end it after its start."),
        (["--from", "2", "--to", "2"], "a clip from 2 s to 2 s is empty"),
        (["--from", "soon", "--to", "2"], "'soon' is no time: write seconds, such as 12.5, or H:MM:SS."),
        (["--from", "-1", "--to", "2"], "'-1' is no time"),
        (["--intervals", "none.csv"], "none.csv: there is no such list of intervals."),
        (["--from", "1", "--to", "2", "--codec", "hevc", "--cut", "copy"], "codec is hevc and cut is copy"),
        (["--from", "1", "--to", "2", "--top", "3"], "No such option '--top'"),
    ],
)
def test_a_request_that_cannot_be_right_is_one_line_and_nothing_is_written(
    film: Path, tmp_path: Path, arguments: list[str], message: str, capsys: Capture
) -> None:
    assert cut(film, tmp_path / "out", *arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith(f"clipstream: {message}")
    assert written.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "there is no such file; check the name."),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"garbage" * 99), "not a media file that can be opened"),
        (lambda path: path.mkdir(), "the folder holds no media files"),
    ],
)
def test_a_file_that_cannot_be_cut_is_one_line_that_names_it(
    tmp_path: Path, make: Callable[[Path], Any], message: str, capsys: Capture
) -> None:
    path = tmp_path / "odd.mp4"
    make(path)
    assert cut(path, tmp_path / "out", "--from", "1", "--to", "2") == 2
    written = capsys.readouterr().err
    assert written.startswith(f"clipstream: {path}: {message}")
    assert written.count("\n") == 1


def test_several_files_are_too_many(film: Path, tmp_path: Path, capsys: Capture) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(film.read_bytes())
    assert cut(tmp_path, tmp_path / "out", "--from", "1", "--to", "2") == 2
    assert "this stands for 2 files; name the one to cut from." in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_a_failure(film: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "out").touch()
    assert cut(film, tmp_path / "out", "--from", "1", "--to", "2") == 1
    assert "cannot be written" in capsys.readouterr().err


def test_one_clip_that_fails_keeps_no_other_from_being_cut_and_the_status_tells(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    plain = SmartCutter.cut

    def unlucky(self: SmartCutter, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        if spec.start_s == 1:
            raise CutError("no luck today.")
        return plain(self, spec, cancelled)

    monkeypatch.setattr(SmartCutter, "cut", unlucky)
    assert cut(film, tmp_path, "--from", "1", "--to", "2", "--from", "3", "--to", "4") == 1
    assert names(tmp_path) == ["000003.000-000004.000.mp4"]
    assert capsys.readouterr().err == "clipstream: no luck today.\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_and_leaves_nothing_half_written(
    number: signal.Signals,
    status: int,
    *,
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    plain = SmartCutter.cut

    def interrupted(self: SmartCutter, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        if spec.start_s == 3:
            os.kill(os.getpid(), number)
        return plain(self, spec, cancelled)

    monkeypatch.setattr(SmartCutter, "cut", interrupted)
    assert cut(film, tmp_path, "--from", "1", "--to", "2", "--from", "3", "--to", "4", "--json") == status
    written = capsys.readouterr()
    assert written.err == "clipstream: stopped; the clips that are finished stay.\n"
    assert len(json.loads(written.out)["clips"]) == 1
    assert names(tmp_path) == ["000001.000-000002.000.mp4"]


def test_what_was_cut_is_not_taken_for_footage_afterwards(film: Path, tmp_path: Path) -> None:
    footage = tmp_path / "match.mp4"
    footage.write_bytes(film.read_bytes())
    assert cut(footage, tmp_path / "highlights", "--from", "1", "--to", "2", "--quiet") == 0
    inputs, errors = expand_inputs([str(tmp_path)])
    assert ([item.path for item in inputs], errors) == ([footage], [])


def test_titles_of_a_list_become_titles_of_the_clips(film: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("start_s,end_s,title\n1,2,Kick-off\n", encoding="utf-8")
    assert cut(film, tmp_path, "--intervals", table, "--quiet") == 0
    with av.open(str(tmp_path / "match" / "clips" / names(tmp_path)[0])) as container:
        assert container.metadata["title"] == "Kick-off"
        assert Fraction(container.duration or 0, 1_000_000) == 1


@pytest.mark.slow
def test_cutting_imports_neither_bytewax_nor_torch(film: Path, tmp_path: Path) -> None:
    line = ["cut", str(film), "--from", "1", "--to", "2", "-o", str(tmp_path), "--quiet"]
    program = (
        f"import sys; from clipstream.cli import main; status = main({line!r});"
        "print(status, [name for name in ('bytewax', 'torch', 'scipy', 'cv2') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "0 []\n"
