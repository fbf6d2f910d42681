"""What FFmpeg's own libraries say on stderr."""

import av.logging

__all__ = ["let_ffmpeg_speak"]


def let_ffmpeg_speak(speak: bool) -> None:
    """Let FFmpeg's libraries log what they do, or keep them silent: what matters of it is in our own errors."""
    av.logging.set_level(av.logging.VERBOSE if speak else None)
