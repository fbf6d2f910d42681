"""The command line: `main FILE…`, `main cut FILE`, `main inspect FILE…` and `main demo`. Light until a command runs."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit status.

    0 when everything was done, 2 for bad input or usage (the other inputs are done), 1 for a failure, 130 and 143 when
    stopped by SIGINT and SIGTERM. An error is one line on stderr; `--debug` shows where it came from, and with `--json`
    it is the document on stdout, too.
    """
    try:
        from clipstream.memory import share_one_arena  # noqa: PLC0415 - Ctrl-C while it loads is answered, too

        share_one_arena()  # before pyarrow is imported, which starts a thread
        from clipstream.cli.line import run_line  # noqa: PLC0415 - Ctrl-C while it loads is answered, too

        return run_line(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        sys.stderr.write("clipstream: stopped.\n")
        return 130
