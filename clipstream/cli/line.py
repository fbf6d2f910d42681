"""A command line as a whole: whatever happens in it becomes an exit status, and one line if it went wrong."""

import json
import sys
import traceback
from collections.abc import Sequence

import click

from clipstream.cli.commands import commands
from clipstream.cli.native import hide_secrets, native_stderr_hidden, prepare_standard_streams
from clipstream.errors import ClipstreamError, InputError, UsageError

__all__ = ["run_line"]


def run_line(arguments: Sequence[str]) -> int:
    """Run a command line; see `clipstream.cli.main`."""
    debug = "--debug" in arguments
    prepare_standard_streams()
    if any("://" in argument or argument.startswith("--on-clip") for argument in arguments):
        hide_secrets(arguments)
    with native_stderr_hidden(hide=not debug):
        try:
            status = commands.main(arguments, standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except BrokenPipeError:
            sys.stdout = None  # whoever read it has gone away; the interpreter's last flush must not complain again
            return 1
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place before a traceback
            if debug:
                traceback.print_exc()
            return _fail(error, as_json="--json" in arguments)
    return status if isinstance(status, int) else 0


def _fail(error: BaseException, *, as_json: bool) -> int:
    match error:
        case click.Abort() | KeyboardInterrupt():
            message, status = "stopped; run the same command again to go on.", 130
        case click.ClickException():
            message, status = error.format_message(), 2
        case ClipstreamError():
            message, status = str(error), 2 if isinstance(error, UsageError | InputError) else 1
        case _:
            message, status = f"internal error: {type(error).__name__}: {error}; --debug shows where.", 1
    message = " ".join(message.split())
    sys.stderr.write(f"clipstream: {message}\n")
    if as_json:
        document = {"schema": "clipstream/error/1", "kind": type(error).__name__, "message": message}
        sys.stdout.write(json.dumps(document) + "\n")
    return status
