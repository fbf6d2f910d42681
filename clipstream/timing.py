"""Exact media time: seconds are `Fraction`s counted from the start of the presentation.

Slice n of a stream is the half-open span [n/2, (n+1)/2). Floats appear only where a person or a file format
reads them.
"""

import math
from fractions import Fraction

__all__ = [
    "AUDIO_RATE_HZ",
    "SAMPLES_PER_SLICE",
    "SLICE_S",
    "WARM_UP_S",
    "clock",
    "exact_rate",
    "slice_at",
    "slice_start",
    "to_ms",
]

SLICE_S = Fraction(1, 2)
"""Length of a slice, in seconds."""

AUDIO_RATE_HZ = 16_000
"""Rate of the mono audio in a slice. Speech and crowd models expect it, and it carries everything below 8 kHz."""

SAMPLES_PER_SLICE = int(AUDIO_RATE_HZ * SLICE_S)

WARM_UP_S = 10.0
"""A running policy says nothing before it has seen this much: it would not know what is usual."""


def slice_at(time_s: Fraction) -> int:
    """Return the number of the slice that holds `time_s`."""
    return math.floor(time_s / SLICE_S)


def slice_start(n: int) -> Fraction:
    """Return where slice `n` begins, in seconds."""
    return n * SLICE_S


def to_ms(time_s: Fraction) -> int:
    """Return the nearest whole millisecond, halves away from zero."""
    return math.floor(time_s * 1000 + Fraction(1, 2))


def exact_rate(rate_hz: float) -> Fraction:
    """Return a rate as exactly what was written: 0.1 is one frame in ten seconds, not in 9.999….

    >>> exact_rate(7.5), exact_rate(0.1)
    (Fraction(15, 2), Fraction(1, 10))
    """
    return Fraction(str(rate_hz))


def clock(time_ms: int, separator: str = ":") -> str:
    """Return `HH:MM:SS.mmm`, with more hour digits where they are needed.

    >>> clock(3_723_004)
    '01:02:03.004'
    >>> clock(3_723_004, separator="")
    '010203.004'
    """
    seconds, ms = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}{separator}{minutes:02d}{separator}{seconds:02d}.{ms:03d}"
