"""SMPTE time codes, moved on to where a clip begins."""

import re
from fractions import Fraction

__all__ = ["later_timecode"]

_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)")


def later_timecode(timecode: str, frames: int, rate_hz: Fraction) -> str:
    """Return a time code some frames later, as it is where it is none.

    A semicolon or full stop before the frames tells that numbers are dropped to keep up with the clock: two, or four at
    60 a second, in every minute but each tenth (SMPTE ST 12-1).

    >>> later_timecode("00:00:59:29", 1, Fraction(30))
    '00:01:00:00'
    >>> later_timecode("00:00:59;29", 1, Fraction(30000, 1001))
    '00:01:00;02'
    """
    match = _TIMECODE.fullmatch(timecode.strip())
    counted = round(rate_hz)
    if match is None or counted < 1:
        return timecode
    hours, minutes, seconds, count = (int(match[group]) for group in (1, 2, 3, 5))
    dropped = 0 if match[4] == ":" else 2 * round(counted / 30)
    minutes += 60 * hours
    number = (60 * minutes + seconds) * counted + count - dropped * (minutes - minutes // 10) + frames
    in_ten, in_one = 600 * counted - 9 * dropped, 60 * counted - dropped
    tens, rest = divmod(number, in_ten)
    number += dropped * (9 * tens + max(0, (rest - dropped) // in_one))
    minutes, rest = divmod(number, 60 * counted)
    seconds, count = divmod(rest, counted)
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}:{seconds:02d}{match[4]}{count:02d}"
