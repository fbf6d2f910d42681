"""Measure the features that run models, beside their models alone and beside the reference's way; print the table.

    uv run python benchmarks/models.py                     # all of it, by torch
    uv run --extra openvino python benchmarks/models.py    # by OpenVINO and by torch
    uv run python benchmarks/models.py pose --device cuda  # these lines, there

Everything goes through files of 1080p30, each program with its own start, which is left out.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError

from benchmarks.footage import CACHE, Footage, prepare
from benchmarks.measures import Measure, Trial, compare, work
from benchmarks.run import conditions, parser_of, run_rounds, table
from clipstream.models.weights import find_weights

__all__ = ["engines", "main", "measures", "trials"]

_ENGINES = {"torch": "torch", "openvino": "OpenVINO"}
_ALL = ("audio", "embedding", "motion", "pose", "shots")
_REFERENCE_S = 4.0
_NAMES = ("pose", "embedding", "all", "reference", "memory")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for, print the table, and return the exit status."""
    parser = parser_of("Measure the features that run models, beside their models alone.", _NAMES)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="where models run")
    asked = parser.parse_args(arguments)
    there = engines(asked.device)
    chosen = [item for item in measures(there) if not asked.names or item.name in asked.names]
    try:
        print("preparing footage and a CLIP model …", file=sys.stderr)
        footage = prepare(asked.clip, asked.seconds, CACHE)
        clip = _random_clip(CACHE)
        with tempfile.TemporaryDirectory() as out:
            programs = trials(footage, clip, Path(out), asked.device)
            needed = dict.fromkeys(name for item in chosen for name in (item.of, item.against) if name)
            runs = run_rounds({name: programs[name] for name in needed}, asked.rounds)
    except CalledProcessError as error:
        print(f"{error.cmd[0]} failed; what it wrote is above.", file=sys.stderr)
        return 1
    print(table([(item, compare(item, runs, programs)) for item in chosen]))
    print(conditions(footage, runs, asked.rounds))
    if "openvino" not in there and asked.device in {"auto", "cpu"}:
        print("The openvino extra is not installed, and its lines are left out: uv run --extra openvino python …")
    return 0


def engines(device: str) -> tuple[str, ...]:
    """Return what models can be run by on a device here, the best first."""
    if device in {"auto", "cpu"} and find_spec("openvino") is not None:
        return ("openvino", "torch")
    return ("torch",)


def measures(there: Sequence[str]) -> tuple[Measure, ...]:
    """Return the lines of the table for the engines that are there."""
    return tuple(_measures(there))


def _measures(there: Sequence[str]) -> Iterator[Measure]:
    for engine in there:
        by = f"by {_ENGINES[engine]}"
        for name, trial, text in (
            ("pose", "pose", "pose at 7.5 fps, over the bare forwards"),
            ("embedding", "clip", "embedding at 2 fps with CLIP ViT-B/32, over the bare forwards"),
            ("embedding", "imagenet", "… with the ImageNet network"),
        ):
            yield Measure(name, f"{text}, {by}", "≤ 15 %", f"{trial} {engine}", f"{trial} forwards {engine}", "cost")
    for engine in there:
        goal = "≥ 2 × real time" if engine == "openvino" else ""
        by = f"by {_ENGINES[engine]}"
        yield Measure("all", f"all features by default, {by}", goal, f"all {engine}", None)
        yield Measure("all", f"… with CLIP and a prompt, {by}", goal, f"all clip {engine}", None)
    for engine in there:
        text = f"processor time of all features with CLIP, of the reference's way, by {_ENGINES[engine]}"
        yield Measure("reference", text, "≤ 0.33", f"all clip {engine}", "reference", "share")
    yield Measure(
        "memory", "peak memory with pose and embedding, long against short", "≤ 1.1 ×", "long", "short", "memory"
    )
    yield Measure("memory", "… of the long one", "< 2000 MB", "long", None, "memory")
    yield Measure("memory", "… of the short one with CLIP instead", "< 2000 MB", "short clip", None, "memory")


def trials(footage: Footage, clip: Path, out: Path, device: str) -> dict[str, Trial]:
    """Return every trial by name; what they write goes below `out`.

    Args:
        footage: What everything goes through.
        clip: Weights of ViT-B-32.
        out: An empty folder.
        device: As `--device` has it.
    """
    short, seconds = str(footage.short), footage.short_s
    vit = {"embedding_model": f"ViT-B-32:{clip}"}
    seen: dict[str, dict[str, object]] = {
        "pose": {"features": ["pose"]},
        "clip": {"features": ["embedding"], **vit},
        "imagenet": {"features": ["embedding"], "embedding_model": "efficientnet-lite0"},
        "all": {"features": _ALL, "embedding_model": "efficientnet-lite0"},
        "all clip": {"features": _ALL, **vit, "prompt": ["somebody jumps"]},
    }
    of: dict[str, Trial] = {}
    for engine, without in (("openvino", []), ("torch", ["openvino"])):
        for name, options in seen.items():
            given: dict[str, object] = {"device": device, "without": without, **options}
            of[f"{name} {engine}"] = Trial(work("flow", [short], **given), seconds)
            of[f"{name} forwards {engine}"] = Trial(work("forwards", [short], **given), seconds)
    yolo = str(find_weights("yolo11n-pose").path)
    reference = (str(Path(__file__).with_name("reference.py")), device, str(clip), yolo, short, str(_REFERENCE_S))
    of["reference"] = Trial((sys.executable, *reference), _REFERENCE_S)
    for name, file, file_s, model in (
        ("short", footage.short, seconds, "efficientnet-lite0"),
        ("long", footage.long, footage.long_s, "efficientnet-lite0"),
        ("short clip", footage.short, seconds, vit["embedding_model"]),
    ):
        of[name] = Trial(_command(file, out / name, device, model), file_s, once=True)
    return of


def _command(file: Path, out: Path, device: str, embedding_model: str) -> tuple[str, ...]:
    features = ("--features", "pose", "--features", "embedding", "--device", device)
    return (
        sys.executable,
        "-m",
        "clipstream",
        str(file),
        "-o",
        str(out),
        "--quiet",
        "--force",
        "--top",
        "3",
        "--embedding-model",
        embedding_model,
        *features,
    )


def _random_clip(folder: Path) -> Path:
    path = folder / "ViT-B-32-random.pt"
    if not path.exists():  # by a program of its own, which keeps this one small, see `Usage.peak_mb`
        make = str(Path(__file__).with_name("random_clip.py"))
        subprocess.run([sys.executable, make, "ViT-B-32", str(path)], check=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
