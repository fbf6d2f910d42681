"""Following: who is who from slice to slice, and whom the footage is about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipstream.features._sights import HEADER, SIGHT
from clipstream.features._tracking import LOST_AFTER_S, SURE, Bodies, associate
from clipstream.timing import SLICE_S

__all__ = ["FollowedSlice", "Memory", "Track", "follow"]

Numbers = NDArray[np.float64]

SURE_AT_ONCE = 0.6
"""Seen in a single picture, somebody needs this score to be a new person; else one is enough for `SURE`."""

HIDDEN_S = 1.0
"""The subject may be out of sight for so long without another taking its place."""

MEMORY_S = 4.0
"""Time constant of the claim to be the subject."""

STRONGER = 2.0
"""By so much another's claim must exceed that of a subject in sight: whoever walks by the camera is large, but soon
gone."""

GROUND_S = 3.0
"""So long the height of the ankles is remembered, whose median is the ground."""


@dataclass(frozen=True, slots=True)
class Track:
    """One person, as remembered.

    Attributes:
        number: Its name, from 1.
        box: Where it was last: left, top, right and bottom in longer sides of the picture.
        at_s: When.
        velocity: How it moved there, in longer sides a second.
        look: Its colours.
        claim: How much of late it was the subject: the mean, over `MEMORY_S`, of size × score × liveliness.
        ankles: When and how low the ankles were of late.
    """

    number: int
    box: tuple[float, ...]
    at_s: float
    velocity: tuple[float, ...]
    look: tuple[float, ...]
    claim: float = 0.0
    ankles: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a stream.

    Attributes:
        tracks: Who may be seen again.
        subject: Number of the main subject, if there is one.
        last: The highest number given.
    """

    tracks: tuple[Track, ...] = ()
    subject: int | None = None
    last: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class FollowedSlice:
    """A slice whose people are known.

    Attributes:
        people: Median number of people in its pictures.
        numbers: The number of each sight's track, `None` for one too unsure to be anybody.
        subject: Number of the main subject, in sight or hidden for a moment.
        sight: Of the subject, a `SIGHT` record, if it is in sight.
        airborne: How far the subject's ankles rose above their usual height, in statures, NaN if not known.
    """

    people: float
    numbers: tuple[int | None, ...]
    subject: int | None
    sight: Any
    airborne: float


def follow(memory: Memory, n: int, light: bytes) -> tuple[Memory, FollowedSlice]:
    """Return the memory after slice `n` and what is known of it. `light` is what `see` made of the slice."""
    header = np.frombuffer(light, HEADER, count=1)[0]
    sights = np.frombuffer(light, SIGHT, offset=HEADER.itemsize)
    start_s, end_s = float(n * SLICE_S), float((n + 1) * SLICE_S)
    sides = np.array([min(1, header["aspect"]), min(1, 1 / header["aspect"])], np.float64)

    alive = tuple(track for track in memory.tracks if start_s - track.at_s <= LOST_AFTER_S)
    given = _recognised(alive, sights, start_s, sides)
    tracks = {track.number: replace(track, claim=track.claim * _FADE) for track in alive}
    numbers: list[int | None] = []
    last = memory.last
    airborne = {}
    for sight, index in zip(sights, given, strict=True):
        if index >= 0:
            track = tracks[alive[index].number]
        elif _sure(sight, int(header["pictures"])):
            last += 1
            track = Track(last, (), start_s, (0.0, 0.0), ())
        else:
            numbers.append(None)
            continue
        numbers.append(track.number)
        airborne[track.number] = _airborne(track, sight)
        tracks[track.number] = _continued(track, sight, start_s, sides)
    subject = _subject(tracks, memory.subject, end_s, {number for number in numbers if number})
    sight = sights[numbers.index(subject)] if subject in numbers else None
    followed = FollowedSlice(
        float(header["people"]), tuple(numbers), subject, sight, airborne.get(subject or 0, float("nan"))
    )
    return Memory(tuple(tracks.values()), subject, last), followed


_FADE = float(np.exp(-float(SLICE_S) / MEMORY_S))


def _recognised(tracks: Sequence[Track], sights: NDArray[Any], start_s: float, sides: Numbers) -> list[int]:
    known = Bodies(
        np.array([track.box for track in tracks]).reshape(-1, 4),
        np.array([track.at_s for track in tracks]),
        np.array([track.look for track in tracks]).reshape(-1, 6),
        np.array([track.velocity for track in tracks]).reshape(-1, 2),
    )
    seen = Bodies(
        sights["first_box"] * np.tile(sides, 2),
        start_s + sights["first_s"].astype(np.float64),
        sights["look"].astype(np.float64),
        np.zeros((len(sights), 2)),
    )
    return associate(known, seen, sights["score"] >= SURE)


def _sure(sight: Any, pictures: int) -> bool:
    needed = SURE if sight["pictures"] > 1 or pictures == 1 else SURE_AT_ONCE
    return bool(sight["score"] >= needed)


def _continued(track: Track, sight: Any, start_s: float, sides: Numbers) -> Track:
    first, last = (sight[name].astype(np.float64) * np.tile(sides, 2) for name in ("first_box", "last_box"))
    first_s, last_s = (start_s + float(sight[name]) for name in ("first_s", "last_s"))
    if last_s > first_s:
        velocity = _middle(last - first) / (last_s - first_s)
    elif track.box:
        velocity = _middle(last - np.array(track.box)) / (last_s - track.at_s)
    else:
        velocity = np.zeros(2)
    look = sight["look"].astype(np.float64)
    if track.look:
        velocity = (velocity + np.array(track.velocity)) / 2
        look = (look + 3 * np.array(track.look)) / 4
    ankles = tuple(one for one in track.ankles if last_s - one[0] <= GROUND_S)
    if not np.isnan(sight["ankle"]):
        ankles = (*ankles, (last_s, float(sight["ankle"])))
    size = float(np.sqrt(np.prod(last[2:] - last[:2])))
    liveliness = 0.5 + min(float(np.nan_to_num(sight["speed"])), 1.0)
    return Track(
        number=track.number,
        box=tuple(last.tolist()),
        at_s=last_s,
        velocity=tuple(velocity.tolist()),
        look=tuple(look.tolist()),
        claim=track.claim + (1 - _FADE) * size * float(sight["score"]) * liveliness,
        ankles=ankles,
    )


def _airborne(track: Track, sight: Any) -> float:
    """Return how far the ankles are above their usual height, in statures."""
    heights = [height for at_s, height in track.ankles if track.at_s - at_s <= GROUND_S]
    if len(heights) < 2:
        return float("nan")
    return float((np.median(heights) - float(sight["ankle_high"])) / float(sight["stature"]))


def _subject(tracks: dict[int, Track], before: int | None, end_s: float, present: set[int]) -> int | None:
    """Return whom the footage is about: whoever it was, unless gone for long or outdone by far."""
    best = max((tracks[number] for number in present), key=lambda track: track.claim, default=None)
    old = tracks.get(before) if before else None
    if old is not None and end_s - old.at_s <= HIDDEN_S + float(SLICE_S):
        return best.number if best is not None and best.claim > STRONGER * old.claim else old.number
    return best.number if best is not None else None


def _middle(box: Numbers) -> Numbers:
    return np.asarray((box[:2] + box[2:]) / 2)
