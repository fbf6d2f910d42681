"""One way from a span of a source to a clip, whatever is copied or encoded on it."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import av.container

from clipstream.errors import CutError, InputError, StoppedError
from clipstream.media.cut.encoders import ordinary_priority
from clipstream.media.cut.output import Output
from clipstream.media.cut.source import AnyPacket, Source, Span, time_base
from clipstream.media.cut.survey import Survey, copied_end, survey, survey_end
from clipstream.media.cut.timecode import later_timecode
from clipstream.media.cut.tracks import Track, plural
from clipstream.media.cutter import ClipResult, ClipSpec
from clipstream.media.probe import average_rate, fingerprint

if TYPE_CHECKING:
    from av.container.core import Chapter  # known to the type checker alone

__all__ = ["Tracks", "Writer", "make_clip", "run"]

_PRE_ROLL_S = Fraction(1, 4)
"""How far before the cut sound is read, so that its decoder has settled."""
_SHORT_S = Fraction(1, 10)
_INTERLEAVING_S = 10
"""How far apart packets of the same time stand in a file, at most: FFmpeg's `max_interleave_delta`."""
_CONTAINER_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})


class Tracks(Protocol):
    """Chooses how each track of a clip is made."""

    def __call__(
        self, container: av.container.OutputContainer, source: Source, span: Span, found: Survey | None
    ) -> tuple[list[Track], list[str]]:
        """Return the clip's tracks, in the source's order, and notes on what could not be taken over."""
        ...


def make_clip(
    spec: ClipSpec, tracks: Tracks, cancelled: Callable[[], bool], *, whole_groups: bool = False
) -> ClipResult:
    """Cut one clip.

    With `whole_groups` it starts with the keyframe before the span and ends where a copy of all frames can.

    Raises:
        CutError: The span holds nothing, the source changed or vanished, or something could not be encoded.
        OutputError: The target cannot be written.
        StoppedError: `cancelled()` said so.
    """
    if spec.end_s <= spec.start_s:
        raise CutError(
            f"{spec.source.name}: a clip from {float(spec.start_s):g} s to {float(spec.end_s):g} s is empty."
        )
    _check_unchanged(spec)
    with Source(spec.source) as source:
        span, found = _locate(source, spec, whole_groups=whole_groups)
        tags = {key: value for key, value in source.container.metadata.items() if key not in _CONTAINER_TAGS}
        with Output(spec.target, tags | dict(spec.metadata)) as output:
            made, notes = tracks(output.container, source, span, found)
            _add_chapters(source, output, span)
            _move_timecodes(source, output, span)
            if not made:
                raise CutError(f"{spec.source.name}: no track of it can be cut.")
            read_from_s = min(found.read_from_s, span.start_s) if found else span.start_s
            run(source, Writer(output, made), made, read_from_s - _PRE_ROLL_S, span.end_s, cancelled=cancelled)
            ordinary_priority()
            result = _describe(spec, source, made, notes)
            # A track that nothing was written to is not in the file.
            written = [track for track in made if track.start_s is not None]
            output.commit(
                {
                    number: track.hidden_from_s - span.zero_s
                    for number, track in enumerate(written)
                    if track.hidden_from_s is not None
                }
            )
    return result


def _check_unchanged(spec: ClipSpec) -> None:
    if not spec.fingerprint:
        return
    try:
        now = fingerprint(spec.source)
    except InputError as error:
        raise CutError(f"the source cannot be opened: {error}") from error
    if now != spec.fingerprint:
        raise CutError(f"{spec.source}: the source has changed since it was analysed; run the analysis again.")


def _add_chapters(source: Source, output: Output, span: Span) -> None:
    """Take over the chapters that lie in the clip, cut to it."""
    chapters: list[Chapter] = []
    for chapter in source.container.chapters():
        base = chapter["time_base"]
        if not base:
            continue
        start = max(0, math.floor(chapter["start"] - span.zero_s / base))
        end = math.floor(min(Fraction(chapter["end"]), span.end_s / base) - span.zero_s / base)
        if end > start:
            chapters.append({**chapter, "start": start, "end": end})
    output.container.set_chapters(chapters)


def _move_timecodes(source: Source, output: Output, span: Span) -> None:
    rate_hz = average_rate(source.video) if source.video is not None else None
    if source.video is None or rate_hz is None:
        return
    first_s = (source.video.start_time or 0) * time_base(source.video)
    frames = round((span.zero_s - first_s) * rate_hz)
    for metadata in [output.container.metadata, *(stream.metadata for stream in output.container.streams)]:
        for key in [key for key in metadata if key.lower() == "timecode"]:
            metadata[key] = later_timecode(metadata[key], frames, rate_hz)


def _locate(source: Source, spec: ClipSpec, *, whole_groups: bool) -> tuple[Span, Survey | None]:
    start_s, end_s = spec.start_s + source.origin_s, spec.end_s + source.origin_s
    if source.video is None:
        return Span(start_s, end_s, start_s), None
    source.learn_reordering(start_s, end_s)
    found = survey(source, start_s, end_s)
    if found is None:
        if source.audio:
            return Span(start_s, end_s, start_s), None
        raise CutError(
            f"{spec.source.name}: no frame between {float(spec.start_s):g} s and {float(spec.end_s):g} s; "
            "choose a span inside the video."
        )
    # The clip starts with its first frame, unless that comes so late that sound before it would be lost.
    first_s = found.first * time_base(source.video)
    rate_hz = average_rate(source.video)
    frame_s = 1 / rate_hz if rate_hz else Fraction(0)
    late = first_s - start_s > max(frame_s, _SHORT_S)
    zero_s = start_s if late else first_s
    # It ends when its last frame does, unless that is shown for long.
    after = survey_end(source, end_s)
    if after is not None:
        after_s = after.first * time_base(source.video)
        if after_s - end_s <= max(frame_s, _SHORT_S):
            end_s = after_s
            found = replace(found, end=after.first)
    if whole_groups:
        zero_s = found.anchor * time_base(source.video)
        end_s = max(end_s, copied_end(source, after) * time_base(source.video)) if after else end_s
    return Span(zero_s, end_s, zero_s), found


class Writer:
    """Hands packets on to the file, once every track knows what its header says."""

    def __init__(self, output: Output, tracks: list[Track]) -> None:
        self._output, self._tracks = output, tracks
        self._held: list[AnyPacket] = []

    def write(self, packets: Iterable[AnyPacket]) -> None:
        """Write packets, now or when the header can be written."""
        self._held.extend(packets)
        if all(track.ready for track in self._tracks):
            for packet in self._held:
                self._output.write(packet)
            self._held.clear()


def run(
    source: Source,
    writer: Writer,
    tracks: list[Track],
    from_s: Fraction,
    end_s: Fraction,
    *,
    cancelled: Callable[[], bool],
    unfinished: Collection[Track] = (),
) -> None:
    """Read a source from `from_s` on, until no track of the clip wants more or nothing for it can follow `end_s`.

    Tracks that are `unfinished` go on with another source.

    Raises:
        OutputError: The clip cannot be written.
        StoppedError: `cancelled()` said so.
    """
    waiting = {track.index: track for track in tracks}
    for packet in source.packets([source.container.streams[index] for index in waiting], from_s):
        if cancelled():
            raise StoppedError(f"{source.path.name}: cutting was stopped.")
        if packet.dts is not None and packet.dts * packet.time_base > end_s + _INTERLEAVING_S:
            break
        if (track := waiting.get(packet.stream_index)) is None:
            continue
        writer.write(track.feed(packet))
        if track.done:
            del waiting[track.index]
            if track not in unfinished:
                writer.write(track.finish())
        if not waiting:
            break
    for track in waiting.values():
        if track not in unfinished:
            writer.write(track.finish())


def _describe(spec: ClipSpec, source: Source, tracks: list[Track], notes: list[str]) -> ClipResult:
    video = source.video.index if source.video else None
    main = next((track for track in tracks if track.index == video), tracks[0])
    if main.start_s is None or main.end_s is None or main.end_s <= main.start_s:
        raise CutError(
            f"{spec.source.name}: nothing between {float(spec.start_s):g} s and {float(spec.end_s):g} s "
            f"could be decoded{f' ({source.problem})' if source.problem else ''}; choose another span."
        )
    notes = notes + [note for track in tracks for note in track.notes]
    notes += [
        f"track {track.index}: {plural(track.damaged, 'packet')} damaged in the source, copied all the same"
        for track in tracks
        if track.damaged
    ]
    notes += [f"track {track.index}: nothing of it lies in the clip" for track in tracks if track.start_s is None]
    if source.problem:
        notes.append(source.problem)
    return ClipResult(
        path=spec.target,
        start_s=main.start_s - source.origin_s,
        end_s=main.end_s - source.origin_s,
        frames=main.frames,
        copied=main.copied,
        method=main.method,
        notes=tuple(notes),
    )
