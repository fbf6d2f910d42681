"""What was found, put into the words and numbers of the manifest."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

from clipstream.failures import Failure
from clipstream.features.base import FeatureInfo
from clipstream.media.cutter import ClipResult
from clipstream.report.manifest import (
    FailedFeature,
    Highlight,
    LeftOut,
    Manifest,
    Reel,
    Source,
    UsedFeature,
    UsedSignal,
)
from clipstream.results import Interval, Reason, StreamSummary
from clipstream.settings import Settings
from clipstream.timing import clock, to_ms

__all__ = ["describe", "describe_failures", "describe_highlight", "reason_sentence", "seconds"]


def describe(
    summary: StreamSummary,
    source: Source,
    settings: Settings,
    *,
    left_out: tuple[tuple[str, str], ...] = (),
    clips: Mapping[int, ClipResult] | None = None,
    uncut: Mapping[int, str] | None = None,
    reel: Reel | None = None,
    error: str | None = None,
) -> Manifest:
    """Make the manifest of a stream that has ended.

    Args:
        summary: What was found.
        source: What it was found in; the durations and problem are those of `summary`.
        settings: The run's.
        left_out: Features that could not be used, and why, as `Selection.left_out` has them.
        clips: The clips by highlight number. Their files lie in `clips/`.
        uncut: By highlight number, why there is no clip.
        reel: The clips joined, if that was asked for.
        error: What failed; the status is `"failed"` if given.
    """
    clips, uncut = clips or {}, uncut or {}
    return Manifest(
        stream=summary.stream,
        source=Source(
            path=source.path,
            name=source.name,
            size_bytes=source.size_bytes,
            fingerprint=source.fingerprint,
            duration_s=seconds(summary.end.duration_s),
            claimed_duration_s=None if summary.end.claimed_s is None else seconds(summary.end.claimed_s),
            streams=source.streams,
            problem=summary.end.problem or source.problem,
        ),
        status="failed" if error else "complete",
        error=error,
        settings=settings.as_dict(),
        settings_fingerprint=settings.fingerprint(),
        features=tuple(_used(info) for info in summary.features),
        left_out=tuple(LeftOut(name, why) for name, why in left_out),
        failures=describe_failures(summary.failures, summary.first + len(summary.values)),
        threshold=summary.threshold,
        floor=summary.floor,
        explanation=summary.explanation,
        highlights=tuple(
            describe_highlight(one, clips.get(one.number), uncut.get(one.number)) for one in summary.intervals
        ),
        reel=reel,
        errors=summary.errors,
    )


def describe_failures(failures: Iterable[Failure], slices: int) -> tuple[FailedFeature, ...]:
    """Make the entries of the features that failed in some of so many slices."""
    return tuple(FailedFeature(one.feature, one.slices, slices, one.error) for one in failures)


def describe_highlight(interval: Interval, clip: ClipResult | None, uncut: str | None = None) -> Highlight:
    """Make the entry of a highlight: its clip as the cutter described it, or why there is none."""
    start, end, peak = interval.start_ms, interval.end_ms, interval.peak_ms
    return Highlight(
        number=interval.number,
        rank=interval.rank,
        start_s=Decimal(start).scaleb(-3),
        end_s=Decimal(end).scaleb(-3),
        peak_s=Decimal(peak).scaleb(-3),
        start=clock(start),
        end=clock(end),
        peak=clock(peak),
        score=interval.score,
        peak_score=interval.peak_score,
        reason=reason_sentence(interval.reasons),
        reasons=interval.reasons,
        clip=f"clips/{clip.path.name}" if clip else None,
        clip_start_s=seconds(clip.start_s) if clip else None,
        clip_end_s=seconds(clip.end_s) if clip else None,
        frames=clip.frames if clip else None,
        copied=clip.copied if clip else None,
        method=clip.method if clip else None,
        notes=(*(clip.notes if clip else ()), *((uncut,) if uncut else ())),
    )


def reason_sentence(reasons: tuple[Reason, ...]) -> str:
    """Say in one sentence why a moment stands out.

    >>> reason_sentence((Reason("audio", "loudness", -9.0, -31.0, "dBFS", 21.4, 0.8),))
    'loudness 21.4 deviations above usual'
    """
    return "; ".join(
        f"{reason.label} {abs(reason.deviations):.1f} deviations {'above' if reason.deviations > 0 else 'below'} usual"
        for reason in reasons
        if reason.deviations
    ) or ("all features together stand out, none of them alone")


def seconds(time_s: Fraction) -> Decimal:
    """Return media time as an exact decimal of three digits, to the nearest millisecond."""
    return Decimal(to_ms(time_s)).scaleb(-3)


def _used(info: FeatureInfo) -> UsedFeature:
    signals = (UsedSignal(one.name, one.label, one.unit, one.weight) for one in info.signals)
    return UsedFeature(info.name, info.weight, tuple(signals), info.about)
