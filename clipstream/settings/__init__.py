"""Every option of a run: what it is, where its value comes from, the presets, and their pages in docs."""

from clipstream.settings.settings import CODECS_NOT_CARRIED, Settings, options

__all__ = ["CODECS_NOT_CARRIED", "Settings", "options"]
