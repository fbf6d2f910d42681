"""Footage with moments at known times, and how to run the program on it."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from clipstream.testing.scene import MOMENTS_S, make_scene

__all__ = ["LIGHT", "MOMENTS_S", "clip_digests", "make_scene", "run_program"]

LIGHT = ("audio", "motion", "shots")
"""Features without a model: loading one takes seconds, where a test is about something else."""

_ROOT = Path(__file__).parents[1]


def run_program(
    *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "clipstream", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
        env=None if environment is None else dict(environment),
        timeout=120,
    )


def clip_digests(folder: Path) -> dict[str, str]:
    """Return name and content hash of every clip below `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("[!.]*/clips/*"))
    }
