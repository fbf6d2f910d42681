"""Packets of a picture track become the pictures of slices, whether they come from a file or a live stream."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction

import av.error
import av.packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from clipstream.media.clock import TrackClock
from clipstream.media.probe import average_rate
from clipstream.media.sampling import Sampler
from clipstream.media.slices import FrameBatch, FrameRequest
from clipstream.settings import Settings
from clipstream.timing import SLICE_S

__all__ = ["DecodeMode", "PictureDecoder", "SliceFrames", "skips_frames"]

_LONGEST_GAP_S = 3600
_SLOW_HZ = 5
_SMALL_PX = 320
_SKIPPING_BYTES = 48 << 20
_MOST_THREADS = 16  # FFmpeg advises against more


class DecodeMode(Enum):
    """Which frames are decoded.

    The loop filter is left out where all pictures asked for are small: a sixth of the cost, 47 dB PSNR at 320×180, and
    the ranks of movement and change stay (Spearman 0.99 on eight clips, the shortest 0.98).

    Attributes:
        ALL: Every frame.
        SKIP: Frames that others refer to and, for every tick of the rates asked that has none of those, one more; where
            the source has less than twice a rate that is asked, every frame.
        KEYFRAMES: Keyframes alone.
    """

    ALL = auto()
    SKIP = auto()
    KEYFRAMES = auto()

    @classmethod
    def of(cls, settings: Settings) -> "DecodeMode":
        """Return which frames the settings want decoded."""
        if settings.scan:
            return cls.KEYFRAMES
        return cls.SKIP if settings.analysis_fps else cls.ALL


def skips_frames(mode: DecodeMode, requests: Sequence[FrameRequest], rate_hz: Fraction | None) -> bool:
    """Say whether frames that nobody needs are left undecoded in a track of `rate_hz` frames a second."""
    return mode is DecodeMode.SKIP and all(
        request.rate_hz and (rate_hz or 0) >= 2 * request.rate_hz for request in requests
    )


@dataclass(frozen=True, eq=False, slots=True)
class SliceFrames:
    """The pictures of one slice.

    Attributes:
        batches: One batch for each request.
        decoded: Frames decoded in the slice.
        errors: Packets or frames in it that could not be decoded.
    """

    batches: Mapping[FrameRequest, FrameBatch]
    decoded: int
    errors: int


class PictureDecoder:
    """Decodes the packets of one track and keeps what is wanted of them until their slice is taken.

    Args:
        stream: The track.
        origin_s: The PTS, in seconds, of media time 0.
        requests: What is wanted of each slice.
        mode: Which frames are decoded.
        threads: Decoder threads to keep busy.
        first_slice: Slices before it are decoded, but not counted.
        no_pts: Whether the PTS of the packets are none (see `stores_no_pts`).
        drain_after: With keyframes alone: how many slices later a picture that the decoder holds back is let out.

    Attributes:
        next: The slice that is taken next.
        reached: The slice of the last frame: all before it are complete.
        began: The slice of the first frame.
        decoded: Frames decoded since the first slice.
        any_decoded: Whether any frame came out of the decoder at all.
        lost: Frames left out because their PTS made no sense: backwards, or hours ahead.
        trusted_pts: Frames before it are not taken; set after a seek, once it is known.
        sought: Whether the packets follow a seek.
    """

    def __init__(
        self,
        stream: VideoStream,
        origin_s: Fraction,
        requests: Sequence[FrameRequest],
        *,
        mode: DecodeMode,
        threads: int,
        first_slice: int = 0,
        no_pts: bool = False,
        drain_after: int = 60,
    ) -> None:
        assert stream.time_base is not None
        self._stream, self._requests, self._mode, self._first = stream, requests, mode, first_slice
        self._no_pts, self._drain_after = no_pts, drain_after
        self._slices = TrackClock(stream.time_base, origin_s, 1 / SLICE_S)
        self._seconds = TrackClock(stream.time_base, origin_s)
        rate_hz = average_rate(stream) or Fraction(0)
        self._frame_units = round(1 / (rate_hz * stream.time_base)) if rate_hz else 0
        self._skips = skips_frames(mode, requests, average_rate(stream))
        context = stream.codec_context
        # More threads hold back as many frames, which of a slide show are minutes.
        context.thread_count = 1 if 0 < rate_hz < _SLOW_HZ else self._thread_count(context, threads)
        context.thread_type = "AUTO"
        if all(request.side_px <= _SMALL_PX for request in requests):
            context.options = {"skip_loop_filter": "all"}
        self._samplers = [Sampler(request, stream, origin_s) for request in requests]
        self._counts: Counter[int] = Counter()
        self._errors: Counter[int] = Counter()
        self._end_pts = self._seconds.pts(0)
        self._newest_pts: int | None = None
        self._last_pts: int | None = None
        self._in_flight = 0
        self.sought = False
        self.trusted_pts: int | None = None
        self.began: float = math.inf
        self.next = self.reached = 0
        self.decoded = self.lost = 0
        self.any_decoded = False

    @property
    def end_s(self) -> Fraction:
        """Media time at which the last frame so far stops being shown."""
        return max(self._seconds.exact(self._end_pts), Fraction(0))

    @property
    def warm(self) -> bool:
        """Whether all of the lead that was asked is there."""
        return all(sampler.warm for sampler in self._samplers)

    @property
    def size_px(self) -> tuple[int, int]:
        """Stored width and height of the last picture, 0 where unknown."""
        return self._stream.codec_context.width, self._stream.codec_context.height

    def thin(self, mode: DecodeMode, divisor: int) -> None:
        """Decode other frames from the next packet on, a keyframe, and choose one in `divisor` of those asked for."""
        self._mode = mode
        self._skips = skips_frames(mode, self._requests, average_rate(self._stream))
        if not self._skips:
            self._stream.codec_context.skip_frame = "DEFAULT"
        for sampler in self._samplers:
            sampler.thin(divisor)

    def pts_at(self, time_s: Fraction) -> int:
        """Return the last PTS at or before a media time."""
        return self._seconds.pts(time_s)

    def take(self) -> SliceFrames:
        """Return the pictures of the next slice, as far as they are there."""
        n = self.next
        self.next += 1
        return SliceFrames(
            {sampler.request: sampler.batch(n) for sampler in self._samplers},
            self._counts.pop(n, 0),
            self._errors.pop(n, 0),
        )

    def feed(self, packet: "av.packet.Packet[VideoStream] | None") -> None:
        """Decode a packet, or at the end, `None`, what is held back. What cannot be decoded is counted."""
        if packet is None:
            self._decode(None)
            return
        if self.sought and self.trusted_pts is None:
            # Before the first keyframe there is nothing to refer to, and what is shown before it refers back.
            if not packet.is_keyframe or packet.pts is None:
                return
            self.trusted_pts = packet.pts
        if self._skips or self._mode is DecodeMode.KEYFRAMES:
            self._pass_by(packet)
        if self._skips:
            self._stream.codec_context.skip_frame = "DEFAULT" if self._needs(packet) else "NONREF"
        if self._mode is not DecodeMode.KEYFRAMES:
            self._decode(packet)
        elif packet.is_keyframe:
            self._in_flight += 1
            self._decode(packet)
        elif packet.dts is not None and self._slices.floor(packet.dts) > self.next + self._drain_after:
            # The next keyframe may be hours away: have out what the decoder holds back, which no frame needs later.
            if self._in_flight:
                self._decode(None)
                self._stream.codec_context.flush_buffers()
            self.reached = max(self.reached, self._slices.floor(packet.dts))

    def _thread_count(self, context: VideoCodecContext, threads: int) -> int:
        """Return how many threads keep as many busy as were asked for.

        A frame that is skipped still takes its turn of a thread: measured, twice as many keep two cores as busy. Each
        holds frames of its own, so there are no more than fit into a few megabytes.
        """
        if not self._skips or threads == 1:
            return threads
        frame_bytes = max(context.width * context.height * 3 // 2, 1)
        return max(threads, min(2 * threads, _SKIPPING_BYTES // frame_bytes, _MOST_THREADS))

    def _needs(self, packet: "av.packet.Packet[VideoStream]") -> bool:
        """Say whether a packet is decoded even if no other frame refers to it.

        Frames that others refer to come before those between them, so what they leave without a frame is known by then.
        B-frames that others refer to are never left out: P-frames refer to them too, and without them come out damaged
        (H.264, 14 to 26 dB PSNR) or not at all (HEVC).
        """
        if packet.pts is None or self._no_pts:
            return True
        lacking = [sampler.lacks(packet.pts) for sampler in self._samplers]  # every one has to know of the packet
        # A keyframe is never left out, and the first one tells dav1d, for good, that others may be.
        return any(lacking) and not packet.is_keyframe

    def _pass_by(self, packet: "av.packet.Packet[VideoStream]") -> None:
        """Let a packet count for the length of the track, though it may not be decoded."""
        if packet.pts is not None and not packet.is_discard:
            self._shown(packet.pts, packet.duration)

    def _shown(self, pts: int, duration: int | None) -> None:
        """Take the end of the newest frame for that of the track.

        The others tell nothing of it: in MP4 a packet lasts until the next in decoding order, which a gap may divide.
        """
        if self._newest_pts is None or pts >= self._newest_pts:
            self._newest_pts = pts
            self._end_pts = pts + (duration or self._frame_units)

    def _decode(self, packet: "av.packet.Packet[VideoStream] | None") -> None:
        try:
            frames = self._stream.codec_context.decode(packet)
        except (av.error.FFmpegError, ValueError):
            pts = None if packet is None else packet.pts if packet.pts is not None else packet.dts
            self._fail(self.next if pts is None else self._slices.floor(pts))
            return
        self.any_decoded |= bool(frames)
        self._in_flight = 0 if packet is None else self._in_flight - len(frames)
        for frame in frames:
            self._take(frame)

    def _take(self, frame: VideoFrame) -> None:
        pts = frame.pts if frame.pts is not None and not self._no_pts else frame.dts
        if pts is None:
            pts = self._guess(frame)
        last = self._last_pts
        if self.trusted_pts is not None and pts < self.trusted_pts:
            return
        n = self._slices.floor(pts)
        if n < 0:
            return
        if last is not None and (pts <= last or n - self._slices.floor(last) > _LONGEST_GAP_S / SLICE_S):
            self.lost += 1
            self._fail(self.next)
            return
        certain = last is not None or not self.sought
        self.began = min(self.began, n)
        self._last_pts, self.reached = pts, max(self.reached, n)
        if n >= self._first:
            self._counts[n] += 1
            self.decoded += 1
        self._shown(pts, frame.duration)
        for sampler in self._samplers:
            try:
                sampler.offer(frame, pts, n, certain)
            except (av.error.FFmpegError, ValueError):
                self._fail(n)

    def _guess(self, frame: VideoFrame) -> int:
        """Put a frame without any time right after the one before it."""
        if self._last_pts is None:
            return self._seconds.pts(0)
        return self._last_pts + max(1, frame.duration or self._frame_units)

    def _fail(self, n: int) -> None:
        if n >= self._first:
            self._errors[max(n, self.next)] += 1
