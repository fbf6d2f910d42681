"""Messages are handed to programs: as words, variables and standard input, and once more where that fails."""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Event, Thread

import pytest
from receiver import until
from structlog.testing import capture_logs

from clipstream.errors import UsageError
from clipstream.notify import Message, Outbox, Patience
from clipstream.notify.message import SCHEMA
from clipstream.notify.targets import Command, DeliveryFailure
from clipstream.results import Interval, Reason
from clipstream.settings import Settings, options
from clipstream.settings.option import MESSAGE_VARIABLES

QUICK = Patience(first_s=0.001, longest_s=0.01)
INTERVAL = Interval("the gate", 7, 61_500, 65_004, 63_000, 4.25, (Reason("audio", "loudness", -9, -31, "dB", 21, 1),))
BEGAN = datetime(2030, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)

Program = Callable[[str], Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return what makes a shell script that runs in a folder of its own."""

    def make(text: str) -> Path:
        path = tmp_path / "bin" / "tell us"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\ncd "{path.parent}"\n{text}\n')
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def message(tmp_path: Path) -> Message:
    return Message.of(INTERVAL, tmp_path / """it's "7" $HOME.mp4""", tmp_path / "manifest.json", BEGAN)


@pytest.fixture
def letter(tmp_path: Path, message: Message) -> Path:
    path = tmp_path / "letter.json"
    path.write_bytes(message.encode())
    return path


def test_a_message_says_what_when_why_and_where(tmp_path: Path) -> None:
    made = Message.of(INTERVAL, tmp_path / "7.mp4", tmp_path / "manifest.json", BEGAN)
    assert json.loads(made.encode()) == {
        "key": made.key,
        "stream": "the gate",
        "number": 7,
        "clip": str(tmp_path / "7.mp4"),
        "start_s": 61.5,
        "end_s": 65.004,
        "peak_s": 63.0,
        "start_date": "2030-01-02T03:05:07.100Z",
        "end_date": "2030-01-02T03:05:10.604Z",
        "peak_date": "2030-01-02T03:05:08.600Z",
        "score": 4.25,
        "reason": "loudness 21.0 deviations above usual",
        "manifest": str(tmp_path / "manifest.json"),
        "schema": SCHEMA,
    }


def test_dates_are_utc_whatever_the_time_zone_and_absent_where_there_is_none() -> None:
    clip, manifest = Path("7.mp4"), Path("manifest.json")
    east = BEGAN.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert Message.of(INTERVAL, clip, manifest, east) == Message.of(INTERVAL, clip, manifest, BEGAN)
    undated = Message.of(INTERVAL, clip, manifest)
    assert undated.start_date is undated.end_date is undated.peak_date is None
    assert undated.clip == str(Path.cwd() / "7.mp4")


def test_a_key_names_the_highlight_and_no_other() -> None:
    def key(number: int = 7, start_ms: int = 61_500, stream: str = "the gate", began: datetime | None = BEGAN) -> str:
        interval = Interval(stream, number, start_ms, 65_004, 63_000, 4.25)
        return Message.of(interval, Path("7.mp4"), Path("manifest.json"), began).key

    others = [key(number=8), key(start_ms=0), key(stream="b"), key(began=None), key(began=BEGAN + timedelta(days=1))]
    assert key() == key()
    assert len({key(), *others}) == 6


def test_a_program_gets_the_message_as_words_variables_and_input(
    tmp_path: Path, program: Program, message: Message
) -> None:
    path = program('printf "%s\\n" "$@" > words; env > variables; cat > input')
    command = f"'{path}' {{clip}} 'of {{stream}}: {{number}}' --at={{start_date}} '$HOME' '{{ number }}'"
    with Outbox(tmp_path / "outbox", [command]) as outbox:
        outbox.post(message)
        outbox.close(timeout_s=20)
    assert (path.parent / "words").read_text().splitlines() == [
        message.clip,
        "of the gate: 7",
        "--at=2030-01-02T03:05:07.100Z",
        "$HOME",
        "{ number }",
    ]
    assert (path.parent / "input").read_bytes() == message.encode()
    variables = set((path.parent / "variables").read_text().splitlines())
    assert {f"CLIPSTREAM_CLIP={message.clip}", "CLIPSTREAM_START_S=61.5", f"CLIPSTREAM_KEY={message.key}"} <= variables
    assert f"PATH={os.environ['PATH']}" in variables
    assert set(MESSAGE_VARIABLES) <= {line.partition("=")[0] for line in variables}


def test_what_is_unknown_is_an_empty_word(program: Program, letter: Path) -> None:
    path = program('printf "%s\\n" "[$1]" > words')
    letter.write_text(json.dumps({"start_date": None}))
    assert Command(f"'{path}' {{start_date}}{{clip}}").deliver(letter, "key", Event()) is None
    assert (path.parent / "words").read_text() == "[]\n"


def test_the_variables_of_a_message_disturb_no_clipstream_that_the_program_runs() -> None:
    assert tuple(f"CLIPSTREAM_{item.name.upper()}" for item in fields(Message)) == MESSAGE_VARIABLES
    assert Settings.from_environment(dict.fromkeys(MESSAGE_VARIABLES, "text")) == Settings()
    assert not set(MESSAGE_VARIABLES) & {option.variable for option in options()}


def test_a_program_that_fails_is_run_again_before_the_next_message(
    tmp_path: Path, program: Program, message: Message
) -> None:
    path = program('echo "$1" >> tries; [ "$(wc -l < tries)" -ge 3 ] || exit 3')
    other = Message.of(Interval("the gate", 8, 0, 1, 0, 1.0), Path("8.mp4"), Path("manifest.json"))
    with capture_logs() as logged, Outbox(tmp_path / "outbox", [f"'{path}' {{number}}"], patience=QUICK) as outbox:
        outbox.post(message)
        outbox.post(other)
        until(lambda: not outbox.status()[0].waiting)
    assert (path.parent / "tries").read_text().split() == ["7", "7", "7", "8"]
    assert [entry["why"] for entry in logged if entry["log_level"] == "warning"] == ["its exit status is 3"]


def test_a_program_that_always_fails_is_given_up_after_five_tries(
    tmp_path: Path, program: Program, message: Message
) -> None:
    path = program("echo x >> tries; exit 1")
    with capture_logs() as logged, Outbox(tmp_path / "outbox", [f"'{path}'"], patience=QUICK) as outbox:
        outbox.post(message)
        until(lambda: not outbox.status()[0].waiting)
    assert (path.parent / "tries").read_text().count("x") == 5
    assert outbox.status()[0].given_up == 1
    assert [entry["tries"] for entry in logged if entry["log_level"] == "error"] == [5]


def test_what_a_program_prints_is_logged_at_debug(program: Program, letter: Path) -> None:
    path = program("echo out; echo err >&2; printf '\\377 no newline'")
    with capture_logs() as logged:
        assert Command(f"'{path}'").deliver(letter, "key", Event()) is None
    assert [(entry["log_level"], entry["key"], entry["text"]) for entry in logged] == [
        ("debug", "key", "out"),
        ("debug", "key", "err"),
        ("debug", "key", "\ufffd no newline"),
    ]


def test_a_program_that_hangs_is_killed_after_its_time(program: Program, letter: Path) -> None:
    path = program("exec sleep 100")
    failure = Command(f"'{path}'", timeout_s=0.1).deliver(letter, "key", Event())
    assert failure == DeliveryFailure("it took more than 0.1 s")


def test_a_program_that_is_killed_takes_along_all_that_it_started(program: Program, letter: Path) -> None:
    path = program("(echo started; exec sleep 100) > held & wait")
    os.mkfifo(path.parent / "held")
    stop, seen = Event(), []

    def stop_when_started() -> None:
        with (path.parent / "held").open() as held:
            seen.append(held.readline())
            stop.set()
            seen.append(held.read())  # returns when nobody holds the other end any more

    watcher = Thread(target=stop_when_started, daemon=True)
    watcher.start()
    assert Command(f"'{path}'").deliver(letter, "key", stop) == DeliveryFailure("it was stopped")
    watcher.join(20)
    assert seen == ["started\n", ""], "what it started does not run any more"


def test_a_program_may_leave_something_running_and_read_nothing(program: Program, letter: Path) -> None:
    path = program("sleep 10 &")
    assert Command(f"'{path}'", timeout_s=5).deliver(letter, "key", Event()) is None


def test_closing_kills_a_running_program_and_leaves_its_message(
    tmp_path: Path, program: Program, message: Message
) -> None:
    path = program("echo started > begun; sleep 100")
    os.mkfifo(path.parent / "begun")
    outbox = Outbox(tmp_path / "outbox", [f"'{path}'"])
    outbox.post(message)
    assert (path.parent / "begun").read_text() == "started\n"
    outbox.close(timeout_s=0)
    assert (outbox.status()[0].waiting, outbox.status()[0].failures) == (1, 0)
    program("cat > input")
    with Outbox(tmp_path / "outbox", [f"'{path}'"]) as outbox:
        outbox.close(timeout_s=20)
    assert (path.parent / "input").read_bytes() == message.encode()


def test_a_program_that_was_killed_or_is_gone_failed(program: Program, letter: Path) -> None:
    path = program("kill -9 $$")
    command = Command(f"'{path}'")
    assert command.deliver(letter, "key", Event()) == DeliveryFailure("it was killed by signal 9")
    path.unlink()
    assert command.deliver(letter, "key", Event()) == DeliveryFailure(
        "it cannot be started (No such file or directory)"
    )


def test_a_message_that_is_damaged_is_given_up_one_that_is_removed_forgotten_and_the_next_delivered(
    tmp_path: Path, program: Program, message: Message
) -> None:
    path = program("exit 1")
    outbox = Outbox(tmp_path / "outbox", [f"'{path}' {{number}}"], patience=Patience(1000, 1000))
    for number in (1, 2):
        outbox.post(Message.of(Interval("the gate", number, 0, 9, 9, 1.0), Path("8.mp4"), Path("manifest.json")))
    outbox.post(message)
    until(lambda: outbox.status()[0].failures)
    damaged, gone, _ = sorted(tmp_path.rglob("0*.json"))
    damaged.write_text("{")
    gone.unlink()
    program('echo "$1" >> tries')
    with capture_logs() as logged:
        outbox.close(timeout_s=20)
    assert (path.parent / "tries").read_text() == "7\n"
    assert [entry["why"] for entry in logged if entry["log_level"] == "error"] == [
        "the message in the outbox is damaged"
    ]


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("", "the command is empty; name a program"),
        ("tell 'us", "No closing quotation.*check its quotes"),
        ("no-such-program {clip}", "there is no program 'no-such-program'"),
        ("echo {clp}", "there is no placeholder {clp}; did you mean 'clip'"),
        ("echo {nonsense}", "there is no placeholder {nonsense}; use one of key, stream, number, clip"),
    ],
)
def test_a_command_that_cannot_be_right_is_refused_before_anything_runs(
    tmp_path: Path, command: str, problem: str
) -> None:
    with pytest.raises(UsageError, match=f"^on-clip: .*{problem}"):
        Outbox(tmp_path, [command])


def test_the_documentation_lists_the_fields_of_a_message_in_their_order() -> None:
    text = (Path(__file__).parents[1] / "docs" / "notifications.md").read_text(encoding="utf-8")
    table = text.partition("## The message")[2].partition("\n## ")[0]
    listed = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert listed == [item.name for item in fields(Message)]
    assert SCHEMA in text
