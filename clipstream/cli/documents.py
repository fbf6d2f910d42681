"""What `--json` prints: one document on stdout. `docs/json.md` describes it."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from clipstream.errors import InputError
from clipstream.job import Outcome
from clipstream.report.manifest import MANIFEST_NAME
from clipstream.report.records import to_json

__all__ = ["RUN_SCHEMA", "print_document", "run_document", "said"]

RUN_SCHEMA = "clipstream/run/1"
"""The document's name and version. A field may be added without a new version; none changes its meaning or goes."""


def run_document(outcomes: Sequence[Outcome], errors: Sequence[InputError]) -> dict[str, Any]:
    """Return what became of every input, with its manifest, and what was wrong with arguments that are no inputs."""
    return {
        "schema": RUN_SCHEMA,
        "outcomes": [_outcome(outcome) for outcome in outcomes],
        "errors": [said(error) for error in errors],
    }


def said(error: Exception) -> dict[str, str]:
    """Return an error as JSON values."""
    return {"kind": type(error).__name__, "message": str(error)}


def print_document(document: dict[str, Any]) -> None:
    """Write a document to stdout."""
    sys.stdout.write(json.dumps(document, allow_nan=False, indent=2) + "\n")


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
