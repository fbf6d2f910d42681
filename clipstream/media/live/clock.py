"""One line of time for a live stream, whatever its packets claim: they restart, jump, wrap around and run backwards.

Stream time counts seconds from the stream's beginning and goes on through every fault: seven seconds without packets
in the world are seven seconds in it, so that each moment has a date. While packets follow each other, their own times
count exactly; where they don't, what comes is put where the clock of the world is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["FILE", "IN_PIECES", "REAL_TIME", "Delivery", "LiveClock", "Place"]

_FOLLOWS_S = 1
"""Packets of a track that are no further apart follow each other, whatever the world's clock says."""

_SKEW_S = 10
"""How far apart in time the first packets of two tracks of one connection may be."""

_REORDERED_S = Fraction(1, 2)
_LONGEST_DELAY_S = 2
_WRAPS = (1 << 33, 1 << 32)  # of MPEG-TS; of RTP and RTMP
_DRIFT = 0.002
"""By how much a source's clock may run slow and still be followed; quartz is off by less than a tenth of that."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How packets of a kind of source arrive.

    Attributes:
        ahead_s: How far ahead of the world's clock a jump may lead and still be taken for a gap.
        late_s: How much later than its time a packet comes: what is late by less needs no gap before it.
        rewind_s: How far before the end of a connection the next one may begin with what was seen already.
        patience_s: How long nothing may come before the time is known to be a gap.
        burst_s: How much may come at once, after nothing came for as long.
    """

    ahead_s: Fraction
    late_s: Fraction
    rewind_s: Fraction
    patience_s: Fraction
    burst_s: Fraction = Fraction(0)


REAL_TIME = Delivery(Fraction(2), Fraction(1), Fraction(0), Fraction(2))
"""Cameras: each packet comes when it is made."""

IN_PIECES = Delivery(Fraction(60), Fraction(15), Fraction(120), Fraction(60), Fraction(20))
"""HLS: segments of several seconds each, and a new connection begins some segments before the end.

A burst is the longest segment in use, or two of the ten seconds that are more usual."""

FILE = Delivery(Fraction(3600), Fraction(3600), Fraction(10**9), Fraction(10**9))
"""Media that end: as fast as they can be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a packet lies in stream time, in units of its track's time base.

    Attributes:
        pts: Its PTS; `None` where it has a DTS alone.
        dts: Its DTS, made up where it has none; it never runs backwards, and never past the PTS.
        jumped: Whether its own time did not follow from the one before it in the same connection.
        seen: Whether an earlier connection brought what is shown then.
    """

    pts: int | None
    dts: int
    jumped: bool = False
    seen: bool = False


@dataclass(slots=True)
class _Line:
    """Times of packets that belong together, and what is added to them."""

    offset_s: Fraction
    newest_s: Fraction | None = None
    untimed: bool = False


@dataclass(slots=True)
class _Track:
    time_base: Fraction
    line: _Line
    last_s: Fraction | None = None
    next_s: Fraction | None = None
    decoded_s: Fraction | None = None
    raw_dts: int | None = None
    delay_s: Fraction = Fraction(0)
    unordered: bool = False


@dataclass(slots=True)
class _Anchor:
    """The world's monotonic time at stream time 0, as the promptest packet tells, and what makes it a date when added.

    A packet that is more prompt moves it at once, as a source does whose clock runs fast. One that is late moves it by
    `_DRIFT` at most: a source whose clock runs slow is followed, and what the network holds up is not taken for that.
    """

    zero_s: float
    at_s: float
    epoch_s: float

    def note(self, zero_s: float, at_s: float, unix_s: float) -> None:
        """Take note of a packet: where stream time 0 would be if it came at once."""
        slowest_s = self.zero_s + _DRIFT * max(at_s - self.at_s, 0)
        self.zero_s, self.at_s, self.epoch_s = min(zero_s, slowest_s), at_s, unix_s - at_s


class LiveClock:
    """Puts packets on the line of one stream. Pure: the world's time is passed in, monotonic and as a date.

    Args:
        start_s: Where the stream begins, or goes on.
        began_unix_s: The date of its time 0, for one that goes on: what was missed meanwhile becomes a gap.

    Attributes:
        end_s: Where the latest packet so far ends; what comes next never lies before it, but for the order of tracks.
        delivery: How the packets of the latest connection arrive.
        jumps: How often times did not follow from those before.
    """

    def __init__(self, start_s: Fraction = Fraction(0), began_unix_s: float | None = None) -> None:
        self.end_s, self._began_unix_s = start_s, began_unix_s
        self.jumps = 0
        self._line = _Line(Fraction(0))
        self._tracks: dict[int, _Track] = {}
        self.delivery = REAL_TIME
        self._floor_s = start_s
        self._grid_s = Fraction(1)
        self._new = True
        self._anchor: _Anchor | None = None

    def connect(self, time_bases: Mapping[int, Fraction], delivery: Delivery) -> None:
        """Begin with the tracks of a new connection, by number."""
        self._tracks = {number: _Track(time_base, self._line) for number, time_base in time_bases.items()}
        # Offsets on this grid are whole numbers of every track's units, so that nothing is ever rounded.
        self._grid_s = Fraction(
            math.lcm(*(base.numerator for base in time_bases.values())),
            math.gcd(*(base.denominator for base in time_bases.values())),
        )
        self.delivery, self._floor_s, self._new = delivery, self.end_s, True

    def skip(self, until_s: Fraction) -> None:
        """Let nothing be put before a time that others have gone past already."""
        self.end_s = max(self.end_s, until_s)

    def place(
        self, track: int, pts: int | None, dts: int | None, duration: int, *, at_s: float, unix_s: float
    ) -> Place:
        """Return where the next packet lies.

        Args:
            track: Number of its track.
            pts: Its PTS, if it has one.
            dts: Its DTS, if it has one.
            duration: How many units of its track's time base it lasts, or 0.
            at_s: Monotonic time at which it came.
            unix_s: The date at which it came, in seconds since 1970.
        """
        own = self._tracks[track]
        if pts is not None and dts is not None and dts - pts > _WRAPS[1] // 2:
            behind = dts - pts
            pts += min(_WRAPS, key=lambda wrap: abs(wrap - behind))
        if dts is not None and pts is not None:
            delay_s = (pts - dts) * own.time_base
            # FFmpeg makes up the DTS of RTP from the PTS, and is at a loss behind a jump: the PTS alone come from afar.
            if own.unordered or not 0 <= delay_s <= _LONGEST_DELAY_S or (own.raw_dts or dts) > dts:
                own.unordered = own.unordered or (0 <= delay_s <= _LONGEST_DELAY_S and own.raw_dts is not None)
                own.raw_dts, dts = dts, None
            else:
                own.raw_dts, own.delay_s = dts, max(own.delay_s, delay_s)
        raw = dts if dts is not None else pts
        if raw is None:
            return self._place_untimed(own, duration, at_s, unix_s)
        jumped = self._choose_line(own, raw, ordered=dts is not None, at_s=at_s, unix_s=unix_s)
        offset = int(own.line.offset_s / own.time_base)
        last = None if own.decoded_s is None else int(own.decoded_s / own.time_base)
        if dts is None and pts is not None and own.raw_dts is not None:
            dts = pts - int(own.delay_s / own.time_base)
        # Without any DTS the order of decoding is told by the least that makes it rise.
        least = raw + offset if last is None else last + 1
        placed = least if dts is None else dts + offset if last is None else max(dts + offset, least)
        shown = None if pts is None else max(pts + offset, placed)
        self._note(own, (raw + offset) * own.time_base, placed, duration, at_s=at_s, unix_s=unix_s)
        return Place(shown, placed, jumped, seen=(raw + offset) * own.time_base < self._floor_s)

    def now_s(self, at_s: float) -> Fraction:
        """Return the stream time at a monotonic time of the world, or 0 before the first packet."""
        return Fraction(0) if self._anchor is None else Fraction(at_s) - Fraction(self._anchor.zero_s)

    def date_of(self, time_s: Fraction) -> float | None:
        """Return the date of a stream time about now, in seconds since 1970, or `None` before the first packet.

        It is when the promptest packets of that time come, by the world's clock, however far the source's has drifted.
        """
        return None if self._anchor is None else self._anchor.epoch_s + self._anchor.zero_s + float(time_s)

    def _place_untimed(self, own: _Track, duration: int, at_s: float, unix_s: float) -> Place:
        """Put a packet without any time right after the one before it, or else where the connection begins."""
        if self._new:
            self._choose_line(own, 0, ordered=True, at_s=at_s, unix_s=unix_s)
            self._line.untimed = True
        behind_s = own.next_s if own.next_s is not None else self._line.newest_s
        guessed = math.ceil((self._line.offset_s if behind_s is None else behind_s) / own.time_base)
        self._note(own, guessed * own.time_base, guessed, max(duration, 1), at_s=at_s, unix_s=unix_s)
        return Place(guessed, guessed)

    def _choose_line(self, own: _Track, raw: int, *, ordered: bool, at_s: float, unix_s: float) -> bool:
        """Find the line on which a raw time follows, or draw a new one, and say whether that was a jump."""
        time_s = raw * own.time_base
        if self._new:
            self._new = False
            self._line = self._first_line(time_s, at_s, unix_s)
            for track in self._tracks.values():
                track.line = self._line
            return False
        if self._follows(own, own.line, time_s, at_s):
            if own.last_s is None and not self.delivery.rewind_s:
                self._raise_line(own, time_s, self._floor_s)
            return False
        wraps = [_Line(own.line.offset_s + wrap * own.time_base, own.line.newest_s) for wrap in _WRAPS]
        fitting = [line for line in wraps if self._follows(own, line, time_s, at_s)]
        behind_s = (own.next_s or self._floor_s) + (0 if ordered else own.delay_s)
        newest_s = self._line.newest_s if own.line is not self._line else None
        if newest_s is not None and abs(time_s + self._line.offset_s - newest_s) <= _SKEW_S:
            # Where another track has jumped already, this one follows it, though it may overlap a little at first.
            own.line = self._line
            self._raise_line(own, time_s, behind_s)
            return False
        untimed = self._line.untimed
        # What is shown before the first picture that has a time may still come: leave room for it.
        behind_s += _REORDERED_S if untimed else 0
        own.line = fitting[0] if fitting else _Line(self._on_grid(self._resumed_s(behind_s, at_s) - time_s))
        self._line, own.last_s = own.line, None
        jumped = not fitting and not untimed
        self.jumps += jumped
        return jumped

    def _first_line(self, time_s: Fraction, at_s: float, unix_s: float) -> _Line:
        delivery, end_s = self.delivery, self.end_s
        if self._anchor is None:
            missed_s = Fraction(0) if self._began_unix_s is None else Fraction(unix_s - self._began_unix_s)
            return _Line(self._on_grid(max(end_s, missed_s) - time_s))
        now_s = self.now_s(at_s)
        offset_s = round(self._line.offset_s / self._grid_s) * self._grid_s
        earliest_s = end_s - delivery.rewind_s if delivery.rewind_s else max(end_s, now_s - delivery.late_s)
        if earliest_s <= time_s + offset_s <= max(now_s, end_s) + delivery.ahead_s:
            return _Line(offset_s)
        return _Line(self._on_grid(max(end_s, end_s if delivery is FILE else now_s) - time_s))

    def _follows(self, own: _Track, line: _Line, raw_s: Fraction, at_s: float) -> bool:
        if line.untimed:
            return False
        time_s = raw_s + line.offset_s
        if own.last_s is None:
            return line.newest_s is None or abs(time_s - line.newest_s) <= _SKEW_S
        step_s = time_s - own.last_s
        if step_s <= _FOLLOWS_S:
            return step_s >= -_REORDERED_S - own.delay_s
        return time_s <= max(self.now_s(at_s), own.last_s) + self.delivery.ahead_s

    def _resumed_s(self, behind_s: Fraction, at_s: float) -> Fraction:
        """Return where a track goes on whose times jumped: right behind, unless the world's clock says otherwise."""
        now_s = self.now_s(at_s)
        return behind_s if now_s - behind_s <= self.delivery.late_s else now_s

    def _raise_line(self, own: _Track, raw_s: Fraction, floor_s: Fraction) -> None:
        """Move a line that would lead a track back behind what it has, so that tracks on it stay together."""
        time_s = raw_s + own.line.offset_s
        if time_s < floor_s:
            own.line.offset_s += self._on_grid(floor_s - time_s)

    def _on_grid(self, offset_s: Fraction) -> Fraction:
        return math.ceil(offset_s / self._grid_s) * self._grid_s

    def _note(self, own: _Track, time_s: Fraction, decoded: int, duration: int, *, at_s: float, unix_s: float) -> None:
        own.last_s = time_s if own.last_s is None else max(own.last_s, time_s)
        own.decoded_s = decoded * own.time_base
        own.next_s = max(own.decoded_s, time_s - own.delay_s)
        own.next_s += duration * own.time_base
        own.line.newest_s = max(own.line.newest_s or time_s, time_s)
        self.end_s = max(self.end_s, own.last_s + duration * own.time_base)
        zero_s = at_s - float(time_s)
        if self._anchor is None:
            self._anchor = _Anchor(zero_s, at_s, unix_s - at_s)
        else:
            self._anchor.note(zero_s, at_s, unix_s)
