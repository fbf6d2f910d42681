"""The page: one file that shows everything, escapes everything, and stays small."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clipstream.failures import Failure
from clipstream.media.cutter import ClipResult
from clipstream.media.slices import StreamEnd
from clipstream.report.description import describe
from clipstream.report.lanes import Lane, make_timeline
from clipstream.report.manifest import Manifest, Reel, Source
from clipstream.report.page import render_report, write_report
from clipstream.results import StreamSummary
from clipstream.settings import Settings

SummaryMaker = Callable[..., StreamSummary]
NASTY = """</script><img src=x onerror="alert('1')"> & {{ 7*7 }} Ünï 東京"""
JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and text by tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data: dict[str, Any] = {}
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = "data" if ("type", "application/json") in attrs else tag

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data = json.loads(data)
            self._inside = ""
        elif self._inside not in {"script", "style"}:
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(name)) is not None]


def manifest_of(summary: StreamSummary, name: str = "match.mp4", **others: Any) -> Manifest:
    clips = {
        one.number: ClipResult(
            Path(f"clips/{one.number:03d} #?.mp4"), Fraction(one.start_ms, 1000), Fraction(one.end_ms, 1000), 1, "cut"
        )
        for one in summary.intervals
    }
    source = Source(path=f"in/{name}", name=name, size_bytes=4_120_000, streams=("video h264 640×360",))
    return describe(summary, source, Settings(), clips=clips, **others)


def page_of(summary: StreamSummary, **others: Any) -> Page:
    return Page(render_report(manifest_of(summary, **others), summary, {1: JPEG}))


def unpacked(lane: Lane, text: str) -> NDArray[np.float64]:
    levels = np.frombuffer(base64.b64decode(text), "<u2").astype(np.float64)
    return np.where(levels == 65_535, np.nan, lane.low + levels * (lane.high - lane.low) / 65_534)


def test_nothing_comes_from_outside_the_file_but_the_clips(make_summary: SummaryMaker) -> None:
    page = page_of(make_summary())
    links = [link for name in ("src", "href", "poster", "action") for link in page.attributes(name)]
    assert not [link for link in links if re.match(r"[a-z]+:", link) and not link.startswith("data:")]
    beside = {link for link in links if not link.startswith("data:")}
    assert beside == {"clips/001%20%23%3F.mp4", "clips/002%20%23%3F.mp4", "manifest.json", "highlights.csv"}
    html = render_report(manifest_of(make_summary()), make_summary(), {})
    assert "url(" not in html
    assert "@import" not in html
    assert "http://" not in html
    assert "https://" not in html


def test_every_highlight_is_a_link_to_its_clip_with_its_reason_and_thumbnail(make_summary: SummaryMaker) -> None:
    page = page_of(make_summary())
    assert "Play highlight 2, 00:00:08.0 to 00:00:10.1" in page.attributes("aria-label")
    assert "loudness 21.4 deviations above usual; movement 6.1 deviations above usual" in page.text
    picture = "data:image/jpeg;base64," + base64.b64encode(JPEG).decode()
    assert [src for src in page.attributes("src") if src] == [picture]
    assert [one["url"] for one in page.data["highlights"]] == ["clips/001%20%23%3F.mp4", "clips/002%20%23%3F.mp4"]


def test_names_reasons_and_problems_are_text_and_never_markup(make_summary: SummaryMaker) -> None:
    summary = make_summary(label=NASTY, problem=NASTY)
    page = page_of(summary, name=NASTY, left_out=((NASTY, NASTY),))
    plain = page_of(make_summary(problem="short"), left_out=(("embedding", "none"),))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert not page.attributes("onerror")
    assert page.text.count(NASTY) >= 6
    assert "49" not in page.text.replace(NASTY, "")
    assert page.data["lanes"][2]["label"] == NASTY


def test_a_truncated_source_and_a_feature_left_out_stand_before_the_highlights(make_summary: SummaryMaker) -> None:
    summary = replace(make_summary(problem="it ends at 12.0 s, the container says 23.8 s"), errors=3)
    text = page_of(summary, left_out=(("embedding", "no weights"),)).text
    for told in ("it ends at 12.0 s", "3 packets or frames", "Left out: embedding. no weights"):
        assert text.replace("\n", " ").index(told) < text.index("2 highlights")


def test_a_feature_that_failed_on_the_way_stands_before_the_highlights_once(make_summary: SummaryMaker) -> None:
    summary = replace(make_summary(), failures=(Failure("pose", 7, "MemoryError"),), errors=7)
    said = "pose failed in 7 of 60 slices: MemoryError"
    for error in (None, f"{said}; the same command does it again."):
        text = Page(render_report(describe(summary, Source("a", "a"), Settings(), error=error), summary, {})).text
        assert text.count(said) == 1
        assert text.index(said) < text.index("2 highlights")
        assert "passed over" not in text


def test_what_is_to_be_known_of_a_clip_stands_beside_it_and_how_it_was_cut_in_its_caption(
    make_summary: SummaryMaker,
) -> None:
    summary = make_summary()
    clips = {
        1: ClipResult(Path("clips/001.ts"), Fraction(2), Fraction(4), 60, "re-encoded", ("re-encoded whole: why",), 0)
    }
    manifest = describe(summary, Source("a", "a"), Settings(), clips=clips)
    page = Page(render_report(manifest, summary, {}))
    assert "re-encoded whole: why" in page.text
    assert (page.data["highlights"][0]["method"], page.data["highlights"][0]["frames"]) == ("re-encoded", 60)


def test_a_reel_is_linked_with_its_length_and_a_missing_one_is_explained_once(make_summary: SummaryMaker) -> None:
    reel = Reel("clips/reel #1.mp4", Decimal("4.246"), 120, 120, "joined", ("sound re-encoded",))
    page = page_of(make_summary(), reel=reel)
    assert "clips/reel%20%231.mp4" in page.attributes("href")
    assert "Reel, 00:00:04.2" in page.text
    assert "Reel: sound re-encoded" in page.text
    none = page_of(make_summary(), reel=Reel(notes=("they differ",)), error="could not be joined: they differ")
    assert none.text.count("they differ") == 1
    assert "reel" not in none.attributes("id")


def test_without_a_highlight_the_page_says_why(make_summary: SummaryMaker) -> None:
    summary = make_summary(highlights=0)
    page = page_of(summary)
    assert summary.explanation is not None
    assert summary.explanation in page.text
    assert "video" not in [tag for tag, _ in page.tags]


def test_a_failure_is_not_taken_for_dull_footage(make_summary: SummaryMaker) -> None:
    page = page_of(make_summary(0, highlights=0), error="no space left on the disk")
    assert "no space left on the disk" in page.text
    assert "No highlights" not in page.text


@pytest.mark.parametrize(("slices", "missing"), [(0, False), (1, True), (40, True)])
def test_a_stream_with_nothing_to_plot_still_has_a_page(make_summary: SummaryMaker, slices: int, missing: bool) -> None:
    page = page_of(make_summary(slices, highlights=0, missing=missing))
    assert page.data["points"] == slices
    assert ("Nothing was measured" in page.text) == (slices == 0)


def test_settings_show_what_was_changed(make_summary: SummaryMaker) -> None:
    summary = make_summary()
    manifest = describe(summary, Source("a", "a"), Settings(min_length_s=3, max_length_s=90))
    page = Page(render_report(manifest, summary, {}))
    assert "min_length, max_length set" in page.text
    assert "1m30s" in page.text


def test_what_counts_is_shown_and_what_only_informs_is_folded_away(make_summary: SummaryMaker) -> None:
    lanes = make_timeline(make_summary()).lanes
    assert [(lane.label, lane.kind) for lane in lanes if lane.shown] == [
        ("score", "score"),
        ("audio", "feature"),
        ("loudness", "signal"),
        ("motion", "feature"),
        ("movement", "signal"),
    ]
    assert [lane.label for lane in lanes if not lane.shown] == ["movement of the camera"]


@given(st.lists(st.floats(-1000, 1000, width=32) | st.just(float("nan")), max_size=50))
def test_a_lane_keeps_every_number_to_a_65000th_of_its_range(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    lane = make_timeline(bare(values)).lanes[0]
    if np.isnan(values).all():
        assert np.isnan(lane.low)
        assert np.isnan(lane.high)
        return
    found = unpacked(lane, lane.maxima)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    np.testing.assert_allclose(found, values, atol=(lane.high - lane.low) / 65_534 + 1e-6)


def bare(scores: NDArray[np.float32]) -> StreamSummary:
    count = len(scores)
    return StreamSummary(
        stream="a",
        features=(),
        values=np.zeros((count, 0), np.float32),
        feature_scores=np.zeros((count, 0), np.float32),
        scores=scores,
        noticeable=scores,
        window_scores=np.zeros(0, np.float32),
        window_spans_s=np.zeros((0, 2)),
        threshold=1.0,
        floor=1.0,
        intervals=(),
        errors=0,
        end=StreamEnd(Fraction(count, 2)),
    )


def test_three_hours_keep_every_slice_and_the_page_stays_under_two_megabytes(make_summary: SummaryMaker) -> None:
    summary = make_summary(6 * 3600, highlights=40)
    assert make_timeline(summary).slices_per_point == 1
    assert len(render_report(manifest_of(summary), summary, {}).encode()) < 2_000_000


def test_two_weeks_lose_no_peak_and_the_page_stays_under_two_megabytes(make_summary: SummaryMaker) -> None:
    summary = make_summary(14 * 86_400 * 2, highlights=40)
    spike, dip = 1_234_567, 2_000_001
    summary.scores[spike], summary.scores[dip] = 99.0, -77.0
    timeline = make_timeline(summary)
    lane, step = timeline.lanes[0], timeline.slices_per_point
    assert step > 1
    highest, lowest = unpacked(lane, lane.maxima), unpacked(lane, lane.minima)
    assert len(highest) == len(lowest) == timeline.points == -(-len(summary.scores) // step)
    assert highest[spike // step] == pytest.approx(99.0)
    assert lowest[dip // step] == pytest.approx(-77.0)
    assert len(render_report(manifest_of(summary), summary, {}).encode()) < 2_000_000


def opened(path: Path) -> str:
    """Return the page as it is once a browser has run it."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to open the page with")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    profile = f"--user-data-dir={path.with_name('profile')}"
    command = [browser, *flags, profile, "--virtual-time-budget=5000", "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()


@pytest.mark.slow
def test_a_clip_that_the_browser_cannot_play_is_said_to_be_so_and_linked(
    make_summary: SummaryMaker, tmp_path: Path
) -> None:
    summary = make_summary(highlights=1)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "001.ts").write_bytes(b"\x47" + bytes(187))
    clips = {1: ClipResult(Path("clips/001.ts"), Fraction(2), Fraction(4), 60, "copied")}
    path = write_report(tmp_path, describe(summary, Source("a", "a"), Settings(), clips=clips), summary, {})
    page = Page(opened(path))
    assert "This browser does not play this MPEG-TS (.ts) file. Open clips/001.ts in a media player." in page.text


@pytest.mark.slow
def test_a_browser_draws_it_without_an_error(make_summary: SummaryMaker, tmp_path: Path) -> None:
    summary = make_summary()
    manifest = manifest_of(summary)
    path = write_report(tmp_path, manifest, summary, {})
    watching = "<script>window.addEventListener('error', (e) => { document.title = `failed: ${e.message}`; });</script>"
    path.write_text(path.read_text(encoding="utf-8").replace("<title>", watching + "<title>"), encoding="utf-8")
    dom = opened(path)
    page = Page(dom)
    assert "<title>failed" not in dom
    assert "Highlight 2, 00:00:08.000 – 00:00:10.123" in page.attributes("title")
    assert "peak 00:00:09.000" in page.text
    assert "clips/002%20%23%3F.mp4" in page.attributes("src")
