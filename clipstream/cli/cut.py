"""`main cut FILE`: just cut, at times that are given."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from threading import Event

from clipstream.cli.documents import cut_document, print_document
from clipstream.cli.options import Presentation
from clipstream.cli.watching import print_error
from clipstream.cut_choice import chosen_cutter, chosen_suffix
from clipstream.errors import ClipstreamError, CutError, InputError, OutputError, StoppedError, UsageError
from clipstream.log import configure_logging
from clipstream.media.cut import CutSpan, join_clips, parse_time, plan_clips, read_intervals
from clipstream.media.cutter import ClipResult, ClipSpec
from clipstream.media.inputs import Input, expand_inputs
from clipstream.media.probe import MediaInfo, fingerprint, probe
from clipstream.report.files import writing
from clipstream.run.namesakes import claim, named_apart
from clipstream.run.stopping import stop_on_signals
from clipstream.settings import Settings
from clipstream.settings.option import duration_text
from clipstream.timing import clock, to_ms

__all__ = ["CutRequest", "cut_file"]

_NOTICED_S = Fraction(1, 10)
"""A clip that ends this much before the time asked for ends with the footage, not between two frames."""


@dataclass(frozen=True, slots=True)
class CutRequest:
    """What `main cut` was asked for.

    Attributes:
        file: The file to cut from.
        starts: Where clips start, as typed.
        ends: Where they end, one for each start.
        intervals: A table or manifest that lists more.
    """

    file: str
    starts: Sequence[str] = ()
    ends: Sequence[str] = ()
    intervals: Path | None = None

    def spans(self) -> tuple[CutSpan, ...]:
        """Return the spans to cut, in order of time.

        Raises:
            UsageError: There is none, a start has no end, or one of them is no time.
        """
        if len(self.starts) != len(self.ends):
            raise UsageError(
                f"--from is given {len(self.starts)} times and --to {len(self.ends)}; every clip needs one of each."
            )
        spans = [CutSpan(parse_time(a), parse_time(b)) for a, b in zip(self.starts, self.ends, strict=True)]
        if self.intervals is not None:
            spans += read_intervals(self.intervals)
        if not spans:
            raise UsageError("nothing says what to cut; give --from and --to, or a list with --intervals.")
        return tuple(sorted(spans, key=lambda span: (span.start_s, span.end_s)))


def cut_file(request: CutRequest, settings: Settings, presentation: Presentation) -> int:
    """Cut the clips that were asked for into OUT/NAME/clips, say what was made, and return the exit status.

    A clip that cannot be cut does not keep the others from being cut.

    Raises:
        ClipstreamError: Nothing could be started.
    """
    configure_logging(settings, debug=presentation.debug)
    spans = request.spans()
    out = Path(settings.out)
    (item,) = named_apart(out, [_only_input(request.file)])
    seen = fingerprint(item.path)
    media = probe(item.path)
    clips = out / item.stream / "clips"
    plan = plan_clips(item.path, spans, clips, chosen_suffix(settings, media), seen)
    claim(out, item, seen)  # the folder it makes keeps clips from being taken for footage
    with writing(clips):
        clips.mkdir(parents=True, exist_ok=True)
    session = _Session(media, settings, presentation)
    stop = Event()
    with stop_on_signals(stop) as received:
        try:
            session.cut(plan, stop.is_set)
        except StoppedError:
            print_error("stopped; the clips that are finished stay.")
    if presentation.as_json:
        print_document(cut_document(request.file, session.done, session.reel, session.errors))
    if received:
        return 128 + received[0]
    if not session.errors:
        return 0
    return 2 if all(isinstance(error, UsageError | InputError) for error in session.errors) else 1


class _Session:
    """Cuts clip after clip, says so, and keeps what came of it."""

    def __init__(self, media: MediaInfo, settings: Settings, presentation: Presentation) -> None:
        self._media, self._join, self._presentation = media, settings.join, presentation
        self._cutter = chosen_cutter(settings)
        self.done: list[tuple[ClipSpec, ClipResult]] = []
        self.reel: ClipResult | None = None
        self.errors: list[ClipstreamError] = []

    def cut(self, plan: Sequence[ClipSpec], stopped: Callable[[], bool]) -> None:
        """Cut everything.

        Raises:
            StoppedError: `stopped()` said so; what is done is kept.
        """
        for spec in plan:
            try:
                self._refuse_beyond_the_end(spec)
                result = self._told_where_it_ends(spec, self._cutter.cut(spec, stopped))
            except (CutError, OutputError, UsageError) as error:
                self._fail(error)
            else:
                self.done.append((spec, result))
                self._tell(result)
        if self._join and self.done:
            try:
                self.reel = self._joined(stopped)
            except (CutError, OutputError) as error:
                self._fail(error)
            else:
                self._tell(self.reel)

    def _joined(self, stopped: Callable[[], bool]) -> ClipResult:
        first, last = self.done[0][0], max((spec for spec, _ in self.done), key=lambda spec: spec.end_s)
        span = f"{clock(to_ms(first.start_s), separator='')}-{clock(to_ms(last.end_s), separator='')}"
        target = first.target.with_name(f"reel_{span}{first.target.suffix}")
        title = {"title": f"{first.source.stem}, {len(self.done)} clips"}
        return join_clips([result.path for _, result in self.done], target, stopped, title)

    def _refuse_beyond_the_end(self, spec: ClipSpec) -> None:
        duration_s = self._media.duration_s
        if duration_s is not None and spec.start_s >= duration_s:
            raise UsageError(
                f"{spec.source}: there is nothing from {clock(to_ms(spec.start_s))} on, it is "
                f"{clock(to_ms(duration_s))} long; choose an earlier time."
            )

    @staticmethod
    def _told_where_it_ends(spec: ClipSpec, result: ClipResult) -> ClipResult:
        if spec.end_s - result.end_s <= _NOTICED_S:
            return result
        note = f"ends with the footage at {clock(to_ms(result.end_s))}, not at {clock(to_ms(spec.end_s))}"
        return replace(result, notes=(*result.notes, note))

    def _fail(self, error: ClipstreamError) -> None:
        self.errors.append(error)
        print_error(str(error))

    def _tell(self, result: ClipResult) -> None:
        if self._presentation.quiet or self._presentation.as_json:
            return
        length = duration_text(round(float(result.end_s - result.start_s), 3))
        frames = f"{result.frames} frame{'' if result.frames == 1 else 's'}, " if result.frames else ""
        sys.stdout.write(f"{result.path}: {length}, {frames}{result.method}\n")
        for note in result.notes:
            sys.stdout.write(f"  note: {note}\n")


def _only_input(argument: str) -> Input:
    inputs, errors = expand_inputs([argument])
    if errors:
        raise errors[0]
    if len(inputs) != 1:
        raise UsageError(f"{argument}: this stands for {len(inputs)} files; name the one to cut from.")
    return inputs[0]
