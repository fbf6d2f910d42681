"""What a user gets from the whole program: nothing from dull footage and why, and every trick from a real clip."""

import csv
import html
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scenes import run_program

from clipstream.testing.media import Draw, Sound, Video, even_times, make_clip, noise, silence

LENGTH_S, RATE_HZ = 20, 10


def still(_: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(60, 200, (180, 320, 3), dtype=np.uint8)


def grainy(index: int) -> NDArray[np.uint8]:
    """Return the same picture as a sensor sees it in poor light: its noise has a standard deviation of 6 of 255."""
    grain = np.random.default_rng(index).normal(0, 6, (180, 320, 3))
    return np.clip(np.rint(still(0) + grain), 0, 255).astype(np.uint8)


def make_dull(folder: Path) -> list[Path]:
    def make(name: str, draw: Draw, sound: Sound | None) -> Path:
        video = Video(even_times(LENGTH_S * RATE_HZ, RATE_HZ), draw, options=(("crf", "23"),))
        return make_clip(folder / f"{name}.mp4", video, sound)

    spans_s = [(0.0, float(LENGTH_S))]
    return [
        make("still_and_silent", still, Sound(spans_s, silence)),
        make("still_with_noise", still, Sound(spans_s, noise(0.1))),
        make("grainy_with_noise", grainy, Sound(spans_s, noise(0.1, seed=1))),
        make("still_without_sound", still, None),
    ]


@pytest.mark.slow
def test_dull_footage_is_no_failure_and_everything_written_says_why_there_is_no_highlight(tmp_path: Path) -> None:
    files = make_dull(tmp_path)
    ran = run_program(*files, "--out", tmp_path / "out", "--json")
    assert ran.returncode == 0, ran.stderr
    assert [one["state"] for one in json.loads(ran.stdout)["outcomes"]] == ["done"] * len(files)
    for path in files:
        folder = tmp_path / "out" / path.stem
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["highlights"] == [], path.stem
        assert "Nothing stands out" in manifest["explanation"]
        assert manifest["explanation"] in html.unescape((folder / "report.html").read_text(encoding="utf-8"))
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
