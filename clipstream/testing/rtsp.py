"""A loopback RTSP server that shows files as cameras do, endlessly and in real time, and fails on command."""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from clipstream.testing.camera import Camera, Sent
from clipstream.testing.loopback import LoopbackServer
from clipstream.testing.programme import Programme, load_programme
from clipstream.testing.rtsp_messages import Guard, Scheme
from clipstream.testing.rtsp_session import RtspSession

__all__ = ["RtspServer"]

_REMEMBERED = 100_000


class RtspServer(LoopbackServer):
    """Cameras on 127.0.0.1, each under a path of its own, over TCP (interleaved) or UDP.

    H.264 or HEVC, with AAC, Opus or G.711, as in the file; PTS are the file's, continued from repetition to repetition.
    Faults hit every camera, or the one named by `on`; those of connections (`drop`, `refuse`, `restart`) hit all.

    Args:
        media: File that the first camera shows.
        path: Path of the first camera.
        speed: Seconds of media in a second of the world.
        loop: Whether files are repeated; otherwise the stream ends with the file.
        start_at_s: Where in the file the first client begins: at the keyframe there or before.
        user: Who may watch; everyone where it is empty.
        password: The password.
        scheme: How it is asked for.
        certificate: File with certificate and key in PEM, to speak RTSPS.

    >>> with RtspServer(clip) as server:                                            # doctest: +SKIP
    ...     container = av.open(server.url, options={"rtsp_transport": "tcp"})
    """

    def __init__(
        self,
        media: Path,
        *,
        path: str = "live",
        speed: float = 1.0,
        loop: bool = True,
        start_at_s: float = 0.0,
        user: str = "",
        password: str = "",
        scheme: Scheme = "digest",
        certificate: Path | None = None,
    ) -> None:
        super().__init__(certificate)
        self._speed, self._loops = speed, loop
        self._guard = Guard(user, password, scheme) if user else None
        self._cameras: dict[str, Camera] = {}
        self._sent: deque[Sent] = deque(maxlen=_REMEMBERED)
        self._clients = 0
        self._first = path
        self._add(path, load_programme(media), start_at_s)

    @property
    def url(self) -> str:
        """Address of the first camera, without credentials."""
        return self.url_of(self._first)

    def url_of(self, path: str, *, credentials: bool = False) -> str:
        """Return the address of a path, whether something is there or not."""
        who = ""
        if credentials and self._guard is not None:
            who = f"{quote(self._guard.user, safe='')}:{quote(self._guard.password, safe='')}@"
        return f"rtsp{'s' if self._tls else ''}://{who}127.0.0.1:{self.port}/{path}"

    @property
    def playing(self) -> int:
        """How many clients are being sent something, or would be but for a stall."""
        return sum(len(camera.players) for camera in self._cameras.values())

    @property
    def sent(self) -> tuple[Sent, ...]:
        """What went out to whom, in order: the last 100,000 units."""
        with self._changed:
            return tuple(self._sent)

    def add(self, path: str, media: Path, *, start_at_s: float = 0.0) -> str:
        """Add a camera and return its address."""
        programme = load_programme(media)

        async def act() -> None:
            self._add(path, programme, start_at_s)

        self._do(act)
        return self.url_of(path)

    def stall(self, *, on: str | None = None) -> None:
        """Send nothing more while connections stay; what is shown meanwhile is lost."""
        self._each(on, Camera.stall)

    def resume(self, *, on: str | None = None) -> None:
        """Send again after a stall, from the next keyframe on."""
        self._each(on, Camera.resume)

    def jump(self, seconds: float, *, on: str | None = None) -> None:
        """Move the timestamps forwards, or backwards, of all that is still to be sent; the pictures go on."""
        self._each(on, lambda camera: camera.jump(seconds))

    def lose(self, frames: int = 1, *, on: str | None = None) -> None:
        """Leave out the next video frames for each client, which sees that packets are missing."""

        def act(camera: Camera) -> None:
            for player in camera.players:
                player.lose_frames += frames

        self._each(on, act)

    def corrupt(self, frames: int = 1, *, on: str | None = None) -> None:
        """Flip bytes in the next video frames for each client."""

        def act(camera: Camera) -> None:
            for player in camera.players:
                player.corrupt_frames += frames

        self._each(on, act)

    def slow(self, factor: float, *, on: str | None = None) -> None:
        """Take `factor` times as long as usual for everything from now on; 1 is usual."""
        self._each(on, lambda camera: camera.slow(factor))

    def untimed(self, frames: int, *, on: str | None = None) -> None:
        """Send the first video frames of each connection to come such that FFmpeg sees no PTS on them."""

        def act(camera: Camera) -> None:
            camera.untimed_frames = frames

        self._each(on, act)

    def change(self, media: Path, *, on: str | None = None) -> None:
        """Show another file. With the same codecs, clients see it on the same connection; others are dropped."""
        programme = load_programme(media)

        def act(camera: Camera) -> None:
            if not camera.change(programme):
                for player in list(camera.players):
                    player.stop()

        self._each(on, act)

    def _add(self, path: str, programme: Programme, start_at_s: float) -> None:
        self._cameras[path] = Camera(path, programme, speed=self._speed, loop=self._loops, start_at_s=start_at_s)

    def _each(self, on: str | None, act: Callable[[Camera], None]) -> None:
        async def run() -> None:
            for camera in self._cameras.values() if on is None else [self._cameras[on]]:
                act(camera)

        self._do(run)

    def _begin_anew(self) -> None:
        for camera in self._cameras.values():
            camera.restart()

    def _record(self, sent: Sent) -> None:
        with self._changed:
            self._sent.append(sent)
            self._changed.notify_all()

    def _number_client(self) -> int:
        self._clients += 1
        self._notify()
        return self._clients

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = RtspSession(
            reader,
            writer,
            self._cameras,
            guard=self._guard,
            record=self._record,
            number_client=self._number_client,
        )
        try:
            await session.run()
        finally:
            await session.close()
            self._notify()
