"""The pictures that the features share, so that every frame is scaled once."""

from clipstream.media.slices import FrameRequest
from clipstream.settings import Settings
from clipstream.timing import exact_rate

__all__ = ["small_pictures"]


def small_pictures(settings: Settings) -> FrameRequest:
    """Return the request for BGR pictures of 256 px at the analysis rate, with the one before the slice."""
    rate_hz = exact_rate(settings.analysis_fps) if settings.analysis_fps else None
    return FrameRequest(side_px=256, pixel_format="bgr24", rate_hz=rate_hz)
