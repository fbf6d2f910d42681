"""The cutters: what each does with the tracks of a clip."""

from collections.abc import Callable
from enum import StrEnum

import av.container
from av.audio.stream import AudioStream
from av.stream import AttachmentStream, Disposition, Stream
from av.subtitles.stream import SubtitleStream

from clipstream.errors import CutError
from clipstream.media.cut.containers import Carrier, carrier
from clipstream.media.cut.copy_video import CopyVideo
from clipstream.media.cut.copying import CopyAudio, CopyOnce, CopySubtitles
from clipstream.media.cut.edges import UnfaithfulError
from clipstream.media.cut.edges_plain import make_edges
from clipstream.media.cut.encode_audio import EncodeAudio
from clipstream.media.cut.encode_video import EncodeVideo, choose_encoding
from clipstream.media.cut.engine import make_clip
from clipstream.media.cut.smart_video import SmartVideo
from clipstream.media.cut.source import Source, Span, time_base
from clipstream.media.cut.survey import Survey
from clipstream.media.cut.tracks import Track
from clipstream.media.cutting import ClipResult, ClipSpec

__all__ = ["CopyCutter", "CutMode", "EncodeCutter", "SmartCutter"]


class CutMode(StrEnum):
    """How pictures come into a clip."""

    SMART = "smart"
    COPY = "copy"
    ENCODE = "encode"


class EncodeCutter:
    """Encodes pictures and sound again: exact in any player, at the cost of time and a little quality.

    Pictures become H.264 (8 bit) or HEVC (more), sound AAC; VP9 and Opus in WebM. Pixel aspect, colours, rotation, the
    spacing of frames and all tracks are kept. The same source gives the same bytes.
    """

    def __init__(self, crf: int = 18) -> None:
        self._crf = crf

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        """Write `spec.target`; see `Cutter.cut`."""
        return make_clip(spec, _Builder(CutMode.ENCODE, self._crf, carrier(spec.target)), cancelled)


class SmartCutter:
    """Copies every packet that can be copied and encodes again only what lies between a cut and the next keyframe.

    Where that cannot be done faithfully, the clip is encoded whole, and its notes say why.
    """

    def __init__(self, crf: int = 18) -> None:
        self._crf = crf

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        """Write `spec.target`; see `Cutter.cut`."""
        kind = carrier(spec.target)
        try:
            return make_clip(spec, _Builder(CutMode.SMART, self._crf, kind), cancelled)
        except UnfaithfulError as error:
            builder = _Builder(CutMode.ENCODE, self._crf, kind, note=f"re-encoded whole: {error}")
            return make_clip(spec, builder, cancelled)


class CopyCutter:
    """Copies everything and encodes nothing: the fastest, and the first and last frames are only hidden, not gone.

    Frames from the keyframe before the cut on come along. MP4 and MOV hide them by an edit list; elsewhere the clip
    starts with the keyframe. The notes say which.
    """

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        """Write `spec.target`; see `Cutter.cut`."""
        try:
            return make_clip(spec, _Builder(CutMode.COPY, 0, carrier(spec.target)), cancelled)
        except UnfaithfulError as error:
            raise CutError(f"{spec.source.name}: cannot be copied ({error}); use another way of cutting.") from error


class _Builder:
    """Adds the tracks of a clip, all in the same way but for the pictures."""

    def __init__(self, mode: CutMode, crf: int, kind: Carrier, note: str | None = None) -> None:
        self._mode, self._crf, self._kind = mode, crf, kind
        self._notes = [note] if note else []

    def __call__(
        self, container: av.container.OutputContainer, source: Source, span: Span, found: Survey | None
    ) -> tuple[list[Track], list[str]]:
        tracks: list[Track] = []
        if found is not None and source.video is not None:
            if self._mode is CutMode.COPY and not self._kind.edit_list:
                anchor_s = found.anchor * time_base(source.video)
                span = Span(anchor_s, span.end_s, anchor_s)
            tracks.append(self._video(container, source, span, found))
        for stream in source.container.streams:
            if stream is source.video or stream.index == (source.video.index if source.video else None):
                continue
            try:
                track = self._other(container, stream, span)
            except ValueError:
                track = None
                self._leave_out(stream)
            if track is not None:
                tracks.append(track)
        return tracks, self._notes

    def _video(self, container: av.container.OutputContainer, source: Source, span: Span, found: Survey) -> Track:
        assert source.video is not None
        if self._mode is not CutMode.ENCODE:
            if not self._kind.carries(source.video):
                raise UnfaithfulError(f"its container cannot carry {source.video.codec_context.name}")
            try:
                if self._mode is CutMode.COPY:
                    return CopyVideo(container, source.video, span, found, edit_list=self._kind.edit_list)
                return SmartVideo(container, source.video, span, found, make_edges(source.video))
            except ValueError as error:
                raise UnfaithfulError(f"its container cannot carry {source.video.codec_context.name}") from error
        encoding = choose_encoding(source.video.codec_context.pix_fmt or "yuv420p", self._crf)
        return EncodeVideo(container, source.video, span, found, encoding)

    def _other(self, container: av.container.OutputContainer, stream: Stream, span: Span) -> Track | None:
        if isinstance(stream, AudioStream):
            if stream.codec_context is None:
                self._leave_out(stream)
                return None
            return self._sound(container, stream, span)
        if isinstance(stream, AttachmentStream):
            container.add_stream_from_template(stream)
            return None
        if not self._kind.carries(stream):
            raise ValueError
        if isinstance(stream, SubtitleStream):
            return CopySubtitles(container, stream, span)
        if stream.disposition & Disposition.attached_pic:
            return CopyOnce(container, stream)
        raise ValueError

    def _sound(self, container: av.container.OutputContainer, stream: AudioStream, span: Span) -> Track:
        if self._mode is not CutMode.ENCODE and self._kind.carries(stream):
            try:
                return CopyAudio(container, stream, span, edit_list=self._kind.edit_list)
            except ValueError:
                pass
        return EncodeAudio(container, stream, span)

    def _leave_out(self, stream: Stream) -> None:
        name = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
        self._notes.append(f"track {stream.index} ({stream.type}, {name}) left out: the container cannot carry it")
