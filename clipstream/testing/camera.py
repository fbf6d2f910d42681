"""A camera that shows a file: a clock that everyone who watches shares, and the faults that it can be told to have."""

import asyncio
from bisect import bisect_left, bisect_right
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from time import monotonic
from typing import Literal, Protocol

from clipstream.testing.programme import Programme, Unit

__all__ = ["Camera", "Cursor", "Fate", "Player", "Sent"]

Fate = Literal["sent", "lost", "corrupt"]
"""What became of a unit: it was sent whole, was left out, or was sent with bytes flipped."""

_SLACK_S = 0.001
_TICK = Fraction(1, 90_000)


@dataclass(frozen=True, slots=True)
class Sent:
    """One coded unit and when it went out: the truth that a test compares with.

    Attributes:
        camera: Name of the camera.
        client: Number of the client, in order of playing, from 1.
        kind: What it is.
        number: Place among the units of its track in the file, in order of PTS: for video, the number of the frame.
        source_pts_s: Its time in the file.
        stream_pts_s: Its time as sent: over repetitions and with all jumps.
        at_s: When it was sent, on the monotonic clock.
        keyframe: Whether decoding can begin here.
        fate: What became of it.
    """

    camera: str
    client: int
    kind: Literal["video", "audio"]
    number: int
    source_pts_s: Fraction
    stream_pts_s: Fraction
    at_s: float
    keyframe: bool
    fate: Fate


@dataclass(slots=True)
class Cursor:
    """Where a client is: a unit of a repetition that begins at `base_s` of the camera's time."""

    generation: int = -1
    base_s: Fraction = Fraction(0)
    index: int = 0


class Player(Protocol):
    """Who sends a camera's units to one client."""

    lose_frames: int
    corrupt_frames: int

    def stop(self) -> None:
        """Close the connection."""


class Camera:
    """What is shown under one path. Lives in the thread of its server.

    Its time begins with the first client, so that this one sees the first frame, and runs on whoever watches. Later
    clients begin at the next keyframe, as does everyone after a stall.

    Args:
        name: Path without the leading slash.
        programme: What it shows.
        speed: Seconds of media in a second of the world.
        loop: Whether it begins again at the end; otherwise the stream ends there.
        start_at_s: Where in the file it begins: at the keyframe there or before.
    """

    def __init__(self, name: str, programme: Programme, *, speed: float, loop: bool, start_at_s: float) -> None:
        self.name, self.programme, self.loop = name, programme, loop
        self.players: set[Player] = set()
        self.shift_s = Fraction(0)
        self.untimed_frames = 0
        self.stalled = False
        self._usual_speed = self._speed = speed
        self._started_s: float | None = None
        self._origin_s = Fraction(0)
        self._generation = 0
        self._woken = asyncio.Event()
        starts = [programme.units[entry].pts_s for entry in programme.entries]
        entry = programme.entries[max(0, bisect_right(starts, Fraction(start_at_s)) - 1)]
        self._position_s = float(programme.units[entry].dts_s)

    @property
    def now_s(self) -> float:
        """The camera's time."""
        if self._started_s is None:
            return self._position_s
        return self._position_s + (monotonic() - self._started_s) * self._speed

    async def next_unit(self, cursor: Cursor) -> tuple[Unit, Fraction] | None:
        """Wait until the next unit is due and return it with its time as sent; `None` at the end."""
        if self._started_s is None:
            self._started_s = monotonic()
        while True:
            if cursor.generation != self._generation:
                self._seek(cursor)
            units = self.programme.units
            if cursor.index >= len(units):
                if not self.loop:
                    return None
                cursor.base_s, cursor.index = cursor.base_s + self.programme.duration_s, 0
            unit = units[cursor.index]
            delay_s = None if self.stalled else (float(cursor.base_s + unit.dts_s) - self.now_s) / self._speed
            if delay_s is not None and delay_s <= 0:
                cursor.index += 1
                return unit, cursor.base_s + unit.pts_s + self.shift_s
            woken = self._woken
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await woken.wait()

    def stall(self) -> None:
        """Send nothing; what is shown meanwhile is lost."""
        self.stalled = True
        self._wake()

    def resume(self) -> None:
        """Send again, from the next keyframe on."""
        self.stalled = False
        self._generation += 1
        self._wake()

    def jump(self, seconds: float) -> None:
        """Move the timestamps of what is still to be sent."""
        self.shift_s += round(Fraction(seconds) / _TICK) * _TICK

    def slow(self, factor: float) -> None:
        """Take `factor` times as long as usual from now on."""
        if self._started_s is not None:
            self._position_s, self._started_s = self.now_s, monotonic()
        self._speed = self._usual_speed / factor
        self._wake()

    def change(self, programme: Programme) -> bool:
        """Show another programme from its beginning on; say whether clients can go on with it."""
        goes_on = programme.continues(self.programme)
        # What was sent last is shown this much later, where pictures are reordered: the new ones are shown after it.
        shown_s = round(self.now_s / _TICK) * _TICK + max(unit.pts_s - unit.dts_s for unit in self.programme.units)
        self._origin_s = shown_s - programme.units[0].dts_s
        self.programme = programme
        self._generation += 1
        self._wake()
        return goes_on

    def restart(self) -> None:
        """Let timestamps begin near zero, as of now, and forget every fault."""
        self.shift_s = -round(self.now_s / _TICK) * _TICK
        self.untimed_frames = 0
        self.slow(1.0)
        self.resume()

    def _wake(self) -> None:
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    def _seek(self, cursor: Cursor) -> None:
        """Put a cursor at the first entry that is still to come."""
        cursor.generation = self._generation
        programme, now_s = self.programme, self.now_s
        repetition = int((now_s - float(self._origin_s)) // float(programme.duration_s)) if self.loop else 0
        cursor.base_s = self._origin_s + max(0, repetition) * programme.duration_s
        due = [float(cursor.base_s + programme.units[entry].dts_s) for entry in programme.entries]
        place = bisect_left(due, now_s - _SLACK_S * self._speed)
        cursor.index = programme.entries[place] if place < len(due) else len(programme.units)
