"""The command line: `main FILE…`, `main inspect FILE…` and `main demo`. Light until a command runs."""

import json
import sys
import traceback
from collections.abc import Sequence

import click

from clipstream.cli.commands import commands
from clipstream.errors import ClipstreamError, InputError, UsageError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit status.

    0 when everything was done, 2 for bad input or usage (the other inputs are done), 1 for a failure, 130 and 143 when
    stopped by SIGINT and SIGTERM. An error is one line on stderr; `--debug` shows where it came from, and with `--json`
    it is the document on stdout, too.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = commands.main(arguments, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = None  # whoever read it has gone away; the interpreter's last flush must not complain again
        return 1
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place before a traceback
        if "--debug" in arguments:
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
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    return status
