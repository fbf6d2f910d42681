"""Packets of one connection become slices as soon as a slice is complete, in stream time."""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av.packet
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from clipstream.media.live.connection import LiveConnection
from clipstream.media.pictures import DecodeMode, PictureDecoder
from clipstream.media.slices import MediaNeeds, Slice
from clipstream.media.sound import SoundDecoder
from clipstream.timing import slice_at, slice_start

if TYPE_CHECKING:
    from av.stream import Stream

__all__ = ["AnalysisRate", "LiveSlicer"]

_PATIENCE_S = Fraction(3, 2)
"""How much later than the other a track may come before slices no longer wait for it."""


@dataclass(frozen=True, slots=True)
class AnalysisRate:
    """How much of the pictures is looked at, for when there is more of them than can be.

    Attributes:
        divisor: One in so many of the pictures that were asked for is chosen.
        keyframes: Whether keyframes alone are decoded.
    """

    divisor: int = 1
    keyframes: bool = False


class LiveSlicer:
    """Decodes the packets of one connection into slices, numbered by stream time.

    A slice is given out when both tracks have gone past it, or one has by 1.5 s more: a track that is late, silent or
    gone holds nothing back. Slices follow each other without a gap; those in which nothing lies are empty.

    Args:
        stream: The stream's name.
        connection: Its tracks.
        needs: What every slice has to hold.
        mode: Which frames are decoded.
        start_s: Stream time of the first packet.

    Attributes:
        wanted: How much is to be looked at.
    """

    def __init__(
        self, stream: str, connection: LiveConnection, needs: MediaNeeds, mode: DecodeMode, start_s: Fraction
    ) -> None:
        self._stream, self._mode = stream, mode
        self._next = self._reached = max(slice_at(start_s), 0)
        self._newest_s = start_s
        self._rate = self.wanted = AnalysisRate()
        self._pictures: PictureDecoder | None = None
        self._sound: SoundDecoder | None = None
        self._video: Stream | None = None
        self._audio: Stream | None = None
        if connection.video is not None and (needs.frames or connection.audio is None):
            self._video = connection.video
            # One thread: more would hold back frames, and there are as many streams as there are cores to keep busy.
            self._pictures = PictureDecoder(
                cast("VideoStream", connection.video), Fraction(0), needs.frames, mode=mode, threads=1, drain_after=0
            )
            self._pictures.next = self._next
        if connection.audio is not None and (needs.audio is not None or self._pictures is None):
            self._audio = connection.audio
            lead_samples = needs.audio.lead_samples if needs.audio is not None else 0
            self._sound = SoundDecoder(
                cast("AudioStream", connection.audio), Fraction(0), lead_samples, next_slice=self._next
            )

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Stored width and height of the pictures, once known."""
        size_px = self._pictures.size_px if self._pictures is not None and self._pictures.any_decoded else (0, 0)
        return size_px if all(size_px) else None

    @property
    def lost(self) -> int:
        """Frames left out because their times made no sense."""
        return sum(part.lost for part in (self._pictures, self._sound) if part is not None)

    def thin(self, rate: AnalysisRate) -> None:
        """Look at less, or at more again: less at once, more from the next keyframe on."""
        self.wanted = rate
        if rate.keyframes and self._pictures is not None:
            self._apply()

    def feed(self, packet: "av.packet.Packet[Any]") -> list[Slice]:
        """Decode a packet whose times are stream times, and return the slices that are complete."""
        time = packet.dts if packet.dts is not None else packet.pts
        if time is not None and packet.time_base is not None:
            self._newest_s = max(self._newest_s, time * packet.time_base)
        if packet.stream is self._video and self._pictures is not None:
            if packet.is_keyframe and self.wanted != self._rate:
                self._apply()
            self._pictures.feed(packet)
        elif packet.stream is self._audio and self._sound is not None:
            self._sound.feed(packet)
        slices = []
        while self._complete():
            slices.append(self._take())
        return slices

    def finish(self) -> list[Slice]:
        """Decode what is held back and return the slices that are left, the last one as far as it goes."""
        for part in (self._pictures, self._sound):
            if part is not None:
                part.feed(None)
        ends_s = [part.end_s for part in (self._pictures, self._sound) if part is not None and part.any_decoded]
        slices = []
        while ends_s and slice_start(self._next) < max(ends_s):
            slices.append(self._take())
        return slices

    def _apply(self) -> None:
        assert self._pictures is not None
        self._rate = self.wanted
        self._pictures.thin(DecodeMode.KEYFRAMES if self._rate.keyframes else self._mode, self._rate.divisor)

    def _complete(self) -> bool:
        end_s = slice_start(self._next + 1)
        if self._newest_s < end_s:
            return False
        seen = self._pictures is None or self._pictures.reached > self._next
        heard = self._sound is None or self._sound.complete
        return (seen and heard) or self._newest_s >= end_s + _PATIENCE_S

    def _take(self) -> Slice:
        n = self._next
        self._next += 1
        pictures = self._pictures.take() if self._pictures is not None else None
        audio, errors = self._sound.take() if self._sound is not None else (None, 0)
        if pictures is None:
            return Slice(self._stream, n, audio=audio, errors=errors)
        return Slice(self._stream, n, pictures.batches, audio, pictures.decoded, pictures.errors + errors)
