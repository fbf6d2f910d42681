"""What a cutter is: a span of a source becomes a clip file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

__all__ = ["ClipResult", "ClipSpec", "Cutter"]


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """A clip to cut.

    Attributes:
        source: The file to cut from.
        target: The file to write. Its suffix decides the container.
        start_s: Media time of the cut, as `media.probe` counts it (the presentation starts at 0). The first frame is
            the first whose PTS is at or after it.
        end_s: Media time of the end; the last frame is the last whose PTS is before it.
        metadata: Container tags: `title`, `comment`, …
        fingerprint: What `media.probe.fingerprint` said of the source when it was analysed; empty for any source.
    """

    source: Path
    target: Path
    start_s: Fraction
    end_s: Fraction
    metadata: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ClipResult:
    """A clip that was cut.

    Attributes:
        path: The finished file.
        start_s: Media time in the source of the first frame (or first sample, without video).
        end_s: Media time in the source at which the last frame stops being shown.
        frames: Video frames written.
        copied: How many of them are the source's own, not encoded again.
        method: How it was made, in one phrase: `"re-encoded (H.264, CRF 18)"`, …
        notes: What a user should know: a track that the container cannot carry, a fallback and why.
    """

    path: Path
    start_s: Fraction
    end_s: Fraction
    frames: int
    method: str
    notes: tuple[str, ...] = ()
    copied: int = 0


class Cutter(Protocol):
    """Cuts clips. Safe to call from several threads at once."""

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        """Write `spec.target` and say what was written.

        The file appears under its name only when it is whole: it is written beside it under a temporary name that
        starts with a dot, and renamed. `cancelled` is asked at least every few packets.

        Raises:
            CutError: The span holds nothing, the source changed or vanished, or something could not be encoded.
            OutputError: The target cannot be written; the message says why (no space left, …).
            StoppedError: `cancelled()` said so; nothing is left behind.
        """
        ...
