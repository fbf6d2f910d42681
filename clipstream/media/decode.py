"""A file becomes slices: half a second each of reduced pictures and 16 kHz sound, by exact media time.

Pictures and sound are read through two openings of the file. Neither ever waits for the other, so tracks that are badly
interleaved, late, short or absent need no special case and no buffer: what is in memory is one slice, its lead and what
the decoders hold back.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from clipstream.errors import NoUsableStreamError
from clipstream.media.audio import AudioReader
from clipstream.media.frames import FrameReader
from clipstream.media.pictures import DecodeMode
from clipstream.media.probe import choose_audio, choose_video, claimed_duration, media_origin, open_media, usable
from clipstream.media.slices import MediaNeeds, Slice, StreamEnd
from clipstream.timing import slice_start

__all__ = ["DecodeMode", "SliceReader"]

FRAME_THREADS = 6
"""On two cores, six frame threads hide the scaling and the features that run between two packets."""

_SHORT_BY_S = Fraction(2)
_SHORT_BY_SHARE = Fraction(2, 100)
_TS_PACKET_BYTES = (188, 192, 204)
_EXACT_CLAIMS = frozenset({"matroska", "mov", "mp4", "webm"})
"""Containers that write down how long they are; elsewhere it is estimated from the bit rate."""


class SliceReader:
    """Iterates over the slices of a file: all of them in order, empty ones too, then one `end` slice.

    What a slice holds depends on its number and the file alone, never on where reading began: pictures and sound are
    equal bit by bit for every intact file (see `frames` and `audio` for how). Iterating raises nothing: what cannot be
    decoded is counted in the slice, and `StreamEnd.problem` says what went wrong with the whole.

    Args:
        path: The file.
        stream: The stream's name.
        needs: What every slice has to hold.
        start_slice: The first slice.
        threads: Decoder threads for the pictures.
        mode: Which frames are decoded.

    Raises:
        InputNotFoundError: There is no such file.
        UnreadableMediaError: It cannot be opened as media.
        NoUsableStreamError: None of its tracks has a decoder.
    """

    def __init__(
        self,
        path: Path,
        stream: str,
        needs: MediaNeeds,
        *,
        start_slice: int = 0,
        threads: int = FRAME_THREADS,
        mode: DecodeMode = DecodeMode.ALL,
    ) -> None:
        self._stream, self._n = stream, start_slice
        self._ended = False
        with open_media(path) as container:
            pictures, sound = choose_video(container), choose_audio(container)
            has_video, has_audio = usable(pictures), usable(sound)
            self._problems = [
                f"the {kind} cannot be decoded (no decoder, or the track is damaged)"
                for kind, track in (("pictures", pictures), ("sound", sound))
                if track is not None and not usable(track)
            ]
            origin_s = media_origin(container)
            self._claimed_s = claimed_duration(container)
            self._claim_is_exact = bool(_EXACT_CLAIMS & set(container.format.name.split(",")))
            if container.format.name == "mpegts" and all(path.stat().st_size % size for size in _TS_PACKET_BYTES):
                self._problems.append(
                    "truncated: it ends in the middle of a packet; get it again if it should be whole"
                )
        if not has_video and not has_audio:
            raise NoUsableStreamError(f"{path}: nothing in it can be decoded; convert it to a common format.")
        self._frames: FrameReader | None = None
        self._audio: AudioReader | None = None
        if has_video:
            # Where nobody wants pictures, keyframes are enough to tell how long the stream is.
            mode = mode if needs.frames else DecodeMode.KEYFRAMES
            self._frames = FrameReader(
                path, origin_s, needs.frames, mode=mode, threads=threads, start_slice=start_slice
            )
        if has_audio and (needs.audio is not None or not has_video):
            lead_samples = needs.audio.lead_samples if needs.audio is not None else 0
            self._audio = AudioReader(path, origin_s, lead_samples, start_slice)

    def __iter__(self) -> Iterator[Slice]:
        return self

    def __next__(self) -> Slice:
        if self._ended:
            raise StopIteration
        n = self._n
        self._n += 1
        frames = self._frames.read() if self._frames else None
        audio, audio_errors = self._audio.read() if self._audio else (None, 0)
        if self._exhausted and slice_start(n) >= self._duration_s:
            self._ended = True
            return Slice(self._stream, n, end=self._end())
        if frames is None:
            return Slice(self._stream, n, audio=audio, errors=audio_errors)
        return Slice(self._stream, n, frames.batches, audio, frames.decoded, frames.errors + audio_errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Nothing can be read after that."""
        self._ended = True
        for reader in self._readers:
            reader.close()

    @property
    def _readers(self) -> list[FrameReader | AudioReader]:
        return [reader for reader in (self._frames, self._audio) if reader is not None]

    @property
    def _exhausted(self) -> bool:
        return all(reader.exhausted for reader in self._readers)

    @property
    def _duration_s(self) -> Fraction:
        return max(reader.end_s for reader in self._readers)

    def _end(self) -> StreamEnd:
        problems = self._problems + [reader.problem for reader in self._readers if reader.problem]
        if self._frames and not self._frames.any_decoded:
            problems.append("no picture could be decoded")
        if self._audio and not self._audio.any_decoded:
            problems.append("no sound could be decoded")
        lost = sum(reader.lost for reader in self._readers)
        if lost:
            problems.append(f"{lost} frames were left out, whose times run backwards or jump by more than an hour")
        duration_s, claimed_s = self._duration_s, self._claimed_s
        # Containers count the last frame, padding and priming in their own ways; what is cut off is more than that.
        tolerated_s = _SHORT_BY_S if self._claim_is_exact else max(_SHORT_BY_S, (claimed_s or 0) * _SHORT_BY_SHARE)
        if claimed_s is not None and claimed_s - duration_s > tolerated_s:
            problems.append(
                f"truncated: {float(duration_s):.1f} s of {float(claimed_s):.1f} s could be read; "
                "get the file again if it should be whole"
            )
        return StreamEnd(
            duration_s=duration_s,
            claimed_s=claimed_s,
            frames=self._frames.decoded if self._frames else 0,
            problem="; ".join(problems) or None,
        )
