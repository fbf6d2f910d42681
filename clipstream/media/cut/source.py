"""A file being cut from: opened, its clock known, its packets read from any point."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av.container
import av.error
from av.audio.stream import AudioStream
from av.stream import Discard, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from clipstream.errors import CutError, InputError
from clipstream.media.cut.timeline import AnyPacket, Dater
from clipstream.media.packets import demux
from clipstream.media.probe import average_rate, choose_video, claimed_duration, media_origin, open_media

__all__ = ["AnyPacket", "Source", "Span", "drain", "time_base"]

_MOST_HELD = 64
"""More frames than any decoder holds, with its threads."""
_REORDERED_S = 1
"""Frames are stored this long before or after their turn, at most."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is cut, on the source's own clock: PTS in seconds.

    Attributes:
        start_s: Where it starts: with its first frame, where there is video.
        end_s: The instant before which it ends.
        zero_s: The instant that becomes 0 in the clip.
    """

    start_s: Fraction
    end_s: Fraction
    zero_s: Fraction

    def ticks(self, stream: Stream) -> tuple[int, int, int]:
        """Return the same, in ticks of a stream: the first two rounded up, the last down."""
        base = time_base(stream)
        return math.ceil(self.start_s / base), math.ceil(self.end_s / base), math.floor(self.zero_s / base)


class Source:
    """An input that reads packets from any point, whether its container can seek or not.

    Attributes:
        path: The file.
        video: The video track a player shows, if there is one that can be read.
        origin_s: PTS in seconds of media time 0.
        chapter_tracks: Numbers of the tracks that are chapters, told elsewhere as such.
        problem: What went wrong while reading, if something did.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self._left: list[av.container.InputContainer] = []
        self._depth = 0
        self._open()
        self.origin_s = media_origin(self.container)
        self.chapter_tracks = frozenset(
            stream.index for stream in self.container.streams if stream.discard is Discard.all
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for container in (*self._left, self.container):
            container.close()

    @property
    def audio(self) -> list[AudioStream]:
        """All audio tracks that have a codec."""
        return [stream for stream in self.container.streams.audio if stream.codec_context is not None]

    def end_s(self) -> Fraction | None:
        """Return when the last frame stops being shown, on the source's clock, from the file's last packets.

        MP4 and MOV say so themselves. Elsewhere the last frame is taken to last as long as the one before it. `None`
        where there is no frame.
        """
        stream = self.video
        assert stream is not None, "only video has frames"
        if "mov" in self.container.format.name and stream.duration:
            return ((stream.start_time or 0) + stream.duration) * time_base(stream)
        claimed_s = claimed_duration(self.container) or Fraction(0)
        for from_s in (self.origin_s + claimed_s - 2, self.origin_s - 1):
            shown = sorted(packet.pts or 0 for packet in self.packets([stream], from_s) if packet.size)
            if len(shown) > 1:
                return (2 * shown[-1] - shown[-2]) * time_base(stream)
        return (shown[0] * time_base(stream) + 1 / (average_rate(stream) or Fraction(25))) if shown else None

    def learn_reordering(self, from_s: Fraction, until_s: Fraction) -> None:
        """Find out how deep frames are reordered in a part of the video track, where the container does not say.

        In a clip that was cut before, a seam may be followed by deeper reordering than the packets before it show.
        """
        if self.video is None or self._decoding_times_stored:
            return
        number = self.video.index
        self._keep([number])
        if not self._seek(from_s):
            self._keep([number])
        shown: list[int] = []
        try:
            for packet in demux(self.container, self.container.streams[number]):
                if packet.pts is None:
                    continue
                if packet.pts * packet.time_base > until_s + _REORDERED_S:
                    break
                place = bisect_right(shown, packet.pts)
                self._depth = max(self._depth, len(shown) - place)
                shown.insert(place, packet.pts)
                del shown[:-_MOST_HELD]
        except av.error.FFmpegError:
            return  # whoever reads it for its packets says so

    def packets(self, streams: Sequence[Stream], from_s: Fraction) -> Iterator[AnyPacket]:
        """Read packets in the container's order, starting at or before `from_s` on the source's clock.

        Those of the video track all have a PTS and a DTS. Ends quietly where the file does, even if that is too early;
        `problem` then says why.
        """
        numbers = [stream.index for stream in streams]
        self._keep(numbers)
        if not self._seek(from_s):
            self._keep(numbers)
        dater = self._dater()
        try:
            for packet in demux(self.container, *(self.container.streams[number] for number in numbers)):
                if packet.dts is None and packet.pts is None:
                    continue
                if self.video is not None and packet.stream_index == self.video.index:
                    yield from dater.date(packet)
                else:
                    yield packet
        except av.error.FFmpegError as error:
            self.problem = f"the source cannot be read further ({error.strerror})"
        yield from dater.rest()

    def _dater(self) -> Dater:
        stored = self._decoding_times_stored
        if self.video is None:
            return Dater(1, stored=stored)
        rate = average_rate(self.video) or Fraction(25)
        return Dater(round(1 / rate / time_base(self.video)), stored=stored, depth=self._depth)

    @property
    def _decoding_times_stored(self) -> bool:
        return "matroska" not in self.container.format.name

    def _keep(self, numbers: Sequence[int]) -> None:
        # Before a seek: some demuxers leave a track that is passed over where it was.
        for stream in self.container.streams:
            stream.discard = Discard.default if stream.index in numbers else Discard.all

    def _seek(self, to_s: Fraction) -> bool:
        """Go to a point; `False` where there is no way but to open the file again."""
        stream: Stream | None = self.video
        if to_s <= self.origin_s and "matroska" in self.container.format.name:
            # Seeking never goes to the sound before 0 that its decoder needs.
            self._open_again()
            return False
        try:
            if stream is None:
                self.container.seek(math.floor(to_s * 1_000_000))
            else:
                self.container.seek(math.floor(to_s / time_base(stream)), stream=stream)
        except av.error.FFmpegError:
            # Without an index there is one way to an earlier packet: from the start.
            self._open_again()
            return False
        return True

    def _open_again(self) -> None:
        # Streams of it may be in use.
        self._left.append(self.container)
        self._open()

    def _open(self) -> None:
        try:
            self.container = open_media(self.path)
        except InputError as error:
            raise CutError(f"the source cannot be opened: {error}") from error
        video = choose_video(self.container)
        self.video: VideoStream | None = video if video is not None and video.codec_context is not None else None
        if self.video is not None:
            # With frame threads, a broken packet takes good frames decoded beside it along.
            self.video.codec_context.thread_type = "SLICE"


def drain(decoder: VideoCodecContext) -> Iterator[VideoFrame]:
    """Give the frames that a decoder still holds, past those that are broken."""
    for _ in range(_MOST_HELD):
        try:
            yield from decoder.decode(None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            continue
        else:
            return


def time_base(stream: Stream) -> Fraction:
    """Return the unit of a stream's PTS, in seconds."""
    assert stream.time_base is not None, "a stream of an opened container has a time base"
    return Fraction(stream.time_base)
