"""What was found, on stdout: a table a stream, where things are, and what is to be known about them."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clipstream.report.manifest import Highlight, Manifest
from clipstream.run.watchers import Outcome
from clipstream.settings.option import duration_text

__all__ = ["notices", "output_console", "print_summary"]

_FILE_CELLS = 140
"""Width of the tables where stdout is no terminal."""


def print_summary(outcomes: Sequence[Outcome], console: Console | None = None) -> None:
    """Print what was found in every stream that has a manifest, best highlight first."""
    console = console or output_console()
    for outcome in outcomes:
        if outcome.manifest is None:
            continue
        if outcome.state not in {"done", "already_done"} and outcome.manifest.status != "stopped":
            continue
        console.print()
        console.print(_title(outcome.stream, outcome.manifest))
        if outcome.manifest.highlights:
            console.print(_table(outcome.manifest))
        for notice in notices(outcome):
            console.print(Text(f"  {notice}"), soft_wrap=True)
        if outcome.manifest.reel and outcome.manifest.reel.file:
            console.print(Text(f"  reel: {outcome.folder / outcome.manifest.reel.file}"), soft_wrap=True)
        what = "report.html" if outcome.manifest.status == "complete" else "manifest.json"
        console.print(Text(f"  {what.partition('.')[0]}: {outcome.folder / what}"), soft_wrap=True)


def notices(outcome: Outcome) -> Iterator[str]:
    """Yield what is to be known about a stream, a line each: none found and why, left out, truncated, done before."""
    manifest = outcome.manifest
    if manifest is None:
        return
    if not manifest.highlights:
        yield manifest.explanation or "There is no highlight."
    if manifest.source.problem:
        yield f"note: {manifest.source.problem}"
    if manifest.media_errors:
        things = "packet or frame" if manifest.media_errors == 1 else "packets or frames"
        yield f"note: errors passed over: {manifest.media_errors} {things}."
    for text in _of_features(manifest):
        yield f"note: {text}"
    for highlight in manifest.highlights:
        for text in highlight.notes:
            yield f"note: clip {highlight.number}: {text}"
    for text in manifest.reel.notes if manifest.reel else ():
        yield f"note: reel: {text}"
    if outcome.message and outcome.message != manifest.source.problem:
        yield f"note: {outcome.message}"


def _of_features(manifest: Manifest) -> Iterator[str]:
    for one in manifest.left_out:
        yield f"{one.name} was left out: {one.why}"
    for failed in manifest.failures:
        yield f"{failed.sentence}."


def output_console() -> Console:
    """Return stdout to draw on, as wide as the terminal, or wide enough for a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_CELLS)


def _title(stream: str, manifest: Manifest) -> Text:
    count = len(manifest.highlights)
    found = f"{count or 'no'} highlight{'' if count == 1 else 's'}"
    together_s = float(sum(one.end_s - one.start_s for one in manifest.highlights))
    lasting = f", {_length(together_s)} of {_length(float(manifest.source.duration_s))}" if count else ""
    return Text.assemble((stream, "bold"), f": {found}{lasting}")


def _table(manifest: Manifest) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
    for name in ("rank", "start", "end", "length", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", ratio=1, overflow="fold")
    table.add_column("clip", no_wrap=True)
    for highlight in manifest.ranked:
        table.add_row(*_cells(highlight))
    return table


def _cells(highlight: Highlight) -> list[Text]:
    length_s = float(highlight.end_s - highlight.start_s)
    texts = (
        str(highlight.rank or "–"),
        highlight.start,
        highlight.end,
        _length(length_s),
        f"{highlight.score:.1f}",
        highlight.reason,
        highlight.clip or "none",
    )
    return [Text(text) for text in texts]


def _length(duration_s: float) -> str:
    return duration_text(round(duration_s, 1) if duration_s < 60 else float(round(duration_s)))
