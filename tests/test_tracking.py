"""Who is who: people whose ways are known, and real detections of a crowd."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clipstream.features._following import FollowedSlice, Memory, follow
from clipstream.features._sights import DETAILS, HEADER, MOST_SIGHTS, SIGHT, see
from clipstream.features._tracking import LOST_AFTER_S, SURE, Bodies, associate, overlaps
from clipstream.media.decode import SliceReader
from clipstream.media.slices import FrameRequest, MediaNeeds
from clipstream.models.pose import People

WIDTH_PX, HEIGHT_PX = 640, 360
RATE_HZ = 8
RED, BLUE, GREEN = (40, 40, 200), (200, 60, 40), (40, 160, 40)
Boxes = NDArray[np.float64]


class Walker:
    """Somebody of one colour who walks on a straight line."""

    def __init__(
        self,
        x_px: float,
        speed_px: float = 0,
        *,
        colour: tuple[int, int, int] = RED,
        height_px: float = 120,
        hidden: Callable[[float], bool] = lambda _: False,
        score: float = 0.9,
    ) -> None:
        self.x_px, self.speed_px, self.colour, self.height_px = x_px, speed_px, colour, height_px
        self.hidden, self.score = hidden, score

    def box(self, at_s: float) -> Boxes:
        x_px = self.x_px + self.speed_px * at_s
        return np.array([x_px, 300 - self.height_px, x_px + self.height_px / 3, 300])


def people_of(boxes_px: Boxes, scores: NDArray[np.float64], size_px: tuple[int, int] = (WIDTH_PX, HEIGHT_PX)) -> People:
    """Return people whose keypoints nobody can see, as far from another's as their boxes are."""
    across = np.linspace(0, 1, 17)[None, :, None]
    keypoints_px = boxes_px[:, None, :2] + across * (boxes_px[:, 2:] - boxes_px[:, :2])[:, None]
    unseen = np.zeros(keypoints_px.shape[:2], np.float32)
    places = boxes_px.astype(np.float32), scores.astype(np.float32), keypoints_px.astype(np.float32)
    return People(*places, unseen, *size_px)


def seen_of(walkers: list[Walker], seconds: float, start_n: int = 0) -> list[tuple[int, bytes]]:
    """Return what is seen of walkers in every slice."""
    slices = []
    for n in range(start_n, int(2 * seconds)):
        pts_s = np.array([n / 2 + i / RATE_HZ for i in range(RATE_HZ // 2)])
        pictures = np.full((len(pts_s), HEIGHT_PX, WIDTH_PX, 3), 120, np.uint8)
        found = []
        for picture, at_s in zip(pictures, pts_s, strict=True):
            present = [walker for walker in walkers if not walker.hidden(at_s)]
            for walker in present:
                left, top, right, bottom = walker.box(at_s).astype(int).clip(0)
                picture[top:bottom, left:right] = walker.colour
            boxes_px = np.array([walker.box(at_s) for walker in present]).reshape(-1, 4)
            found.append(people_of(boxes_px, np.array([walker.score for walker in present])))
        slices.append((n, see(found, pictures, pts_s, n / 2)[0]))
    return slices


def followed(slices: list[tuple[int, bytes]], memory: Memory | None = None) -> list[FollowedSlice]:
    memory, known = memory or Memory(), []
    for n, light in slices:
        memory, one = follow(memory, n, light)
        known.append(one)
    return known


def number_at(one: FollowedSlice, light: bytes, x_px: float) -> int | None:
    """Return who is nearest to a place at the end of a slice."""
    sights = np.frombuffer(light, SIGHT, offset=HEADER.itemsize)
    middles_px = (sights["last_box"][:, 0] + sights["last_box"][:, 2]) / 2 * WIDTH_PX
    return one.numbers[int(np.abs(middles_px - x_px).argmin())]


def test_one_walker_is_one_person() -> None:
    known = followed(seen_of([Walker(50, 60)], 6))
    assert {one.numbers for one in known} == {(1,)}
    assert {one.subject for one in known} == {1}


def test_who_is_hidden_for_a_second_is_the_same_afterwards() -> None:
    walker = Walker(50, 60, hidden=lambda at_s: 2 <= at_s < 3)
    known = followed(seen_of([walker], 6))
    assert [one.numbers for one in known] == [(1,)] * 4 + [()] * 2 + [(1,)] * 6
    assert {one.subject for one in known} == {1}, "the subject is waited for"


def test_who_is_gone_for_longer_than_anybody_is_waited_for_is_another() -> None:
    gone_s = LOST_AFTER_S + 0.5
    known = followed(seen_of([Walker(300, hidden=lambda at_s: 2 <= at_s < 2 + gone_s)], 6))
    assert known[-1].numbers == (2,)


@pytest.mark.parametrize("colours", [(RED, BLUE), (RED, RED)])
def test_two_who_cross_keep_their_identity(colours: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    right, left = Walker(100, 80, colour=colours[0]), Walker(500, -80, colour=colours[1])
    slices = seen_of([right, left], 5)
    known = followed(slices)
    (first, first_light), (last, last_light) = ((known[i], slices[i][1]) for i in (0, -1))
    assert number_at(first, first_light, 120) == number_at(last, last_light, 520)
    assert number_at(first, first_light, 520) == number_at(last, last_light, 120)
    assert {number for one in known for number in one.numbers} == {1, 2}


def test_who_is_behind_another_while_crossing_comes_out_as_before() -> None:
    front = Walker(100, 80)
    behind = Walker(500, -80, colour=BLUE, hidden=lambda at_s: 2.1 <= at_s < 2.9)
    slices = seen_of([front, behind], 5)
    known = followed(slices)
    assert number_at(known[0], slices[0][1], 520) == number_at(known[-1], slices[-1][1], 120)
    assert {number for one in known for number in one.numbers} == {1, 2}


def test_a_large_passer_by_does_not_become_the_subject() -> None:
    subject = Walker(300, hidden=lambda at_s: 4.5 <= at_s < 5.5)  # behind the passer-by
    passer_by = Walker(0, 200, colour=BLUE, height_px=220, hidden=lambda at_s: not 4 <= at_s < 6)
    passer_by.x_px = -850
    known = followed(seen_of([subject, passer_by], 8))
    assert {one.subject for one in known} == {1}
    assert {number for one in known for number in one.numbers} == {1, 2}
    assert known[9].sight is None, "hidden, the subject has no numbers"


def test_who_is_much_larger_for_long_becomes_the_subject() -> None:
    small, large = Walker(100, height_px=60), Walker(400, height_px=240, colour=BLUE, hidden=lambda at_s: at_s < 2)
    known = followed(seen_of([small, large], 9))
    assert known[0].subject == 1
    assert known[-1].subject == 2


def test_an_unsure_sight_goes_on_with_somebody_and_is_nobody_new() -> None:
    fading = Walker(300, score=SURE - 0.1)
    assert {one.numbers for one in followed(seen_of([fading], 2))} == {(None,)}
    clear = seen_of([Walker(300)], 1)
    assert {one.numbers for one in followed(clear + seen_of([fading], 2, start_n=2))} == {(1,)}


def test_slices_without_people_or_that_were_not_seen_age_the_tracks() -> None:
    slices = seen_of([Walker(300)], 1)
    memory = Memory()
    for n, light in slices:
        memory, _ = follow(memory, n, light)
    assert len(memory.tracks) == 1
    ((_, empty),) = seen_of([], 3.5, start_n=6)
    assert follow(memory, 6, empty)[0].tracks == ()
    ((n, later),) = seen_of([Walker(300)], 4.5, start_n=8)
    assert follow(memory, n, later)[1].numbers == (2,)


def test_a_follower_that_goes_on_from_its_memory_says_the_same() -> None:
    walkers = [Walker(100, 80), Walker(500, -80, colour=BLUE), Walker(300, colour=GREEN, height_px=90)]
    slices = seen_of(walkers, 5)
    whole, memory = Memory(), Memory()
    for n, light in slices[:5]:
        memory, _ = follow(memory, n, light)
    for n, light in slices:
        whole, _ = follow(whole, n, light)
    for n, light in slices[5:]:
        memory, _ = follow(memory, n, light)
    assert memory == whole


def test_a_crowd_travels_with_the_row_as_its_largest_in_few_bytes() -> None:
    crowd = [Walker(35 * i, height_px=60 + i) for i in range(15)]
    ((_, light),) = seen_of(crowd, 0.5)
    sights = np.frombuffer(light, SIGHT, offset=HEADER.itemsize)
    assert len(sights) == MOST_SIGHTS
    assert len(light) < 720
    assert np.frombuffer(light, HEADER, count=1)["people"] == 15
    heights = sights["last_box"][:, 3] - sights["last_box"][:, 1]
    assert (np.diff(heights.astype(float)) <= 0).all(), "the largest first"


def test_one_person_found_twice_is_one() -> None:
    boxes_px = np.array([[100, 100, 160, 280], [104, 102, 166, 284], [300, 100, 360, 280]], np.float64)
    light, details = see(
        [people_of(boxes_px, np.array([0.9, 0.5, 0.8]))],
        np.zeros((1, HEIGHT_PX, WIDTH_PX, 3), np.uint8),
        np.array([0.0]),
        0.0,
    )
    assert np.frombuffer(light, HEADER, count=1)["people"] == 2
    np.testing.assert_allclose(details["score"], [0.9, 0.8])


def test_overlap_is_what_is_shared_over_what_is_covered() -> None:
    one = np.array([[0, 0, 2, 2]], float)
    other = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 4, 4], [0, 0, 0, 0]], float)
    np.testing.assert_allclose(overlaps(one[:, None], other[None])[0], [1, 1 / 3, 0, 0])


def test_of_nobody_nobody_is_recognised() -> None:
    def bodies(count: int, at_s: float) -> Bodies:
        boxes = np.tile([0.1, 0.1, 0.2, 0.4], (count, 1))
        return Bodies(boxes, np.full(count, at_s), np.zeros((count, 6)), np.zeros((count, 2)))

    assert associate(bodies(0, 0), bodies(2, 1), np.array([True, True])) == [-1, -1]
    assert associate(bodies(2, 0), bodies(0, 1), np.zeros(0, bool)) == []
    assert sorted(associate(bodies(1, 0), bodies(2, 0.1), np.array([True, True]))) == [-1, 0]


Crowd = dict[int, tuple[Boxes, NDArray[np.float64]]]


@pytest.fixture(scope="module")
def crowd(real_media: Path) -> Crowd:
    """Return the boxes and scores of every picture of PETS 2009 S2.L1, 795 at 10 a second."""
    rows = np.loadtxt(real_media / "labels" / "pets09_s2l1_det_mot15.txt", delimiter=",")
    pictures = {}
    for frame in range(795):
        here = rows[rows[:, 0] == frame + 1]
        boxes_px = np.concatenate((here[:, 2:4], here[:, 2:4] + here[:, 4:6]), axis=1)
        pictures[frame] = (boxes_px.clip(0, (768, 576, 768, 576)), here[:, 6])
    return pictures


def certain_steps(crowd: Crowd) -> set[tuple[int, int, int]]:
    """Return (picture, person there, person in the next) wherever nobody else is near.

    The labels have no identities. Where two boxes of neighbouring pictures share half their area, and neither shares a
    quarter with any other, they are one person beyond doubt.
    """
    steps = set()
    for frame in range(len(crowd) - 1):
        shared = overlaps(crowd[frame][0][:, None], crowd[frame + 1][0][None])
        for i, j in np.argwhere(shared >= 0.5):
            if max(np.delete(shared[i], j).max(initial=0), np.delete(shared[:, j], i).max(initial=0)) < 0.25:
                steps.add((frame, int(i), int(j)))
    return steps


def test_in_a_crowd_of_real_detections_few_change_their_number(crowd: Crowd, real_media: Path) -> None:
    memory = Memory()
    numbers: dict[tuple[int, int], int | None] = {}
    request = FrameRequest(side_px=768, lead_frames=0)
    first = 0
    with SliceReader(real_media / "videos" / "pets09_s2l1_vtest.avi", "pets", MediaNeeds(frames=(request,))) as slices:
        for piece in (piece for piece in slices if piece.end is None):
            batch = piece.frames[request]
            frames = range(first, first + batch.count)
            people = [people_of(*crowd[frame], size_px=(768, 576)) for frame in frames]
            light, details = see(people, batch.pixels, batch.pts_s, float(piece.start_s))
            memory, known = follow(memory, piece.n, light)
            for frame, at_s in zip(frames, batch.pts_s, strict=True):
                boxes = crowd[frame][0] / (768, 576, 768, 576)
                for one in details[details["pts_s"] == at_s]:
                    nearest = int(np.abs(boxes - one["box"]).sum(axis=1).argmin())
                    numbers[frame, nearest] = known.numbers[one["sight"]] if one["sight"] >= 0 else None
            first += batch.count
    assert first == 795
    steps = [(numbers.get((f, i)), numbers.get((f + 1, j))) for f, i, j in certain_steps(crowd)]
    certain = [(before, after) for before, after in steps if before and after]
    assert len(certain) > 3000
    assert sum(before != after for before, after in certain) <= 30, "24, as by ByteTrack; see _tracking"
    assert memory.last <= 60
    everyone = sum(len(boxes) for boxes, _ in crowd.values())
    assert sum(number is not None for number in numbers.values()) >= everyone - 70, "most of them the ninth in a slice"


def test_details_are_the_layout_that_is_written_down() -> None:
    assert DETAILS.itemsize == 8 + 2 + 4 + 16 + 17 * 8 + 17 * 2
