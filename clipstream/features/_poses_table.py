"""The table of poses, which `--save poses` writes: one row for each person and picture, whole keypoints and all."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np

from clipstream.features._following import Memory, follow
from clipstream.features._sights import DETAILS
from clipstream.features.base import Observation

__all__ = ["poses_schema", "poses_table"]


@cache
def poses_schema() -> Any:
    """Return the columns of the table, a `pyarrow.Schema`.

    `time_s` is media time; `slice` the number of the half second; `track` the number of the person, null for one too
    unsure or too small to be followed; `is_subject` whether that is the main subject; `score` how sure it is that there
    is a person; `box_px` left, top, right and bottom and `keypoints_px` x and y of the 17 keypoints of COCO, in pixels
    of the upright source picture; `keypoint_confidences` how sure it is that each of them is visible.
    """
    import pyarrow as pa  # noqa: PLC0415 - nobody needs it who saves no poses

    return pa.schema(
        [
            ("time_s", pa.float64()),
            ("slice", pa.int32()),
            ("track", pa.int32()),
            ("is_subject", pa.bool_()),
            ("score", pa.float32()),
            ("box_px", pa.list_(pa.float32(), 4)),
            ("keypoints_px", pa.list_(pa.list_(pa.float32(), 2), 17)),
            ("keypoint_confidences", pa.list_(pa.float32(), 17)),
        ]
    )


def poses_table(kept: Iterable[tuple[int, Observation]], width_px: int, height_px: int) -> Iterator[Any]:
    """Yield a `pyarrow.RecordBatch` for each slice that shows people.

    Who is who is found as in the run, by following again.

    Args:
        kept: Number and observation of every slice of the stream, in order.
        width_px: Width of the upright source picture.
        height_px: Its height.
    """
    memory = Memory()
    for n, observation in kept:
        if not observation.light:
            continue
        memory, followed = follow(memory, n, observation.light)
        details = np.frombuffer(observation.details, DETAILS)
        if len(details):
            yield _batch(n, details, followed.numbers, followed.subject, np.array([width_px, height_px], np.float32))


def _batch(n: int, details: Any, numbers: tuple[int | None, ...], subject: int | None, sides_px: Any) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    tracks = [numbers[sight] if sight >= 0 else None for sight in details["sight"]]
    keypoints_px = (details["keypoints"] * sides_px).ravel()
    points = pa.FixedSizeListArray.from_arrays(pa.array(keypoints_px), 2)
    columns = [
        pa.array(details["pts_s"]),
        pa.array(np.full(len(details), n, np.int32)),
        pa.array(tracks, pa.int32()),
        pa.array([track is not None and track == subject for track in tracks]),
        pa.array(details["score"]),
        pa.FixedSizeListArray.from_arrays(pa.array((details["box"] * np.tile(sides_px, 2)).ravel()), 4),
        pa.FixedSizeListArray.from_arrays(points, 17),
        pa.FixedSizeListArray.from_arrays(pa.array(details["confidences"].astype(np.float32).ravel()), 17),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=poses_schema())
