"""The page for Prometheus says how every stream and every target is doing, by names that keep to its conventions."""

import re
import socket
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from clipstream.errors import OutputError, UsageError
from clipstream.live.overload import Shedding
from clipstream.media.live.slicer import AnalysisRate
from clipstream.media.live.status import FeedState, FeedStatus
from clipstream.media.live.troubles import Trouble
from clipstream.metrics import Metrics, StreamStatus, markdown_table
from clipstream.notify import QueueStatus
from clipstream.output import ClipCounts

FEED = FeedStatus(
    stream="gate",
    address="rtsp://camera/gate",
    state=FeedState.STALLED,
    trouble=Trouble.STALLED,
    connections=3,
    troubles={Trouble.STALLED: 2, Trouble.REFUSED: 7},
    packets=1000,
    bytes=123_456,
    slices=90,
    dropped=4,
    late=5,
    errors=6,
    jumps=8,
    record_failures=9,
    queued=2,
    behind=True,
    rate=AnalysisRate(divisor=4),
    end_s=Fraction(91, 2),
)
GATE = StreamStatus(
    stream="gate",
    feed=FEED,
    shedding=Shedding.LIGHT,
    lag_s=1.25,
    warming_up=True,
    clips=ClipCounts(written=10, pending=11, failed=12),
    recorded_bytes=13,
    recorded_segments=14,
    unrecorded_packets=15,
    failed_measurements=16,
)
QUEUE = QueueStatus("webhook-example.org-0123abcd", waiting=1, delivered=2, failures=3, given_up=4)

Labels = tuple[tuple[str, str], ...]
Page = dict[tuple[str, Labels], float]


def page(url: str) -> Page:
    """Return the samples of the page, by name and labels."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as response:
        text = response.read().decode()
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples), "no series is there twice"
    return found


def served(streams: Sequence[StreamStatus], queues: Sequence[QueueStatus] = ()) -> Page:
    with Metrics("0", lambda: streams, lambda: queues) as metrics:
        return page(metrics.url)


@pytest.fixture(scope="module")
def found() -> Page:
    """The page of a live stream, a file and a target."""
    return served([GATE, StreamStatus("match", clips=ClipCounts(2))], [QUEUE])


def test_every_number_of_a_stream_is_on_the_page(found: Page) -> None:
    gate = {name: value for (name, labels), value in found.items() if labels == (("stream", "gate"),)}
    assert gate == {
        "clipstream_connections_total": 3,
        "clipstream_packets_total": 1000,
        "clipstream_received_bytes_total": 123_456,
        "clipstream_slices_total": 90,
        "clipstream_dropped_slices_total": 4,
        "clipstream_late_slices_total": 5,
        "clipstream_decode_errors_total": 6,
        "clipstream_time_jumps_total": 8,
        "clipstream_record_failures_total": 9,
        "clipstream_queued_slices": 2,
        "clipstream_decoding_behind": 1,
        "clipstream_analysed_pictures_ratio": 0.25,
        "clipstream_shedding_level": 3,
        "clipstream_stream_time_seconds": 45.5,
        "clipstream_lag_seconds": 1.25,
        "clipstream_warming_up": 1,
        "clipstream_clips_total": 10,
        "clipstream_pending_clips": 11,
        "clipstream_failed_clips_total": 12,
        "clipstream_recording_bytes": 13,
        "clipstream_recording_segments": 14,
        "clipstream_unrecorded_packets_total": 15,
        "clipstream_failed_measurements_total": 16,
    }


def test_a_stream_is_in_one_state_and_the_others_are_zero(found: Page) -> None:
    states = {dict(labels)["state"]: value for (name, labels), value in found.items() if name.endswith("_state")}
    assert states == {"connecting": 0, "running": 0, "stalled": 1, "waiting": 0, "ended": 0}


def test_troubles_that_were_never_met_are_zero_so_that_the_first_is_an_increase(found: Page) -> None:
    troubles = {dict(labels)["trouble"]: n for (name, labels), n in found.items() if name.endswith("troubles_total")}
    assert len(troubles) == len(Trouble)
    assert {name: count for name, count in troubles.items() if count} == {"stalled": 2, "refused": 7}


def test_a_file_has_clips_and_measurements_but_nothing_of_a_live_stream(found: Page) -> None:
    names = {name for name, labels in found if ("stream", "match") in labels}
    assert names == {
        "clipstream_clips_total",
        "clipstream_failed_clips_total",
        "clipstream_failed_measurements_total",
        "clipstream_pending_clips",
        "clipstream_shedding_level",
        "clipstream_warming_up",
    }


def test_what_waits_for_others_is_on_the_page(found: Page) -> None:
    assert {name: value for (name, labels), value in found.items() if labels == (("target", QUEUE.target),)} == {
        "clipstream_waiting_messages": 1,
        "clipstream_delivered_messages_total": 2,
        "clipstream_failed_deliveries_total": 3,
        "clipstream_given_up_messages_total": 4,
    }


def test_the_process_says_what_it_uses(found: Page) -> None:
    assert found["process_resident_memory_bytes", ()] > 1e6
    assert found["process_open_fds", ()] > 3


def test_every_page_is_made_anew() -> None:
    streams = [GATE]
    with Metrics("0", lambda: streams) as metrics:
        first = page(metrics.url)
        streams[:] = [replace(GATE, stream="yard", feed=replace(FEED, stream="yard", packets=1001))]
        second = page(metrics.url)
    assert first["clipstream_packets_total", (("stream", "gate"),)] == 1000
    assert second["clipstream_packets_total", (("stream", "yard"),)] == 1001
    assert not [labels for _, labels in second if ("stream", "gate") in labels]


def test_streams_with_odd_names_stay_apart() -> None:
    names = ['a "b"\\', "a\nb", "ü"]
    found = served([StreamStatus(name, clips=ClipCounts(n)) for n, name in enumerate(names)])
    assert [found["clipstream_clips_total", (("stream", name),)] for name in names] == [0, 1, 2]


def test_two_runs_in_a_process_do_not_mix_and_nothing_global_is_touched() -> None:
    before = {metric.name for metric in REGISTRY.collect()}
    with Metrics("0", lambda: [GATE]), Metrics("0", tuple) as other:
        assert not [labels for _, labels in page(other.url) if ("stream", "gate") in labels]
    assert {metric.name for metric in REGISTRY.collect()} == before


def test_names_and_kinds_keep_to_the_conventions() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", markdown_table(), re.MULTILINE)
    assert rows
    for name, kind in rows:
        assert name.startswith("clipstream_")
        assert name.endswith("_total") == (kind == "counter")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("0", r"http://127\.0\.0\.1:\d+/metrics"),
        ("0.0.0.0:0", r"http://0\.0\.0\.0:\d+/metrics"),
    ],
)
def test_the_page_is_local_unless_a_host_is_named(address: str, url: str) -> None:
    with Metrics(address, tuple) as metrics:
        assert re.fullmatch(url, metrics.url)
        assert page(metrics.url)


@pytest.mark.parametrize("address", ["", "here", "host:", "70000", "-1", "host:port", "1.5", "²"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="give a port such as 9100, or HOST:PORT"):
        Metrics(address, tuple)


def test_a_port_that_is_taken_is_an_error_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=rf"^metrics: {port} cannot be listened on \(Address already in use\)"):
            Metrics(str(port), tuple)


def test_a_page_that_was_closed_is_gone_and_its_port_is_free() -> None:
    with Metrics("0", tuple) as metrics:
        port = metrics.url.split(":")[2].partition("/")[0]
    with Metrics(port, tuple) as again:
        assert again.url == metrics.url


def test_the_documented_table_of_metrics_is_up_to_date() -> None:
    documented = Path(__file__).parents[1] / "docs" / "metrics.md"
    assert markdown_table() in documented.read_text(encoding="utf-8")
