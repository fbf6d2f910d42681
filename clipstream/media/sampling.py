"""The pictures one request wants of a track: chosen by their time, reduced, kept until their slice is asked for."""

import math
from collections import deque
from fractions import Fraction
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from clipstream.media.clock import TrackClock
from clipstream.media.orientation import Orientation
from clipstream.media.slices import FrameBatch, FrameRequest

__all__ = ["Sampler"]

Pixels = NDArray[np.uint8]

_REORDERED_TICKS = 64
"""Ticks that are remembered: no codec decodes frames further from the order in which they are shown."""


class Sampler:
    """Chooses the frames of one request and keeps them, reduced, until their slice is asked for."""

    def __init__(self, request: FrameRequest, stream: VideoStream, origin_s: Fraction) -> None:
        assert stream.time_base is not None
        self.request = request
        self._stream = stream
        self._seconds = TrackClock(stream.time_base, origin_s)
        # A PTS is known to half a unit of its time base, so a frame may be up to that late for its tick.
        slack_s = min(stream.time_base / 2, Fraction(1, 2000))
        self._ticks = TrackClock(stream.time_base, origin_s - slack_s, request.rate_hz or 1)
        self._last_tick: int | None = None
        self._covered: deque[int] = deque(maxlen=_REORDERED_TICKS)
        self._orientation: Orientation | None = None
        self._size_px = (0, 0)
        self._reformatter = VideoReformatter()
        self._pending: deque[tuple[int, float, Pixels]] = deque()
        self._divisor = 1
        self._offered = 0
        self._before: deque[tuple[float, Pixels]] = deque(maxlen=request.lead_frames)

    @property
    def warm(self) -> bool:
        """Whether all of the lead that was asked is there."""
        return len(self._before) == self.request.lead_frames

    def thin(self, divisor: int) -> None:
        """Choose one in `divisor` of the frames that were asked for, until told otherwise."""
        self._divisor, self._last_tick = divisor, None

    def lacks(self, pts: int) -> bool:
        """Say whether no packet so far, in decoding order, is shown in the tick of this one, which from now on is."""
        tick = self._ticks.floor(pts)
        if tick in self._covered:
            return False
        self._covered.append(tick)
        return True

    def offer(self, frame: VideoFrame, pts: int, n: int, certain: bool) -> None:
        """Keep the frame if it is the first at or after a tick; whether it is, is not `certain` right after a seek."""
        self._offered += 1
        if self.request.rate_hz is not None:
            tick, last = self._ticks.floor(pts) // self._divisor, self._last_tick
            self._last_tick = tick
            if tick == last or not certain:
                return
        elif self._offered % self._divisor:
            return
        self._pending.append((n, self._seconds.approximate(pts), self._reduce(frame)))

    def batch(self, n: int) -> FrameBatch:
        """Return the frames of slice `n`, led by those before it."""
        chosen = list(self._before)
        lead = len(chosen)
        while self._pending and self._pending[0][0] <= n:
            _, pts_s, pixels = self._pending.popleft()
            chosen.append((pts_s, pixels))
        self._before.extend(chosen[lead:])
        if not chosen:
            return FrameBatch(np.zeros((0, *self._shape()), np.uint8), np.zeros(0), 0)
        return FrameBatch(np.stack([pixels for _, pixels in chosen]), np.array([pts_s for pts_s, _ in chosen]), lead)

    def _reduce(self, frame: VideoFrame) -> Pixels:
        if self._orientation is None:
            self._orientation = Orientation.of(frame)
            self._size_px = _fitted(self._stream, frame, self.request)
        width_px, height_px = self._size_px
        small = self._reformatter.reformat(
            frame, width_px, height_px, self.request.pixel_format, interpolation=Interpolation.AREA, threads=1
        )
        return self._orientation.upright(cast("Pixels", small.to_ndarray()))

    def _shape(self) -> tuple[int, ...]:
        width_px, height_px = self._size_px
        if self._orientation and self._orientation.transpose:
            width_px, height_px = height_px, width_px
        return (height_px, width_px, 3) if self.request.pixel_format == "bgr24" else (height_px, width_px)


def _fitted(stream: VideoStream, frame: VideoFrame, request: FrameRequest) -> tuple[int, int]:
    """Return the stored width and height at which the side that counts, as shown, is `side_px`."""
    context = stream.codec_context
    aspect = Fraction(context.width or frame.width, context.height or frame.height)
    aspect *= stream.sample_aspect_ratio or 1
    longer = max(aspect, 1 / aspect)
    other_px = max(2, 2 * math.floor(request.side_px * (longer if request.covers else 1 / longer) / 2 + Fraction(1, 2)))
    wide = (aspect >= 1) != request.covers
    return (request.side_px, other_px) if wide else (other_px, request.side_px)
