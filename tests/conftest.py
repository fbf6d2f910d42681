"""Fixtures that every test may use."""

from pathlib import Path

import pytest

REAL_MEDIA = Path(__file__).parents[2] / "shared" / "media"


@pytest.fixture(scope="session")
def real_media() -> Path:
    """Return the folder of real clips, or skip where it is absent."""
    if not REAL_MEDIA.is_dir():
        pytest.skip("the folder of real clips is not beside this checkout")
    return REAL_MEDIA
