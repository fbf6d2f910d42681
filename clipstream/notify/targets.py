"""Who is told: a program that is run, or a web service that is called. One try each; `outbox` tries again."""

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any, Protocol
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

import structlog

from clipstream.errors import UsageError
from clipstream.media.inputs import safe_name
from clipstream.notify.message import Message
from clipstream.settings.option import ENVIRONMENT_PREFIX, suggestion

__all__ = ["Command", "DeliveryFailure", "Target", "Webhook"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_FIELDS = tuple(item.name for item in fields(Message))
_LOOK_S = 0.1
_LAST_WORDS_S = 0.5
_LINE_BYTES = 4096

_TOO_MANY, _TOO_SLOW = 429, 408
_REDIRECTED, _CLIENT_ERROR = range(300, 400), range(400, 500)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """Why a message was not delivered.

    Attributes:
        reason: In words, without secrets.
        final: Whether trying again is of no use.
    """

    reason: str
    final: bool = False


class Target(Protocol):
    """Somebody to tell.

    Attributes:
        name: Tells it from all others, holds no secret, and names its folder.
        tries: How often a message is tried at most; `None` for as long as it is not too old.
    """

    name: str
    tries: int | None

    def deliver(self, path: Path, key: str, stop: Event) -> DeliveryFailure | None:
        """Deliver the message in a file, once; blocks, but gives up soon after `stop` is set, where it can.

        Never raises for what the other side does.

        Raises:
            OSError: The file cannot be read.
        """


class Command:
    """A program that is run for each message, without a shell.

    Its words may hold placeholders such as `{clip}`; every field of the message is also in its environment, as
    `CLIPSTREAM_CLIP`, and the message itself on its standard input. What it prints is logged as it comes, at level
    debug. Exit status 0 is success.

    Args:
        text: Program and arguments, quoted as for a shell.
        timeout_s: After how long it is killed, with all that it started.

    Raises:
        UsageError: It cannot be taken apart, names a placeholder that does not exist, or there is no such program.
    """

    tries: int | None = 5

    def __init__(self, text: str, timeout_s: float = 300.0) -> None:
        try:
            self._words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"on-clip: the command cannot be taken apart ({error}); check its quotes.") from None
        if not self._words:
            raise UsageError("on-clip: the command is empty; name a program.")
        for name in _PLACEHOLDER.findall(text):
            if name not in _FIELDS:
                otherwise = f"use one of {', '.join(_FIELDS)}, or blanks within braces that are meant."
                raise UsageError(
                    f"on-clip: there is no placeholder {{{name}}}; {suggestion(name, list(_FIELDS), otherwise)}"
                )
        program = self._words[0]
        if not _PLACEHOLDER.search(program) and shutil.which(program) is None:
            raise UsageError(f"on-clip: there is no program {program!r}; check its name, and that it may be executed.")
        self.name = _name("command", Path(program).name, text)
        self._timeout_s = timeout_s

    def deliver(self, path: Path, key: str, stop: Event) -> DeliveryFailure | None:
        """Run it and wait for it, or until `stop` is set, which kills it."""
        try:
            known = _texts(json.loads(path.read_bytes(), parse_float=str))
        except ValueError:
            return DeliveryFailure("the message in the outbox is damaged", final=True)
        words = [_PLACEHOLDER.sub(lambda match: known.get(match[1], ""), word) for word in self._words]
        variables = {ENVIRONMENT_PREFIX + name.upper(): text for name, text in known.items()}
        with path.open("rb") as message:
            try:
                process = subprocess.Popen(  # noqa: S603 - running what the user asks for is its purpose
                    words,
                    stdin=message,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=os.environ | variables,
                    start_new_session=True,  # Ctrl-C is for this program, and a kill is for all that was started
                )
            except (OSError, ValueError) as error:
                return DeliveryFailure(
                    f"it cannot be started ({getattr(error, 'strerror', None) or type(error).__name__})"
                )
        assert process.stdout is not None
        # A thread, because what the program leaves running may hold its output open for ever.
        reader = Thread(target=self._log_output, args=(process.stdout, key), daemon=True)
        reader.start()
        failure = self._wait(process, stop)
        reader.join(_LAST_WORDS_S)
        return failure

    def _wait(self, process: subprocess.Popen[bytes], stop: Event) -> DeliveryFailure | None:
        until_s = time.monotonic() + self._timeout_s
        while process.poll() is None:
            if stop.is_set() or time.monotonic() > until_s:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return DeliveryFailure(
                    "it was stopped" if stop.is_set() else f"it took more than {self._timeout_s:g} s"
                )
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
        if process.returncode < 0:
            return DeliveryFailure(f"it was killed by signal {-process.returncode}")
        return DeliveryFailure(f"its exit status is {process.returncode}") if process.returncode else None

    def _log_output(self, output: IO[bytes], key: str) -> None:
        with output:
            while line := output.readline(_LINE_BYTES):
                text = line.decode(errors="replace").rstrip()
                _log.debug("command_output", target=self.name, key=key, text=text)


class Webhook:
    """A web service to which each message is posted as JSON, with its key as `Idempotency-Key`.

    A status of 2xx is success. 4xx is final, except 408 and 429. Redirections are not followed: that would hand the
    message to whoever the answer names. A user and password in the URL are sent as basic authentication. Of the URL,
    the host alone is ever shown, because paths and parameters of webhooks are secrets too.

    Args:
        url: Where to post, `http` or `https`.
        timeout_s: How long connecting and each wait for an answer may take.

    Raises:
        UsageError: The URL is none, or of another kind.
    """

    tries: int | None = None

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, parts, port = None, urlsplit(""), None
        if parts.scheme not in {"http", "https"} or not host or re.search(r"[^\x21-\x7e]", url):
            # Not shown: what cannot be taken apart cannot be shown safely either.
            raise UsageError("webhook: this is no URL to post to; write https://HOST/PATH, other characters as %XX.")
        userinfo, _, place = parts.netloc.rpartition("@")
        self._url = parts._replace(netloc=place, fragment="").geturl()
        self._headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": f"clipstream/{version('clipstream')}",
        }
        if userinfo:
            self._headers["Authorization"] = f"Basic {base64.b64encode(unquote(userinfo).encode()).decode()}"
        self.name = _name("webhook", host if port is None else f"{host}-{port}", self._url)
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_StayHere)

    def deliver(self, path: Path, key: str, stop: Event) -> DeliveryFailure | None:  # noqa: ARG002 - ends by its timeout alone
        """Post it and wait for the answer."""
        headers = self._headers | {"Idempotency-Key": key}
        request = urllib.request.Request(self._url, path.read_bytes(), headers)  # noqa: S310 - its scheme was checked
        try:
            self._opener.open(request, timeout=self._timeout_s).close()
        except HTTPError as error:
            error.close()
            return _refusal(error.code)
        except OSError as error:
            return DeliveryFailure(_said(error))
        except (HTTPException, ValueError) as error:  # their texts quote the URL
            return DeliveryFailure(f"the answer is no HTTP ({type(error).__name__})")
        return None


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nothing: the redirection itself is the answer."""


def _refusal(status: int) -> DeliveryFailure:
    if status in _REDIRECTED:
        return DeliveryFailure(f"it answers {status}, a redirection, which is not followed; give the URL it leads to")
    return DeliveryFailure(
        f"it answers {status}", final=status in _CLIENT_ERROR and status not in {_TOO_MANY, _TOO_SLOW}
    )


def _said(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error
    text = getattr(reason, "verify_message", None) or getattr(reason, "strerror", None) or str(reason)
    return " ".join(text.split()) or type(error).__name__


def _texts(message: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in message.items()}


def _name(kind: str, shown: str, whole: str) -> str:
    return f"{kind}-{safe_name(shown)}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
