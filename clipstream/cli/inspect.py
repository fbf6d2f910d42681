"""`main inspect FILE…`: what is in files, and what clipstream would do with them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from clipstream.cli.documents import print_document, said
from clipstream.cli.options import Presentation
from clipstream.cli.summary import output_console
from clipstream.cli.watching import print_error
from clipstream.errors import InputError
from clipstream.features.registry import Selection, select_features
from clipstream.log import configure_logging
from clipstream.media.inputs import Input, expand_inputs
from clipstream.media.pictures import DecodeMode, skips_frames
from clipstream.media.probe import MediaInfo, VideoInfo, fingerprint, probe
from clipstream.media.slices import MediaNeeds
from clipstream.output import finished_manifest
from clipstream.run.namesakes import named_apart
from clipstream.settings import Settings
from clipstream.settings.option import duration_text
from clipstream.timing import clock, to_ms

__all__ = ["INSPECT_SCHEMA", "Inspection", "inspect_files"]

INSPECT_SCHEMA = "clipstream/inspect/1"
"""Name and version of the document that `inspect --json` prints."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file, and what would be done with it.

    Attributes:
        stream: The name it would go by.
        media: What is in it.
        reading: How it would be read, in words.
        folder: Where its results would be.
        finished: Whether they are there already, with the same settings.
    """

    stream: str
    media: MediaInfo
    reading: str
    folder: Path
    finished: bool


def inspect_files(arguments: Sequence[str], settings: Settings, presentation: Presentation) -> int:
    """Describe everything that `arguments` name and return the exit status: 2 when one of them cannot be used.

    Raises:
        ClipstreamError: A feature that was named is not there or cannot be used.
    """
    configure_logging(settings, debug=presentation.debug)
    inputs, errors = expand_inputs(arguments)
    usable = []
    for item in named_apart(Path(settings.out), inputs):
        try:
            usable.append((item, probe(item.path), fingerprint(item.path)))
        except InputError as error:
            errors.append(error)
    for wrong in errors:
        print_error(str(wrong))
    # Their models take seconds to load, for nothing where there is nothing to look at.
    selection = select_features(settings) if usable else Selection((), (), ())
    found = [_inspect(*one, settings, selection) for one in usable]
    if presentation.as_json:
        print_document(_document(found, errors, settings, selection))
    elif found:
        console = output_console()
        for one in found:
            console.print(Text(str(one.media.path), style="bold"), soft_wrap=True)
            console.print(_grid(_file_lines(one)), "")
        console.print(Text("With these settings", style="bold"))
        console.print(_grid(_plan_lines(settings, selection)))
    return 2 if errors else 0


def _inspect(
    item: Input, media: MediaInfo, source_fingerprint: str, settings: Settings, selection: Selection
) -> Inspection:
    out = Path(settings.out)
    finished = finished_manifest(out, item.stream, source_fingerprint, settings, selection.infos) is not None
    return Inspection(item.stream, media, _reading(media, settings, selection), out / item.stream, finished)


def _reading(media: MediaInfo, settings: Settings, selection: Selection) -> str:
    needs, parts = selection.needs, []
    if media.video and media.video.decodable and needs.frames:
        parts.append(_pictures(media.video, settings, needs))
    if media.audio and media.audio.decodable and needs.audio:
        parts.append("the sound")
    return ", and ".join(parts) or "nothing that the features in use can look at"


def _pictures(video: VideoInfo, settings: Settings, needs: MediaNeeds) -> str:
    mode = DecodeMode.of(settings)
    if mode is DecodeMode.KEYFRAMES:
        return "keyframes alone"
    if mode is DecodeMode.ALL:
        return "every frame"
    rate = f"{settings.analysis_fps:g} frames a second"
    if skips_frames(mode, needs.frames, video.average_rate):
        return f"{rate}, without decoding those that no other needs"
    return rate


def _file_lines(one: Inspection) -> Iterator[tuple[str, str]]:
    media = one.media
    length = clock(to_ms(media.duration_s)) if media.duration_s is not None else "length unknown"
    size = f"{media.size_bytes / 1e6:.1f} MB"
    rate = f", {media.bit_rate / 1e6:.2f} Mbit/s" if media.bit_rate else ""
    yield "container", f"{media.container}, {length}, {size}{rate}"
    for track in media.tracks:
        yield "track", track
    if media.video and media.video.decodable:
        yield "shown as", _shown(media.video)
    for kind, info in (("video", media.video), ("audio", media.audio)):
        if info is None:
            yield kind, "none"
        elif not info.decodable:
            yield kind, f"cannot be decoded ({info.codec})"
    yield "looks at", one.reading
    state = "finished already with these settings; --force does it again" if one.finished else "not done yet"
    yield "results", f"{one.folder} ({state})"


def _shown(video: VideoInfo) -> str:
    turned = f", turned {video.rotation_deg}° clockwise" if video.rotation_deg else ""
    mirrored = ", mirrored" if video.mirrored else ""
    return f"{video.display_width_px}×{video.display_height_px}{turned}{mirrored}"


def _plan_lines(settings: Settings, selection: Selection) -> Iterator[tuple[str, str]]:
    used = (f"{info.name} {info.weight:g}" if info.weight else f"{info.name} (informs)" for info in selection.infos)
    yield "features", ", ".join(used)
    for info in selection.infos:
        if info.about:
            yield "model", f"{info.name}: {info.about}"
    for name, why in selection.left_out:
        yield "left out", f"{name}: {why}"
    yield "windows", f"{duration_text(settings.window_s)} every {duration_text(settings.hop_s)}"
    policy = "whole" if settings.policy == "auto" else settings.policy
    yield "policy", f"{policy}, floor {settings.floor:g}"
    yield "clips", f"{duration_text(settings.min_length_s)} to {duration_text(settings.max_length_s)}"
    kind = "like the footage" if settings.container == "source" else settings.container.upper()
    yield "cutting", f"{settings.cut}, files {kind}{', joined to a reel as well' if settings.join else ''}"


def _grid(lines: Iterator[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=11)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(Text(f"  {name}"), Text(text))
    return table


def _document(
    found: Sequence[Inspection], errors: Sequence[InputError], settings: Settings, selection: Selection
) -> dict[str, Any]:
    return {
        "schema": INSPECT_SCHEMA,
        "files": [_file(one) for one in found],
        "errors": [said(error) for error in errors],
        "features": {info.name: info.weight for info in selection.infos},
        "left_out": dict(selection.left_out),
        "settings": settings.as_dict(),
    }


def _file(one: Inspection) -> dict[str, Any]:
    media = one.media
    document: dict[str, Any] = {
        "stream": one.stream,
        "path": str(media.path),
        "container": media.container,
        "duration_s": None if media.duration_s is None else round(float(media.duration_s), 3),
        "size_bytes": media.size_bytes,
        "bit_rate": media.bit_rate,
        "tracks": list(media.tracks),
        "video": None,
        "audio": None,
        "reading": one.reading,
        "folder": str(one.folder),
        "finished": one.finished,
    }
    if video := media.video:
        document["video"] = {
            "codec": video.codec,
            "width_px": video.width_px,
            "height_px": video.height_px,
            "display_width_px": video.display_width_px,
            "display_height_px": video.display_height_px,
            "rotation_deg": video.rotation_deg,
            "mirrored": video.mirrored,
            "average_rate": float(video.average_rate) if video.average_rate else None,
            "decodable": video.decodable,
        }
    if audio := media.audio:
        document["audio"] = {
            "codec": audio.codec,
            "rate_hz": audio.rate_hz,
            "channels": audio.channels,
            "decodable": audio.decodable,
        }
    return document
