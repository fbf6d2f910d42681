"""A web service on loopback that answers as it is told, for tests of webhooks."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Event, Thread
from typing import Literal

import pytest

Answer = int | Literal["drop", "hang", "garbage"]


@dataclass(frozen=True)
class Request:
    """What was posted."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Keeps what is posted to it, and gives the planned answers in order, then `usual`."""

    def __init__(self) -> None:
        self.received: SimpleQueue[Request] = SimpleQueue()
        self.planned: deque[Answer] = deque()
        self.usual: Answer = 204
        self.over = Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def next(self) -> Request:
        return self.received.get(timeout=20)

    def keys(self, count: int) -> list[str]:
        return [self.next().headers["Idempotency-Key"] for _ in range(count)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver for as long as the block lasts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = receiver.planned.popleft() if receiver.planned else receiver.usual
            receiver.received.put(Request(self.path, dict(self.headers.items()), body))
            if answer == "hang":
                receiver.over.wait()
            elif answer == "garbage":
                self.wfile.write(b"\x00\x01 nonsense\r\n\r\n")
            elif isinstance(answer, int):
                self.send_response(answer)
                if 300 <= answer < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition that another thread will bring about."""
    pause = Event()
    for _ in range(20_000):
        if condition():
            return
        pause.wait(0.001)
    pytest.fail("it never came about")
