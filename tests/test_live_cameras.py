"""The cameras of a run: what one of them does is no business of the others, and what is kept."""

from itertools import count
from threading import Event
from typing import cast

import pytest
from structlog.testing import capture_logs

from clipstream import Settings
from clipstream.live import Camera, Cameras
from clipstream.live.cameras import kept_s
from clipstream.live.overload import Shedding
from clipstream.media.live.feed import LiveFeed
from clipstream.media.live.status import FeedStatus
from clipstream.media.recording.recorder import Recorder
from clipstream.media.slices import MediaNeeds, Slice

LONG_S = 10


class Hanging:
    """A feed, or a recorder, that takes for ever to close."""

    waits = False

    def __init__(self) -> None:
        self.released, self.closed = Event(), Event()
        self.status = FeedStatus("cam", "rtsp://camera/live")

    def take(self) -> list[Slice]:
        return []

    def close(self) -> None:
        assert self.released.wait(LONG_S), "whoever closed it waited for it"
        self.closed.set()


def test_a_camera_that_does_not_let_itself_be_closed_holds_up_nothing() -> None:
    feed, recorder = Hanging(), Hanging()
    camera = Camera("cam", cast("LiveFeed", feed), cast("Recorder", recorder), None)
    assert camera.take(ending=True) == []
    camera.close()
    assert not feed.closed.is_set()
    feed.released.set()
    recorder.released.set()
    camera.wait_closed()
    assert feed.closed.is_set()
    assert recorder.closed.is_set()


class Waiting(Hanging):
    """A feed of a file, which fills its queue and reads on when something is taken."""

    waits = True

    def __init__(self) -> None:
        super().__init__()
        self.status = FeedStatus("cam", "https://host/late.mp4", queued=20)


def test_what_waits_for_being_taken_is_no_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera("cam", cast("LiveFeed", Waiting()), cast("Recorder", Hanging()), None)
    seconds = count()
    monkeypatch.setattr("clipstream.live.cameras.time.monotonic", lambda: float(next(seconds)))
    for _ in range(60):
        camera.take(ending=False)
    assert camera.shedding is Shedding.NOTHING


def test_as_much_is_kept_as_the_longest_clip_needs_and_that_is_said() -> None:
    short, long = Settings(keep_s=30, max_length_s=60, context_before_s=5), Settings(keep_s=300)
    assert kept_s(short) > 60 + 5 + 20
    assert kept_s(long) == 300
    for settings, told in ((short, ["more_is_kept"]), (long, [])):
        with capture_logs() as logs:
            Cameras((), settings, MediaNeeds((), None))
        assert [entry["event"] for entry in logs] == told
