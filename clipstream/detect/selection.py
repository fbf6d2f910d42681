"""From moments to clips: context, length, cuts in the picture, and choosing the best without overlap.

Spans are in milliseconds of media time from here on, since clips are named by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clipstream.detect.moments import Moment
from clipstream.timing import slice_start, to_ms

__all__ = ["Candidate", "LengthRules", "behind", "choose", "extend", "peak_ms"]


@dataclass(frozen=True, slots=True)
class LengthRules:
    """How long clips are, in milliseconds."""

    before_ms: int
    after_ms: int
    min_ms: int
    max_ms: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A clip that might be kept.

    Attributes:
        start_ms: Where the clip starts, context included.
        end_ms: Where it ends.
        moment: What it is for, in rows.
    """

    start_ms: int
    end_ms: int
    moment: Moment

    @property
    def core_ms(self) -> tuple[int, int]:
        """Where the moment itself starts and ends."""
        return to_ms(slice_start(self.moment.start)), to_ms(slice_start(self.moment.end))

    @property
    def length_ms(self) -> int:
        """How long the clip is."""
        return self.end_ms - self.start_ms


def extend(moment: Moment, rules: LengthRules, stream_end_ms: int, cuts_ms: Sequence[int] = ()) -> Candidate:
    """Give a moment its context, within the stream and within the allowed lengths.

    Context does not reach across a cut in the picture: it would show the tail of another shot. A clip that would be too
    short grows on both sides; one that would be too long keeps what surrounds its peak.
    """
    core_start, core_end = to_ms(slice_start(moment.start)), to_ms(slice_start(moment.end))
    core_end = min(core_end, stream_end_ms)
    start = max(core_start - rules.before_ms, 0)
    end = min(core_end + rules.after_ms, stream_end_ms)
    start = max((cut for cut in cuts_ms if start < cut <= core_start), default=start)
    end = min((cut for cut in cuts_ms if core_end <= cut < end), default=end)
    start, end = _at_least(start, end, rules.min_ms, 0, stream_end_ms)
    start, end = _at_most(start, end, rules.max_ms, peak_ms(moment))
    return Candidate(start, end, moment)


def peak_ms(moment: Moment) -> int:
    """Return the middle of the row with the highest score."""
    return (to_ms(slice_start(moment.peak)) + to_ms(slice_start(moment.peak + 1))) // 2


def choose(
    candidates: Sequence[Candidate],
    rules: LengthRules,
    stream_end_ms: int,
    top: int | None = None,
    target_ms: int | None = None,
) -> list[Candidate]:
    """Return the best candidates, best first, none overlapping another (non-maximum suppression).

    A candidate gives way to better ones: where they overlap it loses context, growing on its other side if it becomes
    too short. It is dropped where its own peak lies in a better one, or where too little room is left between them.
    With `target_ms`, one that no longer fits is passed over for the next that does; the very best is shortened rather
    than dropped.
    """
    chosen: list[Candidate] = []
    total_ms = 0
    for candidate in sorted(candidates, key=lambda one: (-one.moment.score, -one.moment.height, one.start_ms)):
        if top is not None and len(chosen) == top:
            break
        fitted = _beside(candidate, chosen, rules, stream_end_ms)
        if fitted is None:
            continue
        if target_ms is not None and total_ms + fitted.length_ms > target_ms:
            if chosen:
                continue
            start, end = _at_most(fitted.start_ms, fitted.end_ms, target_ms, peak_ms(fitted.moment))
            fitted = replace(fitted, start_ms=start, end_ms=end)
        chosen.append(fitted)
        total_ms += fitted.length_ms
    return chosen


def behind(candidate: Candidate, earliest_ms: int, rules: LengthRules, stream_end_ms: int) -> Candidate | None:
    """Return what is left of a candidate behind the clip that ends at `earliest_ms`; `None` where that shows it."""
    if peak_ms(candidate.moment) < earliest_ms:
        return None
    return _between(candidate, earliest_ms, stream_end_ms, rules, stream_end_ms)


def _beside(
    candidate: Candidate, chosen: Sequence[Candidate], rules: LengthRules, stream_end_ms: int
) -> Candidate | None:
    peak, low, high = peak_ms(candidate.moment), 0, stream_end_ms
    for other in chosen:
        if other.start_ms <= peak < other.end_ms:
            return None
        if other.end_ms <= peak:
            low = max(low, other.end_ms)
        else:
            high = min(high, other.start_ms)
    return _between(candidate, low, high, rules, stream_end_ms)


def _between(candidate: Candidate, low: int, high: int, rules: LengthRules, stream_end_ms: int) -> Candidate | None:
    start, end = max(candidate.start_ms, low), min(candidate.end_ms, high)
    start, end = _at_least(start, end, rules.min_ms, low, high)
    if end - start < min(rules.min_ms, stream_end_ms):
        return None
    return replace(candidate, start_ms=start, end_ms=end)


def _at_least(start: int, end: int, length: int, low: int, high: int) -> tuple[int, int]:
    if end - start >= length:
        return start, end
    start = max(start - (length - (end - start)) // 2, low)
    end = min(start + length, high)
    return max(end - length, low), end


def _at_most(start: int, end: int, length: int, peak: int) -> tuple[int, int]:
    if end - start <= length:
        return start, end
    start = min(max(peak - length // 2, start), end - length)
    return start, start + length
