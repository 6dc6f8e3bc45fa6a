"""benchmarks.server: what is pure in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from benchmarks.common.marks import Mark
from benchmarks.server.churn import Churn
from benchmarks.server.clockerror import ClockError
from benchmarks.server.load import LoadError, Outcome, masked_frame
from benchmarks.server.marks import marks
from benchmarks.server.memory import Memory
from benchmarks.server.report import report
from benchmarks.server.results import Results
from benchmarks.server.throughput import Case, Round
from benchmarks.server.wrk import parse

RATES = {
    ("webntpd", "HTTP", 32): 90_000.0,
    ("nginx", "HTTP", 32): 100_000.0,
    ("slow paths", "HTTP", 32): 8_000.0,
    ("webntpd", "HTTP", 1000): 80_000.0,
    ("nginx", "HTTP", 1000): 100_000.0,
    ("webntpd", "WebSocket", 32): 75_000.0,
    ("slow paths", "WebSocket", 32): 30_000.0,
    ("webntpd", "WebSocket", 1000): 69_000.0,
    ("slow, 1 workers", "HTTP", 1000): 8_000.0,
    ("slow, 2 workers", "HTTP", 1000): 12_800.0,
}


def case(
    key: tuple[str, str, int], *rates: float, busy: float = 1.0, load_busy: float = 0.9
) -> Case:
    return Case(*key, [Round(Outcome(rate, 0.001, 0.002), busy, load_busy) for rate in rates])


def results(
    *,
    cores: int = 3,
    busy: float = 1.0,
    load_busy: float = 0.9,
    connections: int = 10_000,
    grown: int = 0,
    leaked: int = 0,
) -> Results:
    """A run in which webntpd's server had that share of its core, and all others all of it."""
    return Results(
        cores=cores,
        throughput=tuple(
            case(key, rate, busy=busy if key[0] == "webntpd" else 1.0, load_busy=load_busy)
            for key, rate in RATES.items()
        ),
        memory=Memory(connections, 2048.0, Outcome(1000.0, 0.001, 0.019)),
        clock_error=tuple(
            ClockError(load, way, [error * scale for error in (1e-6, 2e-6)], {"four-stamp": 2})
            for load, scale in (("idle", 1.0), ("half", 2.0), ("full", 11.0))
            for way, error in (("HTTP", 1.0), ("WebSocket", 1.0))
        ),
        churn=Churn(1000, 1.0, (10_000_000, 10_000_000 + grown), (12, 12 + leaked)),
    )


def verdict(found: Results, wanted: str) -> bool | None:
    matching: list[Mark] = [each for each in marks(found) if each.wanted.startswith(wanted)]
    assert len(matching) == 1
    return matching[0].met


def test_a_case_is_the_median_of_its_rounds() -> None:
    key = ("webntpd", "HTTP", 32)
    assert case(key, 1.0, 30.0, 2.0).rate == 2.0
    assert case(key, 1.0, 30.0, 2.0, busy=0.5).core_rate == 4.0


def test_marks_compare_with_the_right_server() -> None:
    found = results()
    assert verdict(found, "HTTP, 32 connections: x nginx") is True
    assert verdict(found, "HTTP, 1000 connections: x nginx") is False
    assert verdict(found, "WebSocket, 32 connections: x nginx") is True
    assert verdict(found, "WebSocket, 1000 connections: x nginx") is False
    assert verdict(found, "HTTP, 32 connections: x slow") is True
    assert verdict(found, "WebSocket, 32 connections: x slow") is False


def test_a_ratio_is_unclear_if_clock_and_core_disagree() -> None:
    assert verdict(results(busy=0.5), "HTTP, 1000 connections: x nginx") is None


def test_a_ratio_is_unclear_if_something_else_had_the_cores() -> None:
    wanted = "HTTP, 32 connections: x nginx"
    assert verdict(results(busy=0.95, load_busy=0.5), wanted) is True
    hindered = results(busy=0.7, load_busy=0.5)
    assert verdict(hindered, wanted) is None
    assert any(line.endswith(" *") for line in report(hindered, ()))


def test_workers_want_cores_of_their_own() -> None:
    assert verdict(results(cores=2), "2 workers") is True
    assert verdict(results(cores=1), "2 workers") is None


def test_memory_is_unclear_with_too_few_connections() -> None:
    assert verdict(results(), "an idle WebSocket") is True
    assert verdict(results(connections=9_999), "an idle WebSocket") is None
    assert verdict(results(connections=9_999), "polled ones") is None


def test_a_clock_error_that_grows_too_much_misses() -> None:
    assert verdict(results(), "WebSocket: clock error") is False


def test_what_churn_leaves_misses() -> None:
    assert verdict(results(), "after 1000 clients") is True
    assert verdict(results(grown=2_000_000), "after 1000 clients") is False
    assert verdict(results(), "no leaked") is True
    assert verdict(results(leaked=1), "no leaked") is False


def test_the_report_fits_and_shows_every_mark_and_case() -> None:
    found = results()
    lines = list(report(found, marks(found)))
    assert max(map(len, lines)) <= 100
    assert sum(line.endswith((" met", " MISSED")) for line in lines) == len(list(marks(found)))
    assert sum(line.startswith("webntpd") for line in lines) == 4


def test_the_results_are_json() -> None:
    document = json.loads(json.dumps(results().as_dict()))
    assert document["throughput"][0]["rate"] == 90_000.0
    assert document["clock_error"][0]["p99"] == 2e-6


def test_what_was_not_measured_is_not_found() -> None:
    with pytest.raises(LookupError):
        results().case("nginx", "WebSocket", 32)
    with pytest.raises(LookupError):
        results().error("idle", "carrier pigeon")


@given(st.text("0123456789.-", max_size=125))
def test_frames_are_what_wsproto_takes_them_for(text: str) -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(masked_frame(text.encode()))
    (event,) = server.events()
    assert isinstance(event, TextMessage)
    assert event.data == text
    assert event.message_finished


OUTPUT = """\
Running 2s test @ http://127.0.0.1:8080/json
Requests/sec:  50000.00
{"requests":100000,"us":2000000,"p50_us":250,"p99_us":9000,"errors":0}
"""


def test_wrk_is_read_in_seconds() -> None:
    assert parse(OUTPUT) == Outcome(rate=50_000.0, p50=0.00025, p99=0.009)


@pytest.mark.parametrize(
    ("good", "bad"), [('"errors":0', '"errors":1'), ('"requests":100000', '"requests":0')]
)
def test_a_load_with_errors_is_no_figure(good: str, bad: str) -> None:
    with pytest.raises(LoadError, match="wrk had errors"):
        parse(OUTPUT.replace(good, bad))
