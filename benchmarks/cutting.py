"""What cutting costs: ten clips out of ten minutes of 720p30, beside stream copy and a full re-encode in the same run.

    uv run python benchmarks/cutting.py [CLIP] [--hours 2] [--repeats 3]

CLIP is any real clip of a few seconds, a skater by default; it is scaled to 1280×720, encoded with a keyframe every 60
frames and looped, with two tracks of sound. `--hours` adds a file of that length, for the memory. The ffmpeg program is
needed.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

SKATER = Path(__file__).parents[2] / "shared" / "media" / "videos" / "skate.mp4"
CLIPS = 10
CLIP_S = 12
SPACING_S = Fraction(5501, 100)
FIRST_S = Fraction(1037, 100)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and wall seconds, and the largest memory, of one job."""

    cpu_s: float
    wall_s: float
    memory_mb: float


def spans(length_s: int) -> list[tuple[Fraction, Fraction]]:
    """Return spans that start between keyframes, spread over a file."""
    stretch = Fraction(length_s, 600)
    starts = [(FIRST_S + n * SPACING_S) * stretch for n in range(CLIPS)]
    return [(start_s, start_s + CLIP_S) for start_s in starts]


def make_footage(clip: Path, folder: Path, length_s: int) -> Path:
    """Scale, encode and loop a clip."""
    once, path = folder / "once.mp4", folder / f"footage-{length_s}.mp4"
    if not once.exists():
        sound = ["-f", "lavfi", "-i", "sine=440:r=48000", "-f", "lavfi", "-i", "anoisesrc=r=48000:a=0.1"]
        pictures = ["-vf", "scale=1280:720,setsar=1,fps=30", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20"]
        spacing = ["-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-bf", "2", "-pix_fmt", "yuv420p"]
        tracks = ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:a", "aac", "-shortest", "-t", "20"]
        ffmpeg("-i", clip, *sound, *pictures, *spacing, *tracks, once)
    ffmpeg("-stream_loop", "-1", "-i", once, "-map", "0", "-c", "copy", "-t", str(length_s), path)
    return path


def ffmpeg(*arguments: str | Path) -> None:
    """Run the ffmpeg program."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-nostdin", *map(str, arguments)], check=True)


def by_clipstream(mode: str, source: Path, folder: Path) -> None:
    """Cut with one of our cutters."""
    from clipstream.media.cut import CutMode, make_cutter  # noqa: PLC0415 - the import is part of the job
    from clipstream.media.cutter import ClipSpec  # noqa: PLC0415

    cutter = make_cutter(CutMode(mode))
    length_s = int(source.stem.split("-")[1])
    for number, (start_s, end_s) in enumerate(spans(length_s)):
        cutter.cut(ClipSpec(source, folder / f"{mode}-{number}.mp4", start_s, end_s), lambda: False)


def by_ffmpeg(options: Sequence[str], source: Path, folder: Path) -> None:
    """Cut with the ffmpeg program."""
    length_s = int(source.stem.split("-")[1])
    for number, (start_s, end_s) in enumerate(spans(length_s)):
        start, length = f"{float(start_s):.6f}", f"{float(end_s - start_s):.6f}"
        ffmpeg("-ss", start, "-i", source, "-t", length, "-map", "0", *options, folder / f"ffmpeg-{number}.mp4")


def measure(job: Callable[..., None], *arguments: object) -> Cost:
    """Run a job in a process of its own."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sender, job, arguments))
    process.start()
    cost: Cost = receiver.recv()
    process.join()
    return cost


def _report(sender: Connection, job: Callable[..., None], arguments: tuple[object, ...]) -> None:
    started = perf_counter()
    job(*arguments)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(usage.ru_utime + usage.ru_stime for usage in used)
    sender.send(Cost(cpu_s, perf_counter() - started, max(usage.ru_maxrss for usage in used) / 1024))


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the medians."""
    return Cost(
        statistics.median(cost.cpu_s for cost in costs),
        statistics.median(cost.wall_s for cost in costs),
        statistics.median(cost.memory_mb for cost in costs),
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?", default=SKATER)
    parser.add_argument("--hours", type=float, default=0, help="length of a second file, for the memory")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    encode = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "copy")
    jobs: dict[str, tuple[Callable[..., None], object]] = {
        "ffmpeg -c copy": (by_ffmpeg, ("-c", "copy")),
        "ffmpeg libx264 veryfast crf 18": (by_ffmpeg, encode),
        "clipstream --cut copy": (by_clipstream, "copy"),
        "clipstream --cut smart": (by_clipstream, "smart"),
        "clipstream --cut encode": (by_clipstream, "encode"),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make_footage(options.clip, folder, 600)
        print(f"{CLIPS} clips of {CLIP_S} s out of 10 min, {source.stat().st_size / 1e6:.0f} MB", file=sys.stderr)
        # One after the other in each round, so that a change of the machine's pace meets all of them.
        rounds = [
            {job: measure(call, how, source, folder) for job, (call, how) in jobs.items()}
            for _ in range(options.repeats)
        ]
        costs = {job: middle([one[job] for one in rounds]) for job in jobs}
        copy, whole = costs["ffmpeg -c copy"].cpu_s, costs["ffmpeg libx264 veryfast crf 18"].cpu_s
        print("| | CPU s | × stream copy | × full re-encode | memory |\n| --- | --- | --- | --- | --- |")
        for job, cost in costs.items():
            ratios = f"{cost.cpu_s / copy:.1f} | {cost.cpu_s / whole:.3f}"
            print(f"| {job} | {cost.cpu_s:.2f} | {ratios} | {cost.memory_mb:.0f} MB |")
        if options.hours:
            source = make_footage(options.clip, folder, round(options.hours * 3600))
            cost = measure(by_clipstream, "smart", source, folder)
            print(f"| clipstream --cut smart, {options.hours:g} h | {cost.cpu_s:.2f} | | | {cost.memory_mb:.0f} MB |")


if __name__ == "__main__":
    main()
