"""The options that are about live streams alone, and about telling others."""

import re
from dataclasses import dataclass
from typing import Literal

from clipstream.errors import UsageError
from clipstream.settings.option import option_field, program_alone, without_secrets

__all__ = ["LiveOptions"]

_LIVE, _TELL = "Live streams", "Who is told"


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What `Settings` has for live streams and for those who are told of clips."""

    for_s: float | None = option_field(
        None,
        "Stop reading live streams after this time; until Ctrl-C otherwise.",
        _LIVE,
        minimum=1,
        unit="s",
        shapes_result=False,
    )
    keep_s: float = option_field(
        600.0,
        "How much of each live stream is kept on disk to cut clips from; no less than the longest clip needs.",
        _LIVE,
        minimum=30,
        unit="s",
        shapes_result=False,
    )
    keep_size: float = option_field(
        4.0, "And no more of each than this many gigabytes.", _LIVE, minimum=0.05, unit="GB", shapes_result=False
    )
    record: str | None = option_field(
        None, "Folder in which everything that comes is kept, as files of a minute.", _LIVE, shapes_result=False
    )
    rtsp_transport: Literal["tcp", "udp"] = option_field(
        "tcp", "How RTSP cameras are asked to send; over UDP packets may be lost.", _LIVE, shapes_result=False
    )
    stall_s: float = option_field(
        5.0,
        "Connect anew when a live stream has sent nothing for so long.",
        _LIVE,
        minimum=0.5,
        unit="s",
        shapes_result=False,
    )
    credentials: str | None = option_field(
        None,
        "File with lines of HOST USER:PASSWORD, so that addresses need not hold them; env:NAME reads a variable.",
        _LIVE,
        shapes_result=False,
    )
    allow_private: bool = option_field(
        False, "Let a job read an address in this machine or its own network.", _LIVE, shapes_result=False
    )
    on_clip: tuple[str, ...] = option_field(
        (),
        "Command to run for each clip; {clip}, {stream} and so on stand for what it is. May be repeated.",
        _TELL,
        shapes_result=False,
        kind="commands",
        shown=program_alone,
    )
    webhook: tuple[str, ...] = option_field(
        (),
        "Address to which each clip is announced as JSON. May be repeated.",
        _TELL,
        shapes_result=False,
        kind="commands",
        shown=without_secrets,
    )
    metrics: str | None = option_field(
        None, "Port, or HOST:PORT, on which Prometheus finds how the run goes.", _TELL, shapes_result=False
    )

    def check_live(self) -> None:
        """Check what one option alone does not tell.

        Raises:
            UsageError: Something does not fit.
        """
        if self.metrics is not None:
            found = re.fullmatch(r"(?:.+:)?(\d{1,5})", self.metrics)
            if not found or not 0 <= int(found[1]) <= 65535:
                raise UsageError(f"metrics is {self.metrics!r}; give a port such as 9100, or HOST:PORT.")
        for address in self.webhook:
            if not re.match(r"https?://[^/\s]", address):
                raise UsageError("webhook is no web address; give one that begins with http:// or https://.")
