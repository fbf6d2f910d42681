"""`main search DIR "text or an image file"`: the moments in saved embeddings that are most like it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from clipstream.cli.documents import print_document
from clipstream.cli.options import Presentation
from clipstream.cli.summary import output_console
from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.saved.search import Moment, SavedVectors, find_saved, moments, query_picture, score
from clipstream.timing import clock

__all__ = ["SEARCH_SCHEMA", "search_folder"]

SEARCH_SCHEMA = "clipstream/search/1"
"""Name and version of the document that `search --json` prints."""


def search_folder(folder: Path, query: str, top: int, presentation: Presentation) -> int:
    """Say which moments of the footage whose embeddings are below `folder` are most like `query`; return 0.

    Raises:
        UsageError: The query is empty.
        InputError: There are no embeddings, none that can be read, or no such picture.
        FeatureUnavailableError: The model that the embeddings are of is not there, or is another by now, or reads no
            text.
    """
    if not query.strip():
        raise UsageError("the query is empty; say in a few words what to look for, or name a picture.")
    picture = query_picture(query)
    found = find_saved(folder)
    chosen = _chosen(found.saved, by_text=picture is None)
    model = _model_of(chosen)
    others = [(one.path, _unlike(one, chosen)) for one in found.saved if one not in chosen]
    compared = score(chosen, _vector(model, query, picture))
    passed_over = (*found.unreadable, *compared.unreadable, *others)
    damaged = {path for path, _ in compared.unreadable}
    chosen = [one for one in chosen if one.path not in damaged]
    ranked = moments(compared.scores, top)
    if presentation.as_json:
        print_document(_document(query, chosen, ranked, passed_over, is_picture=picture is not None, model=model))
        return 0
    console = output_console()
    console.print(_table(ranked) if ranked else Text("There is nothing to find: the embeddings are of no frames."))
    frames = sum(one.frames for one in chosen)
    console.print(Text(f"  searched: {frames} frames of {_streams(len(chosen))}, model {model}"), soft_wrap=True)
    for path, why in passed_over:
        console.print(Text(f"  note: {path} was passed over: {why}"), soft_wrap=True)
    return 0


def _chosen(saved: Sequence[SavedVectors], *, by_text: bool) -> list[SavedVectors]:
    """Return those of one model: the one that most frames are of, among those that read text if that is needed."""
    able = [one for one in saved if ":" in one.model or not by_text]
    if not able:
        from clipstream.models.embedding import CLIP  # noqa: PLC0415 - loads torch

        raise FeatureUnavailableError(
            f"{saved[0].path}: is of {saved[0].model}, which knows pictures and no text: search with an image file, or "
            f"run 'clipstream weights fetch {CLIP}' and then the footage again with --save embeddings."
        )
    frames: Counter[tuple[str, str]] = Counter()
    for one in able:
        frames[_weights(one)] += one.frames
    (most, _), *_ = frames.most_common(1)
    return [one for one in able if _weights(one) == most]


def _weights(saved: SavedVectors) -> tuple[str, str]:
    """Return what makes vectors comparable: the architecture and the checksum, however the file was named."""
    return saved.model.partition(":")[0], saved.checksum


def _unlike(one: SavedVectors, chosen: Sequence[SavedVectors]) -> str:
    known = {saved.model for saved in chosen}
    return f"of other weights of {one.model}" if one.model in known else f"of another model: {one.model}"


def _model_of(chosen: Sequence[SavedVectors]) -> str:
    """Return the first of the names that these embeddings were made under by which their weights are still there.

    Raises:
        FeatureUnavailableError: There is none.
    """
    from clipstream.models.embedding import embedding_weights  # noqa: PLC0415 - loads torch
    from clipstream.models.weights import sha256_of  # noqa: PLC0415 - loaded with it

    problems = []
    for model, saved in {one.model: one for one in chosen}.items():
        try:
            seen = sha256_of(embedding_weights(model)[1].path)
        except FeatureUnavailableError as error:
            problems.append(error)
            continue
        if seen == saved.checksum:
            return model
        problems.append(
            FeatureUnavailableError(
                f"{saved.path}: was made with other weights of {model}: their SHA-256 begins {saved.checksum[:12]}, "
                f"that of those here {seen[:12]}; put those back, or run the footage again with --save embeddings."
            )
        )
    raise problems[0]


def _vector(model: str, query: str, picture: NDArray[np.uint8] | None) -> NDArray[np.float32]:
    from clipstream.models.embedding import load_embedder  # noqa: PLC0415 - loads torch
    from clipstream.models.prompts import Prompts  # noqa: PLC0415 - the same

    embedder = load_embedder(model)
    vector: NDArray[np.float32] = (Prompts(embedder, [query]).vectors if picture is None else embedder(picture))[0]
    return vector


def _streams(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"


def _table(ranked: Sequence[Moment]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
    for name in ("rank", "similarity", "start", "peak", "end"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("stream", no_wrap=True)
    table.add_column("source", overflow="fold")
    for rank, one in enumerate(ranked, start=1):
        times = (clock(round(time_s * 1000)) for time_s in (one.start_s, one.peak_s, one.end_s))
        cells = (str(rank), f"{one.similarity:.3f}", *times, one.saved.stream, one.saved.source)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _document(
    query: str,
    chosen: Sequence[SavedVectors],
    ranked: Sequence[Moment],
    passed_over: Sequence[tuple[Path, str]],
    *,
    is_picture: bool,
    model: str,
) -> dict[str, Any]:
    return {
        "schema": SEARCH_SCHEMA,
        "query": query,
        "kind": "image" if is_picture else "text",
        "model": model,
        "checksum": chosen[0].checksum,
        "streams": len(chosen),
        "frames": sum(one.frames for one in chosen),
        "moments": [
            {
                "rank": rank,
                "similarity": round(one.similarity, 6),
                "start_s": round(one.start_s, 3),
                "peak_s": round(one.peak_s, 3),
                "end_s": round(one.end_s, 3),
                "stream": one.saved.stream,
                "source": one.saved.source,
                "folder": str(one.saved.path.parent),
            }
            for rank, one in enumerate(ranked, start=1)
        ],
        "passed_over": [{"path": str(path), "why": why} for path, why in passed_over],
    }
