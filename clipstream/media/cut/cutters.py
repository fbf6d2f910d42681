"""The cutters: what each does with the tracks of a clip."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import av.container
from av.audio.stream import AudioStream
from av.stream import AttachmentStream, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from clipstream.errors import CutError
from clipstream.media.cut.containers import Carrier, carrier
from clipstream.media.cut.copy_audio import copy_audio, first_packets
from clipstream.media.cut.copy_video import CopyVideo
from clipstream.media.cut.copying import CopyOnce, add_copied_stream
from clipstream.media.cut.edges import UnfaithfulError
from clipstream.media.cut.edges_plain import make_edges
from clipstream.media.cut.encode_audio import EncodeAudio
from clipstream.media.cut.encode_video import EncodeVideo
from clipstream.media.cut.encoders import choose_encoding
from clipstream.media.cut.engine import make_clip
from clipstream.media.cut.smart_video import SmartVideo
from clipstream.media.cut.source import AnyPacket, Source, Span
from clipstream.media.cut.subtitles import ConvertSubtitles, CopySubtitles, early_subtitles
from clipstream.media.cut.survey import Survey
from clipstream.media.cut.tracks import Track
from clipstream.media.cutter import ClipResult, ClipSpec, Cutter
from clipstream.media.probe import stores_no_pts

__all__ = ["CopyCutter", "CutMode", "EncodeCutter", "SmartCutter", "make_cutter"]


class CutMode(StrEnum):
    """How pictures come into a clip."""

    SMART = "smart"
    COPY = "copy"
    ENCODE = "encode"


class EncodeCutter:
    """Encodes pictures and sound again: exact in any player, at the cost of time and a little quality.

    Pictures become H.264 (8 bit) or HEVC (more), sound AAC; VP9 and Opus in WebM. Pixel aspect, colours, rotation, the
    spacing of frames and all tracks are kept. The same source gives the same bytes.

    Raises:
        UsageError: There is no encoder for `codec`, one of `h264`, `hevc`, `vp9` and `av1`.
    """

    def __init__(self, crf: int = 18, codec: str | None = None) -> None:
        choose_encoding("yuv420p", crf, codec)
        self._crf, self._codec = crf, codec

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        """Write `spec.target`; see `Cutter.cut`."""
        return make_clip(spec, _Builder(CutMode.ENCODE, carrier(spec.target), self._crf, self._codec), cancelled)


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
            return make_clip(spec, _Builder(CutMode.SMART, kind), cancelled)
        except UnfaithfulError as error:
            builder = _Builder(CutMode.ENCODE, kind, self._crf, note=f"re-encoded whole: {error}")
            return make_clip(spec, builder, cancelled)


class CopyCutter:
    """Copies everything and encodes nothing: the fastest, and the first and last frames are only hidden, not gone.

    Frames from the keyframe before the cut on come along. MP4 and MOV hide them by an edit list; elsewhere the clip
    starts with the keyframe. The notes say which.
    """

    def cut(self, spec: ClipSpec, cancelled: Callable[[], bool]) -> ClipResult:
        """Write `spec.target`; see `Cutter.cut`."""
        try:
            kind = carrier(spec.target)
            return make_clip(spec, _Builder(CutMode.COPY, kind), cancelled, whole_groups=not kind.edit_list)
        except UnfaithfulError as error:
            raise CutError(f"{spec.source.name}: cannot be copied ({error}); use another way of cutting.") from error


def make_cutter(mode: CutMode = CutMode.SMART, crf: int = 18, codec: str | None = None) -> Cutter:
    """Return what cuts in a mode. `crf` and `codec` count where pictures are encoded whole.

    Raises:
        UsageError: There is no encoder for `codec`.
    """
    if mode is CutMode.COPY:
        return CopyCutter()
    return EncodeCutter(crf, codec) if mode is CutMode.ENCODE else SmartCutter(crf)


class _Builder:
    """Adds the tracks of a clip, all in the same way but for the pictures."""

    def __init__(
        self, mode: CutMode, kind: Carrier, crf: int = 18, codec: str | None = None, note: str | None = None
    ) -> None:
        self._mode, self._kind, self._crf, self._codec = mode, kind, crf, codec
        self._notes = [note] if note else []
        self._first_sound: Mapping[int, AnyPacket] = {}
        self._early_texts: Mapping[int, Sequence[AnyPacket]] = {}

    def __call__(
        self, container: av.container.OutputContainer, source: Source, span: Span, found: Survey | None
    ) -> tuple[list[Track], list[str]]:
        copies_sound = self._mode is not CutMode.ENCODE and (self._kind.edit_list or self._kind.codec_delay)
        self._first_sound = first_packets(source, source.audio, span.start_s) if copies_sound else {}
        self._early_texts = early_subtitles(source, span.start_s)
        tracks: list[Track] = []
        for stream in source.container.streams:
            is_main = source.video is not None and stream.index == source.video.index
            if stream.index in source.chapter_tracks:
                continue
            if is_main and found is None:
                self._leave_out(stream, "no frame of it lies in the clip")
                continue
            if is_main and found:
                tracks.append(self._video(container, source, span, found))
                continue
            try:
                track = self._other(container, stream, span)
            except ValueError:
                self._leave_out(stream, "the container cannot carry it")
                continue
            if track is not None:
                tracks.append(track)
        return tracks, self._notes

    def _video(self, container: av.container.OutputContainer, source: Source, span: Span, found: Survey) -> Track:
        assert source.video is not None
        if self._mode is not CutMode.ENCODE:
            if stores_no_pts(source.container, source.video):
                raise UnfaithfulError("its container does not say when frames are shown")
            if not self._kind.carries(source.video):
                raise UnfaithfulError(f"its container cannot carry {source.video.codec_context.name}")
            try:
                edges = make_edges(source.video) if self._mode is CutMode.SMART else None
                extradata = edges.extradata if edges else None
                stream = add_copied_stream(container, source.video, extradata, self._kind.hevc_tag)
            except ValueError as error:
                raise UnfaithfulError(f"its container cannot carry {source.video.codec_context.name}") from error
            if self._mode is CutMode.COPY:
                return CopyVideo(stream, source.video, span, found, edit_list=self._kind.edit_list)
            return SmartVideo(stream, source.video, span, found, edges, edit_list=self._kind.edit_list)
        pixel_format = source.video.codec_context.pix_fmt or "yuv420p"
        encoding = choose_encoding(pixel_format, self._crf, self._codec, webm=self._kind.webm)
        try:
            no_pts = stores_no_pts(source.container, source.video)
            return EncodeVideo(container, source.video, span, found, encoding=encoding, kind=self._kind, no_pts=no_pts)
        except ValueError as error:
            raise CutError(
                f"{source.path.name}: {container.format.name} cannot carry {encoding.label}; choose another container."
            ) from error

    def _other(self, container: av.container.OutputContainer, stream: Stream, span: Span) -> Track | None:
        if isinstance(stream, AudioStream):
            if stream.codec_context is not None:
                return self._sound(container, stream, span)
            self._leave_out(stream, "nothing here decodes it")
        elif isinstance(stream, AttachmentStream):
            if not self._kind.attachments:
                raise ValueError
            container.add_stream_from_template(stream)
        elif isinstance(stream, SubtitleStream):
            return self._text(container, stream, span)
        elif stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            if not self._kind.carries(stream):
                raise ValueError
            return CopyOnce(add_copied_stream(container, stream), stream)
        elif isinstance(stream, VideoStream):
            self._leave_out(stream, "a clip has one track of pictures")
        elif not (self._kind.edit_list and "timecode" in stream.metadata):
            # FFmpeg writes a track of time codes by itself.
            self._leave_out(stream, "data are not cut")
        return None

    def _text(self, container: av.container.OutputContainer, stream: SubtitleStream, span: Span) -> Track:
        early = self._early_texts.get(stream.index, ())
        if self._kind.carries(stream):
            with contextlib.suppress(ValueError):
                return CopySubtitles(add_copied_stream(container, stream), stream, span, early)
        if self._kind.text is None:
            raise ValueError
        return ConvertSubtitles(container, stream, span, early, encoder=self._kind.text)

    def _sound(self, container: av.container.OutputContainer, stream: AudioStream, span: Span) -> Track:
        if self._mode is not CutMode.ENCODE and self._kind.carries(stream):
            try:
                return copy_audio(container, stream, span, self._kind, self._first_sound.get(stream.index))
            except ValueError:
                pass
        track = EncodeAudio(container, stream, span, self._kind.sound)
        if self._mode is not CutMode.ENCODE:
            codec = stream.codec_context.codec.canonical_name
            self._notes.append(
                f"track {stream.index} (audio, {codec}) re-encoded to {track.codec_name}: the container cannot carry it"
            )
        return track

    def _leave_out(self, stream: Stream, why: str) -> None:
        name = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
        self._notes.append(f"track {stream.index} ({stream.type}, {name}) left out: {why}")
