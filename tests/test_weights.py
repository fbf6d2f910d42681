"""Weights: where they are looked for, that they are what they should be, and how they are fetched."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.models import weights as catalogue
from clipstream.models.download import fetch_weights, fetchable
from clipstream.models.weights import (
    CATALOGUE,
    Weights,
    cache_folder,
    find_weights,
    published,
    sha256_of,
    verify,
    weights_folder,
)

CONTENT = b"numbers" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPSTREAM_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("CLIPSTREAM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


class Server(HTTPServer):
    """Serves one file at /file, a redirection to it with the hub's headers at /hub, and all but its end at /broken."""

    content = CONTENT
    published: str | None = DIGEST


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()
        if self.path in {"/file", "/broken"} and self.command == "GET":
            self.wfile.write(self.server.content[: None if self.path == "/file" else -1])

    def _answer(self) -> None:
        match self.path:
            case "/hub":
                self.send_response(302)
                self.send_header("Location", "/file")
                if self.server.published:
                    self.send_header("X-Linked-ETag", f'"{self.server.published}"')
            case "/file" | "/broken":
                self.send_response(200)
                self.send_header("Content-Length", str(len(self.server.content)))
            case _:
                self.send_response(404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _serving() -> Iterator[tuple[Server, str]]:
    with Server(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def served() -> Iterator[tuple[Server, str]]:
    with _serving() as serving:
        yield serving


def entry(url: str, sha256: str | None = DIGEST) -> Weights:
    return Weights("numbers", "testing", "numbers.pt", url, "none", sha256=sha256)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Weights of a catalogue that knows nothing else."""
    weights = entry("http://127.0.0.1:9/file")
    monkeypatch.setattr(catalogue, "CATALOGUE", (weights,))
    return weights


@pytest.mark.parametrize("weights", [one for one in CATALOGUE if one.package], ids=lambda one: one.name)
def test_a_package_carries_the_default_weights_as_the_catalogue_has_them(weights: Weights, folder: Path) -> None:
    found = find_weights(weights.name)
    assert weights.package
    assert found.where.startswith(f"package {weights.package.distribution} ")
    assert found.path.stat().st_size == weights.size_bytes


def test_the_folder_of_weights_comes_before_a_package(folder: Path) -> None:
    carried = find_weights("yolo11n-pose").path
    (folder / "yolo11n-pose.pt").write_bytes(carried.read_bytes())
    found = find_weights("yolo11n-pose")
    assert (found.path, found.where) == (folder / "yolo11n-pose.pt", "CLIPSTREAM_WEIGHTS")


def test_a_path_comes_before_everything_and_is_taken_as_it_is(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.pt"
    own.write_bytes(b"whatever")
    assert find_weights(str(own)).path == own


def test_a_file_in_the_folder_that_no_catalogue_knows_is_found_by_its_name(folder: Path) -> None:
    (folder / "mine.safetensors").write_bytes(b"whatever")
    (folder / "ViT-B-16--openai.pt").write_bytes(b"whatever")
    assert find_weights("mine").path == folder / "mine.safetensors"
    assert find_weights("ViT-B-16:openai").path == folder / "ViT-B-16--openai.pt"


@pytest.mark.parametrize("name", ["mine.onnx", "mine.engine", "mine_openvino_model"])
def test_an_export_is_found_by_name_and_by_path(folder: Path, name: str) -> None:
    if name.endswith("_model"):
        (folder / name).mkdir()
    path = folder / name / "mine.xml" if name.endswith("_model") else folder / name
    path.write_bytes(b"whatever")
    assert find_weights("mine").path == find_weights(str(folder / name)).path == path


@pytest.mark.parametrize("models", [0, 2])
def test_a_folder_stands_for_the_one_model_in_it(folder: Path, models: int) -> None:
    (folder / "mine_openvino_model").mkdir()
    for number in range(models):
        (folder / "mine_openvino_model" / f"{number}.xml").write_bytes(b"")
    with pytest.raises(FeatureUnavailableError, match=rf"holds {models} OpenVINO models \(.xml\); name one"):
        find_weights("mine")


def test_a_model_named_as_ultralytics_names_it_is_found_by_its_name(folder: Path) -> None:
    assert find_weights("yolo11n-pose.pt").path == find_weights("yolo11n-pose").path
    (folder / "mine.pt").write_bytes(b"whatever")
    assert find_weights("mine.pt").path == folder / "mine.pt"


def test_a_folder_that_cannot_be_read_is_said_where_it_was_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    carried = find_weights("yolo11n-pose")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        with pytest.raises(FeatureUnavailableError, match=r"weights: cannot be read .* another folder in CLIPSTREAM"):
            find_weights("yolo11n-pose")
        patch.delenv("CLIPSTREAM_WEIGHTS")
        assert find_weights("yolo11n-pose") == carried, "nobody has to have a cache"
        patch.setattr(Path, "is_dir", refuse)
        with pytest.raises(FeatureUnavailableError, match=r"own.onnx: cannot be read \(Permission denied\); allow"):
            find_weights("/somewhere/own.onnx")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("yolo11x-pose", "run 'clipstream weights fetch yolo11x-pose', or put them into .* as yolo11x-pose.pt"),
        ("yolo26s-pose.pt", "run 'clipstream weights fetch yolo26s-pose', or put them into"),
        ("ViT-B-32:laion2b_s34b_b79k", "run 'clipstream weights fetch ViT-B-32:laion2b_s34b_b79k', or put them into"),
        ("nonsense", "there are no weights nonsense: by name there are .* such as .*; others are found in"),
        ("/nowhere/own.pt", "/nowhere/own.pt: there is no such file of weights; check the path"),
        ("/nowhere/own", "/nowhere/own: there is no such file of weights; check the path"),
        ("own.pt", "own.pt: there is no such file of weights; check the path"),
        ("clip.ckpt", "clip.ckpt: there is no such file of weights; check the path"),
    ],
)
def test_what_is_missing_is_said_with_how_to_get_it(folder: Path, name: str, said: str) -> None:
    with pytest.raises(FeatureUnavailableError, match=said):
        find_weights(name)


def test_a_file_that_does_not_say_what_it_is_is_answered_with_the_suffixes_that_do(folder: Path) -> None:
    (folder / "clip.ckpt").write_bytes(b"whatever")
    with pytest.raises(FeatureUnavailableError, match=r"clip.ckpt: .* end in .pt, .pth, .safetensors, .*: rename it"):
        find_weights(str(folder / "clip.ckpt"))


def test_a_pose_model_that_nobody_knows_is_answered_with_pose_models_alone(folder: Path) -> None:
    with pytest.raises(FeatureUnavailableError) as caught:
        find_weights("nonsense")
    named = set(re.findall(r"[\w-]+-pose", str(caught.value)))
    assert named
    assert all(published(name) for name in named)
    assert not [one.name for one in CATALOGUE if one.name in str(caught.value) and one.name not in named]


def test_a_file_that_is_not_what_its_name_says_is_refused(folder: Path) -> None:
    (folder / "yolo11n-pose.pt").write_bytes(b"something else")
    with pytest.raises(FeatureUnavailableError, match="is not yolo11n-pose, or is damaged: its SHA-256 begins"):
        find_weights("yolo11n-pose")


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(b"one")
    before = sha256_of(path)
    path.write_bytes(b"three")
    assert sha256_of(path) != before
    with pytest.raises(FeatureUnavailableError, match="cannot be read"):
        sha256_of(tmp_path / "none.pt")


def test_without_the_variable_weights_lie_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPSTREAM_WEIGHTS", raising=False)
    monkeypatch.setenv("CLIPSTREAM_CACHE", str(tmp_path))
    assert weights_folder() == tmp_path / "weights"
    monkeypatch.delenv("CLIPSTREAM_CACHE")
    assert cache_folder().name == "clipstream"


@pytest.mark.parametrize(("path", "sha256"), [("/file", DIGEST), ("/hub", None), ("/hub", DIGEST)])
def test_what_is_fetched_is_verified_and_lies_in_the_folder_with_its_checksum_alone(
    served: tuple[Server, str], folder: Path, known: Weights, path: str, sha256: str | None
) -> None:
    seen: list[tuple[int, int | None]] = []
    found = fetch_weights(entry(served[1] + path, sha256), lambda done, total: seen.append((done, total)))
    assert found.path.read_bytes() == CONTENT
    assert sorted(folder.iterdir()) == [folder / "numbers.pt", folder / "numbers.pt.sha256"]
    assert (folder / "numbers.pt.sha256").read_text() == f"{DIGEST}  numbers.pt\n"
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_what_was_fetched_and_is_damaged_since_is_refused_by_the_checksum_kept_beside_it(
    served: tuple[Server, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Weights("own:numbers", "testing", "own--numbers.pt", f"{served[1]}/hub", "none")
    found = fetch_weights(weights)
    assert (found.sha256, verify(found)) == (DIGEST, True)
    found.path.write_bytes(CONTENT[:100])
    with pytest.raises(FeatureUnavailableError, match="is not own:numbers, or is damaged: its SHA-256 begins"):
        find_weights("own:numbers")
    assert fetch_weights(weights).path.read_bytes() == CONTENT, "and is replaced"


def test_without_a_checksum_to_compare_with_a_file_is_taken_as_it_is(folder: Path) -> None:
    (folder / "mine.pt").write_bytes(b"whatever")
    (folder / "mine.pt.sha256").write_bytes(b"\xff no checksum")
    assert not verify(find_weights("mine"))


def test_what_is_there_is_not_fetched_again(folder: Path, known: Weights) -> None:
    (folder / "numbers.pt").write_bytes(CONTENT)
    assert fetch_weights(known).path == folder / "numbers.pt"


def test_a_damaged_file_is_replaced(served: tuple[Server, str], folder: Path, known: Weights) -> None:
    (folder / "numbers.pt").write_bytes(b"damaged")
    assert fetch_weights(entry(served[1] + "/file")).path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/missing", "cannot be downloaded .Not Found.; check the network, or put the file into"),
        ("/broken", "cannot be downloaded .the connection broke off"),
        ("/hub", "publishes no checksum"),
    ],
)
def test_what_cannot_be_fetched_is_said_and_leaves_nothing(
    served: tuple[Server, str], folder: Path, known: Weights, path: str, said: str
) -> None:
    served[0].published = None
    with pytest.raises(FeatureUnavailableError, match=said):
        fetch_weights(entry(served[1] + path, None if path == "/hub" else DIGEST))
    assert list(folder.iterdir()) == []


def test_another_file_than_was_published_is_not_kept(served: tuple[Server, str], folder: Path, known: Weights) -> None:
    with pytest.raises(FeatureUnavailableError, match="what arrived is not numbers: its SHA-256 begins"):
        fetch_weights(entry(served[1] + "/file", "0" * 64))
    assert list(folder.iterdir()) == []


def test_without_a_network_it_says_so(folder: Path, known: Weights) -> None:
    with pytest.raises(FeatureUnavailableError, match=r"cannot be downloaded \(Connection refused\); check"):
        fetch_weights(known)


def test_a_folder_that_cannot_be_written_is_no_matter_of_the_network(
    folder: Path, known: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_bytes(b"")
    monkeypatch.setenv("CLIPSTREAM_WEIGHTS", str(folder / "file"))
    with pytest.raises(FeatureUnavailableError, match=r"cannot be written .* name another folder in CLIPSTREAM"):
        fetch_weights(known)


def test_what_only_a_package_carries_is_installed_not_fetched(
    folder: Path, known: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = catalogue.Package("numbers-model", "no_such_module", "numbers.pt")
    only = replace(known, url=None, package=package)
    monkeypatch.setattr(catalogue, "CATALOGUE", (only,))
    with pytest.raises(FeatureUnavailableError, match="install the package numbers-model"):
        fetch_weights(only)


@pytest.mark.parametrize(
    ("name", "repository"), [("yolov8m-pose", "YOLOv8"), ("yolo11s-pose", "YOLO11"), ("yolo26x-pose", "YOLO26")]
)
def test_pose_models_that_ultralytics_publishes_can_be_fetched(name: str, repository: str) -> None:
    weights = fetchable(name)
    assert weights.file == f"{name}.pt"
    assert weights.url == f"https://huggingface.co/Ultralytics/{repository}/resolve/main/{name}.pt"
    assert weights.sha256 is None, "the server is asked for it"


def test_any_model_of_open_clip_with_safe_weights_can_be_fetched() -> None:
    weights = fetchable("ViT-B-16:datacomp_xl_s13b_b90k")
    assert weights.file == "ViT-B-16--datacomp_xl_s13b_b90k.safetensors"
    assert weights.url == (
        "https://huggingface.co/laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K/resolve/main/open_clip_model.safetensors"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonsense", "known are yolo11n-pose"),
        ("ViT-B-32:nonsense", "the tags of ViT-B-32 are openai"),
        ("nonsense:openai", "there is no model nonsense"),
    ],
)
def test_a_name_nobody_knows_is_wrong_usage(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fetchable(name)
