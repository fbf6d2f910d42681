"""`main weights`: which model weights are there, and `main weights fetch NAME`: get those that are not."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from clipstream.cli.documents import print_document
from clipstream.cli.options import Presentation
from clipstream.cli.summary import output_console
from clipstream.errors import FeatureUnavailableError
from clipstream.models.download import fetch_weights, fetchable
from clipstream.models.weights import (
    CATALOGUE,
    SUFFIXES,
    WEIGHTS_VARIABLE,
    Found,
    Weights,
    kept_sha256,
    locate_weights,
    sha256_of,
    verify,
    weights_folder,
)

__all__ = ["WEIGHTS_SCHEMA", "fetch", "list_weights"]

WEIGHTS_SCHEMA = "clipstream/weights/1"
"""Name and version of the document that `weights --json` and `weights fetch --json` print."""


def list_weights(presentation: Presentation) -> int:
    """Say of all weights in the catalogue, and of others in the folder of weights, where they are; return 0.

    What is not what it should be is said, and of what is not there, where it would be downloaded and how large it is.
    Asks no network and loads no model.
    """
    entries = [_entry(weights) for weights in CATALOGUE]
    known = {weights.file for weights in CATALOGUE}
    folder = weights_folder()
    files = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and path.name not in known)
    others = [_other(path) for path in files]
    if presentation.as_json:
        print_document({"schema": WEIGHTS_SCHEMA, "folder": str(folder), "weights": entries, "others": others})
        return 0
    console = output_console()
    console.print(_table(entries))
    for entry in entries:
        if entry["problem"]:
            console.print(Text(f"  note: {entry['problem']}"), soft_wrap=True)
    for other in others:
        state = " ✓" if other["verified"] else ", damaged" if other["problem"] else ""
        console.print(Text(f"  also there: {other['path']}{state}"), soft_wrap=True)
        if other["problem"]:
            console.print(Text(f"  note: {other['problem']}"), soft_wrap=True)
    console.print(Text(f"  folder of weights: {folder} (name another in {WEIGHTS_VARIABLE})"), soft_wrap=True)
    return 0


def fetch(names: Sequence[str], presentation: Presentation) -> int:
    """Download what is named and not there yet, each verified, and return 0.

    Raises:
        UsageError: Nobody knows a name; nothing is downloaded then.
        FeatureUnavailableError: A download fails, or what arrives is not what was published.
    """
    wanted = [fetchable(name) for name in names]
    entries = []
    for weights in wanted:
        found = _fetch(weights, quiet=presentation.quiet)
        entries.append(_entry(weights))
        if not presentation.as_json and not presentation.quiet:
            output_console().print(Text(f"{weights.name}: {found.path} ({found.where})"), soft_wrap=True)
    if presentation.as_json:
        print_document({"schema": WEIGHTS_SCHEMA, "folder": str(weights_folder()), "weights": entries, "others": []})
    return 0


def _fetch(weights: Weights, *, quiet: bool) -> Found:
    console = Console(stderr=True, highlight=False, quiet=quiet)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console
    )
    live: AbstractContextManager[object] = bar if console.is_terminal and not quiet else nullcontext()
    task: list[Any] = []

    def progressed(done_bytes: int, all_bytes: int | None) -> None:
        if not task:
            task.append(bar.add_task(weights.name, total=all_bytes))
            if live is not bar:
                console.print(f"downloading {weights.url}", soft_wrap=True)
        bar.update(task[0], completed=done_bytes)

    with live:
        return fetch_weights(weights, progressed)


def _entry(weights: Weights) -> dict[str, Any]:
    found = sha256 = problem = None
    verified = False
    try:
        found = locate_weights(weights.name)
        sha256 = sha256_of(found.path)
        verified = verify(found)
    except FeatureUnavailableError as error:
        problem = str(error)
    usable = found if problem is None else None
    return {
        "name": weights.name,
        "purpose": weights.purpose,
        "licence": weights.licence,
        "found": str(usable.path) if usable else None,
        "where": usable.where if usable else None,
        "damaged": bool(sha256 and problem),
        "problem": problem,
        "url": weights.url,
        "size_bytes": found.path.stat().st_size if found and sha256 else weights.size_bytes,
        "sha256": sha256 or weights.sha256,
        "verified": verified,
    }


def _other(path: Path) -> dict[str, Any]:
    verified, problem = False, None
    try:
        verified = verify(Found(path.stem.replace("--", ":"), path, "folder of weights", kept_sha256(path)))
    except FeatureUnavailableError as error:
        problem = str(error)
    return {"path": str(path), "size_bytes": path.stat().st_size, "verified": verified, "problem": problem}


def _table(entries: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
    for name in ("name", "for", "where"):
        table.add_column(name, overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("SHA-256", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    for entry in entries:
        size = f"{entry['size_bytes'] / 1e6:.1f} MB" if entry["size_bytes"] else "–"
        checksum = f"{entry['sha256'][:12]}…{' ✓' if entry['verified'] else ''}" if entry["sha256"] else "–"
        cells = (entry["name"], entry["purpose"], entry["where"] or _absent(entry), size, checksum, entry["licence"])
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table


def _absent(entry: dict[str, Any]) -> str:
    state = "damaged" if entry["damaged"] else "not there"
    return f"{state}; to fetch from {urlsplit(entry['url']).hostname}" if entry["url"] else state
