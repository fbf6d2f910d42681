"""Pose: the people in the picture, whom it is about, and how that person moves.

A YOLO pose network finds the people of every picture; they are linked within the slice where the pictures are, and
from slice to slice by a follower, so that every number is of one person and does not jump to another.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clipstream.errors import FeatureUnavailableError, UsageError
from clipstream.features._following import FollowedSlice, Memory, follow
from clipstream.features._poses_table import poses_schema, poses_table
from clipstream.features._posture import ANGLES
from clipstream.features._sights import see
from clipstream.features.base import Follower, FollowingFeature, Observation, Signal
from clipstream.media.slices import FrameBatch, FrameRequest, MediaNeeds, Slice
from clipstream.settings import Settings
from clipstream.timing import exact_rate

if TYPE_CHECKING:
    from clipstream.models.pose import People, PoseModel

__all__ = ["create"]

DEFAULT_MODEL = "yolo11n-pose"


def create(settings: Settings) -> FollowingFeature:
    """Return the pose feature.

    Raises:
        FeatureUnavailableError: The network's weights are missing or damaged, or `--scan` gives it too few pictures.
        UsageError: The device is not there, or the model that was named cannot be used.
    """
    if settings.scan and "pose" not in settings.features:
        raise FeatureUnavailableError(
            "--scan looks at keyframes alone, too far apart to follow people; --features pose sees them there even so."
        )
    from clipstream.models.pose import load_pose  # noqa: PLC0415 - torch takes seconds to import
    from clipstream.models.runtime import choose_placement  # noqa: PLC0415

    placement = choose_placement(settings.device, settings.workers)
    try:
        model = load_pose(settings.pose_model, placement)
    except FeatureUnavailableError as error:
        if settings.pose_model == DEFAULT_MODEL:
            raise
        raise UsageError(f"the pose model that was named cannot be used: {error}") from error
    return _Pose(model, exact_rate(settings.pose_fps), settings.pose_size, keeps_details="poses" in settings.save)


def _informs(name: str, label: str, unit: str, min_spread: float) -> Signal:
    return Signal(f"pose_{name}", label, unit, weight=0.0, min_spread=min_spread)


class _Pose:
    name = "pose"
    weight = 0.8
    saves = "poses"
    signals: tuple[Signal, ...] = (
        Signal("pose_speed", "movement of the limbs", "body lengths/s", weight=0.45, min_spread=0.05),
        Signal("pose_tuck", "leg-to-trunk ratio", "", weight=-0.45, min_spread=0.1),
        Signal("pose_airborne", "height of the feet", "body lengths", weight=0.1, min_spread=0.1),
        _informs("people", "number of people", "", 1.0),
        _informs("subject", "number of the person followed", "", 1.0),
        _informs("left", "left edge of the person", "of the width", 0.1),
        _informs("top", "top edge of the person", "of the height", 0.1),
        _informs("width", "width of the person", "of the width", 0.1),
        _informs("height", "height of the person", "of the height", 0.1),
        _informs("size", "size of the person", "of the picture", 0.05),
        _informs("score", "certainty of the person", "", 0.1),
        _informs("confidence", "certainty of the keypoints", "", 0.1),
        *(_informs(name, f"angle of the {name.replace('_', ' ')}", "°", 10.0) for name in ANGLES),
        _informs("inclination", "inclination of the trunk", "°", 10.0),
        _informs("inverted", "being upside down", "", 0.5),
        _informs("edge", "being cut off by the picture's edge", "", 0.5),
    )

    def __init__(self, model: "PoseModel", rate_hz: Fraction, side_px: int, *, keeps_details: bool) -> None:
        self._model = model
        self._request = FrameRequest(side_px=side_px, rate_hz=rate_hz, lead_frames=0)
        self._keeps_details = keeps_details
        self.needs = MediaNeeds(frames=(self._request,))
        self.about = f"{model.runner.name}, SHA-256 {model.checksum[:12]}"

    @property
    def slices_at_once(self) -> int:
        """Slices that a batch gains from: on a GPU as many as fill the model's, on a CPU one."""
        return 1 if self._model.runner.placement.device == "cpu" else self._model.runner.batch

    def observe(self, slices: Sequence[Slice]) -> Sequence[Observation]:
        """Return the sights of each slice, and its details if they are kept; empty without a picture."""
        batches = [piece.frames.get(self._request) for piece in slices]
        people = iter(self._people([batch for batch in batches if batch is not None and batch.count]))
        observations = []
        for piece, batch in zip(slices, batches, strict=True):
            if batch is None or not batch.count:
                observations.append(Observation(b""))
                continue
            light, details = see(next(people), _pictures(batch), batch.pts_s[batch.lead :], float(piece.start_s))
            observations.append(Observation(light, details.tobytes() if self._keeps_details else b""))
        return observations

    def _people(self, batches: Sequence[FrameBatch]) -> list[list["People"]]:
        """Return the people of each picture of each batch."""
        placement = self._model.runner.placement
        if placement.device == "cpu" and placement.precision == "fp32" and not placement.converted:
            # Torch in fp32 computes a picture slightly unlike in other company, and the company is chance.
            return [self._model(_pictures(batch)) for batch in batches]
        found: list[list[People]] = [[] for _ in batches]
        for size in dict.fromkeys(batch.pixels.shape[1:] for batch in batches):
            alike = [i for i, batch in enumerate(batches) if batch.pixels.shape[1:] == size]
            people = iter(self._model(np.concatenate([_pictures(batches[i]) for i in alike])))
            for i in alike:
                found[i] = [next(people) for _ in range(batches[i].count)]
        return found

    def follower(self, state: object | None = None) -> Follower:
        """Return the follower of one stream, at its beginning or with the memory that `state` holds."""
        return _Follower(state if isinstance(state, Memory) else Memory())

    @property
    def schema(self) -> Any:
        """The columns of the table of poses, a `pyarrow.Schema`."""
        return poses_schema().with_metadata({"model": self._model.runner.name, "checksum": self._model.checksum})

    def table(self, kept: Iterable[tuple[int, Observation]], width_px: int, height_px: int) -> Iterator[Any]:
        """Yield the table of poses of one stream as `pyarrow.RecordBatch`es; see `_poses_table`.

        Args:
            kept: Number and observation of every slice of the stream, in order.
            width_px: Width of the upright source picture.
            height_px: Its height.
        """
        return poses_table(kept, width_px, height_px)


class _Follower:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def follow(self, n: int, light: bytes) -> Sequence[float]:
        """Return the numbers of slice `n` in the order of the signals."""
        if not light:
            return [float("nan")] * len(_Pose.signals)
        self._memory, followed = follow(self._memory, n, light)
        return _numbers(followed)

    def state(self) -> object:
        """Return the memory, which never changes."""
        return self._memory


def _numbers(followed: FollowedSlice) -> list[float]:
    nan = float("nan")
    subject = nan if followed.subject is None else float(followed.subject)
    sight = followed.sight
    if sight is None:
        return [nan, nan, nan, followed.people, subject, *[nan] * (len(_Pose.signals) - 5)]
    left, top, right, bottom = sight["last_box"].tolist()
    width, height = right - left, bottom - top
    return [
        *(sight["speed"], sight["tuck"], followed.airborne, followed.people, subject),
        *(left, top, width, height, width * height),
        *(sight["score"], sight["confidence"], *sight["angles_deg"]),
        *(sight["inclination_deg"], sight["inverted"], sight["edge"]),
    ]


def _pictures(batch: FrameBatch) -> NDArray[np.uint8]:
    return batch.pixels[batch.lead :]
