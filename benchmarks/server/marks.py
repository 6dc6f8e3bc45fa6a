"""The marks that the server is held to, and which of them a run met.

Rates compare by the wall clock and by time on the server's core. With both cores to themselves
the two agree; other work on the machine, or a load that is slower than the server, part them, and
where only one of them meets a mark, or neither server nor load had its core, this run cannot
tell.
"""

from collections.abc import Iterator

from benchmarks.common.marks import Mark
from benchmarks.server.clockerror import ClockError
from benchmarks.server.results import Results
from benchmarks.server.throughput import Case
from webntpd.status.text import seconds

HTTP_TO_NGINX = 0.85
WEBSOCKET_TO_NGINX = 0.7
HTTP_TO_SLOW = 10.0
WEBSOCKET_TO_SLOW = 3.0
IDLE_CONNECTIONS = 10_000
IDLE_BYTES = 10 * 1024
POLLED_P99 = 0.020
CLOCK_ERROR_RATIO = 10.0
WORKERS_RATIO = 1.6
CHURN_BYTES = 1024 * 1024
"""The same memory, but for what an allocator may keep."""


def marks(results: Results) -> Iterator[Mark]:
    """All marks, in the order of the phases."""
    for count in (32, 1000):
        ours = results.case("webntpd", "HTTP", count)
        nginx = results.case("nginx", "HTTP", count)
        yield _ratio(f"HTTP, {count} connections: x nginx", ours, nginx, HTTP_TO_NGINX)
    for count in (32, 1000):
        ours = results.case("webntpd", "WebSocket", count)
        nginx = results.case("nginx", "HTTP", count)
        name = f"WebSocket, {count} connections: x nginx's HTTP"
        yield _ratio(name, ours, nginx, WEBSOCKET_TO_NGINX)
    for transport, least in (("HTTP", HTTP_TO_SLOW), ("WebSocket", WEBSOCKET_TO_SLOW)):
        ours = results.case("webntpd", transport, 32)
        slow = results.case("slow paths", transport, 32)
        yield _ratio(f"{transport}, 32 connections: x slow path", ours, slow, least)
    yield _workers(results)
    yield from _memory(results)
    for way in ("HTTP", "WebSocket"):
        idle, full = results.error("idle", way), results.error("full", way)
        yield _clock_error(way, idle, full)
    yield from _churn(results)


def _ratio(name: str, ours: Case, other: Case, least: float) -> Mark:
    wall, core = ours.rate / other.rate, ours.core_rate / other.core_rate
    met = {wall >= least, core >= least}
    clear = len(met) == 1 and not (ours.hindered or other.hindered)
    return Mark(
        f"{name} >= {least:g}",
        f"{wall:.2f} by the clock, {core:.2f} by core",
        met.pop() if clear else None,
    )


def _workers(results: Results) -> Mark:
    """By the slow paths, beside which the load needs little of the cores that the workers want."""
    one, two = (results.case(f"slow, {count} workers", "HTTP", 1000) for count in (1, 2))
    ratio = two.rate / one.rate
    clear = results.cores > 1 and not (one.hindered or two.hindered)
    return Mark(
        f"2 workers >= {WORKERS_RATIO:g} x 1 worker",
        f"{ratio:.2f} with the slow paths",
        ratio >= WORKERS_RATIO if clear else None,
    )


def _memory(results: Results) -> Iterator[Mark]:
    memory = results.memory
    enough = memory.connections >= IDLE_CONNECTIONS
    found = f"{memory.each / 1024:.1f} KiB, {memory.connections} connections"
    within = memory.each <= IDLE_BYTES
    yield Mark(
        f"an idle WebSocket of {IDLE_CONNECTIONS} <= {IDLE_BYTES // 1024} KiB",
        found,
        within if enough else None,
    )
    p99 = memory.polled.p99
    yield Mark(
        f"polled ones among them: p99 < {seconds(POLLED_P99)}",
        seconds(p99),
        p99 < POLLED_P99 if enough else None,
    )


def _clock_error(way: str, idle: ClockError, full: ClockError) -> Mark:
    p50, p99 = full.p50 / idle.p50, full.p99 / idle.p99
    return Mark(
        f"{way}: clock error at full load <= {CLOCK_ERROR_RATIO:g} x idle",
        f"median {p50:.1f} x, p99 {p99:.1f} x",
        max(p50, p99) <= CLOCK_ERROR_RATIO,
    )


def _churn(results: Results) -> Iterator[Mark]:
    churn = results.churn
    grown = churn.resident[1] - churn.resident[0]
    yield Mark(
        f"after {churn.clients} clients: the same memory",
        f"{grown / 1024:+.0f} KiB",
        grown <= CHURN_BYTES,
    )
    leaked = churn.descriptors[1] - churn.descriptors[0]
    yield Mark("no leaked descriptor", f"{leaked}", leaked <= 0)
