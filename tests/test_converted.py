"""Networks converted for OpenVINO: the same numbers, converted once, whole or not at all. Needs the extra."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs
from tiny_clip import NAME, make_tiny_clip

from clipstream.models.embedding import IMAGENET, load_embedder
from clipstream.models.pose import load_pose
from clipstream.models.runtime import Placement, choose_placement

pytest.importorskip("openvino", reason="the extra `openvino` is not installed")

CONVERTED = Placement(converted=True)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLIPSTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


def test_it_is_chosen_on_a_cpu_where_it_is_installed() -> None:
    assert choose_placement("cpu").converted


def test_people_are_found_where_torch_finds_them_at_any_size(cache: Path) -> None:
    from test_pose_model import asset

    picture = asset("zidane.jpg")
    ours, theirs = load_pose(placement=CONVERTED), load_pose()
    for side_px in (640, 416):
        (seen,), (expected,) = ours(picture[None], side_px), theirs(picture[None], side_px)
        np.testing.assert_allclose(seen.scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(seen.keypoints_px, expected.keypoints_px, atol=0.1)


def test_in_bf16_the_same_people_are_found_within_a_twentieth_of_their_size(cache: Path) -> None:
    from test_pose_model import asset

    half = load_pose(placement=Placement(precision="bf16", converted=True))
    for name in ("zidane.jpg", "bus.jpg"):
        (seen,), (people,) = half(asset(name)[None], 640), load_pose()(asset(name)[None], 640)
        assert len(seen) == len(people)
        np.testing.assert_allclose(seen.scores, people.scores, atol=0.02)
        size_px = np.linalg.norm(people.boxes_px[:, 2:] - people.boxes_px[:, :2], axis=1)
        error = np.linalg.norm(seen.keypoints_px - people.keypoints_px, axis=2) / size_px[:, None]
        assert error[people.confidences > 0.5].max() < 0.05


@pytest.mark.parametrize(("precision", "alike"), [("fp32", 0.9999), ("bf16", 0.99)])
def test_imagenet_vectors_point_where_those_of_torch_do(
    cache: Path, precision: Literal["fp32", "bf16"], alike: float
) -> None:
    from test_pose_model import asset

    pictures = np.stack([cv2.resize(asset(name), (224, 224)) for name in ("bus.jpg", "zidane.jpg")]).astype(np.uint8)
    ours = load_embedder(IMAGENET, Placement(precision=precision, converted=True))
    assert (ours(pictures) * load_embedder(IMAGENET)(pictures)).sum(axis=1).min() > alike


def test_in_bf16_clip_vectors_point_where_those_of_torch_do(cache: Path, tmp_path: Path) -> None:
    path, _ = make_tiny_clip(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    ours = load_embedder(f"{NAME}:{path}", Placement(precision="bf16", converted=True))
    assert (ours(pictures) * load_embedder(f"{NAME}:{path}")(pictures)).sum(axis=1).min() > 0.999


def test_vectors_are_those_of_torch_and_two_workers_get_their_own(cache: Path, tmp_path: Path) -> None:
    path, _ = make_tiny_clip(tmp_path)
    theirs = load_embedder(f"{NAME}:{path}")
    ours = load_embedder(f"{NAME}:{path}", Placement(converted=True, workers=2))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 32, 32, 3), np.uint8)
    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(ours, pictures))
    for vectors, batch in zip(seen, pictures, strict=True):
        np.testing.assert_allclose(vectors, theirs(batch), atol=1e-4)


@pytest.mark.parametrize("damage", [b"damaged", None], ids=["text", "zeros"])
@pytest.mark.parametrize("file", ["model.xml", "model.bin"])
def test_what_was_converted_is_used_again_and_made_again_where_it_is_damaged(
    cache: Path, tmp_path: Path, file: str, damage: bytes | None
) -> None:
    path, _ = make_tiny_clip(tmp_path)
    model = f"{NAME}:{path}"
    expected = load_embedder(model, CONVERTED)(np.zeros((1, 32, 32, 3), np.uint8))
    (folder,) = cache.iterdir()
    before = (folder / "model.xml").stat().st_mtime_ns
    load_embedder(model, CONVERTED)
    assert (folder / "model.xml").stat().st_mtime_ns == before
    (folder / file).write_bytes(damage or bytes((folder / file).stat().st_size))
    np.testing.assert_array_equal(load_embedder(model, CONVERTED)(np.zeros((1, 32, 32, 3), np.uint8)), expected)
    assert [one.name for one in cache.iterdir()] == [folder.name]


def test_the_same_weights_in_another_architecture_are_converted_anew(cache: Path, tmp_path: Path) -> None:
    path, _ = make_tiny_clip(tmp_path)
    make_tiny_clip(tmp_path, name="tiny-quick", quick_gelu=True)
    plain, quick = (load_embedder(f"{name}:{path}", CONVERTED) for name in (NAME, "tiny-quick"))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    assert not np.allclose(plain(pictures), quick(pictures), atol=1e-4)
    np.testing.assert_allclose(quick(pictures), load_embedder(f"tiny-quick:{path}")(pictures), atol=1e-4)


def test_the_same_weights_with_the_activation_of_their_tag_are_converted_anew(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip import pretrained

    path, _ = make_tiny_clip(tmp_path)
    (tmp_path / "home.pt").write_bytes(path.read_bytes())
    monkeypatch.setitem(pretrained._PRETRAINED, NAME, {"home": {"quick_gelu": True}})
    for file in (path, tmp_path / "home.pt"):
        pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
        ours, theirs = (load_embedder(f"{NAME}:{file}", placement)(pictures) for placement in (CONVERTED, Placement()))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_cache_that_cannot_be_written_is_said_once_and_costs_no_feature(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = make_tiny_clip(tmp_path)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    kept = load_embedder(f"{NAME}:{path}", CONVERTED)(pictures)
    monkeypatch.setenv("CLIPSTREAM_CACHE", str(tmp_path / "other"))
    (tmp_path / "other").write_bytes(b"a file where the folder should be")
    with capture_logs() as logs:
        np.testing.assert_allclose(load_embedder(f"{NAME}:{path}", CONVERTED)(pictures), kept, atol=1e-6)
        load_embedder(IMAGENET, CONVERTED)
    (told,) = [one for one in logs if one["event"] == "converted_model_not_kept"]
    assert told["folder"] == str(tmp_path / "other" / "openvino")
    assert "name another folder in CLIPSTREAM_CACHE" in told["next"]
