"""Cutting clips: spans of a source become files, exact to the frame."""

from clipstream.media.cut.containers import clip_suffix
from clipstream.media.cut.cutters import CopyCutter, CutMode, EncodeCutter, SmartCutter, make_cutter

__all__ = ["CopyCutter", "CutMode", "EncodeCutter", "SmartCutter", "clip_suffix", "make_cutter"]
