"""Log events on stderr: lines for people on a terminal, JSON when asked or elsewhere. Never on stdout."""

import logging
import sys
from contextlib import suppress

import structlog

from clipstream.media.ffmpeg_log import let_ffmpeg_speak
from clipstream.settings import Settings

__all__ = ["configure_logging", "traceback_of"]

_TALKATIVE = ("PIL", "matplotlib", "numba", "torch", "ultralytics", "urllib3")


def configure_logging(settings: Settings, *, debug: bool = False) -> None:
    """Set up structlog, and the standard library's logging and warnings to go the same way.

    Args:
        settings: Its `log_level` and `log_format` count.
        debug: Show everything, the libraries' own messages and FFmpeg's among it.
    """
    level = logging.DEBUG if debug else logging.getLevelNamesMapping()[settings.log_level.upper()]
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if as_json else "%H:%M:%S", utc=as_json),
            *([] if debug else [_without_traceback]),
            *([structlog.processors.dict_tracebacks] if as_json else []),
            structlog.processors.JSONRenderer()
            if as_json
            else structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Looked up with every event: live lines put their own stderr in its place.
        logger_factory=lambda *_: _Lines(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=level, force=True)
    logging.captureWarnings(capture=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.NOTSET if debug else logging.ERROR)
    let_ffmpeg_speak(debug)


def traceback_of(error: BaseException) -> BaseException | None:
    """Return what to log as `exc_info`: nothing in a flow of others, who never asked structlog for tracebacks."""
    return error if structlog.is_configured() else None


def _without_traceback(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.pop("exc_info", None)
    return event


class _Lines(structlog.PrintLogger):
    """Prints to a file, and goes on where that cannot be: its reader has gone away, or the disk is full."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger().bind(logger=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
