"""What one stream leaves on disk, with a cutter that only pretends."""

import csv
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from clipstream.cut_choice import chosen_suffix
from clipstream.errors import CutError, StoppedError, UsageError
from clipstream.media.cut import SmartCutter
from clipstream.media.cutter import ClipResult, ClipSpec, Cutter
from clipstream.media.inputs import Input
from clipstream.media.probe import fingerprint, probe
from clipstream.output import OutputContext, StreamOutput, finished_manifest
from clipstream.report.manifest import Manifest, read_manifest
from clipstream.results import Interval, StreamSummary
from clipstream.settings import Settings
from clipstream.testing.media import Sound, Video, even_times, make_clip

Summaries = Callable[..., StreamSummary]


class Pretender:
    """Writes the name of the span in place of a clip, and counts."""

    def __init__(self) -> None:
        self.cuts: list[str] = []

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        assert not cancelled()
        self.cuts.append(spec.target.name)
        spec.target.write_text(f"{spec.start_s} {spec.end_s}", encoding="utf-8")
        return ClipResult(spec.target, spec.start_s, spec.end_s, 2, "pretended", ("a note",), 1)


class Watched:
    """Cuts as another does, and counts."""

    def __init__(self, cutter: Cutter) -> None:
        self.cuts: list[str] = []
        self._cutter = cutter

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        self.cuts.append(spec.target.name)
        return self._cutter.cut(spec, cancelled)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("film") / "match.mp4", Video(even_times(60, 5)))


def context_of(out: Path, cutter: Cutter, threads: int = 1, *, stopped: bool = False, **options: Any) -> OutputContext:
    return OutputContext(
        out=out,
        settings=Settings(out=str(out), **options),
        left_out=(),
        cutter=cutter,
        pool=ThreadPoolExecutor(threads),
        stopped=lambda: stopped,
        clip_written=lambda *_: None,
        stream_written=lambda *_: None,
    )


def output_of(context: OutputContext, stream: str, source: Path) -> StreamOutput:
    return StreamOutput(context, Input(stream, source), fingerprint(source))


def write(output: StreamOutput, summary: StreamSummary) -> None:
    for interval in summary.intervals:
        output.add(interval)
    output.add(summary)
    output.close()


def manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def test_manifest_table_and_folder_agree_on_the_clips(film: Path, tmp_path: Path, make_summary: Summaries) -> None:
    write(output_of(context_of(tmp_path, Pretender()), "match", film), make_summary())
    names = {"clips/001_000002.000.mp4", "clips/002_000008.000.mp4"}
    folder = tmp_path / "match"
    assert {one.clip for one in manifest_of(folder).highlights} == names
    assert {f"clips/{path.name}" for path in (folder / "clips").iterdir()} == names
    with (folder / "highlights.csv").open(encoding="utf-8", newline="") as table:
        assert {row["clip"] for row in csv.DictReader(table)} == names


def test_what_comes_twice_is_cut_once(film: Path, tmp_path: Path, make_summary: Summaries) -> None:
    cutter, summary = Pretender(), make_summary()
    output = output_of(context_of(tmp_path, cutter), "match", film)
    output.add(summary.intervals[0])
    write(output, summary)
    assert len(cutter.cuts) == 2


def test_a_clip_that_is_whole_is_not_cut_again_by_the_next_run(
    film: Path, tmp_path: Path, make_summary: Summaries
) -> None:
    cutter, summary = Pretender(), make_summary()
    for _ in range(2):
        write(output_of(context_of(tmp_path, cutter), "match", film), summary)
    assert len(cutter.cuts) == 2
    (tmp_path / "match" / "clips" / cutter.cuts[0]).write_text("half", encoding="utf-8")
    write(output_of(context_of(tmp_path, cutter), "match", film), summary)
    assert cutter.cuts[2:] == cutter.cuts[:1]
    for one in manifest_of(tmp_path / "match").highlights:
        assert (one.frames, one.copied, one.method, one.notes) == (2, 1, "pretended", ("a note",))


def test_clips_of_earlier_settings_go_and_what_is_the_users_stays(
    film: Path, tmp_path: Path, make_summary: Summaries
) -> None:
    clips = tmp_path / "match" / "clips"
    clips.mkdir(parents=True)
    stale = {"007_000001.000.mp4", "001_000002.000.mkv", "reel.webm"}
    half_written = {".001_000002.000.1f-2e.mp4", ".reel.1f-2e.ts"}
    of_the_cut_command = {"000002.000-000003.000.mp4", "reel_000002.000-000009.000.mp4"}
    for name in {*stale, *half_written, *of_the_cut_command, "mine.mp4"}:
        (clips / name).touch()
    write(output_of(context_of(tmp_path, Pretender()), "match", film), make_summary())
    kept = {path.name for path in clips.iterdir()}
    assert kept == {"001_000002.000.mp4", "002_000008.000.mp4", "mine.mp4", *of_the_cut_command}


@pytest.mark.parametrize(
    ("options", "suffix"),
    [({}, ".mp4"), ({"container": "mkv"}, ".mkv"), ({"container": "ts"}, ".ts"), ({"container": "mov"}, ".mov")],
)
def test_clips_are_of_the_kind_that_was_chosen(
    film: Path, tmp_path: Path, make_summary: Summaries, options: dict[str, Any], suffix: str
) -> None:
    write(output_of(context_of(tmp_path, Pretender(), **options), "match", film), make_summary())
    clips = [one.clip for one in manifest_of(tmp_path / "match").highlights]
    assert clips == [f"clips/001_000002.000{suffix}", f"clips/002_000008.000{suffix}"]


def test_sound_alone_goes_into_an_mp4_of_its_own_kind_and_a_codec_into_what_carries_it(tmp_path: Path) -> None:
    sound = probe(make_clip(tmp_path / "sound.m4a", None, Sound([(0.0, 1.0)])))
    film = probe(make_clip(tmp_path / "film.webm", Video(even_times(5, 5), codec="libvpx")))
    assert chosen_suffix(Settings(container="mp4"), sound) == chosen_suffix(Settings(), sound) == ".m4a"
    assert chosen_suffix(Settings(), film) == ".webm"
    with pytest.raises(
        UsageError, match=r"codec is h264, which a \.webm file like the source cannot carry; add --cont"
    ):
        chosen_suffix(Settings(cut="encode", codec="h264"), film)


def test_joined_the_clips_make_one_reel_in_order_of_time(film: Path, tmp_path: Path, make_summary: Summaries) -> None:
    write(output_of(context_of(tmp_path, SmartCutter(), join=True), "match", film), make_summary())
    manifest = manifest_of(tmp_path / "match")
    assert manifest.reel is not None
    assert manifest.reel.file == "clips/reel.mp4"
    assert manifest.reel.frames == sum(one.frames or 0 for one in manifest.highlights)
    assert probe(tmp_path / "match" / manifest.reel.file).duration_s == Fraction(str(manifest.reel.duration_s))
    infos = make_summary().features
    finished = (tmp_path, "match", fingerprint(film), Settings(out=str(tmp_path), join=True), infos)
    assert finished_manifest(*finished) is not None
    (tmp_path / "match" / manifest.reel.file).unlink()
    assert finished_manifest(*finished) is None


def test_when_stopped_while_joining_the_reel_is_still_to_be_made(
    film: Path, tmp_path: Path, make_summary: Summaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []

    def interrupted(*_: object) -> None:
        stopped.append(True)
        raise StoppedError

    cutter = Watched(SmartCutter())
    context = replace(context_of(tmp_path, cutter, join=True), stopped=lambda: bool(stopped))
    output, summary = output_of(context, "match", film), make_summary()
    with monkeypatch.context() as patch:
        patch.setattr("clipstream.output.stream.join_clips", interrupted)
        write(output, summary)
    assert output.pending() == (summary,)
    assert read_manifest(tmp_path / "match") is None
    write(output_of(context_of(tmp_path, cutter, join=True), "match", film), summary)
    assert len(cutter.cuts) == 2, "no clip is cut again"
    assert manifest_of(tmp_path / "match").reel is not None


def test_clips_that_cannot_be_joined_are_there_all_the_same(
    film: Path, tmp_path: Path, make_summary: Summaries
) -> None:
    write(output_of(context_of(tmp_path, Pretender(), join=True), "match", film), make_summary())
    manifest = manifest_of(tmp_path / "match")
    assert manifest.status == "failed"
    assert str(manifest.error).startswith("the clips are there, but could not be joined: ")
    assert manifest.reel is not None
    assert manifest.reel.file is None
    assert {f"clips/{path.name}" for path in (tmp_path / "match" / "clips").iterdir()} == set(manifest.files)
    assert len(manifest.files) == 2


def test_without_a_highlight_there_is_no_reel(film: Path, tmp_path: Path, make_summary: Summaries) -> None:
    write(output_of(context_of(tmp_path, Pretender(), join=True), "match", film), make_summary(highlights=0))
    manifest = manifest_of(tmp_path / "match")
    assert (manifest.status, manifest.reel) == ("complete", None)


def test_a_source_that_changed_after_it_was_analysed_is_not_cut(
    film: Path, tmp_path: Path, make_summary: Summaries
) -> None:
    source = tmp_path / "match.mp4"
    source.write_bytes(film.read_bytes())
    output = output_of(context_of(tmp_path / "out", SmartCutter()), "match", source)
    source.write_bytes(film.read_bytes() + b"more")
    write(output, make_summary())
    manifest = manifest_of(tmp_path / "out" / "match")
    assert manifest.status == "failed"
    assert "2 of 2 clips could not be cut" in str(manifest.error)
    assert "has changed since it was analysed" in str(manifest.error)


def test_one_clip_that_fails_keeps_no_other_from_being_cut(film: Path, tmp_path: Path, make_summary: Summaries) -> None:
    class Unlucky(Pretender):
        def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
            if spec.start_s == 2:
                raise CutError("no luck today.")
            return super().cut(spec, cancelled)

    write(output_of(context_of(tmp_path, Unlucky()), "match", film), make_summary())
    first, second = manifest_of(tmp_path / "match").highlights
    assert (first.clip, first.notes) == (None, ("no luck today.",))
    assert second.clip == "clips/002_000008.000.mp4"


def test_when_stopped_everything_is_still_pending_and_nothing_is_written(
    film: Path, tmp_path: Path, make_summary: Summaries
) -> None:
    output, summary = output_of(context_of(tmp_path, Pretender(), stopped=True), "match", film), make_summary()
    write(output, summary)
    assert output.pending() == (*summary.intervals, summary)
    assert list(tmp_path.iterdir()) == []


def test_many_streams_share_the_threads(film: Path, tmp_path: Path, make_summary: Summaries) -> None:
    threads, active, peaks = 2, [0], []
    lock, pair = threading.Lock(), threading.Barrier(threads)

    class Paired(Pretender):
        def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
            with lock:
                active[0] += 1
                peaks.append(active[0])
            pair.wait(timeout=30)  # passed only where two are cut at a time
            with lock:
                active[0] -= 1
            return super().cut(spec, cancelled)

    context, summary = context_of(tmp_path, Paired(), threads), make_summary()
    outputs = [output_of(context, f"match-{number}", film) for number in range(4)]
    for output in outputs:
        output.add(summary.intervals[0])
    for output in outputs:
        output.close()
    assert len(peaks) == 4
    assert max(peaks) == threads


def test_a_path_that_is_no_text_is_written_readably(film: Path, tmp_path: Path, make_summary: Summaries) -> None:
    source = tmp_path / "bad\udcff.mp4"
    source.write_bytes(film.read_bytes())
    write(output_of(context_of(tmp_path, Pretender()), "bad", source), make_summary())
    assert manifest_of(tmp_path / "bad").source.name == "bad\N{REPLACEMENT CHARACTER}.mp4"


def test_a_finished_stream_lacks_nothing(film: Path, tmp_path: Path, make_summary: Summaries) -> None:
    summary = make_summary()
    context = context_of(tmp_path, Pretender())
    write(output_of(context, "match", film), summary)
    infos = summary.features
    print_of = manifest_of(tmp_path / "match").source.fingerprint
    assert finished_manifest(tmp_path, "match", print_of, context.settings, infos) is not None
    assert finished_manifest(tmp_path, "match", "another", context.settings, infos) is None
    assert finished_manifest(tmp_path, "match", print_of, Settings(top=1), infos) is None
    by_another_model = [replace(info, about="another model") for info in infos]
    assert finished_manifest(tmp_path, "match", print_of, context.settings, by_another_model) is None
    (tmp_path / "match" / "clips" / "001_000002.000.mp4").unlink()
    assert finished_manifest(tmp_path, "match", print_of, context.settings, infos) is None


def test_only_intervals_make_clips_and_nothing_else(film: Path, tmp_path: Path) -> None:
    output = output_of(context_of(tmp_path, Pretender()), "match", film)
    output.add(Interval("match", 1, 1000, 2000, 1500, 3.0))
    output.close()
    assert [path.name for path in (tmp_path / "match").iterdir()] == ["clips"]
    record = json.loads((tmp_path / ".clipstream" / "clips" / "match" / "001.json").read_text(encoding="utf-8"))
    assert Fraction(record["start_s"]) == 1
