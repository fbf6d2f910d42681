"""Room on the disk that recordings leave to everything else: clips, the manifest, the state of the run."""

import os
from pathlib import Path

__all__ = ["SPARE_BYTES", "lacking_bytes"]

SPARE_BYTES = 256_000_000
"""What recordings leave free: a clip of a minute at 16 Mbit/s, and the material that it is cut from."""
_SPARE_SHARE = 10
"""Of a disk so small that this would be more than a tenth of it, they leave a tenth."""


def lacking_bytes(folder: Path, wanted: int = 0, *, resuming: bool = False) -> int:
    """Return how many bytes more would have to be free on the disk of a folder for `wanted` to be recorded; 0 for none.

    Whoever is `resuming` asks for half as much again to be spare, so as not to stop and go by turns.

    Raises:
        OSError: The disk cannot be asked.
    """
    disk = os.statvfs(folder)
    if not disk.f_blocks:
        return 0  # some network file systems do not say
    spare = min(SPARE_BYTES, disk.f_blocks * disk.f_frsize // _SPARE_SHARE)
    return max(wanted + spare + spare // 2 * resuming - disk.f_bavail * disk.f_frsize, 0)
