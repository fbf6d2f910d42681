"""Packets of a sound track become the mono 16 kHz of slices, whether they come from a file or a live stream.

What makes a slice independent of where decoding began is told in `audio`.
"""

import math
from collections import Counter, deque
from fractions import Fraction
from functools import lru_cache
from typing import cast

import av.error
import av.packet
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from numpy.typing import NDArray

from clipstream.media.clock import TrackClock
from clipstream.timing import AUDIO_RATE_HZ, SAMPLES_PER_SLICE, SLICE_S, slice_at, slice_start

__all__ = ["ANCHOR_S", "BLOCK_MARGIN_S", "SETTLING_S", "Placement", "Samples", "SoundDecoder", "resample_block"]

Samples = NDArray[np.float32]

ANCHOR_S = 10
"""Distance of the media times at which the place of the samples is corrected by the PTS."""

_TOLERANCE_S = Fraction(40, 1000)
"""How far a PTS may be off before it is a gap or an overlap: live muxers jitter by up to two AAC frames."""

_LONGEST_GAP_S = 3600
_LONGEST_OVERLAP_S = 2
BLOCK_MARGIN_S = Fraction(1, 4)
_ROLL_OFF = 0.9
SETTLING_S = Fraction(1, 2)
"""For how long a decoder is fed before what it gives counts: more than the reservoir of MP3 or the overlap of any."""

_NOISY = frozenset({"aac", "ac3", "eac3"})
_OWN = int(BLOCK_MARGIN_S * AUDIO_RATE_HZ) + np.arange(SAMPLES_PER_SLICE)


class Placement:
    """Finds the place of decoded frames on the absolute grid of source samples.

    Frames that follow each other closely are put end to end, since a PTS is often rounded to a millisecond. At every
    anchor the run is moved by the mean difference from the PTS since the one before, which averages the rounding away
    and follows a drifting clock. Where a PTS is off by more than the tolerance, a new run begins there. Integers only.

    Args:
        clock: Counts source samples along the track.
        rate_hz: Sample rate of the source.
        first_anchor: Number of the anchor at which to begin; frames before it have no place.

    Attributes:
        lost: Frames so far whose PTS made no sense: hours ahead, or seconds back.
    """

    def __init__(self, clock: TrackClock, rate_hz: int, first_anchor: int | None = None) -> None:
        self._clock = clock
        self._per_anchor = ANCHOR_S * rate_hz * clock.denominator
        self._tolerance = int(_TOLERANCE_S * rate_hz * clock.denominator)
        self._furthest = _LONGEST_GAP_S * rate_hz * clock.denominator
        self._deepest = _LONGEST_OVERLAP_S * rate_hz * clock.denominator
        self._first_anchor = first_anchor
        self._next: int | None = None
        self._anchor = 0
        self._sum = self._count = 0
        self.lost = 0

    def place(self, pts: int | None, samples: int) -> int | None:
        """Return the index of the first sample of the next frame, or `None` where it has no place."""
        if pts is None:
            if self._next is None:
                return None
        elif not self._follow(self._clock.numerator(pts)):
            return None
        assert self._next is not None
        index = self._next
        self._next += samples
        return index

    def _follow(self, target: int) -> bool:
        anchor = target // self._per_anchor
        if self._first_anchor is not None and anchor < self._first_anchor:
            return False
        unit = self._clock.denominator
        off = 0 if self._next is None else target - self._next * unit
        if off > self._furthest or off < -self._deepest:
            self.lost += 1
            return False
        if self._next is None or abs(off) > self._tolerance:
            self._next = _round(target, unit)
            self._sum = self._count = 0
        elif anchor != self._anchor:
            self._next += _round(self._sum, self._count * unit)
            self._sum = self._count = 0
        self._anchor = anchor
        self._sum += target - self._next * unit
        self._count += 1
        return True


def _round(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


class SoundDecoder:
    """Decodes the packets of one track and keeps the sound until its slice is taken.

    Args:
        stream: The track.
        origin_s: The PTS, in seconds, of media time 0.
        lead_samples: How many samples before each slice come with it.
        first_slice: Slices before it are decoded, but their errors not counted.
        next_slice: The slice that is taken first.
        first_anchor: Number of the anchor at which to begin, after a seek.

    Attributes:
        next: The slice that is taken next.
        any_decoded: Whether any sound came out of the decoder at all.
    """

    def __init__(
        self,
        stream: AudioStream,
        origin_s: Fraction,
        lead_samples: int,
        *,
        first_slice: int = 0,
        next_slice: int = 0,
        first_anchor: int | None = None,
    ) -> None:
        assert stream.time_base is not None
        self._stream, self._rate_hz, self._lead_samples = stream, stream.rate, lead_samples
        self._first, self.next = first_slice, next_slice
        self._clock = TrackClock(stream.time_base, origin_s, self._rate_hz)
        self._placement = Placement(self._clock, self._rate_hz, first_anchor)
        self._decoder: AudioCodecContext = stream.codec_context
        self._successor: AudioCodecContext | None = None
        self._decoder_anchor = 0 if first_anchor is None else first_anchor - 1
        self._chunks: deque[tuple[int, Samples]] = deque()
        self._tail = np.zeros(0, np.float32)
        self._errors: Counter[int] = Counter()
        self._end = 0
        self.any_decoded = False

    @property
    def end_s(self) -> Fraction:
        """Media time at which the sound so far ends."""
        return max(Fraction(self._end, self._rate_hz), Fraction(0))

    @property
    def lost(self) -> int:
        """Frames whose PTS made no sense."""
        return self._placement.lost

    @property
    def complete(self) -> bool:
        """Whether everything that the next slice is made of is there."""
        return self._end >= math.ceil((slice_start(self.next) - BLOCK_MARGIN_S + 1) * self._rate_hz)

    def take(self) -> tuple[Samples | None, int]:
        """Return the sound of the next slice with its lead, or `None` where it has none, and the errors in it."""
        own = self._block(slice_start(self.next) - BLOCK_MARGIN_S)
        joined = np.concatenate([self._tail, np.zeros(SAMPLES_PER_SLICE, np.float32) if own is None else own])
        self._tail = joined[max(0, len(joined) - self._lead_samples) :]
        errors = self._errors.pop(self.next, 0)
        self.next += 1
        if own is None:
            return None, errors
        return np.pad(joined, (self._lead_samples + SAMPLES_PER_SLICE - len(joined), 0)), errors

    def pts_at(self, sample: Fraction | int) -> int:
        """Return the last PTS at or before a sample of the source, counted from media time 0."""
        return self._clock.pts(sample)

    def sample_at(self, pts: int) -> int:
        """Return the sample of the source, counted from media time 0, that a PTS lies in."""
        return self._clock.floor(pts)

    def feed(self, packet: "av.packet.Packet[AudioStream] | None") -> list[AudioFrame]:
        """Decode a packet, or at the end, `None`, what is held back; keep the sound, and return it as it came.

        What cannot be decoded is counted.
        """
        try:
            frames = self._decoder.decode(packet)
            if packet is not None and packet.pts is not None and self._stream.codec_context.codec.name in _NOISY:
                frames = self._hand_over(packet, packet.pts) or frames
        except (av.error.FFmpegError, ValueError):
            self._fail(packet.pts if packet is not None else None)
            return []
        self.any_decoded |= bool(frames)
        for frame in frames:
            self._keep(frame)
        return frames

    def _hand_over(self, packet: "av.packet.Packet[AudioStream]", pts: int) -> list[AudioFrame]:
        """Feed a fresh decoder too when an anchor is half a second away, and take what it gives from there on."""
        now = self._clock.floor(pts)
        anchor = (now + self._rate_hz // 2) // (ANCHOR_S * self._rate_hz)
        if anchor <= self._decoder_anchor:
            return []
        if self._successor is None:
            self._successor = cast("AudioCodecContext", CodecContext.create(self._decoder.codec, "r"))
            self._successor.extradata = self._decoder.extradata
        frames = self._successor.decode(packet)
        if now < anchor * ANCHOR_S * self._rate_hz:
            return []
        self._decoder, self._successor, self._decoder_anchor = self._successor, None, anchor
        return frames

    def _keep(self, frame: AudioFrame) -> None:
        samples = _mono(frame, self._rate_hz)
        lost = self._placement.lost
        index = self._placement.place(frame.pts, len(samples))
        if index is not None:
            self._chunks.append((index, samples))
            self._end = max(self._end, index + len(samples))
        elif self._placement.lost > lost:
            self._fail(None)

    def _fail(self, pts: int | None) -> None:
        n = self.next if pts is None else slice_at(self._clock.exact(pts) / self._rate_hz)
        if n >= self._first:
            self._errors[max(n, self.next)] += 1

    def _block(self, start_s: Fraction) -> Samples | None:
        """Return the half second in the middle of the second that begins at `start_s`."""
        rate_hz = self._rate_hz
        start = start_s * rate_hz
        first = math.floor(start)
        block = np.zeros(rate_hz, np.float32)
        heard = np.zeros(rate_hz, np.bool_)
        for index, samples in self._chunks:
            low, high = max(index, first), min(index + len(samples), first + rate_hz)
            if low < high:
                block[low - first : high - first] = samples[low - index : high - index]
                heard[low - first : high - first] = True
        while self._chunks and self._chunks[0][0] + len(self._chunks[0][1]) <= start + SLICE_S * rate_hz:
            self._chunks.popleft()
        sounding = heard[np.minimum(_OWN * rate_hz // AUDIO_RATE_HZ, rate_hz - 1)]
        if not sounding.any():
            return None
        if not math.isfinite(block.sum()):
            np.nan_to_num(block, copy=False, posinf=0, neginf=0)
        converted = resample_block(block, start - first)[_OWN]
        converted[~sounding] = 0
        return np.clip(converted, -1, 1)


def resample_block(block: Samples, shift: Fraction) -> Samples:
    """Convert one second of sound to 16 kHz.

    The spectrum, whose bins are 1 Hz wide, is cut off below the lower of the two Nyquist frequencies with a raised
    cosine over its last tenth: the response has died away after some milliseconds, so the quarter of a second at either
    end, where the block meets itself, is all that has to be left out.

    Args:
        block: (rate,) float32, as many samples as the source has in a second.
        shift: How far into a source sample the first result lies, from 0 to 1.

    Returns:
        (16000,) float32.
    """
    response = _response(len(block), shift)
    spectrum = np.zeros(AUDIO_RATE_HZ // 2 + 1, np.complex64)
    spectrum[: len(response)] = np.fft.rfft(block)[: len(response)] * response
    return np.fft.irfft(spectrum, AUDIO_RATE_HZ).astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _response(rate_hz: int, shift: Fraction) -> NDArray[np.complex64]:
    nyquist_hz = min(rate_hz, AUDIO_RATE_HZ) // 2
    frequency_hz = np.arange(nyquist_hz + 1)
    rise = np.clip((nyquist_hz - frequency_hz) / ((1 - _ROLL_OFF) * nyquist_hz), 0, 1)
    gain = np.sin(rise * np.pi / 2) ** 2 * (AUDIO_RATE_HZ / rate_hz)
    response = gain * np.exp(2j * np.pi * frequency_hz * float(shift) / rate_hz)
    return np.asarray(response, np.complex64)


def _mono(frame: AudioFrame, rate_hz: int) -> Samples:
    """Return the mean of a frame's channels, (samples,) float32."""
    raw = frame.to_ndarray()
    if raw.dtype.kind == "u":
        raw = (raw.astype(np.float32) - 128) / 128
    elif raw.dtype.kind == "i":
        raw = raw.astype(np.float32) / float(1 << (8 * raw.dtype.itemsize - 1))
    channels = raw.size // frame.samples
    by_channel = raw.reshape(-1, channels).T if raw.shape[0] == 1 else raw
    mixed = np.add.reduce(by_channel, axis=0) / np.float32(channels)
    if frame.sample_rate != rate_hz:
        # A stream that changes its rate on the way is rare: a straight line between its samples will do.
        count = round(len(mixed) * rate_hz / frame.sample_rate)
        mixed = np.interp(np.arange(count) * (frame.sample_rate / rate_hz), np.arange(len(mixed)), mixed)
    return np.asarray(mixed, np.float32)
