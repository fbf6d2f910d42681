"""A live stream as slices: read by a thread of its own, which reconnects for ever and never waits for the analysis."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Protocol, Self

import av.container
import av.packet
import structlog

from clipstream.errors import InputError
from clipstream.media.live.address import LiveAddress, scrub
from clipstream.media.live.backoff import Backoff
from clipstream.media.live.clock import FILE, REAL_TIME, LiveClock
from clipstream.media.live.connection import LiveConnection
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.live.load import Load
from clipstream.media.live.slice_queue import SliceQueue
from clipstream.media.live.slicer import AnalysisRate, LiveSlicer
from clipstream.media.live.status import FeedState, FeedStatus
from clipstream.media.live.troubles import ConnectionProblem, Trouble
from clipstream.media.pictures import DecodeMode
from clipstream.media.slices import MediaNeeds, Slice, StreamEnd
from clipstream.timing import SLICE_S, slice_start

__all__ = ["LiveFeed", "PacketSink"]

_CLOSING_S = 0.3
_SLOWEST_HZ = 1
"""A camera with fewer pictures a second may well send none for as long as a stall lasts."""
_UNHEARD_S = 0.5
"""Where a sender calls, nobody hears it meanwhile: most call for three seconds and then end."""

_log = structlog.get_logger()


class PacketSink(Protocol):
    """Takes the packets of one stream, in the order of demuxing: a recorder.

    Every call comes from one thread at a time, and holds up reading for as long as it takes. PTS and DTS of the
    packets are times of the stream already: `pts * time_base` counts seconds since it began, in the time base of the
    packet's track, and no track's DTS ever runs backwards, whatever the source does. A gap in them is a gap.
    """

    def begin(
        self,
        container: av.container.InputContainer,
        offset_s: Fraction,
        date_of: Callable[[Fraction], float | None] | None = None,
        *,
        rate_hz: Fraction | None = None,
    ) -> None:
        """Prepare for the tracks of a connection.

        Args:
            container: Their templates, to be read during this call.
            offset_s: What has to be added to the times of its packets; 0, since they are times of the stream.
            date_of: Tells the date of a stream time about now, in seconds since 1970; without it, that is now.
            rate_hz: Pictures a second; what the container says, by default.
        """

    def write(self, packet: "av.packet.Packet[Any]") -> None:
        """Take a packet. It is shared with the decoders: nothing in it may be changed for longer than the call."""

    def end(self) -> None:
        """Note that the connection is over. It may come without a `begin`."""


class LiveFeed:
    """Reads a live stream until it is closed, through every fault of the source.

    One thread connects, reads packets, puts them on one line of time, shows them to the recorder and decodes them into
    slices, the newest of which wait to be taken. Slices are numbered by stream time, `n = floor(2 t)`, and every number
    is given out, once and in order: where nothing came, or what came was dropped, the slice is empty. While nothing
    comes, empty slices follow the clock of the world by two seconds (HLS: a minute), so that nothing waits for the
    stream to come back.

    Media that turn out to have an end (a file or a finished playlist over HTTP) are read to it as fast as slices are
    taken, none is dropped, and the end is the stream's. An address that no waiting makes readable, such as one of SRT
    with an option that libsrt does not take, ends the stream at once and is its problem.

    Args:
        address: Where the stream is.
        stream: Its name.
        needs: What every slice has to hold.
        mode: Which frames are decoded.
        options: How to connect.
        sink: Who is shown the packets.
        start_slice: Number of the first slice, for a stream that goes on after a restart.
        began_unix_s: The date of stream time 0, for such a stream: what was missed becomes a gap.
        waiting_slices: Most slices that wait to be taken, beside two bursts of a source that delivers in pieces.
        give_up_s: End the stream when it could not be read for so long; never, by default.
    """

    def __init__(
        self,
        address: LiveAddress,
        stream: str,
        needs: MediaNeeds,
        *,
        mode: DecodeMode = DecodeMode.ALL,
        options: ConnectionOptions | None = None,
        sink: PacketSink | None = None,
        start_slice: int = 0,
        began_unix_s: float | None = None,
        waiting_slices: int = 20,
        give_up_s: float | None = None,
    ) -> None:
        self._address, self._stream, self._needs, self._mode = address, stream, needs, mode
        self._options, self._sink, self._give_up_s = options or ConnectionOptions(), sink, give_up_s
        self._clock = LiveClock(slice_start(start_slice), began_unix_s)
        self._queue = SliceQueue(stream, start_slice, waiting_slices)
        self._waiting_slices = waiting_slices
        self._status = FeedStatus(stream, str(address))
        self._troubles: Counter[Trouble] = Counter()
        self._frames = 0
        self._rate = AnalysisRate()
        self._load = Load()
        self._backoff = Backoff()
        self._slicer: LiveSlicer | None = None
        self._recording = False
        self._steady_hz: Fraction | None = None
        self._ran_since_s: float | None = None
        self._pictured_s = 0.0
        # Held whenever a packet is worked on, never while one is waited for: `close` comes in between.
        self._work = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name=f"read {stream}", daemon=True)
        self._thread.start()

    @property
    def waits(self) -> bool:
        """Whether reading waits for what is taken, as of a file: nothing is ever late then."""
        return self._clock.delivery is FILE

    @property
    def status(self) -> FeedStatus:
        """How it is doing, at this moment."""
        slicer = self._slicer
        return replace(
            self._status,
            troubles=dict(self._troubles),
            dropped=self._queue.dropped,
            late=self._queue.late,
            jumps=self._clock.jumps,
            queued=len(self._queue),
            burst_s=float(self._clock.delivery.burst_s),
            behind=self._load.behind,
            rate=self._rate,
            end_s=self._clock.end_s,
            now_s=self._clock.now_s(time.monotonic()),
            size_px=slicer.size_px if slicer is not None else None,
        )

    def take(self, limit: int = 16) -> list[Slice]:
        """Return the next slices, `limit` at most, perhaps none; the last of a stream carries its end. Never waits."""
        return self._queue.take(limit)

    def set_rate(self, divisor: int = 1, *, keyframes: bool = False) -> None:
        """Look at less of the pictures, or at more again, from about now on.

        Args:
            divisor: Choose one in so many of the pictures that were asked for.
            keyframes: Decode keyframes alone.
        """
        self._rate = AnalysisRate(divisor, keyframes)

    def close(self) -> None:
        """Stop reading: what was read can still be taken, and an end follows it.

        Returns at once. A connection that hangs is left to its thread, which touches nothing any more and is over when
        the connection gives up.
        """
        self._stop.set()
        self._queue.release()
        self._thread.join(_CLOSING_S)
        with self._work:
            try:
                self._leave()
            finally:
                self._finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        down_since_s = time.monotonic()
        said: Trouble | None = None
        while not self._stop.is_set():
            trouble = self._connect()
            now_s = time.monotonic()
            if self._stop.is_set() or trouble is Trouble.CLOSED:
                break
            if isinstance(trouble, str):
                with self._work:
                    self._finish(trouble)
                break
            ran_s = 0.0
            if self._ran_since_s is not None:
                ran_s, down_since_s, said = now_s - self._ran_since_s, now_s, None
                self._ran_since_s = None
            ended = trouble is Trouble.ENDED and self._clock.delivery is FILE
            if ended or (self._give_up_s is not None and now_s - down_since_s >= self._give_up_s):
                with self._work:
                    self._finish(None if ended else self._problem(trouble))
                break
            wait_s = self._backoff.wait_s(now_s, ran_s, refused=trouble is Trouble.UNAUTHORISED)
            if self._address.listens:
                wait_s = min(wait_s, _UNHEARD_S)
            self._wait(trouble, wait_s, log=trouble is not said)
            said = trouble

    def _connect(self) -> Trouble | str:
        """Connect, read for as long as it goes, and return why it goes no further, in words if it never will."""
        self._note(state=FeedState.CONNECTING, attempts=self._status.attempts + 1)
        try:
            with LiveConnection(self._address, self._options, self._steady_hz, self._stop) as connection:
                self._steady_hz = connection.steady_hz
                try:
                    self._read(connection)
                finally:
                    with self._work:
                        self._leave()
        except ConnectionProblem as problem:
            return problem.trouble
        except InputError as error:
            return str(error).removesuffix(".")
        except Exception as error:  # noqa: BLE001 - law: no input may end the flow of the others
            # The trace is not logged with it: messages of libraries may hold the whole URL.
            _log.error("stream_failed", stream=self._stream, error=f"{type(error).__name__}: {scrub(str(error))}")
        return Trouble.LOST

    def _read(self, connection: LiveConnection) -> None:
        with self._work:
            if self._stop.is_set():
                return
            self._clock.skip(slice_start(self._queue.stop_passing()))
            bases = {track.index: track.time_base or Fraction(1) for track in connection.container.streams}
            self._clock.connect(bases, connection.delivery)
            self._queue.capacity = self._waiting_slices + int(2 * connection.delivery.burst_s / SLICE_S)
            self._load = Load()
            rate_hz = connection.rate_hz
            self._tell_sink(
                lambda sink: sink.begin(connection.container, Fraction(0), self._clock.date_of, rate_hz=rate_hz)
            )
            self._recording = self._sink is not None
        asked_s = time.monotonic()
        for packet in connection:
            with self._work:
                if self._stop.is_set():
                    return
                at_s = time.monotonic()
                self._handle(connection, packet, at_s, at_s - asked_s)
            asked_s = time.monotonic()

    def _handle(
        self, connection: LiveConnection, packet: "av.packet.Packet[Any]", at_s: float, waited_s: float
    ) -> None:
        jumps = self._clock.jumps
        place = self._clock.place(
            packet.stream_index,
            packet.pts,
            packet.dts,
            packet.duration or 0,
            at_s=at_s,
            unix_s=time.time(),
        )
        if self._clock.jumps > jumps:
            _log.info("stream_time_jumped", stream=self._stream, at_s=round(float(self._clock.end_s), 3))
        packet.pts, packet.dts = place.pts, place.dts
        self._status = replace(self._status, packets=self._status.packets + 1, bytes=self._status.bytes + packet.size)
        time_s = place.dts * (packet.time_base or Fraction(1))
        if self._slicer is None:
            self._slicer = LiveSlicer(self._stream, connection, self._needs, self._mode, time_s)
            self._ran_since_s = self._pictured_s = at_s
            self._note(state=FeedState.RUNNING, trouble=None, attempts=0, connections=self._status.connections + 1)
            _log.info("stream_running", stream=self._stream, address=str(self._address))
        slicer = self._slicer
        if connection.delivery is REAL_TIME:
            self._load.note(float(self._clock.now_s(at_s) - time_s), waited_s, at_s)
        rate = replace(self._rate, keyframes=self._rate.keyframes or self._load.behind)
        if rate != slicer.wanted:
            slicer.thin(rate)
        size_px = slicer.size_px
        slices = slicer.feed(packet)
        if size_px is not None and slicer.size_px != size_px:
            raise ConnectionProblem(self._address, Trouble.CHANGED)
        # After decoding, which is what finds out that the pictures changed: a recording holds those of one size.
        if not place.seen:
            self._tell_sink(lambda sink: sink.write(packet))
        self._put(slices, wait=connection.delivery is FILE)
        self._watch_pictures(connection, packet, at_s)

    def _watch_pictures(self, connection: LiveConnection, packet: "av.packet.Packet[Any]", at_s: float) -> None:
        """Take it for a stall when pictures stop and sound goes on."""
        if connection.video is None or packet.stream is connection.video or connection.delivery is not REAL_TIME:
            self._pictured_s = at_s
        elif at_s - self._pictured_s > connection.stall_s and (connection.rate_hz or _SLOWEST_HZ) >= _SLOWEST_HZ:
            raise ConnectionProblem(self._address, Trouble.STALLED)

    def _put(self, slices: list[Slice], *, wait: bool) -> None:
        if slices:
            self._frames += sum(item.frame_count for item in slices)
            self._status = replace(
                self._status,
                slices=self._status.slices + len(slices),
                errors=self._status.errors + sum(item.errors for item in slices),
            )
            self._queue.put(slices, wait=wait)

    def _leave(self) -> None:
        """Give out what a connection that is over has left, and let time pass."""
        slicer, self._slicer = self._slicer, None
        if slicer is not None:
            self._put(slicer.finish(), wait=self._clock.delivery is FILE)
        if self._recording:
            self._recording = False
            self._tell_sink(lambda sink: sink.end())
        patience_s = self._clock.delivery.patience_s
        self._queue.pass_time(lambda: self._clock.now_s(time.monotonic()) - patience_s)

    def _problem(self, trouble: Trouble) -> str:
        return f"{self._address}: {trouble.value}"

    def _finish(self, problem: str | None = None) -> None:
        if self._status.state is FeedState.ENDED:
            return
        if problem is None and self._status.connections == 0:
            unheard = Trouble.UNCALLED if self._address.listens else Trouble.SILENT
            problem = self._problem(self._status.trouble or unheard)
        self._queue.finish(StreamEnd(self._clock.end_s, frames=self._frames, problem=problem))
        self._note(state=FeedState.ENDED)
        _log.info("stream_ended", stream=self._stream, address=str(self._address), problem=problem)

    def _wait(self, trouble: Trouble, wait_s: float, *, log: bool) -> None:
        self._troubles[trouble] += 1
        stalled = trouble is Trouble.STALLED
        self._note(state=FeedState.STALLED if stalled else FeedState.WAITING, trouble=trouble)
        if log:
            _log.warning(
                "stream_waiting",
                stream=self._stream,
                address=str(self._address),
                reason=trouble.value,
                retry_s=round(wait_s, 1),
            )
        self._stop.wait(wait_s)

    def _tell_sink(self, act: Callable[[PacketSink], None]) -> None:
        if self._sink is None:
            return
        try:
            act(self._sink)
        except Exception as error:  # noqa: BLE001 - whatever a recorder meets, reading goes on
            if not self._status.record_failures:
                _log.error(
                    "recording_failed", stream=self._stream, error=f"{type(error).__name__}: {scrub(str(error))}"
                )
            self._note(record_failures=self._status.record_failures + 1)

    def _note(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)
