"""The manifest: exact, complete, and never trusted on the way in."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipstream.errors import InputError, OutputError
from clipstream.failures import Failure
from clipstream.media.cutter import ClipResult
from clipstream.report.description import describe, reason_sentence, seconds
from clipstream.report.files import write_atomically
from clipstream.report.manifest import (
    Highlight,
    LeftOut,
    Manifest,
    Reel,
    Source,
    UsedFeature,
    UsedSignal,
    parse_manifest,
    read_manifest,
    write_manifest,
)
from clipstream.results import Reason, StreamSummary
from clipstream.settings import Settings
from clipstream.timing import to_ms

SOURCE = Source(
    path="foot age/mätch <1>.mp4", name="mätch <1>.mp4", size_bytes=12, fingerprint="f00d", streams=("video",)
)
DOCS = Path(__file__).parents[1] / "docs" / "manifest.md"


@pytest.fixture
def manifest(make_summary: Callable[..., StreamSummary], tmp_path: Path) -> Manifest:
    clip = ClipResult(
        path=tmp_path / "clips" / "001_000002.000.mp4",
        start_s=Fraction(2002, 1001),
        end_s=Fraction(4123, 1000),
        frames=64,
        copied=50,
        method="copied but for 14 frames",
        notes=("without subtitles",),
    )
    reel = Reel("clips/reel.mp4", Decimal("2.123"), 64, 64, "joined", ("sound re-encoded",))
    return describe(
        make_summary(problem="it ends early"),
        SOURCE,
        Settings(top=2, weight=(("motion", 0.6),)),
        left_out=(("embedding", "no weights"),),
        clips={1: clip},
        uncut={2: "the source vanished"},
        reel=reel,
    )


def changed(manifest: Manifest, tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads(write_manifest(tmp_path, manifest).read_text(encoding="utf-8"))
    change(document)
    return json.dumps(document)


def fail_after(_: int) -> None:
    raise KeyError


def test_what_is_written_is_what_is_read(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_times_are_numbers_of_three_decimals_without_binary_noise(manifest: Manifest, tmp_path: Path) -> None:
    text = write_manifest(tmp_path, manifest).read_text(encoding="utf-8")
    times = re.findall(r'"(?:\w+)_s": ([\d.]+)', text.split('"highlights": [')[1].split('"reel"')[0])
    assert len(times) == 8
    assert all(re.fullmatch(r"\d+\.\d{1,3}", time) for time in times)
    assert json.loads(text)["highlights"][0]["end_s"] == 4.123


@given(st.fractions(min_value=0, max_value=10**6))
def test_seconds_are_exact_to_the_nearest_millisecond(time_s: Fraction) -> None:
    assert seconds(time_s) * 1000 == to_ms(time_s)
    assert abs(Fraction(seconds(time_s)) - time_s) <= Fraction(1, 2000)
    assert seconds(time_s).as_tuple().exponent == -3


def test_a_highlight_says_where_why_and_how_it_was_cut(manifest: Manifest) -> None:
    first, second = manifest.highlights
    assert (first.start, first.end, first.peak) == ("00:00:02.000", "00:00:04.123", "00:00:03.000")
    assert first.reason == "loudness 21.4 deviations above usual; movement 6.1 deviations above usual"
    assert (first.clip, first.clip_start_s, first.frames) == ("clips/001_000002.000.mp4", Decimal("2.000"), 64)
    assert (first.copied, first.method, first.notes) == (50, "copied but for 14 frames", ("without subtitles",))
    assert (second.clip, second.frames, second.notes) == (None, None, ("the source vanished",))


def test_the_files_that_belong_to_it_are_the_clips_and_the_reel(manifest: Manifest) -> None:
    assert manifest.files == ("clips/001_000002.000.mp4", "clips/reel.mp4")
    assert replace(manifest, reel=None).files == ("clips/001_000002.000.mp4",)


def test_a_reason_says_whether_its_signal_is_above_or_below_usual_and_none_says_so_too() -> None:
    below = Reason("pose", "leg length over torso length", 0.6, 1.4, "", -2.0, 0.6)
    assert reason_sentence((below,)) == "leg length over torso length 2.0 deviations below usual"
    assert reason_sentence(()) == "all features together stand out, none of them alone"


def test_the_best_come_first_when_ranked_and_the_unranked_last(manifest: Manifest) -> None:
    assert [one.number for one in manifest.ranked] == [2, 1]
    unranked = replace(manifest, highlights=tuple(replace(one, rank=None) for one in manifest.highlights))
    assert [one.number for one in unranked.ranked] == [1, 2]


def test_the_model_that_a_feature_sees_by_is_told_and_may_be_absent_from_an_older_manifest(
    make_summary: Callable[..., StreamSummary], tmp_path: Path
) -> None:
    summary = make_summary()
    seeing = replace(summary.features[1], about="some-model, SHA-256 0123456789ab")
    written = describe(replace(summary, features=(summary.features[0], seeing)), SOURCE, Settings())
    assert [one.about for one in written.features] == ["", "some-model, SHA-256 0123456789ab"]
    older = changed(written, tmp_path, lambda document: [one.pop("about") for one in document["features"]])
    assert [one.about for one in parse_manifest(older).features] == ["", ""]


def test_a_feature_that_failed_is_told_with_how_often_and_an_older_manifest_tells_of_none(
    make_summary: Callable[..., StreamSummary], tmp_path: Path
) -> None:
    summary = replace(make_summary(14_400), failures=(Failure("pose", 1200, "MemoryError"),), errors=1203)
    written = describe(summary, SOURCE, Settings())
    (failed,) = written.failures
    assert failed.sentence == "pose failed in 1,200 of 14,400 slices: MemoryError"
    assert (written.status, written.errors, written.media_errors) == ("complete", 1203, 3)
    assert parse_manifest(changed(written, tmp_path, lambda _: None)) == written
    assert parse_manifest(changed(written, tmp_path, lambda document: document.pop("failures"))).failures == ()


def test_a_problem_of_the_source_and_what_was_left_out_are_told(manifest: Manifest) -> None:
    assert manifest.source.problem == "it ends early"
    assert manifest.left_out == (LeftOut("embedding", "no weights"),)
    assert manifest.settings["weight"] == {"motion": 0.6}
    assert manifest.status == "complete"


def test_an_error_makes_it_failed(make_summary: Callable[..., StreamSummary]) -> None:
    failed = describe(make_summary(0, highlights=0), SOURCE, Settings(), error="no space left")
    assert (failed.status, failed.error) == ("failed", "no space left")


def test_numbers_that_are_none_become_null_and_come_back_as_nan(
    make_summary: Callable[..., StreamSummary], tmp_path: Path
) -> None:
    path = write_manifest(tmp_path, describe(make_summary(highlights=0, missing=True), SOURCE, Settings()))
    assert json.loads(path.read_text(encoding="utf-8"))["threshold"] is None
    read = read_manifest(tmp_path)
    assert read is not None
    assert math.isnan(read.threshold)
    assert read.explanation is not None


def test_fields_of_a_later_version_are_passed_over(manifest: Manifest, tmp_path: Path) -> None:
    text = changed(manifest, tmp_path, lambda document: document.update(later={"a": [1.5]}))
    assert parse_manifest(text) == manifest


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda one: one.update(schema="clipstream/manifest/2"), "clipstream/manifest/2"),
        (lambda one: one.update(status="perhaps"), "status is 'perhaps'"),
        (lambda one: one.update(errors=True), "errors is True, not a whole number"),
        (lambda one: one.update(errors=1.0), "errors is"),
        (lambda one: one.update(highlights={}), "highlights is {}, not an array"),
        (lambda one: one.update(settings=[]), "settings is [], not an object"),
        (lambda one: one.pop("source"), "source is missing"),
        (lambda one: one["source"].update(path=None), "source.path is None, not text"),
        (lambda one: one["highlights"][1].update(start_s="2"), "highlights[1].start_s is '2', not a number"),
        (lambda one: one["highlights"][0].update(reasons=["loud"]), "highlights[0].reasons[0] is 'loud'"),
        (lambda one: one["highlights"][0].update(clip="../../etc/passwd"), "outside its own folder"),
        (lambda one: one["highlights"][0].update(clip="/etc/passwd"), "outside its own folder"),
        (lambda one: one["reel"].update(file="../reel.mp4"), "outside its own folder"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(
    manifest: Manifest, tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    text = changed(manifest, tmp_path, change)
    with pytest.raises(InputError) as caught:
        parse_manifest(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": NaN}', "[" * 100_000, '{"errors": 1e999999999}'])
def test_what_is_no_manifest_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    assert read_manifest(tmp_path) is None


def test_no_file_and_no_text_are_no_manifest(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    assert read_manifest(tmp_path) is None


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(KeyError), write_atomically(path) as temporary:
        fail_after(temporary.write_text("half", encoding="utf-8"))
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"No space left on device\): free some space.*\.$"):  # noqa: SIM117 - clear
        with write_atomically(tmp_path / "deep" / "table.csv"):
            raise OSError(28, "No space left on device")


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "match").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match="a file is where a folder should be"):
        write_manifest(tmp_path / "match", manifest)


@pytest.mark.parametrize("record", [Manifest, Source, UsedFeature, UsedSignal, LeftOut, Highlight, Reason, Reel])
def test_the_documentation_names_every_field(record: type) -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert {item.name for item in fields(record)} <= documented


def test_the_documentation_names_every_status() -> None:
    (row,) = (line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `status` |"))
    values = get_args(get_type_hints(Manifest)["status"])
    assert set(values) <= set(re.findall(r"`(\w+)`", row))
