"""The commands and their help; what they do is imported when one of them runs."""

import os
from itertools import takewhile
from pathlib import Path
from typing import Any

import click

from clipstream.cli.options import (
    Flag,
    Presentation,
    RunCommand,
    load_settings,
    presentation_options,
    settings_options,
)
from clipstream.settings.option import JOB_VARIABLE

__all__ = ["commands"]


class _DefaultRun(click.Group):
    """A group in which `run` is meant where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before what is neither a command nor the group's own option.

        A command may stand behind options that take no value: `--json inspect FILE` is `inspect --json FILE`.
        """
        if not args and JOB_VARIABLE in os.environ:
            args = ["job"]
        own = {*self.commands, "--help", "-h", "--version"}
        options = list(takewhile(lambda arg: arg in Presentation.FLAGS, args))
        command, *others = args[len(options) :] or [""]
        if command in self.commands:
            args = [command, *options, *others]
        return super().parse_args(ctx, args if not args or args[0] in own else ["run", *args])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of `run`, then the other commands."""
        run = self.commands["run"]
        formatter.write_usage(ctx.command_path, "[OPTIONS] FILE…")
        run.format_help_text(ctx, formatter)
        run.format_options(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in self.commands.items()])


def _run(files: tuple[str, ...], config: Path | None, json: bool, quiet: bool, debug: bool, **flags: Any) -> int:
    from clipstream.cli.run import run_files  # noqa: PLC0415 - keeps --help light

    return run_files(files, load_settings(flags, config), Presentation(json, quiet, debug))


def _job(config: Path | None, json: bool, quiet: bool, debug: bool, **flags: Any) -> int:
    from clipstream.cli.batch import run_batch_job  # noqa: PLC0415 - keeps --help light

    return run_batch_job(os.environ, load_settings(flags, config), Presentation(json, quiet, debug))


def _demo(config: Path | None, json: bool, quiet: bool, debug: bool, **flags: Any) -> int:
    from clipstream.cli.demo import run_demo  # noqa: PLC0415 - keeps --help light

    return run_demo(load_settings(flags, config), Presentation(json, quiet, debug))


def _inspect(files: tuple[str, ...], config: Path | None, json: bool, debug: bool, **flags: Any) -> int:
    from clipstream.cli.inspect import inspect_files  # noqa: PLC0415 - keeps --help light

    return inspect_files(files, load_settings(flags, config), Presentation(json, debug=debug))


def _cut(
    *,
    file: str,
    starts: tuple[str, ...],
    ends: tuple[str, ...],
    intervals: Path | None,
    config: Path | None,
    json: bool,
    quiet: bool,
    debug: bool,
    **flags: Any,
) -> int:
    from clipstream.cli.cut import CutRequest, cut_file  # noqa: PLC0415 - keeps --help light

    request = CutRequest(file, starts, ends, intervals)
    return cut_file(request, load_settings(flags, config), Presentation(json, quiet, debug))


def _weights(json: bool, debug: bool) -> int | None:
    if click.get_current_context().invoked_subcommand:
        return None
    from clipstream.cli.weights import list_weights  # noqa: PLC0415 - keeps --help light

    return list_weights(Presentation(json, debug=debug))


def _fetch(names: tuple[str, ...], json: bool, quiet: bool, debug: bool) -> int:
    from clipstream.cli.weights import fetch  # noqa: PLC0415 - keeps --help light

    return fetch(names, Presentation(json, quiet, debug))


def _search(folder: Path, query: str, top: int, json: bool, debug: bool) -> int:
    from clipstream.cli.search import search_folder  # noqa: PLC0415 - keeps --help light

    return search_folder(folder, query, top, Presentation(json, debug=debug))


def _spans() -> list[click.Parameter]:
    group = "What is cut"
    return [
        Flag(["--from", "starts"], group, multiple=True, metavar="TIME", help="Where a clip starts. May be repeated."),
        Flag(["--to", "ends"], group, multiple=True, metavar="TIME", help="Where it ends; one for each --from."),
        Flag(
            ["--intervals"],
            group,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A table (CSV with the columns start_s and end_s) or a manifest.json that lists what to cut.",
        ),
    ]


def _files() -> click.Argument:
    return click.Argument(["files"], nargs=-1, required=True, metavar="FILE…")


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

commands = _DefaultRun(
    "clipstream",
    context_settings=_CONTEXT,
    no_args_is_help=True,
    commands=[
        RunCommand(
            "run",
            context_settings=_CONTEXT,
            callback=_run,
            params=[_files(), *settings_options(), *presentation_options()],
            short_help="Find and cut the highlights of FILE…; the default command.",
            help="Find the moments worth keeping in footage and cut them out, with the reason for each.\n\n"
            "FILE is a media file, a folder of them, or a pattern in quotes. Clips, a manifest, tables and a report "
            "appear in OUT/NAME/. Every option is also a TOML key and an environment variable (CLIPSTREAM_TOP=5). "
            "A TIME is 90, 90s, 1m30s, 2h or 1:30.",
        ),
        RunCommand(
            "cut",
            context_settings=_CONTEXT,
            callback=_cut,
            params=[
                click.Argument(["file"], metavar="FILE"),
                *_spans(),
                *settings_options(("cut", "crf", "codec", "container", "join", "out")),
                *presentation_options(),
            ],
            short_help="Just cut FILE at times you give, without loss where that can be.",
            help="Cut FILE at times you give, exact to the frame and without loss where that can be.\n\n"
            "Clips appear in OUT/NAME/clips/, named by where they start and end. A TIME is 12.5 or 1:02:03.5.",
        ),
        RunCommand(
            "inspect",
            context_settings=_CONTEXT,
            callback=_inspect,
            params=[_files(), *settings_options(), *presentation_options(quiet=False)],
            short_help="Say what is in FILE…, and what would be done with it.",
            help="Say what is in files, and what clipstream would do with them, without doing it.",
        ),
        RunCommand(
            "search",
            context_settings=_CONTEXT,
            callback=_search,
            params=[
                click.Argument(["folder"], metavar="DIR", type=click.Path(path_type=Path)),
                click.Argument(["query"], metavar="TEXT|IMAGE"),
                Flag(
                    ["--top"],
                    "What is found",
                    type=click.IntRange(1),
                    default=10,
                    metavar="N",
                    help="Show the best N moments. [10]",
                ),
                *presentation_options(quiet=False),
            ],
            short_help="Find the moments in DIR that look like a text or an image.",
            help="Find the moments that look like a text or an image, in all footage that was run with "
            "--save embeddings.\n\n"
            "DIR is the output folder of such runs. TEXT needs embeddings of a CLIP model; an image file works with "
            "those of any.",
        ),
        click.Group(
            "weights",
            context_settings=_CONTEXT,
            callback=_weights,
            invoke_without_command=True,
            params=presentation_options(quiet=False),
            short_help="Say which model weights are there and where; 'weights fetch NAME' gets others.",
            help="Say which model weights are there, where, and whether they are what they should be.\n\n"
            "A model looks for its weights in a path you give, in the folder CLIPSTREAM_WEIGHTS, and in packages that "
            "carry them. Nothing is downloaded but by 'fetch'.",
            commands=[
                RunCommand(
                    "fetch",
                    context_settings=_CONTEXT,
                    callback=_fetch,
                    params=[
                        click.Argument(["names"], nargs=-1, required=True, metavar="NAME…"),
                        *presentation_options(),
                    ],
                    short_help="Download NAME… into the folder of weights.",
                    help="Download weights into the folder CLIPSTREAM_WEIGHTS, verify their checksum, and say where "
                    "they are.\n\nNAME is one that 'weights' lists, or MODEL:TAG of open_clip.",
                )
            ],
        ),
        RunCommand(
            "job",
            context_settings=_CONTEXT,
            callback=_job,
            params=[*settings_options(), *presentation_options()],
            short_help=f"Do the job that the variable {JOB_VARIABLE} describes; the default command where it is set.",
            help=f"Do the job that the variable {JOB_VARIABLE} describes in JSON: stream_url and stream_id.\n\n"
            "Results and a status.json appear in OUT/STREAM_ID/.",
        ),
        RunCommand(
            "demo",
            context_settings=_CONTEXT,
            callback=_demo,
            params=[*settings_options(), *presentation_options()],
            short_help="No footage at hand: make a short scene, then find its highlights.",
            help="Make a short scene with people and sound in OUT/demo.mp4, then find and cut its highlights.",
        ),
    ],
)
click.version_option(package_name="clipstream", prog_name="clipstream", message="%(prog)s %(version)s")(commands)
