"""What the tests make media with: it ships with the program, in its test kit."""

from clipstream.testing.media import (
    Draw,
    Sound,
    Video,
    Wave,
    burn,
    clicks,
    even_times,
    make_clip,
    noise,
    numbered,
    read_number,
    silence,
    tone,
    truncate,
)

__all__ = [
    "Draw",
    "Sound",
    "Video",
    "Wave",
    "burn",
    "clicks",
    "even_times",
    "make_clip",
    "noise",
    "numbered",
    "read_number",
    "silence",
    "tone",
    "truncate",
]
