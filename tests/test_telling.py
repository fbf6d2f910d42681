"""What a run tells of warming up: what the detector says of each live stream, and each change once."""

from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from clipstream import Settings
from clipstream.live import Cameras
from clipstream.live.overload import Shedding
from clipstream.media.live.status import FeedStatus
from clipstream.run.telling import Telling


class Gate:
    """Cameras of which one is there."""

    def __init__(self, folder: Path) -> None:
        self.inputs, self._folder = {"gate": None}, folder

    def statuses(self) -> list[tuple[FeedStatus, Shedding]]:
        return [(FeedStatus("gate", "rtsp://camera/live"), Shedding.NOTHING)]

    def recording(self, stream: str) -> Path:
        return self._folder / stream

    def unrecorded(self, stream: str) -> int:
        return len(stream) - len("gate")


class Watcher:
    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []

    def warming_up(self, stream: str, seconds: float) -> None:
        self.told.append((stream, seconds))


@pytest.mark.parametrize(
    ("told", "seconds"),
    [([True, False], [10, 0]), ([False], []), ([False, True, False], [10, 0])],
    ids=["a new stream", "a run that goes on", "a gap longer than the horizon"],
)
def test_warming_up_is_what_the_detector_says_and_each_change_is_told_once(
    tmp_path: Path, told: list[bool], seconds: list[float]
) -> None:
    watcher = Watcher()
    with (
        capture_logs() as logs,
        Telling(Settings(out=str(tmp_path)), cast("Cameras", Gate(tmp_path)), watcher) as telling,
    ):
        assert telling.statuses()[0].warming_up
        for warming in told:
            telling.warming_up("match", warming)  # a file: nobody waits for it to know
            telling.warming_up("gate", warming)
            assert next(one for one in telling.statuses() if one.stream == "gate").warming_up is warming
    assert watcher.told == [("gate", each) for each in seconds]
    assert [entry["event"] for entry in logs] == ["warming_up" if each else "warmed_up" for each in seconds]


class Deaf(Watcher):
    def warming_up(self, stream: str, seconds: float) -> None:
        raise BrokenPipeError(f"nobody hears of {stream} for {seconds} s")


def test_a_watcher_that_fails_ends_no_run(tmp_path: Path) -> None:
    with Telling(Settings(out=str(tmp_path)), cast("Cameras", Gate(tmp_path)), Deaf()) as telling:
        telling.warming_up("gate", True)
        assert telling.statuses()[0].warming_up
