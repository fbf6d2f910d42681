"""What decoding hands to the features: half a second of one stream, already reduced to what they asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from clipstream.timing import slice_start

__all__ = ["AudioRequest", "FrameBatch", "FrameRequest", "MediaNeeds", "Slice", "StreamEnd"]


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """Pictures a feature wants. Equal requests are decoded and scaled once.

    Attributes:
        side_px: The longer side of the picture after rotation and pixel aspect are applied; the other follows the
            display aspect, even. A smaller source is scaled up, so that no number depends on the resolution.
        pixel_format: `"bgr24"` (H, W, 3) or `"gray"` (H, W), full range, uint8.
        rate_hz: Frames wanted a second of media time; `None` for every decoded frame. Frames are chosen by PTS: the
            first at or after each tick of the rate, never one twice. A source with fewer frames gives what it has.
        lead_frames: How many chosen frames before the slice come with it.
        covers: `side_px` is the shorter side instead, so that the picture covers a square of it.
    """

    side_px: int
    pixel_format: str = "bgr24"
    rate_hz: Fraction | None = None
    lead_frames: int = 1
    covers: bool = False


@dataclass(frozen=True, slots=True)
class AudioRequest:
    """Audio a feature wants: the slice's own samples and `lead_samples` before them."""

    lead_samples: int = 0


@dataclass(frozen=True, slots=True)
class MediaNeeds:
    """Everything a set of features wants of every slice."""

    frames: tuple[FrameRequest, ...] = ()
    audio: AudioRequest | None = None


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class FrameBatch:
    """The frames of one slice for one `FrameRequest`, upright, in order of presentation.

    Attributes:
        pixels: (lead + F, H, W, 3) BGR or (lead + F, H, W) grey, uint8. H and W are the same for the whole stream.
        pts_s: (lead + F,) float64 media time of each frame.
        lead: How many of the first frames lie before the slice: context for differences, not part of it. Fewer than
            were asked at the start of a stream.
    """

    pixels: NDArray[np.uint8]
    pts_s: NDArray[np.float64]
    lead: int

    @property
    def count(self) -> int:
        """Frames that lie inside the slice."""
        return len(self.pts_s) - self.lead


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended.

    Attributes:
        duration_s: Media time up to the end of the last frame or sample that was decoded.
        claimed_s: What the container says its duration is, if it says.
        frames: Video frames decoded since the start of the stream (or since it was resumed).
        problem: One line on what went wrong, or `None` for an ordinary end: a truncated file, a source that vanished.
    """

    duration_s: Fraction
    claimed_s: Fraction | None = None
    frames: int = 0
    problem: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Slice:
    """Media time [n/2, (n+1)/2) of one stream. Heavy: it never leaves the worker that decoded it.

    Attributes:
        stream: The stream's name, which is also its key in the dataflow.
        n: The slice's number; its start is n/2 seconds.
        frames: One batch for each request; a batch may hold no frame (late video, low rates, `--scan`).
        audio: (lead_samples + 8000,) mono float32 at 16 kHz in [-1, 1], sample k at exactly
            `n/2 + (k - lead_samples)/16000` seconds, gaps filled with zeros; `None` where it has no sound at all.
        frame_count: Video frames decoded in this slice, whatever was asked.
        errors: Packets or frames in this slice that could not be decoded.
        end: Set on the one empty slice that follows the last.
        live: Whether the stream is a live one, whose slices may have gaps between them.
        lean: Whether features that run models are left out, because the machine cannot keep up.
    """

    stream: str
    n: int
    frames: Mapping[FrameRequest, FrameBatch] = field(default_factory=dict)
    audio: NDArray[np.float32] | None = None
    frame_count: int = 0
    errors: int = 0
    end: StreamEnd | None = None
    live: bool = False
    lean: bool = False

    @property
    def start_s(self) -> Fraction:
        """Media time at which the slice begins."""
        return slice_start(self.n)
