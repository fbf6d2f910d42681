"""Runs that share an output folder share its outbox: one of them delivers, all can post, and nothing is told twice."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from receiver import Receiver, until
from test_notify_webhooks import FIRST, QUICK, ROOT, SECOND, THIRD

from clipstream.notify import Outbox
from clipstream.notify.queue import Queue


@pytest.fixture(autouse=True)
def _attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipstream.notify.queue._LOOK_S", 0.01)


@pytest.fixture
def delivering(tmp_path: Path) -> Iterator[Queue]:
    """The queue of the run that delivers, with a message in it."""
    queue = Queue(tmp_path)
    queue.put("a", b"{}")
    assert queue.first() is not None
    yield queue
    queue.release()


def test_what_another_run_posts_is_delivered_once_and_in_order(tmp_path: Path, receiver: Receiver) -> None:
    with Outbox(tmp_path, webhooks=[receiver.url]) as one, Outbox(tmp_path, webhooks=[receiver.url]) as other:
        one.post(FIRST)
        other.post(FIRST)
        other.post(SECOND)
        one.post(THIRD)
        assert receiver.keys(3) == [FIRST.key, SECOND.key, THIRD.key]
        until(lambda: not other.status()[0].waiting)
        assert sorted(outbox.status()[0].delivered for outbox in (one, other)) == [0, 3]
    assert receiver.received.empty()


def test_what_the_run_that_delivered_leaves_is_delivered_by_the_other(tmp_path: Path, receiver: Receiver) -> None:
    receiver.usual = 503
    one = Outbox(tmp_path, webhooks=[receiver.url])
    one.post(FIRST)
    assert receiver.keys(1) == [FIRST.key]
    with Outbox(tmp_path, webhooks=[receiver.url], patience=QUICK) as other:
        other.post(SECOND)
        one.close()
        receiver.usual = 204
        until(lambda: other.status()[0].delivered == 2)


KILLED = """
import sys
from pathlib import Path
from clipstream.notify import Outbox
from test_notify_webhooks import FIRST
outbox = Outbox(Path(sys.argv[1]), webhooks=[sys.argv[2]])
outbox.post(FIRST)
sys.stdin.read()
"""


def test_a_run_that_is_killed_delivers_no_more_and_another_does(tmp_path: Path, receiver: Receiver) -> None:
    receiver.planned.append("hang")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    program = [sys.executable, "-c", KILLED, str(tmp_path), receiver.url]
    with subprocess.Popen(program, env=environment, stdin=subprocess.PIPE) as killed:
        assert receiver.keys(1) == [FIRST.key]
        with Outbox(tmp_path, webhooks=[receiver.url]) as outbox:
            outbox.post(SECOND)
            killed.kill()
            assert receiver.keys(2) == [FIRST.key, SECOND.key]


def test_a_run_beside_the_one_that_delivers_leaves_all_to_it(delivering: Queue, tmp_path: Path) -> None:
    beside = Queue(tmp_path)
    beside.put("b", b"{}")
    beside.end()
    assert beside.first() is None
    assert (len(beside), len(delivering)) == (2, 2)
    delivering.release()
    assert beside.first() == (tmp_path / "000000001-a.json", "a")
    beside.release()


def test_what_one_run_settled_is_known_to_the_other(delivering: Queue, tmp_path: Path) -> None:
    beside = Queue(tmp_path)
    delivering.settle(tmp_path / "000000001-a.json", delivered=True)
    beside.put("a", b"{}")
    assert len(beside) == 0


def test_messages_put_at_the_same_time_each_have_a_number(tmp_path: Path) -> None:
    def put(run: int) -> None:
        queue = Queue(tmp_path)
        for number in range(10):
            queue.put(f"{run}x{number}", b"{}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(4)))
    names = sorted(path.name for path in tmp_path.glob("0*.json"))
    assert [int(name[:9]) for name in names] == list(range(1, 41))
