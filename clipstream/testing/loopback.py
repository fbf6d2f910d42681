"""What every server of the test kit is: a thread with an event loop that listens on 127.0.0.1 and fails on command."""

import asyncio
import socket
import ssl
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from clipstream.testing.waiting import wait_until

__all__ = ["LoopbackServer", "Refusal"]

Refusal = Literal["closed", "hang_up", "silent"]
"""How new connections are turned away: the port is closed, they are closed at once, or they are never answered."""

_HOST = "127.0.0.1"
_ANSWER_S = 10.0
_T = TypeVar("_T")


class LoopbackServer(ABC):
    """A server on a free port of 127.0.0.1, to be used in a `with` statement.

    Every method may be called from any thread and has taken effect when it returns.

    Args:
        certificate: File with certificate and key in PEM, to speak TLS.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(certificate)
        self._changed = threading.Condition()
        self._closing = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._listening: asyncio.Server | None = None
        self._place: socket.socket | None = None
        self._refusal: Refusal | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self._do(self._open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port it listens on; the same one after it was closed and opened again."""
        return self._port

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def accepting(self) -> bool:
        """Whether new connections are taken and answered."""
        return self._listening is not None and self._refusal is None

    def wait_until(self, condition: Callable[[], object], timeout_s: float = 5.0) -> None:
        """Return as soon as `condition()` is true; it is asked whenever something happens in the server.

        Raises:
            TimeoutError: It did not become true in time.
        """
        wait_until(condition, timeout_s, changed=self._changed)

    def drop(self, *, reset: bool = False) -> None:
        """Close every connection: an ordinary end, or with `reset` as a machine does that knows nothing of it."""
        self._do(lambda: self._drop(reset=reset))

    def refuse(self, how: Refusal = "closed") -> None:
        """Turn new connections away until `accept()`; the present ones stay."""
        self._do(lambda: self._refuse(how))

    def accept(self) -> None:
        """Take connections again."""
        self._do(self._open)

    def restart(self, down_s: float = 0.0) -> None:
        """Drop every connection, refuse new ones for `down_s` seconds, then begin anew. Returns at once."""

        async def again() -> None:
            await self._drop(reset=False)
            await self._refuse("closed")
            self._begin_anew()
            loop = asyncio.get_running_loop()
            loop.call_later(down_s, lambda: loop.create_task(self._open()))

        self._do(again)

    def close(self) -> None:
        """Close everything and end the thread. A second time does nothing."""
        with self._closing:
            if self._loop is None:
                return
            self._do(self._shut)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_ANSWER_S)
            self._loop.close()
            self._loop = None

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Attend to one connection until it ends; it is closed afterwards."""

    @abstractmethod
    def _begin_anew(self) -> None:
        """Forget what a restart forgets."""

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _do(self, action: Callable[[], Awaitable[_T]]) -> _T:
        """Run a coroutine function in the server's thread and return its result."""

        async def run() -> _T:
            return await action()

        if self._loop is None:
            raise RuntimeError(f"the {type(self).__name__} is not running; use it in a with statement")
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_ANSWER_S)

    def _run(self) -> None:
        assert self._loop is not None
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _open(self) -> None:
        self._refusal = None
        if self._listening is None:
            place = self._place or _bound(0)
            self._place, self._port = None, place.getsockname()[1]
            self._listening = await asyncio.start_server(self._greet, sock=place, limit=1 << 20, ssl=self._tls)
        self._notify()

    async def _refuse(self, how: Refusal) -> None:
        if how != "closed":
            await self._open()
        elif self._listening is not None:
            self._listening.close()
            self._listening = None
            # Bound but not listening: connections are refused, and nobody else is given the port.
            self._place = _bound(self._port)
        self._refusal = how

    async def _drop(self, *, reset: bool) -> None:
        for writer in list(self._connections):
            if reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _shut(self) -> None:
        if self._listening is not None:
            self._listening.close()
        if self._place is not None:
            self._place.close()
        await self._drop(reset=False)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.get_running_loop().create_task(self._attend(reader, writer))
        self._notify()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refusal == "silent":
                while await reader.read(1 << 16):
                    pass
            elif self._refusal is None:
                await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client is gone, or speaks another protocol
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._connections.pop(writer, None)
            self._notify()


def _bound(port: int) -> socket.socket:
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind((_HOST, port))
    return place
