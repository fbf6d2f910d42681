"""How a run goes, for Prometheus (`--metrics`): a page that is made anew whenever it is asked for.

`docs/metrics.md` lists what is on it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from clipstream.errors import OutputError, UsageError
from clipstream.live.overload import Shedding
from clipstream.media.live.status import FeedState, FeedStatus
from clipstream.media.live.troubles import Trouble
from clipstream.notify import QueueStatus
from clipstream.output import ClipCounts

__all__ = ["Metrics", "StreamStatus", "markdown_table"]

_LOCAL = "127.0.0.1"

_HIGHEST_PORT = 65535

Status = TypeVar("Status")

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of a metric, each with those of its labels."""


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How a stream is doing at one moment. What is counted is counted since the process started.

    Attributes:
        stream: Its name.
        feed: How it is read; `None` for a file.
        shedding: What is left out of its analysis.
        lag_s: How long ago what was analysed last happened; `None` while that is not known.
        warming_up: Whether it is not known yet what is usual.
        clips: What became of its highlights.
        recorded_bytes: Size of its recording.
        recorded_segments: Segments in it.
        unrecorded_packets: Packets that could not be recorded.
        failed_measurements: Slices in which a feature failed, counted for each feature.
    """

    stream: str
    feed: FeedStatus | None = None
    shedding: Shedding = Shedding.NOTHING
    lag_s: float | None = None
    warming_up: bool = False
    clips: ClipCounts = field(default_factory=ClipCounts)
    recorded_bytes: int = 0
    recorded_segments: int = 0
    unrecorded_packets: int = 0
    failed_measurements: int = 0


class Metrics:
    """Serves the page, from a thread of its own, until closed.

    Only the numbers that `collect` returns are on it: a stream that is no longer among them is gone. Labels hold names
    of streams and targets, which have no secrets in them.

    Args:
        address: Port on this machine, or `HOST:PORT`; `0.0.0.0:PORT` for all its networks. Port 0 chooses a free one.
        collect: Returns how each stream is doing; called for every page, from another thread.
        queues: Returns how the messages to others are doing, as `Outbox.status` does.

    Attributes:
        url: Where the page is.

    Raises:
        UsageError: The address is none.
        OutputError: It cannot be listened on.
    """

    def __init__(
        self,
        address: str,
        collect: Callable[[], Sequence[StreamStatus]],
        queues: Callable[[], Sequence[QueueStatus]] = tuple,
    ) -> None:
        host, port = _parse(address)
        registry = CollectorRegistry()
        registry.register(_Collector(collect, queues))
        ProcessCollector(registry=registry)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise OutputError(
                f"metrics: {address} cannot be listened on ({error.strerror}); choose another port or host."
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}/metrics"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass(frozen=True, slots=True)
class _Definition(Generic[Status]):
    """A metric: its name without prefix, what it says, and how it is read from a status."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Status], Samples]
    counted: bool = False

    @property
    def full_name(self) -> str:
        return f"clipstream_{self.name}{'_total' if self.counted else ''}"

    def family(self, statuses: Iterable[Status]) -> Metric:
        make = CounterMetricFamily if self.counted else GaugeMetricFamily
        family = make(f"clipstream_{self.name}", self.help, labels=self.labels)
        for status in statuses:
            for labels, value in self.samples(status):
                family.add_metric(labels, value)
        return family


def _stream(
    name: str, text: str, value: Callable[[StreamStatus], float | None], *, counted: bool = False
) -> _Definition[StreamStatus]:
    def samples(status: StreamStatus) -> Samples:
        number = value(status)
        return () if number is None else [((status.stream,), float(number))]

    return _Definition(name, text, ("stream",), samples, counted)


def _feed(
    name: str, text: str, value: Callable[[FeedStatus], float], *, counted: bool = False
) -> _Definition[StreamStatus]:
    return _stream(name, text, lambda status: None if status.feed is None else value(status.feed), counted=counted)


def _queue(
    name: str, text: str, value: Callable[[QueueStatus], int], *, counted: bool = False
) -> _Definition[QueueStatus]:
    return _Definition(name, text, ("target",), lambda status: [((status.target,), float(value(status)))], counted)


def _states(status: StreamStatus) -> Samples:
    feed = status.feed
    return [((status.stream, state.value), float(state is feed.state)) for state in FeedState] if feed else ()


def _troubles(status: StreamStatus) -> Samples:
    # Those never met are 0 and not absent, or else the first would be no increase.
    met = status.feed.troubles if status.feed else None
    return [((status.stream, kind.name.lower()), met.get(kind, 0)) for kind in Trouble] if met is not None else ()


_STREAMS = (
    _Definition(
        "stream_state", "1 for the state in which a live stream is, 0 for the others.", ("stream", "state"), _states
    ),
    _feed("connections", "Connections on which packets came.", lambda feed: feed.connections, counted=True),
    _Definition(
        "troubles",
        "How often each kind of trouble kept a stream from being read.",
        ("stream", "trouble"),
        _troubles,
        counted=True,
    ),
    _feed("packets", "Packets read, of all tracks.", lambda feed: feed.packets, counted=True),
    _feed("received_bytes", "Size of the packets read.", lambda feed: feed.bytes, counted=True),
    _feed("slices", "Half-seconds decoded.", lambda feed: feed.slices, counted=True),
    _feed(
        "dropped_slices",
        "Half-seconds thrown away because analysis did not take them in time.",
        lambda feed: feed.dropped,
        counted=True,
    ),
    _feed(
        "late_slices",
        "Half-seconds thrown away because they came after their time.",
        lambda feed: feed.late,
        counted=True,
    ),
    _feed("decode_errors", "Packets and frames that could not be decoded.", lambda feed: feed.errors, counted=True),
    _feed(
        "time_jumps",
        "How often times did not follow from those before, within a connection.",
        lambda feed: feed.jumps,
        counted=True,
    ),
    _feed("queued_slices", "Half-seconds that wait to be analysed.", lambda feed: feed.queued),
    _feed(
        "decoding_behind",
        "1 while decoding lags behind what comes, so that keyframes alone are decoded.",
        lambda feed: feed.behind,
    ),
    _feed(
        "analysed_pictures_ratio",
        "Share of the pictures asked for that is looked at.",
        lambda feed: 1 / feed.rate.divisor,
    ),
    _stream(
        "shedding_level",
        "What analysis leaves out to keep up, from 0, nothing, to 4, all but keyframes.",
        lambda status: status.shedding,
    ),
    _feed("stream_time_seconds", "Stream time that was reached.", lambda feed: float(feed.end_s)),
    _stream("lag_seconds", "How long ago what was analysed last happened.", lambda status: status.lag_s),
    _stream(
        "warming_up",
        "1 while it is not known yet what is usual, so that nothing is found.",
        lambda status: status.warming_up,
    ),
    _stream(
        "failed_measurements",
        "Half-seconds in which a feature failed, for each feature.",
        lambda status: status.failed_measurements,
        counted=True,
    ),
    _stream(
        "clips",
        "Clips written, or found when a run went on after an interruption.",
        lambda status: status.clips.written,
        counted=True,
    ),
    _stream("pending_clips", "Highlights whose clips are not written yet.", lambda status: status.clips.pending),
    _stream(
        "failed_clips",
        "Highlights whose clips could not be cut, or not be announced.",
        lambda status: status.clips.failed,
        counted=True,
    ),
    _stream(
        "recording_bytes",
        "Size of the recording that clips are cut from.",
        lambda status: _recorded(status, status.recorded_bytes),
    ),
    _stream("recording_segments", "Segments in it.", lambda status: _recorded(status, status.recorded_segments)),
    _stream(
        "unrecorded_packets",
        "Packets that could not be recorded.",
        lambda status: _recorded(status, status.unrecorded_packets),
        counted=True,
    ),
    _feed("record_failures", "How often recording failed.", lambda feed: feed.record_failures, counted=True),
)

_QUEUES = (
    _queue("waiting_messages", "Messages that are not delivered yet.", lambda queue: queue.waiting),
    _queue("delivered_messages", "Messages that were delivered.", lambda queue: queue.delivered, counted=True),
    _queue("failed_deliveries", "Tries to deliver a message that failed.", lambda queue: queue.failures, counted=True),
    _queue("given_up_messages", "Messages that never will be delivered.", lambda queue: queue.given_up, counted=True),
)

_BUILD: _Definition[str] = _Definition(
    "build_info", "1, with the version of clipstream.", ("version",), lambda text: [((text,), 1.0)]
)


def _recorded(status: StreamStatus, number: int) -> float | None:
    return number if status.feed else None


class _Collector(Collector):
    def __init__(
        self, collect: Callable[[], Sequence[StreamStatus]], queues: Callable[[], Sequence[QueueStatus]]
    ) -> None:
        self._streams, self._queues = collect, queues

    def collect(self) -> Iterable[Metric]:
        streams, queues = self._streams(), self._queues()
        return [
            _BUILD.family([version("clipstream")]),
            *(definition.family(streams) for definition in _STREAMS),
            *(definition.family(queues) for definition in _QUEUES),
        ]


def markdown_table() -> str:
    """Return the table in docs/metrics.md: every metric of clipstream's own."""
    definitions: tuple[_Definition[Any], ...] = (_BUILD, *_STREAMS, *_QUEUES)
    rows = [
        f"| `{one.full_name}` | {'counter' if one.counted else 'gauge'} | `{', '.join(one.labels)}` | {one.help} |"
        for one in definitions
    ]
    return "\n".join(["| metric | kind | labels | what it says |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise UsageError(f"metrics is {address!r}; give a port such as 9100, or HOST:PORT.")
    return host.removeprefix("[").removesuffix("]") or _LOCAL, int(port)
