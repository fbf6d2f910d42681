"""The command line: what it understands, what it says where, and the status it ends with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from rich.console import Console

from clipstream.cli import main
from clipstream.cli.documents import RUN_SCHEMA
from clipstream.cli.options import Presentation
from clipstream.cli.run import exit_status
from clipstream.cli.summary import notices, print_summary
from clipstream.errors import InputNotFoundError, OutputError
from clipstream.failures import Failure
from clipstream.log import configure_logging
from clipstream.media.cutter import ClipResult
from clipstream.media.inputs import Input
from clipstream.report.description import describe
from clipstream.report.manifest import Manifest, Reel, Source
from clipstream.results import Interval, StreamSummary
from clipstream.run.watchers import Outcome, Watcher
from clipstream.settings import Settings, options

HEAVY = ("av", "bytewax", "cv2", "numpy", "rich", "scipy", "torch")
INTERVAL = Interval("match", 1, 1000, 4000, 2000, 3.0)

pytestmark = pytest.mark.usefixtures("clean_surroundings")

Capture = pytest.CaptureFixture[str]
Job = Callable[..., tuple[Outcome, ...]]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "match.mp4"
    path.write_bytes(b"the fake job does not look inside")
    return path


@pytest.fixture
def manifest(make_summary: Callable[..., StreamSummary]) -> Manifest:
    return describe(make_summary(), Source("match.mp4", "match.mp4"), Settings(), left_out=(("pose", "no weights"),))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the command line asks of `run_files`."""
    calls: list[tuple[Any, ...]] = []

    def run_files(*arguments: Any) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr("clipstream.cli.run.run_files", run_files)
    return calls


def outcome(state: str, manifest: Manifest | None = None, message: str | None = None, stream: str = "match") -> Outcome:
    return Outcome(stream, Path(f"{stream}.mp4"), Path("out") / stream, state, message, manifest)  # type: ignore[arg-type]  # tests name states


def job_of(*outcomes: Outcome) -> Job:
    def run(_inputs: Sequence[Input], _settings: Settings, watcher: Watcher, *_others: object) -> tuple[Outcome, ...]:
        for one in outcomes:
            watcher.started(one.stream, Fraction(30))
            watcher.progressed(one.stream, Fraction(12))
            watcher.clip_written(one.stream, INTERVAL, Path("clip.mp4"))
            watcher.finished(one)
        return outcomes

    return run


@pytest.fixture
def use_job(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job], None]:
    return lambda job: monkeypatch.setattr("clipstream.cli.run.run_job", job)


@pytest.fixture
def use_demo_job(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files the demo's highlights are sought in."""
    asked: list[Path] = []

    def run_inputs(inputs: Sequence[Input], *_: Any) -> int:
        asked.extend(item.path for item in inputs)
        return 0

    monkeypatch.setattr("clipstream.cli.demo.run_inputs", run_inputs)
    return asked


def test_help_shows_every_option_under_its_heading_and_the_commands(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for option in options():
        assert option.flag in text
        assert f"{option.group}:" in text
    assert "FILE…" in text.splitlines()[0]
    for command in ("cut", "inspect", "demo"):
        assert f"  {command} " in text


@pytest.mark.parametrize("line", [["--help"], ["--version"], ["cut", "--help"]])
def test_help_and_version_import_nothing_heavy(line: list[str]) -> None:
    program = (
        f"import sys; from clipstream.cli import main; status = main({line!r});"
        f"print(status, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "0 []"
    assert ran.stdout


@pytest.mark.parametrize(
    "line", [["a.mp4", "-o", "x"], ["run", "a.mp4", "-o", "x"], ["-o", "x", "a.mp4"], ["--out=x", "--", "a.mp4"]]
)
def test_files_alone_mean_run(line: list[str], seen: list[tuple[Any, ...]]) -> None:
    assert main(line) == 0
    assert seen == [(("a.mp4",), Settings(out="x"), Presentation())]


def test_every_way_of_giving_options_reaches_the_run(
    seen: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "sports.toml"
    config.write_text("top = 9\ncrf = 30\nscan = true\nout = 'there'")
    monkeypatch.setenv("CLIPSTREAM_CRF", "25")
    monkeypatch.setenv("CLIPSTREAM_FEATURES", "audio")
    line = [
        "a.mp4",
        "--config",
        str(config),
        "--out",
        "here",
        "--no-scan",
        "--weight",
        "motion=1",
        "--weight",
        "audio=2",
    ]
    assert main([*line, "--json", "--quiet", "--debug"]) == 0
    wanted = Settings(top=9, crf=25, out="here", features=("audio",), weight=(("audio", 2.0), ("motion", 1.0)))
    assert seen == [(("a.mp4",), wanted, Presentation(as_json=True, quiet=True, debug=True))]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["a.mp4", "--topp", "3"], "No such option '--topp'"),
        (["a.mp4", "--top"], "Option '--top' requires an argument."),
        (["a.mp4", "--top", "0"], "--top is 0; the smallest allowed is 1."),
        (["a.mp4", "--config", "none.toml"], "none.toml: there is no such configuration file; check the name."),
        (["--top", "3"], "Missing argument 'FILE…'."),
        (["inspect"], "Missing argument 'FILE…'."),
        (["cut"], "Missing argument 'FILE'."),
        (["cut", "a.mp4", "b.mp4"], "Got unexpected extra argument (b.mp4)"),
        (["demo", "a.mp4"], "Got unexpected extra argument (a.mp4)"),
    ],
)
def test_a_wrong_line_is_one_line_on_stderr_and_status_2(
    line: list[str], message: str, capsys: Capture, seen: list[tuple[Any, ...]]
) -> None:
    assert main(line) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith(f"clipstream: {message}")
    assert written.err.count("\n") == 1
    assert seen == []


def test_with_json_an_error_is_a_document_too(capsys: Capture) -> None:
    assert main(["a.mp4", "--json", "--top", "0"]) == 2
    assert json.loads(capsys.readouterr().out) == {
        "schema": "clipstream/error/1",
        "kind": "UsageError",
        "message": "--top is 0; the smallest allowed is 1.",
    }


def test_no_arguments_show_the_help_on_stderr_with_status_2(capsys: Capture) -> None:
    assert main([]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert "FILE…" in written.err


@pytest.mark.parametrize(
    ("error", "message", "status"),
    [
        (OutputError("out: cannot be written."), "out: cannot be written.", 1),
        (InputNotFoundError("a: there is no such file."), "a: there is no such file.", 2),
        (KeyboardInterrupt(), "stopped; run the same command again to go on.", 130),
        (ZeroDivisionError("two\nlines"), "internal error: ZeroDivisionError: two lines; --debug shows where.", 1),
    ],
)
def test_what_goes_wrong_is_one_line_and_with_debug_a_traceback(
    error: BaseException, message: str, status: int, *, film: Path, use_job: Callable[[Job], None], capsys: Capture
) -> None:
    def job(_inputs: Sequence[Input], _settings: Settings, _watcher: Watcher, *_others: object) -> tuple[Outcome, ...]:
        raise error

    use_job(job)
    assert main([str(film)]) == status
    written = capsys.readouterr()
    assert (written.out, written.err.lstrip("\n")) == ("", f"clipstream: {message}\n")
    assert main([str(film), "--debug"]) == status
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("states", "bad_arguments", "status"),
    [
        (["done", "already_done"], 0, 0),
        (["done"], 1, 2),
        (["done", "bad_input"], 0, 2),
        (["failed", "bad_input"], 1, 1),
        (["stopped", "failed"], 0, 130),
        ([], 1, 2),
    ],
)
def test_the_status_tells_the_worst_that_happened(states: list[str], bad_arguments: int, status: int) -> None:
    errors = [InputNotFoundError("x")] * bad_arguments
    assert exit_status([outcome(state) for state in states], errors) == status


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on_and_which_signal_stopped_it(
    number: signal.Signals, status: int, film: Path, use_job: Callable[[Job], None], capsys: Capture
) -> None:
    def job(_inputs: Sequence[Input], _settings: Settings, watcher: Watcher, *_others: object) -> tuple[Outcome, ...]:
        before = signal.signal(number, lambda *_: None)
        os.kill(os.getpid(), number)
        signal.signal(number, before)
        stopped = outcome("stopped")
        watcher.finished(stopped)
        return (stopped,)

    use_job(job)
    assert main([str(film)]) == status
    assert capsys.readouterr().err == "clipstream: stopped; run the same command again to go on.\n"


def test_a_run_prints_its_highlights_on_stdout_and_its_course_on_stderr(
    film: Path, manifest: Manifest, use_job: Callable[[Job], None], capsys: Capture
) -> None:
    use_job(job_of(outcome("done", manifest)))
    assert main([str(film)]) == 0
    written = capsys.readouterr()
    assert written.err.splitlines() == ["match: started, 00:00:30.000 long", "match: 2 highlights in out/match"]
    table = written.out
    for highlight in manifest.highlights:
        assert f"{highlight.start} " in table
    assert table.index(manifest.ranked[0].start) < table.index(manifest.ranked[1].start)
    assert "loudness 21.4 deviations above usual" in " ".join(table.split())
    assert "note: pose was left out: no weights" in table
    assert "report: out/match/report.html" in table


def test_quiet_says_nothing_but_errors(
    film: Path, manifest: Manifest, use_job: Callable[[Job], None], capsys: Capture
) -> None:
    use_job(job_of(outcome("done", manifest), outcome("failed", None, "no space left.", "other")))
    assert main([str(film), "--quiet"]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == "clipstream: other.mp4: no space left.\n"


def test_json_is_one_document_with_every_manifest_and_every_error(
    film: Path, manifest: Manifest, use_job: Callable[[Job], None], capsys: Capture
) -> None:
    use_job(job_of(outcome("done", manifest), outcome("bad_input", None, "b.mp4: empty.", "b")))
    assert main([str(film), "absent.mp4", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == RUN_SCHEMA
    assert [(one["stream"], one["state"], one["message"]) for one in document["outcomes"]] == [
        ("match", "done", None),
        ("b", "bad_input", "b.mp4: empty."),
    ]
    first, second = document["outcomes"]
    assert first["manifest"]["highlights"][0]["start_s"] == float(manifest.highlights[0].start_s)
    assert first["manifest_path"] == "out/match/manifest.json"
    assert second["manifest"] is second["manifest_path"] is None
    assert [error["kind"] for error in document["errors"]] == ["InputNotFoundError"]


def test_a_bad_input_does_not_keep_the_others_from_running(
    film: Path, manifest: Manifest, use_job: Callable[[Job], None], capsys: Capture
) -> None:
    given: list[Input] = []

    def job(inputs: Sequence[Input], settings: Settings, watcher: Watcher, *_others: object) -> tuple[Outcome, ...]:
        given.extend(inputs)
        return job_of(outcome("done", manifest))(inputs, settings, watcher, ())

    use_job(job)
    assert main(["absent.mp4", str(film)]) == 2
    assert [item.path for item in given] == [film]
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("clipstream: ")]
    assert len(errors) == 1
    assert "absent.mp4" in errors[0]


def test_notices_say_why_there_is_nothing_what_was_left_out_and_what_was_done_before(
    make_summary: Callable[..., StreamSummary],
) -> None:
    summary = make_summary(highlights=0, problem="truncated: 10 s of 20 s could be read")
    manifest = describe(summary, Source("a", "a"), Settings(), left_out=(("pose", "no weights"),))
    again = "already finished with these settings; --force does it again."
    assert list(notices(outcome("already_done", manifest, again))) == [
        summary.explanation,
        "note: truncated: 10 s of 20 s could be read",
        "note: pose was left out: no weights",
        f"note: {again}",
    ]


def test_notices_say_which_feature_failed_and_count_it_among_no_other_errors(
    make_summary: Callable[..., StreamSummary],
) -> None:
    failed = replace(make_summary(), failures=(Failure("pose", 7, "MemoryError"),), errors=8)
    told = list(notices(outcome("done", describe(failed, Source("a", "a"), Settings()))))
    assert told == [
        "note: errors passed over: 1 packet or frame.",
        "note: pose failed in 7 of 60 slices: MemoryError.",
    ]


def test_a_summary_says_where_the_reel_is_and_what_is_to_be_known_of_clips_and_reel(
    make_summary: Callable[..., StreamSummary],
) -> None:
    clip = ClipResult(Path("clips/001_000002.000.mp4"), Fraction(2), Fraction(4), 60, "cut", ("re-encoded whole: why",))
    reel = Reel("clips/reel.mp4", notes=("sound re-encoded",))
    manifest = describe(make_summary(), Source("a", "a"), Settings(), clips={1: clip}, reel=reel)
    drawn = StringIO()
    print_summary([outcome("done", manifest)], Console(file=drawn, width=100))
    lines = [line.strip() for line in drawn.getvalue().splitlines()]
    assert "note: clip 1: re-encoded whole: why" in lines
    assert "note: reel: sound re-encoded" in lines
    assert "reel: out/match/clips/reel.mp4" in lines


def test_a_table_fits_a_narrow_terminal(manifest: Manifest) -> None:
    drawn = StringIO()
    print_summary([outcome("done", manifest)], Console(file=drawn, width=80))
    table = [line for line in drawn.getvalue().splitlines() if "report:" not in line and "note:" not in line]
    assert max(map(len, table)) <= 80


def test_brackets_in_a_name_are_no_markup(manifest: Manifest) -> None:
    drawn = StringIO()
    print_summary([outcome("done", manifest, stream="[bold]x[/]")], Console(file=drawn, width=100))
    assert "[bold]x[/]: 2 highlights" in drawn.getvalue()


def test_log_events_go_to_stderr_as_json_without_tracebacks(capsys: Capture) -> None:
    configure_logging(Settings(log_level="info", log_format="json"))
    log = structlog.get_logger()
    log.debug("not_shown")
    log.error("failed", stream="match", exc_info=ValueError("x"))
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert json.loads(line).items() >= {"event": "failed", "stream": "match", "level": "error"}.items()
    assert "exception" not in json.loads(line)


def test_log_lines_for_people_on_request(capsys: Capture) -> None:
    configure_logging(Settings(log_format="console"), debug=True)
    structlog.get_logger().debug("shown", stream="match")
    written = capsys.readouterr()
    assert written.out == ""
    assert "shown" in written.err
    assert not written.err.startswith("{")


def test_a_demo_mp4_that_is_there_is_never_overwritten(
    tmp_path: Path, use_demo_job: list[Path], capsys: Capture
) -> None:
    own = tmp_path / "demo.mp4"
    own.write_bytes(b"a holiday, say")
    assert main(["demo", "-o", str(tmp_path), "--force"]) == 0
    assert own.read_bytes() == b"a holiday, say"
    assert use_demo_job == [own]
    assert f"{own} is there already and is used as it is; remove or rename it" in capsys.readouterr().err
