"""Features: arrays in, numbers out. This room never imports bytewax."""

from clipstream.features.base import Feature, Signal
from clipstream.features.registry import Selection, select_features

__all__ = ["Feature", "Selection", "Signal", "select_features"]
