"""The live detector over long times: a real clip shown over and over, and a stream that stays away."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_detector import footage
from test_detector_live import SHORT, Live

from clipstream import Settings
from clipstream.detect.detector import detector_for
from clipstream.detect.windows import WindowGrid, Windows
from clipstream.extraction import Extractor, Following
from clipstream.features import select_features
from clipstream.features.registry import Selection
from clipstream.media.decode import DecodeMode, SliceReader
from clipstream.results import Interval, Row, Window
from clipstream.timing import to_ms

SETTINGS = Settings(features=("motion", "audio", "shots"))
PASSES, WARM_UP_PASSES = 6, 2


@pytest.fixture(scope="module")
def selection() -> Selection:
    return select_features(SETTINGS)


@pytest.fixture(scope="module")
def rows(real_media: Path, selection: Selection) -> list[Row]:
    """Return the rows of a clip, its end last."""
    extract, following = Extractor(selection.features), Following(selection.features)
    clip = real_media / "synth" / "skate_with_cheer.mp4"
    with SliceReader(clip, "clip", selection.needs, mode=DecodeMode.of(SETTINGS)) as slices:
        return [following.push(seen) for item in slices for _, seen in extract([item])]


def found(rows: list[Row], selection: Selection, *, live: bool) -> list[tuple[int, int]]:
    signals = sum(len(info.signals) for info in selection.infos)
    windows = Windows(WindowGrid.of_seconds(SETTINGS.window_s, SETTINGS.hop_s), signals)
    detector = detector_for(SETTINGS, selection.infos, live=live)
    steps: list[Row | Window] = []
    for row in rows:
        steps += [*windows.push(row), row]
    results = [result for step in steps for result in detector.push(step)]
    return [(one.start_ms, one.end_ms) for one in results if isinstance(one, Interval)]


def test_once_it_knows_what_is_usual_each_pass_gives_the_moments_of_the_file(
    rows: list[Row], selection: Selection
) -> None:
    of_file = found(rows, selection, live=False)
    assert len(of_file) == 3
    body, end = rows[:-1], rows[-1].end
    assert end is not None
    endless = [replace(row, n=row.n + number * len(body), live=True) for number in range(PASSES + 1) for row in body]
    of_stream = found(endless, selection, live=True)
    pass_ms = 500 * len(body)
    for number in range(WARM_UP_PASSES, PASSES):
        begin_ms = number * pass_ms
        shown = [(start - begin_ms, past - begin_ms) for start, past in of_stream if 0 <= start - begin_ms < pass_ms]
        # The last slice is no whole one.
        assert [(start, min(past, to_ms(end.duration_s))) for start, past in shown] == of_file, number


@pytest.mark.parametrize("away", [20, 5000])
def test_a_moment_that_a_stream_broke_off_is_given_out_however_long_it_stays_away(away: int) -> None:
    live = Live(SHORT).feed(footage(400, (395, 5, 3.0)))
    assert not live.found
    live.feed(footage(30), 400 + away)
    ((start_ms, end_ms),) = [(one.start_ms, one.end_ms) for one in live.found]
    assert start_ms <= 395 * 500
    assert 199_500 <= end_ms <= 201_000
