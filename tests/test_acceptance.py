"""What a user gets from the whole program: nothing from dull footage and why, and every trick from a real clip."""

import csv
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from media_factory import Draw, Sound, Video, even_times, make_clip, noise, silence
from numpy.typing import NDArray
from scenes import run_program

LENGTH_S, RATE_HZ = 30, 10
DULL = ("still_and_silent", "still_with_noise", "grainy_with_noise", "still_without_sound")


def still(_: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(60, 200, (180, 320, 3), dtype=np.uint8)


def grainy(index: int) -> NDArray[np.uint8]:
    """Return the same picture as a sensor sees it in poor light: its noise has a standard deviation of 6 of 255."""
    grain = np.random.default_rng(index).normal(0, 6, (180, 320, 3))
    return np.clip(np.rint(still(0) + grain), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Ran:
    process: subprocess.CompletedProcess[str]
    out: Path


@pytest.fixture(scope="module")
def dull(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("dull")

    def make(name: str, draw: Draw, sound: Sound | None) -> Path:
        video = Video(even_times(LENGTH_S * RATE_HZ, RATE_HZ), draw, options=(("crf", "23"),))
        return make_clip(folder / f"{name}.mp4", video, sound)

    spans_s = [(0.0, float(LENGTH_S))]
    sounds = (Sound(spans_s, silence), Sound(spans_s, noise(0.1)), Sound(spans_s, noise(0.1, seed=1)), None)
    draws = (still, still, grainy, still)
    files = [make(name, draw, sound) for name, draw, sound in zip(DULL, draws, sounds, strict=True)]
    out = folder / "out"
    return Ran(run_program(*files, "--out", out, "--json"), out)


@pytest.mark.slow
@pytest.mark.xdist_group("dull")
def test_dull_footage_is_no_failure(dull: Ran) -> None:
    assert dull.process.returncode == 0, dull.process.stderr
    assert [one["state"] for one in json.loads(dull.process.stdout)["outcomes"]] == ["done"] * len(DULL)


@pytest.mark.slow
@pytest.mark.xdist_group("dull")
@pytest.mark.parametrize("name", DULL)
def test_dull_footage_has_no_highlight_and_everything_written_says_why(name: str, dull: Ran) -> None:
    folder = dull.out / name
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["highlights"] == []
    assert "Nothing stands out" in manifest["explanation"]
    assert manifest["explanation"] in (folder / "report.html").read_text(encoding="utf-8").replace("&#39;", "'")
    assert len((folder / "highlights.csv").read_text(encoding="utf-8").splitlines()) == 1
    assert not (folder / "clips").exists()


@pytest.mark.slow
def test_each_trick_of_a_real_clip_lies_in_a_clip_of_its_own(real_media: Path, tmp_path: Path) -> None:
    labels = json.loads((real_media / "labels" / "intervals.json").read_text(encoding="utf-8"))
    tricks_s = labels["synth/skate_with_cheer.mp4"]["trick"]
    ran = run_program(real_media / "synth" / "skate_with_cheer.mp4", "--top", "3", "--out", tmp_path)
    assert ran.returncode == 0, ran.stderr
    with (tmp_path / "skate_with_cheer" / "highlights.csv").open(encoding="utf-8", newline="") as table:
        spans_s = [(float(row["start_s"]), float(row["end_s"])) for row in csv.DictReader(table)]
    holding = [[n for n, (a, b) in enumerate(spans_s) if a <= start_s and end_s <= b] for start_s, end_s in tricks_s]
    assert sorted(holding) == [[0], [1], [2]], spans_s
    assert sum(end_s - start_s for start_s, end_s in spans_s) < 20
    assert len(list((tmp_path / "skate_with_cheer" / "clips").iterdir())) == 3
