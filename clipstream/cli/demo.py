"""`main demo`: a scene of our own, and its highlights."""

import sys
from dataclasses import replace
from pathlib import Path

from clipstream.cli.options import Presentation
from clipstream.cli.run import run_inputs
from clipstream.log import configure_logging
from clipstream.media.demo import MOMENTS, make_demo
from clipstream.media.inputs import Input
from clipstream.report.files import write_atomically
from clipstream.settings import Settings

__all__ = ["run_demo"]

_STREAM = "demo"


def run_demo(settings: Settings, presentation: Presentation) -> int:
    """Make OUT/demo.mp4 unless it is there, find its highlights, and return the exit status.

    The scene has three moments worth keeping, and the best three are kept unless the settings say how many: of half a
    minute, the usual percentile would keep only the best.

    Raises:
        ClipstreamError: Nothing could be started.
    """
    configure_logging(settings, debug=presentation.debug)
    if settings.policy != "running" and {settings.top, settings.target_duration_s, settings.percentile} == {None}:
        settings = replace(settings, top=len(MOMENTS))
    path = Path(settings.out) / f"{_STREAM}.mp4"
    said = f"{path} is there already and is used as it is; remove or rename it for a new scene"
    if not path.exists():  # what is there may be the user's own, whatever --force says
        with write_atomically(path) as temporary:
            make_demo(temporary)
        said = f"made {path}"
    if not presentation.quiet:
        sys.stderr.write(said + "\n")
    status = run_inputs([Input(_STREAM, path)], (), settings, presentation)
    report = path.with_suffix("") / "report.html"
    if status == 0 and not presentation.quiet:
        sys.stderr.write(f"\nOpen {report} in a browser: a click on a highlight plays its clip.\n")
    return status
