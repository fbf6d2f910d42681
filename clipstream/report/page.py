"""The page: one file that shows a stream's highlights on its timeline and plays them, without a network."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from clipstream.report.files import write_atomically
from clipstream.report.lanes import make_timeline
from clipstream.report.manifest import Highlight, Manifest
from clipstream.report.records import to_json
from clipstream.results import StreamSummary
from clipstream.settings import options
from clipstream.settings.option import duration_text
from clipstream.timing import SLICE_S, clock

__all__ = ["REPORT_NAME", "render_report", "write_report"]

REPORT_NAME = "report.html"

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def write_report(folder: Path, manifest: Manifest, summary: StreamSummary, thumbnails: Mapping[int, bytes]) -> Path:
    """Write `report.html` into the stream's folder and return its path.

    Args:
        folder: Where `clips/` is; the page plays the clips from there.
        manifest: What was found.
        summary: What was measured.
        thumbnails: JPEG files by number of the highlight; some or all may be missing.

    Raises:
        OutputError: It cannot be written.
    """
    path = folder / REPORT_NAME
    text = render_report(manifest, summary, thumbnails)
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def render_report(manifest: Manifest, summary: StreamSummary, thumbnails: Mapping[int, bytes]) -> str:
    """Return the page as HTML. Everything that is not the template's own text is escaped."""
    timeline = make_timeline(summary)
    data = {
        "duration_s": _span(manifest, summary),
        "point_s": float(SLICE_S) * timeline.slices_per_point,
        "threshold": manifest.threshold,
        **{key: value for key, value in to_json(timeline).items() if key in {"lanes", "points", "windows"}},
        "highlights": [_for_script(one) for one in manifest.highlights],
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(hms=_hms, size=_size, url=quote, amount=_amount)
    pictures = {number: base64.b64encode(jpeg).decode("ascii") for number, jpeg in thumbnails.items()}
    return environment.get_template("page.html.j2").render(
        manifest=manifest,
        lanes=timeline.lanes,
        measured=timeline.points > 0,
        pictures=pictures,
        kept_s=sum((one.end_s - one.start_s for one in manifest.highlights), Decimal(0)),
        groups=_by_group(manifest.settings),
        data=to_json(data),
    )


@dataclass(frozen=True, slots=True)
class _Setting:
    name: str
    value: str
    help: str
    changed: bool


def _by_group(values: Mapping[str, Any]) -> dict[str, list[_Setting]]:
    known = {option.name: option for option in options()}
    groups: dict[str, list[_Setting]] = {}
    for name, value in values.items():
        option, text = known.get(name), _in_words(value)
        if option is None:
            groups.setdefault("Others", []).append(_Setting(name, text, "", changed=True))
            continue
        changed = text != _in_words(option.default)
        if option.kind == "duration" and isinstance(value, int | float):
            text = duration_text(value)
        groups.setdefault(option.group, []).append(_Setting(option.key, text, option.help, changed))
    return groups


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={number:g}" for name, number in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def _for_script(one: Highlight) -> dict[str, Any]:
    told = (
        "number",
        "rank",
        "start_s",
        "end_s",
        "peak_s",
        "start",
        "end",
        "peak",
        "score",
        "reasons",
        "frames",
        "method",
        "notes",
    )
    start_s = one.start_s if one.clip_start_s is None else one.clip_start_s
    return {
        **{name: getattr(one, name) for name in told},
        "clip": one.clip,
        "url": None if one.clip is None else quote(one.clip),
        "clip_start_s": start_s,
    }


def _span(manifest: Manifest, summary: StreamSummary) -> float:
    return max(float(manifest.source.duration_s), len(summary.scores) * float(SLICE_S))


def _hms(time_s: Decimal) -> str:
    return clock(round(time_s * 10) * 100)[:-2]


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"


def _amount(value: float) -> str:
    return "–" if value != value else f"{value:.1f}"  # noqa: PLR0124 - NaN is the number unequal to itself
