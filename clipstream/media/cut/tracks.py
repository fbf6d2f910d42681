"""What a track of a clip is: packets of the source go in, packets of the clip come out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from fractions import Fraction

from av.stream import Stream

from clipstream.media.cut.source import AnyPacket

__all__ = ["Track", "describe_track", "plural", "undecodable"]


class Track(ABC):
    """One track of a clip.

    Attributes:
        index: Number of the track in the source.
        ready: Whether everything is known that the container's header says of the track. Nothing is written before.
        done: Whether it needs no more packets.
        frames: Video frames given so far; 0 for other tracks.
        copied: How many of these are the source's own packets.
        start_s: When what was given starts, on the source's clock; `None` while there is nothing.
        end_s: When it stops being shown or heard.
        hidden_from_s: Where the clip has to end, on the source's clock, though the track has frames after it.
        damaged: Packets that were copied though the source says, or shows, that they are damaged.
    """

    def __init__(self, index: int, *, ready: bool = True) -> None:
        self.index = index
        self.ready = ready
        self.done = False
        self.frames = self.copied = 0
        self.start_s: Fraction | None = None
        self.end_s: Fraction | None = None
        self.hidden_from_s: Fraction | None = None
        self.damaged = 0

    @property
    def method(self) -> str:
        """How it was made, in one phrase."""
        return "copied without loss"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the track."""
        return ()

    @abstractmethod
    def feed(self, packet: AnyPacket) -> Iterable[AnyPacket]:
        """Take a packet of the source, and give what is ready for the clip."""

    @abstractmethod
    def finish(self) -> Iterable[AnyPacket]:
        """Give what is left, when the track is done or the source has no more packets for it."""


def describe_track(stream: Stream, source: Stream) -> None:
    """Give a track of a clip the tags and the disposition of the source's."""
    tags = dict(source.metadata)
    if "name" in tags:
        # FFmpeg reads the title of an MP4 track by this key, and writes it by the other.
        tags.setdefault("title", tags.pop("name"))
    stream.metadata.update(tags)
    stream.disposition = source.disposition


def plural(count: int, noun: str) -> str:
    """Return `1 frame`, `2 frames`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def undecodable(errors: int, kind: str) -> tuple[str, ...]:
    """Return the note on packets that could not be decoded, if there were any."""
    return (f"{plural(errors, f'{kind} packet')} could not be decoded and left out",) if errors else ()
