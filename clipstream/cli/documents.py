"""What `--json` prints: one document on stdout. `docs/json.md` describes it."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from clipstream.errors import ClipstreamError, InputError
from clipstream.media.cutter import ClipResult, ClipSpec
from clipstream.report.description import seconds
from clipstream.report.manifest import MANIFEST_NAME
from clipstream.report.records import to_json
from clipstream.run.watchers import Outcome

__all__ = ["CUT_SCHEMA", "RUN_SCHEMA", "cut_document", "print_document", "run_document", "said"]

CUT_SCHEMA = "clipstream/cut/1"
"""Name and version of the document that `cut --json` prints."""

RUN_SCHEMA = "clipstream/run/1"
"""The document's name and version. A field may be added without a new version; none changes its meaning or goes."""


def run_document(outcomes: Sequence[Outcome], errors: Sequence[InputError]) -> dict[str, Any]:
    """Return what became of every input, with its manifest, and what was wrong with arguments that are no inputs."""
    return {
        "schema": RUN_SCHEMA,
        "outcomes": [_outcome(outcome) for outcome in outcomes],
        "errors": [said(error) for error in errors],
    }


def cut_document(
    source: str,
    clips: Sequence[tuple[ClipSpec, ClipResult]],
    reel: ClipResult | None,
    errors: Sequence[ClipstreamError],
) -> dict[str, Any]:
    """Return what was cut from a file, and what could not be."""
    return {
        "schema": CUT_SCHEMA,
        "source": source,
        "clips": [
            {"from_s": to_json(seconds(spec.start_s)), "to_s": to_json(seconds(spec.end_s)), **_clip(result)}
            for spec, result in clips
        ],
        "reel": _clip(reel) if reel else None,
        "errors": [said(error) for error in errors],
    }


def said(error: Exception) -> dict[str, str]:
    """Return an error as JSON values."""
    return {"kind": type(error).__name__, "message": str(error)}


def print_document(document: dict[str, Any]) -> None:
    """Write a document to stdout."""
    sys.stdout.write(json.dumps(document, allow_nan=False, indent=2) + "\n")


def _clip(clip: ClipResult) -> dict[str, Any]:
    return {
        "path": str(clip.path),
        "start_s": to_json(seconds(clip.start_s)),
        "end_s": to_json(seconds(clip.end_s)),
        "frames": clip.frames,
        "copied": clip.copied,
        "method": clip.method,
        "notes": list(clip.notes),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "stream": outcome.stream,
        "source": str(outcome.source),
        "folder": str(outcome.folder),
        "state": outcome.state,
        "message": outcome.message,
        "manifest_path": str(outcome.folder / MANIFEST_NAME) if outcome.manifest else None,
        "manifest": to_json(outcome.manifest),
    }
