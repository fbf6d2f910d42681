"""HLS playlists: of a whole recording, or of the last few segments of something that goes on (RFC 8216)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import av
import av.container

__all__ = ["LivePlaylist", "Playlist", "Segment", "make_segments"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of MPEG-TS.

    Attributes:
        data: The file.
        duration_s: As the playlist states it.
        discontinuity: Whether timestamps, codec or size break off before it.
    """

    data: bytes
    duration_s: float
    discontinuity: bool


def make_segments(clips: Sequence[Path], segment_s: float) -> tuple[Segment, ...]:
    """Cut clips at keyframes into segments, without re-encoding; every clip but the first begins a discontinuity.

    Raises:
        av.error.FFmpegError: A clip cannot be read, or not be put into MPEG-TS.
    """
    return tuple(segment for index, clip in enumerate(clips) for segment in _segments(clip, segment_s, later=index > 0))


def _segments(clip: Path, segment_s: float, *, later: bool) -> Iterator[Segment]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        options = {"hls_time": str(segment_s), "hls_list_size": "0", "hls_playlist_type": "vod"}
        with (
            av.open(str(clip)) as source,
            av.open(str(folder / "all.m3u8"), "w", format="hls", options=options) as target,
        ):
            tracks = [*source.streams.video[:1], *source.streams.audio[:1]]
            copies = {track.index: target.add_stream_from_template(track) for track in tracks}
            for packet in source.demux(tracks):
                if packet.size:
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
        length_s, first = 0.0, later
        for line in (folder / "all.m3u8").read_text(encoding="utf-8").splitlines():
            if line.startswith("#EXTINF:"):
                length_s = float(line.removeprefix("#EXTINF:").partition(",")[0])
            elif line and not line.startswith("#"):
                yield Segment((folder / line).read_bytes(), length_s, discontinuity=first)
                first = False


class Playlist:
    """All of a recording: it states that it has ended.

    Args:
        segments: In order.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = tuple(segments)

    def text(self) -> str:
        """Return the playlist as it is now."""
        return self._lines(0, len(self.segments), ended=True)

    def segment(self, number: int) -> Segment | None:
        """Return a segment that is there now."""
        return self.segments[number] if number < len(self.segments) else None

    def _lines(self, first: int, end: int, *, ended: bool) -> str:
        longest_s = max(segment.duration_s for segment in self.segments)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            f"#EXT-X-TARGETDURATION:{math.ceil(longest_s)}",
            f"#EXT-X-MEDIA-SEQUENCE:{first}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{sum(self._breaks(number) for number in range(1, first))}",
        ]
        for number in range(first, end):
            if self._breaks(number):
                lines.append("#EXT-X-DISCONTINUITY")
            length_s = self.segments[number % len(self.segments)].duration_s
            lines += [f"#EXTINF:{length_s:.6f},", f"{number}.ts"]
        return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else []), ""])

    def _breaks(self, number: int) -> bool:
        place = number % len(self.segments)
        return self.segments[place].discontinuity or (place == 0 and number > 0)


class LivePlaylist(Playlist):
    """The last segments of something that goes on.

    Its clock begins with the first request, at which the first `window` segments are there.

    Args:
        segments: In order.
        window: How many are listed.
        speed: Seconds of media in a second of the world; 0 to go on by `publish` alone.
        loop: Whether it begins again after the last, with a discontinuity; otherwise it ends there.
    """

    def __init__(self, segments: Sequence[Segment], *, window: int, speed: float, loop: bool) -> None:
        super().__init__(segments)
        self._window, self._speed, self._loop = window, speed, loop
        self._published = window if loop else min(window, len(self.segments))
        self._next_at_s: float | None = None
        self._ended = False

    def publish(self, count: int) -> None:
        """Add segments now."""
        if not self._ended:
            self._published += count
        if not self._loop and self._published >= len(self.segments):
            self._published, self._ended = len(self.segments), True

    def end(self) -> None:
        """State that nothing more comes."""
        self._ended = True

    def text(self) -> str:
        """Return the playlist as it is now."""
        self._go_on()
        return self._lines(max(0, self._published - self._window), self._published, ended=self._ended)

    def segment(self, number: int) -> Segment | None:
        """Return a segment that is listed, or was until lately: others are gone."""
        self._go_on()
        there = self._published - 2 * self._window <= number < self._published
        return self.segments[number % len(self.segments)] if there else None

    def _go_on(self) -> None:
        if not self._speed:
            return
        now_s = monotonic()
        if self._next_at_s is None:
            self._next_at_s = now_s + self._length_s()
        while self._next_at_s <= now_s and not self._ended:
            self.publish(1)
            self._next_at_s += self._length_s()

    def _length_s(self) -> float:
        return self.segments[self._published % len(self.segments)].duration_s / self._speed
