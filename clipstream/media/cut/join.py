"""One reel of several clips, their packets copied wherever they fit together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from clipstream.errors import CutError
from clipstream.media.cut.containers import Carrier, carrier
from clipstream.media.cut.copy_audio import CopyAudio, copy_audio, first_packets
from clipstream.media.cut.copying import add_copied_stream
from clipstream.media.cut.edges import Edges, UnfaithfulError
from clipstream.media.cut.edges_plain import make_edges
from clipstream.media.cut.encode_audio import EncodeAudio
from clipstream.media.cut.engine import Writer, run
from clipstream.media.cut.output import Output
from clipstream.media.cut.priming import OPUS_PRE_SKIP
from clipstream.media.cut.smart_video import SmartVideo
from clipstream.media.cut.source import AnyPacket, Source, Span
from clipstream.media.cut.survey import survey
from clipstream.media.cut.tracks import Track, plural
from clipstream.media.cutter import ClipResult
from clipstream.media.probe import claimed_duration

if TYPE_CHECKING:
    from av.container.core import Chapter  # known to the type checker alone

__all__ = ["join_clips"]

_TICKS = Fraction(1, 90_000)
_PRE_ROLL_S = Fraction(1)
_NOT_JOINED = frozenset({"subtitle", "attachment"})
_SELF_CONTAINED = frozenset({"vp8", "vp9", "av1"})
"""Codecs whose keyframes need nothing from the container's header."""


def join_clips(
    clips: Sequence[Path],
    target: Path,
    cancelled: Callable[[], bool] = lambda: False,
    metadata: Mapping[str, str] | None = None,
) -> ClipResult:
    """Write one file of all clips, in order, with a chapter for each.

    Clips of one source that were cut smartly are copied whole. Pictures that are coded in another way than the first
    clip's are encoded again in its codec; sound is copied where all clips have it alike, and encoded otherwise.
    Subtitles and attachments are left out, and the notes say so.

    Raises:
        CutError: A clip cannot be read, or differs too much to follow the first.
        OutputError: The target cannot be written.
        StoppedError: `cancelled()` said so.
    """
    if not clips:
        raise CutError(f"{target.name}: there is no clip to join; name at least one.")
    looks = [_look(path) for path in clips]
    # A clip in which a track of sound lies outside does not have it; the reel has it all the same.
    fullest = max(looks, key=lambda look: len(look.audio))
    with Source(clips[0]) as first, Source(fullest.path) as sound, Output(target, metadata or {}) as output:
        output.container.set_chapters(_chapters(looks))
        reel = _Reel(first, sound if len(fullest.audio) > len(first.audio) else first, looks, output, carrier(target))
        try:
            for look in looks:
                with Source(look.path) as clip:
                    reel.append(clip, look, cancelled)
        except UnfaithfulError as error:
            raise CutError(
                f"{target.name}: the clips cannot be joined ({error}); join those that are alike."
            ) from error
        reel.finish()
        output.commit()
    return reel.describe(target)


@dataclass(frozen=True, slots=True)
class _Look:
    """What has to be known of a clip before the first packet is written."""

    path: Path
    title: str
    length_s: Fraction
    video: tuple[object, ...] | None
    audio: tuple[tuple[object, ...], ...]
    left_out: frozenset[str]


def _look(path: Path) -> _Look:
    with Source(path) as clip:
        end_s = clip.end_s() if clip.video is not None else clip.origin_s + (claimed_duration(clip.container) or 0)
        if end_s is None or end_s <= clip.origin_s:
            raise CutError(f"{path.name}: nothing in the clip says how long it is; cut it again.")
        length_s = end_s - clip.origin_s
        title = clip.container.metadata.get("title") or path.stem
        video = _video_kind(clip.video) if clip.video is not None else None
        left_out = frozenset(stream.type for stream in clip.container.streams if stream.type in _NOT_JOINED)
        return _Look(path, title, length_s, video, tuple(_audio_kind(stream) for stream in clip.audio), left_out)


def _video_kind(stream: VideoStream) -> tuple[object, ...]:
    context = stream.codec_context
    codec = context.codec.canonical_name
    header = None if codec in _SELF_CONTAINED else context.extradata
    return codec, context.width, context.height, context.pix_fmt, header


def _audio_kind(stream: AudioStream) -> tuple[object, ...]:
    context = stream.codec_context
    codec, header = context.codec.canonical_name, context.extradata or b""
    if codec == "opus":
        header = header[: OPUS_PRE_SKIP.start] + header[OPUS_PRE_SKIP.stop :]
    return codec, context.sample_rate, context.layout.name, header


def _chapters(looks: Iterable[_Look]) -> "list[Chapter]":
    chapters: list[Chapter] = []
    at_s = Fraction(0)
    for number, look in enumerate(looks):
        start, end = round(at_s / _TICKS), round((at_s + look.length_s) / _TICKS)
        title = {"title": look.title}
        chapters.append({"id": number, "start": start, "end": end, "time_base": _TICKS, "metadata": title})
        at_s += look.length_s
    return chapters


def _any_has(looks: Iterable[_Look], kind: str) -> bool:
    return any(kind in look.left_out for look in looks)


class _Reel:
    """The file that grows by one clip at a time."""

    def __init__(self, first: Source, sound: Source, looks: Sequence[_Look], output: Output, kind: Carrier) -> None:
        self._first, self._kind = looks[0], kind
        self._writer = _RisingWriter(output)
        self._at_s = Fraction(0)
        self._frames = self._copied = 0
        self._encoded_clips: list[str] = []
        self._left_out = [
            f"the {kind}s of the clips are left out" for kind in sorted(_NOT_JOINED) if _any_has(looks, kind)
        ]
        self._edges: Edges | None = None
        self._video: VideoStream | None = None
        if first.video is not None:
            self._edges = make_edges(first.video)
            extradata = self._edges.extradata if self._edges else None
            self._video = add_copied_stream(output.container, first.video, extradata, kind.hevc_tag)
        span = Span(first.origin_s, first.origin_s + looks[0].length_s, first.origin_s)
        primed = first_packets(first, first.audio, span.start_s) if sound is first else {}
        tracks = len(sound.audio)
        self._left_out += [
            f"{look.path.name} has {plural(len(look.audio), 'track')} of sound for {tracks}: the rest is silent there"
            for look in looks
            if len(look.audio) < tracks
        ]
        self._first_is_template = sound is first
        self._copied_audio: dict[int, CopyAudio] = {}
        self._encoded_audio: dict[int, EncodeAudio] = {}
        for number, stream in enumerate(sound.audio):
            if len({look.audio[number] for look in looks if len(look.audio) > number}) == 1:
                self._copied_audio[number] = copy_audio(output.container, stream, span, kind, primed.get(stream.index))
            else:
                nothing = Span(Fraction(0), Fraction(0), Fraction(0))
                self._encoded_audio[number] = EncodeAudio(output.container, stream, nothing, kind.sound)

    def append(self, clip: Source, look: _Look, cancelled: Callable[[], bool]) -> None:
        """Write one more clip."""
        if (clip.video is None) != (self._video is None):
            raise UnfaithfulError("some have pictures and some have none")
        span = Span(clip.origin_s, clip.origin_s + look.length_s, clip.origin_s - self._at_s)
        tracks: list[Track] = []
        if clip.video is not None and self._video is not None:
            clip.learn_reordering(span.start_s, span.end_s)
            found = survey(clip, span.start_s, span.end_s)
            if found is None:
                raise UnfaithfulError(f"{look.path.name} has no frames")
            alike = look.video == self._first.video
            video = SmartVideo(
                self._video, clip.video, span, found, self._edges, edit_list=False, follows=self._at_s > 0, copies=alike
            )
            tracks.append(video)
            self._encoded_clips += [] if alike else [look.path.name]
        streams = clip.audio
        primed = not self._at_s and self._first_is_template
        for number, copied in self._copied_audio.items():
            if number < len(streams):
                tracks.append(copied if primed else CopyAudio(copied.stream, streams[number], span))
        for number, track in self._encoded_audio.items():
            if number < len(streams):
                track.follow(streams[number], span)
                tracks.append(track)
        run(
            clip,
            self._writer,
            tracks,
            span.start_s - _PRE_ROLL_S,
            span.end_s,
            cancelled=cancelled,
            unfinished=tuple(self._encoded_audio.values()),
        )
        main = tracks[0]
        self._frames, self._copied = self._frames + main.frames, self._copied + main.copied
        self._at_s += look.length_s

    def finish(self) -> None:
        """Write what the encoders of sound still hold."""
        for track in self._encoded_audio.values():
            self._writer.write(track.finish())

    def describe(self, target: Path) -> ClipResult:
        """Say what was written."""
        notes = [f"{name}: pictures re-encoded to follow the first clip" for name in self._encoded_clips]
        notes += self._left_out
        if self._encoded_audio:
            notes.append("sound re-encoded: the clips have it in different codecs")
        method = f"joined, {self._copied} of {self._frames} frames copied" if self._video else "joined"
        return ClipResult(target, Fraction(0), self._at_s, self._frames, method, tuple(notes), self._copied)


class _RisingWriter(Writer):
    """Lets decoding times rise across the joints of clips that were reordered differently."""

    def __init__(self, output: Output) -> None:
        super().__init__(output, [])
        self._last: dict[int, Fraction] = {}

    def write(self, packets: Iterable[AnyPacket]) -> None:
        """Write packets."""
        super().write(self._rising(packet) for packet in packets)

    def _rising(self, packet: AnyPacket) -> AnyPacket:
        assert packet.dts is not None
        assert packet.pts is not None
        earliest = self._last.get(packet.stream_index, Fraction(packet.dts) * packet.time_base - 1) / packet.time_base
        if packet.dts <= earliest:
            packet.dts = int(earliest) + 1
            if packet.dts > packet.pts:
                raise UnfaithfulError("their frames overlap")
        self._last[packet.stream_index] = packet.dts * packet.time_base
        return packet
