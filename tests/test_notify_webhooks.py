"""Messages are posted to web services, in order and at least once, whatever these and this process go through."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from time import time

import pytest
from receiver import Answer, Receiver, until
from structlog.testing import capture_logs

from clipstream.errors import OutputError, UsageError
from clipstream.notify import Message, Outbox, Patience, QueueStatus
from clipstream.notify.targets import DeliveryFailure, Webhook
from clipstream.results import Interval

QUICK = Patience(first_s=0.001, longest_s=0.01)
ROOT = Path(__file__).parents[1]


def message(number: int, stream: str = "camera") -> Message:
    interval = Interval(stream, number, 1000 * number, 1000 * number + 500, 1000 * number + 250, 4.0)
    return Message.of(interval, Path(f"{number}.mp4"), Path("manifest.json"), datetime(2030, 1, 2, tzinfo=UTC))


FIRST, SECOND, THIRD = map(message, (1, 2, 3))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else has it, but not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.json"
    path.write_bytes(FIRST.encode())
    return path


def test_a_message_is_posted_as_json_with_its_key(tmp_path: Path, receiver: Receiver) -> None:
    with Outbox(tmp_path, webhooks=[receiver.url]) as outbox:
        outbox.post(FIRST)
        request = receiver.next()
    assert request.path == "/hook"
    assert request.body == FIRST.encode()
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.headers["Idempotency-Key"] == FIRST.key == json.loads(request.body)["key"]
    assert request.headers["User-Agent"].startswith("clipstream/")
    assert "Authorization" not in request.headers


def test_messages_come_in_order_and_a_failing_one_is_tried_again_with_the_same_key(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.planned.extend([500, "drop", 429, 408, 302, "garbage", 204])
    with capture_logs() as logged, Outbox(tmp_path, webhooks=[receiver.url], patience=QUICK) as outbox:
        for one in (FIRST, SECOND, THIRD):
            outbox.post(one)
        assert receiver.keys(9) == [FIRST.key] * 7 + [SECOND.key, THIRD.key]
    (status,) = outbox.status()
    assert (status.waiting, status.delivered, status.failures, status.given_up) == (0, 3, 6, 0)
    warned = [entry["why"] for entry in logged if entry["log_level"] == "warning"]
    assert warned == ["it answers 500"], "an outage is told once"


def test_a_refusal_is_final_and_holds_up_nothing(tmp_path: Path, receiver: Receiver) -> None:
    receiver.planned.append(404)
    with capture_logs() as logged, Outbox(tmp_path, webhooks=[receiver.url]) as outbox:
        outbox.post(FIRST)
        outbox.post(SECOND)
        assert receiver.keys(2) == [FIRST.key, SECOND.key]
    (status,) = outbox.status()
    assert (status.delivered, status.given_up) == (1, 1)
    (told,) = [entry for entry in logged if entry["log_level"] == "error"]
    assert (told["event"], told["why"], told["key"]) == ("message_given_up", "it answers 404", FIRST.key)
    (kept,) = tmp_path.rglob("*.failed")
    assert kept.read_bytes() == FIRST.encode()


def test_a_message_that_fails_when_it_is_too_old_is_given_up(tmp_path: Path, receiver: Receiver) -> None:
    receiver.planned.append(500)
    impatient = Patience(give_up_s=-1, failing_s=0)
    with capture_logs() as logged, Outbox(tmp_path, webhooks=[receiver.url], patience=impatient) as outbox:
        outbox.post(FIRST)
        outbox.post(SECOND)
        assert receiver.keys(2) == [FIRST.key, SECOND.key]
    assert [entry["why"] for entry in logged if entry["log_level"] == "error"] == ["it answers 500"]


def test_what_waited_while_the_machine_was_off_for_days_is_delivered_once_the_network_is_up(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.usual = 503
    with Outbox(tmp_path, webhooks=[receiver.url]) as outbox:
        for one in (FIRST, SECOND):
            outbox.post(one)
        assert receiver.keys(1) == [FIRST.key]
    while not receiver.received.empty():
        receiver.next()
    friday_s = time() - 3 * 86_400
    for path in tmp_path.rglob("0*.json"):
        os.utime(path, (friday_s, friday_s))
    receiver.planned.extend([503, 503])
    receiver.usual = 204
    with Outbox(tmp_path, webhooks=[receiver.url], patience=QUICK) as outbox:
        assert receiver.keys(4) == [FIRST.key] * 3 + [SECOND.key]
    (status,) = outbox.status()
    assert (status.delivered, status.given_up) == (2, 0)


def test_waits_double_from_a_second_to_a_minute_and_are_never_in_step() -> None:
    patience = Patience()
    for failures, longest_s in ((1, 1.0), (2, 2.0), (5, 16.0), (7, 60.0), (10_000, 60.0)):
        waits_s = {patience.wait_s(failures) for _ in range(20)}
        assert len(waits_s) > 1
        assert all(longest_s / 2 <= wait_s <= longest_s for wait_s in waits_s)


def test_a_target_that_is_gone_delays_no_other(tmp_path: Path, receiver: Receiver, closed_port: int) -> None:
    gone = f"http://127.0.0.1:{closed_port}/"
    with Outbox(tmp_path, webhooks=[gone, receiver.url], patience=QUICK) as outbox:
        outbox.post(FIRST)
        outbox.post(SECOND)
        assert receiver.keys(2) == [FIRST.key, SECOND.key]
        until(lambda: outbox.status()[0].failures > 1)
    assert outbox.status()[0].waiting == 2
    assert outbox.status()[1] == QueueStatus(outbox.status()[1].target, delivered=2)


KILLED = """
import os, signal, sys
from pathlib import Path
from clipstream.notify import Outbox
from test_notify_webhooks import FIRST, SECOND
outbox = Outbox(Path(sys.argv[1]), webhooks=[sys.argv[2]])
outbox.post(FIRST)
outbox.post(SECOND)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_posted_before_kill_9_is_delivered_by_the_next_run(tmp_path: Path, receiver: Receiver) -> None:
    receiver.usual = 503
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    program = [sys.executable, "-c", KILLED, str(tmp_path), receiver.url]
    assert subprocess.run(program, env=environment, check=False, timeout=60).returncode == -9
    receiver.usual = 204
    with Outbox(tmp_path, webhooks=[receiver.url]) as outbox:
        keys = receiver.keys(1)
        while keys[-1] != SECOND.key:  # the tries of the run that was killed are among them
            keys += receiver.keys(1)
        assert set(keys[:-1]) == {FIRST.key}
        outbox.post(THIRD)
        assert receiver.keys(1) == [THIRD.key]


def test_a_message_that_is_posted_again_is_not_delivered_again(tmp_path: Path, receiver: Receiver) -> None:
    for _ in range(2):
        with Outbox(tmp_path, webhooks=[receiver.url]) as outbox:
            outbox.post(FIRST)
            outbox.post(FIRST)
    with Outbox(tmp_path, webhooks=[receiver.url]) as outbox:
        outbox.post(SECOND)
        assert receiver.keys(2) == [FIRST.key, SECOND.key]
    assert receiver.received.empty()


def test_the_last_thousand_are_remembered_and_no_more_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipstream.notify import queue

    monkeypatch.setattr(queue, "_REMEMBERED", 2)
    made = queue.Queue(tmp_path)
    for key in ("a", "b", "c"):
        made.put(key, b"{}")
        made.settle(next(tmp_path.glob("0*.json")), delivered=True)
    assert sorted(path.name for path in tmp_path.glob("0*")) == ["000000002-b.delivered", "000000003-c.delivered"]
    again = queue.Queue(tmp_path)
    for key in ("c", "b", "a"):
        again.put(key, b"{}")
    again.end()
    assert again.first() == (tmp_path / "000000004-a.json", "a")
    assert len(again) == 1
    again.release()


def test_a_message_half_written_by_a_run_that_died_is_no_message(tmp_path: Path, receiver: Receiver) -> None:
    with Outbox(tmp_path, webhooks=[receiver.url]):
        (folder,) = tmp_path.iterdir()
    (folder / ".000000001-0ff.json.part").write_text('{"key"')
    (folder / "notes.json").write_text("put here by somebody")
    with Outbox(tmp_path, webhooks=[receiver.url]) as outbox:
        outbox.post(FIRST)
        assert receiver.keys(1) == [FIRST.key]
    assert [path.name for path in folder.glob("0*")] == [f"000000001-{FIRST.key}.delivered"]
    assert not list(folder.glob(".*.part"))
    assert (folder / "notes.json").is_file()


def test_closing_waits_for_no_answer_and_leaves_the_message(tmp_path: Path, receiver: Receiver) -> None:
    receiver.planned.append("hang")
    outbox = Outbox(tmp_path, webhooks=[receiver.url])
    outbox.post(FIRST)
    receiver.next()
    with capture_logs() as logged:
        outbox.close(timeout_s=0)
    assert [(entry["event"], entry["waiting"]) for entry in logged] == [("messages_wait", 1)]
    assert [path.suffix for path in tmp_path.rglob("0*")] == [".json"]


def test_closing_delivers_what_waits_but_for_no_failure(tmp_path: Path, receiver: Receiver) -> None:
    receiver.usual = 503
    patience = Patience(first_s=1000, longest_s=1000)
    outbox = Outbox(tmp_path, webhooks=[receiver.url], patience=patience)
    outbox.post(FIRST)
    outbox.post(SECOND)
    until(lambda: outbox.status()[0].failures)
    receiver.usual = 204
    receiver.planned.extend([204, 500])
    outbox.close(timeout_s=20)
    (status,) = outbox.status()
    assert (status.delivered, status.waiting) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (200, None),
        (202, None),
        (299, None),
        (307, DeliveryFailure("it answers 307, a redirection, which is not followed; give the URL it leads to")),
        (401, DeliveryFailure("it answers 401", final=True)),
        (408, DeliveryFailure("it answers 408")),
        (410, DeliveryFailure("it answers 410", final=True)),
        (429, DeliveryFailure("it answers 429")),
        (500, DeliveryFailure("it answers 500")),
        (503, DeliveryFailure("it answers 503")),
        ("drop", DeliveryFailure("Remote end closed connection without response")),
        ("garbage", DeliveryFailure("the answer is no HTTP (BadStatusLine)")),
        ("hang", DeliveryFailure("timed out")),
    ],
)
def test_an_answer_says_whether_to_try_again(
    letter: Path, receiver: Receiver, answer: Answer, failure: DeliveryFailure | None
) -> None:
    receiver.planned.append(answer)
    assert Webhook(receiver.url, timeout_s=0.2 if answer == "hang" else 10).deliver(letter, "key", Event()) == failure
    receiver.next()
    assert receiver.received.empty(), "no redirection is followed"


def test_a_user_and_password_are_sent_and_nothing_secret_is_shown(
    tmp_path: Path, receiver: Receiver, closed_port: int
) -> None:
    shown = []
    for port in (receiver.port, closed_port):
        with capture_logs() as logged:
            outbox = Outbox(
                tmp_path, webhooks=[f"http://me:s%40cret@127.0.0.1:{port}/t0ken?key=hidden"], patience=QUICK
            )
            outbox.post(FIRST)
            until(lambda: outbox.status()[0].delivered or outbox.status()[0].failures)  # noqa: B023 - called at once
            outbox.close()
        shown += [repr(logged), repr(outbox.status())]
    request = receiver.next()
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"me:s@cret").decode()
    assert request.path == "/t0ken?key=hidden"
    shown += [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    for secret in ("me:", "s@cret", "s%40cret", "t0ken", "hidden"):
        assert not [text for text in shown if secret in text]
    assert "Connection refused" in shown[2]


@pytest.mark.parametrize(
    "url", ["ftp://me:secret@host/", "host/secret", "https://", "http://ho st/secret", "http://h:port/secret", ""]
)
def test_what_is_no_url_is_refused_without_showing_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="webhook: this is no URL to post to") as caught:
        Outbox(tmp_path, webhooks=[url])
    assert "secret" not in str(caught.value)


def test_an_outbox_that_cannot_be_written_says_so(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "outbox").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="a file is where a folder should be"):
        Outbox(tmp_path / "outbox", webhooks=[receiver.url])


def test_an_outbox_without_targets_takes_messages_and_writes_nothing(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox") as outbox:
        outbox.post(FIRST)
    assert not (tmp_path / "outbox").exists()
