"""Everything clipstream raises on purpose, as one tree.

ClipstreamError
├── UsageError (ValueError)             an option, key or argument that cannot be right
├── InputError (OSError)                an input that cannot be used
│   ├── InputNotFoundError (FileNotFoundError)
│   ├── UnreadableMediaError            empty, garbage, no index, or a container nobody knows
│   └── NoUsableStreamError             opened, but with nothing in it that can be decoded
├── OutputError (OSError)               an output that cannot be written
├── FeatureUnavailableError (RuntimeError)  a feature lacks its weights or library
├── CutError (RuntimeError)             a clip could not be cut
│   └── NotRecordedError                nothing of its time was recorded
└── StoppedError (RuntimeError)         the run was asked to stop; nothing is wrong

Messages are one line: what was seen, then what to do about it.
"""

__all__ = [
    "ClipstreamError",
    "CutError",
    "FeatureUnavailableError",
    "InputError",
    "InputNotFoundError",
    "NoUsableStreamError",
    "NotRecordedError",
    "OutputError",
    "StoppedError",
    "UnreadableMediaError",
    "UsageError",
]


class ClipstreamError(Exception):
    """Base of everything raised on purpose."""


class UsageError(ClipstreamError, ValueError):
    """An option, configuration key or argument that cannot be right."""


class InputError(ClipstreamError, OSError):
    """An input that cannot be used."""


class InputNotFoundError(InputError, FileNotFoundError):
    """An input that is not there."""


class UnreadableMediaError(InputError):
    """An input that is no media, or too broken to open."""


class NoUsableStreamError(InputError):
    """An input that opens but holds nothing that can be decoded."""


class OutputError(ClipstreamError, OSError):
    """An output that cannot be written."""


class FeatureUnavailableError(ClipstreamError, RuntimeError):
    """A feature that lacks its weights or its library."""


class CutError(ClipstreamError, RuntimeError):
    """A clip that could not be cut."""


class NotRecordedError(CutError):
    """A clip of which there is nothing, because a live stream was not recorded then."""


class StoppedError(ClipstreamError, RuntimeError):
    """Work that was given up because the run was asked to stop."""
