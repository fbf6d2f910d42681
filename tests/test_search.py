"""`main search`: the moments most like a text or a picture, out of embeddings on disk whose neighbours are known."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_clip import NAME, make_tiny_clip

from clipstream.cli import main
from clipstream.errors import InputNotFoundError, UnreadableMediaError
from clipstream.models.embedding import IMAGENET, Embedder, load_embedder
from clipstream.models.prompts import Prompts
from clipstream.saved.search import Moment, SavedVectors, Scores, find_saved, moments, query_picture, score

pytestmark = pytest.mark.usefixtures("clean_surroundings")

Capture = pytest.CaptureFixture[str]
MADE = SavedVectors(Path("embeddings.parquet"), "made", "made.mp4", "m", "c", 4, 0)


def write_vectors(
    folder: Path, vectors: NDArray[np.generic], *, model: str, checksum: str = "c", group: int = 1000, rate_hz: int = 2
) -> Path:
    """Write vectors as `--save embeddings` does, `group` rows to a row group."""
    folder.mkdir(parents=True)
    about = {"schema": "clipstream/embeddings/1", "stream": folder.name, "source": f"{folder.name}.mp4"}
    halves = np.ascontiguousarray(vectors, np.float16)
    layout = pa.binary(2 * halves.shape[1])
    columns = [
        pa.array(np.arange(len(halves)) / rate_hz),
        pa.FixedSizeBinaryArray.from_buffers(layout, len(halves), [None, pa.py_buffer(halves)]),
    ]
    fields = [("time_s", pa.float64()), ("vector", layout)]
    schema = pa.schema(fields, {**about, "model": model, "checksum": checksum})
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), folder / "embeddings.parquet", row_group_size=group)
    return folder / "embeddings.parquet"


def noise(count: int, dimensions: int, seed: int = 0) -> NDArray[np.float32]:
    return unit(np.random.default_rng(seed).normal(size=(count, dimensions)))


def unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def scores_of(similarities: Sequence[float], rate_hz: float = 2, saved: SavedVectors = MADE) -> Scores:
    return Scores(saved, np.arange(len(similarities)) / rate_hz, np.array(similarities, np.float32))


def spans(found: Sequence[Moment]) -> list[tuple[float, float, float]]:
    return [(one.start_s, one.peak_s, one.end_s) for one in found]


# What a moment is.


def test_frames_around_a_peak_are_one_moment_down_to_half_its_height() -> None:
    similarities = [0.1] * 20 + [0.25, 0.4, 0.5, 0.4, 0.31, 0.2] + [0.1] * 20
    (found,) = moments([scores_of(similarities)], 5)
    assert spans([found]) == [(10.5, 11.0, 12.5)]
    assert found.similarity == pytest.approx(0.5)


def test_a_dip_of_two_seconds_is_bridged_and_a_longer_one_parts_two_moments() -> None:
    for dip, parts in ((3, 1), (4, 2)):
        similarities = [0.0] * 20 + [0.5] + [0.0] * dip + [0.4] + [0.0] * 20
        assert len(moments([scores_of(similarities)], 5)) == parts


def test_at_a_low_rate_neighbouring_frames_are_still_one_moment() -> None:
    similarities = [0.0] * 20 + [0.5, 0.4] + [0.0] * 20
    assert spans(moments([scores_of(similarities, rate_hz=0.1)], 5)) == [(200.0, 200.0, 220.0)]


def test_moments_of_all_streams_are_ranked_together() -> None:
    one, two = [0.0] * 40, [0.0] * 40
    one[5], one[30], two[15] = 0.5, 0.9, 0.7
    other = SavedVectors(Path("b"), "other", "b.mp4", "m", "c", 4, 0)
    found = moments([scores_of(one), scores_of(two, saved=other)], 10)
    assert [(item.saved.stream, item.peak_s) for item in found] == [("made", 15.0), ("other", 7.5), ("made", 2.5)]
    assert len(moments([scores_of(one), scores_of(two, saved=other)], 2)) == 2


@pytest.mark.parametrize("similarities", [[0.3], [0.3] * 9])
def test_where_all_frames_are_alike_the_first_is_the_moment(similarities: list[float]) -> None:
    (found,) = moments([scores_of([]), scores_of(similarities)], 5)
    assert spans([found]) == [(0.0, 0.0, 0.5)]
    assert found.similarity == pytest.approx(0.3)


def test_where_there_are_no_frames_nothing_is_found() -> None:
    assert moments([scores_of([])], 5) == ()


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60), st.integers(1, 9))
def test_moments_never_overlap_hold_their_peak_and_come_best_first(similarities: list[float], top: int) -> None:
    found = moments([scores_of(similarities)], top)
    assert len(found) <= top
    assert [one.similarity for one in found] == sorted((one.similarity for one in found), reverse=True)
    for one in found:
        assert one.start_s <= one.peak_s < one.end_s
        inside = similarities[round(2 * one.start_s) : round(2 * one.end_s)]
        assert one.similarity == pytest.approx(max(inside))
    in_time = sorted(spans(found))
    assert all(a[2] <= b[0] for a, b in pairwise(in_time))
    assert found[0].similarity == pytest.approx(max(similarities))


# Over files.


def test_every_frame_is_compared_whatever_the_row_groups(tmp_path: Path) -> None:
    vectors = noise(5000, 16)
    write_vectors(tmp_path / "long", vectors, model="m", group=1700)
    write_vectors(tmp_path / "none", vectors[:0], model="m")
    found = find_saved(tmp_path)
    assert [(one.stream, one.frames, one.dimensions) for one in found.saved] == [("long", 5000, 16), ("none", 0, 16)]
    compared, _ = score(found.saved, vectors[77]).scores
    np.testing.assert_allclose(
        compared.similarities, vectors.astype(np.float16).astype(np.float32) @ vectors[77], atol=1e-6
    )
    np.testing.assert_array_equal(compared.times_s, np.arange(5000) / 2)


def test_hidden_folders_are_left_out_and_what_is_no_embeddings_is_told(tmp_path: Path) -> None:
    write_vectors(tmp_path / "deep" / "good", noise(4, 4), model="m")
    write_vectors(tmp_path / ".hidden" / "bad", noise(4, 4), model="m")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "embeddings.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "foreign").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign" / "embeddings.parquet")
    found = find_saved(tmp_path)
    assert [one.stream for one in found.saved] == ["good"]
    assert [path.parent.name for path, _ in found.unreadable] == ["broken", "foreign"]
    assert "its schema is None" in found.unreadable[1][1]


def damage(path: Path, place: bytes, *, after: int = 0) -> None:
    """Overwrite 20 bytes of a file, so many after where `place` first is."""
    kept = bytearray(path.read_bytes())
    start = kept.index(place) + after
    kept[start : start + 20] = b"\xff" * 20
    path.write_bytes(kept)


@pytest.mark.parametrize(("after", "why"), [(-20, "thrift"), (40, "its numbers are damaged")])
def test_a_file_with_a_damaged_page_is_passed_over_with_the_reason(tmp_path: Path, after: int, why: str) -> None:
    vectors = noise(3000, 16)
    write_vectors(tmp_path / "bad", vectors, model="m")
    write_vectors(tmp_path / "good", vectors, model="m")
    halves = vectors[2000:2002].astype(np.float16).tobytes()
    damage(tmp_path / "bad" / "embeddings.parquet", halves, after=after)
    found = find_saved(tmp_path)
    assert found.unreadable == ()
    compared = score(found.saved, vectors[0])
    assert [(one.saved.stream, len(one.times_s)) for one in compared.scores] == [("good", 3000)]
    ((path, told),) = compared.unreadable
    assert path.parent.name == "bad"
    assert why in told
    assert "\n" not in told
    with pytest.raises(UnreadableMediaError, match="run the footage again with --save embeddings"):
        score(found.saved[:1], vectors[0])


def test_a_folder_without_embeddings_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="run the footage with --save embeddings"):
        find_saved(tmp_path)
    with pytest.raises(InputNotFoundError, match="there is no such folder"):
        find_saved(tmp_path / "absent")


def test_a_query_is_a_picture_if_it_names_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    cv2.imwrite(str(tmp_path / "goal.png"), np.full((4, 6, 3), 7, np.uint8))
    picture = query_picture(str(tmp_path / "goal.png"))
    assert picture is not None
    assert picture.shape == (1, 4, 6, 3)
    assert set(picture.ravel()) == {7}
    assert query_picture("a goal is scored. then, cheering") is None
    assert query_picture("x" * 5000) is None
    for name in ("gaol.png", "IMG_1.HEIC", "photos/goal.avif"):
        with pytest.raises(InputNotFoundError, match=f"{name}: there is no such picture"):
            query_picture(name)
    with pytest.raises(UnreadableMediaError, match="is no picture that can be read"):
        query_picture(str(tmp_path / "notes.txt"))


# The command.


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    path, _ = make_tiny_clip(tmp_path_factory.mktemp("clip"), name="tiny-search")
    return load_embedder(f"tiny-search:{path}")


Footage = Callable[..., Path]


@pytest.fixture
def footage(clip: Embedder, tmp_path: Path) -> Footage:
    """Return what writes streams of noise in which some frames are like given vectors."""

    def make(like: NDArray[np.float32], frames: slice = slice(20, 24), **about: str) -> Path:
        for seed, name in enumerate(("one", "two")):
            vectors = noise(120, clip.dimensions, seed)
            vectors[frames] = unit(like + 0.1 * (name == "one") * vectors[frames])
            write_vectors(tmp_path / "out" / name, vectors, **({"model": clip.name, "checksum": clip.checksum} | about))  # type: ignore[arg-type]  # texts
        return tmp_path / "out"

    return make


def document(capture: Capture) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(capture.readouterr().out)
    return loaded


def test_a_text_finds_the_moments_like_it_with_times_and_sources(
    clip: Embedder, footage: Footage, capsys: Capture
) -> None:
    out = footage(Prompts(clip, ["a goal is scored"]).vectors[0])
    assert main(["search", str(out), "a goal is scored", "--top", "2", "--json"]) == 0
    told = document(capsys)
    assert (told["schema"], told["kind"], told["model"]) == ("clipstream/search/1", "text", clip.name)
    assert (told["streams"], told["frames"], told["passed_over"]) == (2, 240, [])
    best, second = told["moments"]
    assert [(one["rank"], one["stream"], one["start_s"], one["end_s"]) for one in (best, second)] == [
        (1, "two", 10.0, 12.0), (2, "one", 10.0, 12.0)
    ]  # fmt: skip
    assert best["similarity"] == pytest.approx(1, abs=1e-3)
    assert second["similarity"] < best["similarity"]
    assert (best["source"], best["folder"]) == ("two.mp4", str(out / "two"))


def test_the_command_notes_a_damaged_file_and_counts_the_others(
    clip: Embedder, footage: Footage, capsys: Capture
) -> None:
    wanted = Prompts(clip, ["a goal"]).vectors[0]
    out = footage(wanted)
    damage(out / "two" / "embeddings.parquet", np.float16(unit(wanted)).tobytes())
    assert main(["search", str(out), "a goal", "--json"]) == 0
    told = document(capsys)
    assert (told["streams"], told["frames"], told["moments"][0]["stream"]) == (1, 120, "one")
    assert [one["path"] for one in told["passed_over"]] == [str(out / "two" / "embeddings.parquet")]


def test_footage_of_no_frames_is_said_to_have_none(clip: Embedder, tmp_path: Path, capsys: Capture) -> None:
    write_vectors(tmp_path / "one", noise(0, clip.dimensions), model=clip.name, checksum=clip.checksum)
    assert main(["search", str(tmp_path), "a goal"]) == 0
    assert "the embeddings are of no frames" in capsys.readouterr().out


def test_a_picture_finds_what_it_shows_and_the_table_says_where(
    clip: Embedder, footage: Footage, tmp_path: Path, capsys: Capture
) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (32, 32, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "seen.png"), picture)
    out = footage(clip(picture[None])[0])
    write_vectors(out / "other", noise(3, 1280), model=IMAGENET)
    assert main(["search", str(out), str(tmp_path / "seen.png"), "--top", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "1 1.000 00:00:10.000" in text
    assert "00:00:12.000 two two.mp4 searched: 240 frames of 2 streams" in text
    assert f"note: {out / 'other' / 'embeddings.parquet'} was passed over: of another model: {IMAGENET}" in text


def fails(arguments: list[str], status: int, capture: Capture) -> str:
    assert main(arguments) == status
    error = capture.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_text_over_vectors_that_know_none_says_what_to_get(tmp_path: Path, capsys: Capture) -> None:
    write_vectors(tmp_path / "one", noise(3, 1280), model=IMAGENET)
    told = fails(["search", str(tmp_path), "a goal"], 1, capsys)
    assert "knows pictures and no text: search with an image file, or run 'clipstream weights fetch ViT-B-32" in told


def test_other_weights_of_the_same_name_are_an_error(footage: Footage, clip: Embedder, capsys: Capture) -> None:
    out = footage(noise(1, clip.dimensions)[0], checksum="0123456789abcdef")
    told = fails(["search", str(out), "a goal"], 1, capsys)
    assert "was made with other weights" in told
    assert f"begins 0123456789ab, that of those here {clip.checksum[:12]}" in told


def test_weights_are_the_same_however_their_file_was_named(
    clip: Embedder, footage: Footage, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Prompts(clip, ["a goal"]).vectors[0]
    architecture, _, path = clip.name.partition(":")
    out = footage(wanted)
    for name, spelling in (("as-typed", f"{architecture}:{Path(path).name}"), ("moved", f"{architecture}:/gone/it.pt")):
        write_vectors(out / name, unit(wanted)[None], model=spelling, checksum=clip.checksum)
    monkeypatch.chdir(out)
    assert main(["search", str(out), "a goal", "--json"]) == 0
    told = document(capsys)
    assert (told["streams"], told["model"], told["passed_over"]) == (4, clip.name, [])


def test_other_weights_under_the_same_name_are_noted_as_such(clip: Embedder, footage: Footage, capsys: Capture) -> None:
    out = footage(Prompts(clip, ["a goal"]).vectors[0])
    write_vectors(out / "earlier", noise(3, clip.dimensions), model=clip.name, checksum="0123456789abcdef")
    write_vectors(out / "larger", noise(3, clip.dimensions), model="ViT-L-14:openai")
    assert main(["search", str(out), "a goal", "--json"]) == 0
    assert [one["why"] for one in document(capsys)["passed_over"]] == [
        f"of other weights of {clip.name}",
        "of another model: ViT-L-14:openai",
    ]


def test_weights_that_are_gone_are_an_error(footage: Footage, clip: Embedder, capsys: Capture) -> None:
    out = footage(noise(1, clip.dimensions)[0], model=f"{NAME}:/gone/tiny.pt")
    assert "/gone/tiny.pt: there is no such file of weights" in fails(["search", str(out), "a goal"], 1, capsys)


@pytest.mark.parametrize("query", ["", "  ", "absent.jpg"])
def test_a_query_that_cannot_be_is_bad_usage(tmp_path: Path, capsys: Capture, query: str) -> None:
    write_vectors(tmp_path / "one", noise(3, 4), model=IMAGENET)
    fails(["search", str(tmp_path), query], 2, capsys)


def test_an_empty_folder_is_bad_input(tmp_path: Path, capsys: Capture) -> None:
    assert "--save embeddings" in fails(["search", str(tmp_path), "a goal"], 2, capsys)
