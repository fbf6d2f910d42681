"""`main inspect`: what is in a file, and what would be done with it."""

import json
from pathlib import Path

import pytest

from clipstream.cli import main
from clipstream.settings import Settings

pytestmark = pytest.mark.usefixtures("clean_surroundings")

Capture = pytest.CaptureFixture[str]


def test_inspect_says_what_is_in_a_file_and_what_would_be_done(
    real_media: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = real_media / "synth" / "skate_with_cheer.mp4"
    assert main(["inspect", str(path), "-o", str(tmp_path), "--window", "10"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in ("video h264 640×360 30 fps", "44100 Hz", "12 frames a second", "and the sound", "not done yet"):
        assert part in text
    assert "10s every 3s" in text
    assert "smart, files like the footage" in text


def test_inspect_as_json_holds_good_files_and_errors(real_media: Path, tmp_path: Path, capsys: Capture) -> None:
    good, bad = real_media / "videos" / "skate.mp4", real_media / "synth" / "empty.mp4"
    assert main(["--json", "inspect", str(good), str(bad), "-o", str(tmp_path)]) == 2
    written = capsys.readouterr()
    document = json.loads(written.out)
    assert document["files"][0]["video"]["display_width_px"] == 640
    assert document["files"][0]["finished"] is False
    assert [error["kind"] for error in document["errors"]] == ["UnreadableMediaError"]
    assert written.err.startswith(f"clipstream: {bad}: the file is empty")


@pytest.mark.parametrize("presented", [(), ("--json",)])
def test_no_model_is_loaded_where_no_file_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, presented: tuple[str, ...]
) -> None:
    def load(_: Settings) -> None:
        raise AssertionError("models were loaded")

    monkeypatch.setattr("clipstream.cli.inspect.select_features", load)
    (tmp_path / "empty.mp4").touch()
    assert main(["inspect", str(tmp_path / "empty.mp4"), "absent.mp4", *presented]) == 2
    out, err = capsys.readouterr()
    assert "empty.mp4: the file is empty" in err
    assert "absent.mp4: there is no such file" in err
    assert (json.loads(out)["features"] == {}) if presented else not out
