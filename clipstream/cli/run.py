"""`main FILE…`: inputs, the run, and what came of it."""

import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread

from clipstream.cli.documents import print_document, run_document
from clipstream.cli.options import Presentation
from clipstream.cli.summary import print_summary
from clipstream.cli.watching import print_error, watching
from clipstream.errors import InputError
from clipstream.log import configure_logging
from clipstream.media.inputs import Input, expand_inputs
from clipstream.media.live.address import Credentials, LiveAddress, LiveInput, is_live, stream_names
from clipstream.media.live.connection import check_protocol
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.troubles import ConnectionProblem
from clipstream.media.web.web_media import find_media, media_suffix
from clipstream.run.fetching import WebInput
from clipstream.run.run import run_job
from clipstream.run.watchers import Outcome
from clipstream.settings import Settings

__all__ = ["exit_status", "run_files", "run_inputs", "signals_received"]


def run_files(arguments: Sequence[str], settings: Settings, presentation: Presentation) -> int:
    """Find the highlights of everything that `arguments` name, say what was found, and return the exit status.

    Raises:
        ClipstreamError: Nothing could be started.
    """
    configure_logging(settings, debug=presentation.debug)
    inputs, errors = expand_inputs([argument for argument in arguments if not is_live(argument)])
    addressed, unusable = _addressed([argument for argument in arguments if is_live(argument)], inputs, settings)
    for error in (problems := [*errors, *unusable]):
        print_error(str(error))
    live = [item for item in addressed if isinstance(item, LiveInput)]
    web = [item for item in addressed if isinstance(item, WebInput)]
    return run_inputs(inputs, problems, settings, presentation, live, web)


def run_inputs(  # noqa: PLR0917 - as `run_job`, whose inputs come last where there are none of them
    inputs: Sequence[Input],
    errors: Sequence[InputError],
    settings: Settings,
    presentation: Presentation,
    live: Sequence[LiveInput] = (),
    web: Sequence[WebInput] = (),
) -> int:
    """Do what `run_files` does with arguments that are expanded already, into inputs and what was wrong."""
    outcomes: tuple[Outcome, ...] = ()
    with signals_received() as received:
        if inputs or live or web:
            with watching(quiet=presentation.quiet) as watcher:
                outcomes = run_job(inputs, settings, watcher, live, web)
    if presentation.as_json:
        print_document(run_document(outcomes, errors))
    elif not presentation.quiet:
        print_summary(outcomes)
    if any(outcome.state == "stopped" for outcome in outcomes):
        print_error("stopped; run the same command again to go on.")
    return exit_status(outcomes, errors, received)


def exit_status(outcomes: Sequence[Outcome], errors: Sequence[InputError], received: Sequence[int] = ()) -> int:
    """Return 128 + the signal for a run that was stopped, else 1 for a failure, 2 for a bad input, else 0."""
    states = {outcome.state for outcome in outcomes}
    if "stopped" in states:
        return 128 + (received[0] if received else signal.SIGINT)
    if "failed" in states:
        return 1
    return 2 if errors or "bad_input" in states else 0


def _addressed(
    arguments: Sequence[str], files: Sequence[Input], settings: Settings
) -> tuple[list[LiveInput | WebInput], list[InputError]]:
    credentials = Credentials.of_option(settings.credentials) if settings.credentials else Credentials()
    addresses, errors = [], []
    for argument in arguments:
        try:
            addresses.append(LiveAddress.parse(argument).joined(credentials))
        except InputError as error:
            errors.append(error)
    names = stream_names(addresses, [item.stream for item in files])
    found = []
    for address, stream in names.items():
        try:
            found.append(_looked_up(stream, address, settings))
        except InputError as error:
            errors.append(error)
    return found, errors


def _looked_up(stream: str, address: LiveAddress, settings: Settings) -> LiveInput | WebInput:
    if address.scheme not in {"http", "https"}:
        check_protocol(address)
        return LiveInput(stream, address)
    try:
        media = find_media(address, ConnectionOptions(stall_s=settings.stall_s))
    except ConnectionProblem:
        if media_suffix(address):
            raise
        return LiveInput(stream, address)  # a stream that is off now is waited for
    return LiveInput(stream, address) if media is None else WebInput(stream, address, media)


@contextmanager
def signals_received() -> Iterator[list[int]]:
    """Give a list that holds the signals received inside, once it is left, whoever handles them."""
    received: list[int] = []
    if current_thread() is not main_thread():
        yield received
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield received
        finally:
            signal.set_wakeup_fd(before)
            with suppress(BlockingIOError):  # none came
                received.extend(number for number in reader.recv(64) if number in {signal.SIGINT, signal.SIGTERM})
