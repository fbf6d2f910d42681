"""How a player turns and mirrors the stored pictures of a track."""

from dataclasses import dataclass

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from clipstream.media.side_data import side_data

__all__ = ["Orientation"]


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture becomes an upright one: transposed first, then its rows and columns reversed.

    These are the eight right-angled cases of a display matrix; any other is rounded to the nearest.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Orientation":
        """Read the display matrix of a decoded frame.

        ISO/IEC 14496-12: a stored point (x, y) is shown at (a x + c y, b x + d y), y downwards; the matrix is stored as
        a, b, u, c, d, v, …
        """
        matrix = side_data(frame, SideDataType.DISPLAYMATRIX)
        if not matrix:
            return cls()
        a, b, _, c, d = (int(number) for number in np.frombuffer(matrix, np.int32, count=5))
        if abs(b) > abs(a):
            return cls(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
        return cls(flip_rows=d < 0, flip_columns=a < 0)

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a view of a stored (H, W, …) picture as it is to be shown."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged."""
        return self.transpose ^ self.flip_rows ^ self.flip_columns

    @property
    def rotation_deg(self) -> int:
        """Degrees clockwise that the picture is turned, after it was mirrored left to right if it is."""
        if self.transpose:
            return 90 if self.flip_columns else 270
        return 180 if self.flip_rows else 0
