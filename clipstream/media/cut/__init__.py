"""Cutting clips: spans of a source become files, exact to the frame."""

from clipstream.media.cut.containers import clip_suffix
from clipstream.media.cut.cutters import CopyCutter, CutMode, EncodeCutter, SmartCutter, make_cutter
from clipstream.media.cut.intervals import CutSpan, parse_time, plan_clips, read_intervals
from clipstream.media.cut.join import join_clips

__all__ = [
    "CopyCutter",
    "CutMode",
    "CutSpan",
    "EncodeCutter",
    "SmartCutter",
    "clip_suffix",
    "join_clips",
    "make_cutter",
    "parse_time",
    "plan_clips",
    "read_intervals",
]
