"""Pictures and text as vectors, by CLIP models made here and by the ImageNet network that a package carries."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tiny_clip import NAME, make_tiny_clip

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.models.embedding import CLIP, IMAGENET, Embedder, load_embedder
from clipstream.models.prompts import BACKGROUND, TEMPLATES, Prompts
from clipstream.models.runtime import Placement

Pictures = NDArray[np.uint8]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    return make_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def embedder(clip: tuple[Path, Any]) -> Embedder:
    return load_embedder(f"{NAME}:{clip[0]}")


@pytest.fixture(scope="module")
def imagenet() -> Embedder:
    return load_embedder(IMAGENET)


def noise(count: int, height_px: int = 32, width_px: int = 32) -> Pictures:
    return np.random.default_rng(count).integers(0, 256, (count, height_px, width_px, 3), np.uint8)


def unit(vectors: Any) -> NDArray[np.float32]:
    array = np.asarray(vectors, np.float32)
    return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), np.float32)


def test_a_local_checkpoint_gives_what_open_clip_gives(embedder: Embedder, clip: tuple[Path, Any]) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    pictures = noise(3)
    prepare = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    batch = torch.stack([prepare(Image.fromarray(one[..., ::-1])) for one in pictures])
    with torch.inference_mode():
        expected = unit(clip[1].encode_image(batch))
    np.testing.assert_allclose(embedder(pictures), expected, atol=1e-5)
    assert (embedder.dimensions, embedder.size_px) == (24, 32)
    assert embedder.name == f"{NAME}:{clip[0]}"


def test_text_gives_what_open_clip_gives(embedder: Embedder, clip: tuple[Path, Any]) -> None:
    import open_clip

    texts = ["a goal is scored", "crowd cheering"]
    with torch.inference_mode():
        expected = unit(clip[1].encode_text(open_clip.get_tokenizer(NAME)(texts)))
    np.testing.assert_allclose(embedder.texts(texts), expected, atol=1e-5)
    assert embedder.texts([]).shape == (0, 24)


def test_safetensors_give_the_same_as_a_checkpoint(embedder: Embedder, tmp_path: Path) -> None:
    path, _ = make_tiny_clip(tmp_path, ".safetensors")
    np.testing.assert_array_equal(load_embedder(f"{NAME}:{path}")(noise(2)), embedder(noise(2)))


def test_weights_in_the_folder_are_found_by_model_and_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPSTREAM_WEIGHTS", str(tmp_path))
    path, _ = make_tiny_clip(tmp_path)
    path.rename(tmp_path / f"{NAME}--home.pt")
    assert load_embedder(f"{NAME}:home").reads_text


def test_a_path_is_one_however_it_is_spelt(
    embedder: Embedder, clip: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip[0].parent)
    for spelling in (clip[0].name, f"./{clip[0].name}", f"../{clip[0].parent.name}/{clip[0].name}"):
        assert load_embedder(f"{NAME}:{spelling}") is embedder


def test_a_link_to_weights_keeps_the_name_that_says_how_they_are_read(clip: tuple[Path, Any], tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(clip[0].read_bytes())
    (tmp_path / "linked.pt").symlink_to(tmp_path / "blob")
    assert load_embedder(f"{NAME}:{tmp_path / 'linked.pt'}").name == f"{NAME}:{tmp_path / 'linked.pt'}"


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("clip.pt", "clip.pt: there is no such file of weights; check the path"),
        ("clip.ckpt", "clip.ckpt: there is no such file of weights; check the path"),
        ("/x/noext", "/x/noext: there is no such file of weights; check the path"),
        ("there.ckpt", "there.ckpt: its name does not say what it is; files of weights end in .pt, .pth, .safetensors"),
    ],
)
def test_a_path_that_leads_to_no_weights_is_answered_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.ckpt").write_bytes(b"whatever")
    with pytest.raises(FeatureUnavailableError) as told:
        load_embedder(f"ViT-B-32:{weights}")
    assert str(told.value).startswith(said)


@pytest.mark.parametrize("file", ["tiny-tagged--home.pt", "home.pt"])
def test_a_file_that_is_named_after_its_tag_gets_the_activation_that_its_weights_were_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    from open_clip import pretrained

    path, _ = make_tiny_clip(tmp_path, name="tiny-tagged")
    make_tiny_clip(tmp_path, name="tiny-tagged-quickgelu", quick_gelu=True)
    unlabelled = load_embedder(f"tiny-tagged:{path}")(noise(2))
    (tmp_path / file).write_bytes(path.read_bytes())
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-tagged", {"home": {"quick_gelu": True}})
    labelled = load_embedder(f"tiny-tagged:{tmp_path / file}")(noise(2))
    assert not np.allclose(labelled, unlabelled, atol=1e-4)
    np.testing.assert_array_equal(labelled, load_embedder(f"tiny-tagged-quickgelu:{path}")(noise(2)))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_an_archive_of_code_as_openai_publishes_them_is_answered_with_where_the_same_is_had_as_numbers(
    tmp_path: Path,
) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "archive.pt")
    with pytest.raises(FeatureUnavailableError, match=r"TorchScript archive, .* 'clipstream weights fetch ViT-B-32:o"):
        load_embedder(f"ViT-B-32:{tmp_path / 'archive.pt'}")


def test_vectors_are_of_length_one_and_each_picture_has_its_own(embedder: Embedder) -> None:
    vectors = embedder(noise(11))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(embedder(noise(11)[4:5])[0], vectors[4], atol=1e-5)
    assert embedder(noise(11)[:0]).shape == (0, 24)


def test_of_a_wide_picture_the_middle_is_looked_at(embedder: Embedder) -> None:
    wide = noise(1, 32, 60)
    np.testing.assert_array_equal(embedder(wide), embedder(np.ascontiguousarray(wide[:, :, 14:46])))


def test_who_gives_no_text_does_without_that_half(embedder: Embedder, clip: tuple[Path, Any]) -> None:
    without = load_embedder(f"{NAME}:{clip[0]}", text=False)

    assert embedder.reads_text
    assert not without.reads_text
    np.testing.assert_array_equal(without(noise(2)), embedder(noise(2)))


def test_a_picture_of_another_size_is_scaled(embedder: Embedder) -> None:
    picture = noise(1)
    large = picture.repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_allclose(embedder(large), embedder(picture), atol=1e-5)


def test_prompts_are_means_over_templates(embedder: Embedder) -> None:
    prompts = Prompts(embedder, ["a goal", "{} a dog"])
    each = embedder.texts([template.replace("{}", "a goal") for template in TEMPLATES])
    np.testing.assert_allclose(prompts.vectors[0], unit(each.mean(axis=0)[None])[0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(prompts.vectors, axis=1), 1, rtol=1e-5)


def test_a_prompt_is_likely_by_how_much_better_it_fits_than_the_background(embedder: Embedder) -> None:
    prompts = Prompts(embedder, ["a goal is scored", "an advertisement"])
    background = embedder.texts(BACKGROUND)
    like = prompts.probabilities(np.concatenate([prompts.vectors[:1], background[:1]]))
    assert like.shape == (2, 2)
    assert like[0, 0] > like[1, 0]
    fits = np.exp(embedder.sharpness * (prompts.vectors[:1] @ prompts.vectors[0]))
    others = np.exp(embedder.sharpness * (prompts.vectors[:1] @ background.T)).sum()
    np.testing.assert_allclose(like[0, 0], fits[0] / (fits[0] + others), rtol=1e-4)


def test_an_empty_prompt_is_wrong_usage(embedder: Embedder) -> None:
    for prompts in ([], ["a goal", " "]):
        with pytest.raises(UsageError, match="a prompt is empty"):
            Prompts(embedder, prompts)


def test_without_clip_the_imagenet_network_is_used_and_says_so(
    imagenet: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPSTREAM_WEIGHTS", str(tmp_path))
    chosen = load_embedder("auto")
    assert chosen is imagenet
    assert (chosen.name, chosen.dimensions, chosen.reads_text) == (IMAGENET, 1280, False)
    with pytest.raises(
        FeatureUnavailableError, match="knows pictures and no text: run 'clipstream weights fetch ViT-B-32"
    ):
        chosen.texts(["a goal"])
    with pytest.raises(FeatureUnavailableError, match="not on this machine"):
        load_embedder(CLIP)


def test_where_clip_is_damaged_it_is_said_instead_of_doing_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPSTREAM_WEIGHTS", str(tmp_path))
    (tmp_path / "ViT-B-32--laion2b_s34b_b79k.safetensors").write_bytes(b"its beginning")
    with pytest.raises(FeatureUnavailableError, match="is not ViT-B-32:laion2b_s34b_b79k, or is damaged"):
        load_embedder("auto")


def test_the_imagenet_network_tells_pictures_apart_and_knows_one_again(imagenet: Embedder) -> None:
    import cv2

    spec = find_spec("ultralytics")
    assert spec
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0], "assets")
    bus, zidane = (cv2.imread(str(folder / name)) for name in ("bus.jpg", "zidane.jpg"))
    assert bus is not None
    assert zidane is not None
    first, second = imagenet(bus[None].astype(np.uint8)), imagenet(zidane[None].astype(np.uint8))
    brighter = imagenet(np.clip(bus[None] * 1.1, 0, 255).astype(np.uint8))
    assert (first @ second.T).item() < 0.5
    assert (first @ brighter.T).item() > 0.9


def test_in_bf16_the_imagenet_vectors_are_nearly_the_same(imagenet: Embedder) -> None:
    half = load_embedder(IMAGENET, Placement(precision="bf16"))
    pictures = np.repeat(np.repeat(noise(4, 7, 7), 32, axis=1), 32, axis=2)
    assert (half(pictures) * imagenet(pictures)).sum(axis=1).min() > 0.99


@pytest.mark.parametrize("model", ["ViT-B-32", "nonsense"])
def test_a_model_without_weights_named_is_wrong_usage(model: str) -> None:
    with pytest.raises(UsageError, match="an embedding model is efficientnet-lite0, or MODEL:TAG or MODEL:PATH"):
        load_embedder(model)


def test_a_model_that_open_clip_does_not_know_is_wrong_usage(clip: tuple[Path, Any]) -> None:
    with pytest.raises(UsageError, match="open_clip knows no model 'nonsense'"):
        load_embedder(f"nonsense:{clip[0]}")


def test_weights_of_another_model_or_damaged_are_said_to_be_wrong(tmp_path: Path) -> None:
    make_tiny_clip(tmp_path)
    other, damaged = tmp_path / "other.pt", tmp_path / "damaged.pt"
    torch.save(torch.nn.Linear(2, 2).state_dict(), other)
    damaged.write_bytes(b"no weights at all")
    for path in (other, damaged):
        with pytest.raises(
            FeatureUnavailableError, match=rf"{path.name}: holds no weights of {NAME} that can be loaded"
        ):
            load_embedder(f"{NAME}:{path}")


def test_a_clip_checkpoint_that_holds_code_is_refused(tmp_path: Path) -> None:
    from test_checkpoints import Hostile

    make_tiny_clip(tmp_path)
    torch.save({"state_dict": Hostile(tmp_path / "ran")}, tmp_path / "bait.pt")
    with pytest.raises(FeatureUnavailableError, match="without running code"):
        load_embedder(f"{NAME}:{tmp_path / 'bait.pt'}")
    assert not (tmp_path / "ran").exists()
