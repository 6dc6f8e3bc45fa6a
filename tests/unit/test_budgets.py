"""A stranger's costs to us are bounded: bytes, descriptors, log lines, work before a yield.

These tests count; none of them reads a clock. Those with many connections are in tests/system.
"""

import gc
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest
import trio

from tests.unit.server.parts import T0, Parts
from tests.unit.server.test_fastpaths import REQUESTS, frame
from tests.unit.server.test_sockets import Running, running
from webntpd.leap.list import LeapList
from webntpd.log.ratelimit import BURST, INTERVAL, RateLimit
from webntpd.ntp.actions import PeerReport, Report, Wait
from webntpd.ntp.estimates import NoEstimate, Tally, Verdict
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.peer import Peer
from webntpd.ntp.readings import NS_PER_S, Failure, LeapNotice, Rejection
from webntpd.server import ServerParameters, reactor
from webntpd.server.channel import READ_SIZE, Channel
from webntpd.server.connection import Connection
from webntpd.server.parameters import Limits
from webntpd.server.reactor import MAX_ACCEPTS
from webntpd.status.changes import changes
from webntpd.status.snapshot import PeerStatus, Status

EVENTS = 10_000
PATIENCE = 30.0

# Bytes out per byte in

MESSAGE_AMPLIFICATION = 80
"""Most bytes that a WebSocket returns for a byte, over and over."""
REQUEST_AMPLIFICATION = 16
"""Most bytes that HTTP returns for a byte, over and over."""
LARGEST_PAGE = 20_000
"""Bytes of the largest page with its headers. The connection ends with it."""

LONGEST_HOST = b"h" * 255 + b":65535"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)
INTERLEAVED = b"Sec-WebSocket-Protocol: webntp-interleaved.v1\r\n"
LEAPS = LeapList(0, 2 * T0, (LeapNotice(37, 2 * T0, 1),))
"""A list whose notice has as many digits as a reply can tell."""
SMALL_MESSAGES = {
    "nothing": frame(b""),
    "a digit": frame(b"1"),
    "a word": frame(b"x"),
    "a ping": frame(b"", 0x89),
    "a pong": frame(b"", 0x8A),
    "fragments": frame(b"1", 0x01) + frame(b"", 0x80),
    "a number of many digits": frame(b"1." + b"0" * 100),
    "an exponent": frame(b"1e9"),
    "binary": frame(b"1", 0x82),
}


@pytest.mark.parametrize("extra", [b"", INTERLEAVED], ids=["plain", "interleaved"])
@pytest.mark.parametrize("message", SMALL_MESSAGES.values(), ids=SMALL_MESSAGES)
def test_a_websocket_returns_a_bounded_multiple_of_its_input(message: bytes, extra: bytes) -> None:
    connection = Parts(leap_list=LEAPS).connection()
    assert b" 101 " in connection.receive(UPGRADE % (LONGEST_HOST, extra), T0)
    came = went = 0
    for _ in range(100):
        if connection.closing:
            break
        came += len(message)
        went += len(connection.receive(message, T0))
        connection.transmitted(went, T0)
    assert went <= MESSAGE_AMPLIFICATION * came


@pytest.mark.parametrize("host", [b"x", LONGEST_HOST], ids=["short", "long"])
@pytest.mark.parametrize("target", [b"/", b"/json", b"/?1", b"/clock", b"/healthz", b"/webntp.js"])
def test_http_returns_a_bounded_multiple_of_its_input(target: bytes, host: bytes) -> None:
    asked = b"GET %s HTTP/1.1\r\nHost:%s\r\n\r\n" % (target, host)
    check_amplification(asked)


def test_every_kind_of_request_returns_a_bounded_multiple_of_itself() -> None:
    for asked in REQUESTS:
        check_amplification(asked)


def check_amplification(asked: bytes) -> None:
    connection = Parts(leap_list=LEAPS).connection()
    went = len(connection.receive(asked, T0))
    most = LARGEST_PAGE if connection.closing else REQUEST_AMPLIFICATION * len(asked)
    assert went <= most, asked


# Work between two yields


def counted(monkeypatch: pytest.MonkeyPatch, of: type, name: str) -> Counter[str]:
    """Have the calls of a method counted."""
    counts: Counter[str] = Counter()
    method = getattr(of, name)

    def count(*arguments: object, **named: object) -> object:
        counts[name] += 1
        return method(*arguments, **named)

    monkeypatch.setattr(of, name, count)
    return counts


@asynccontextmanager
async def most_between_turns(counts: Counter[str]) -> AsyncIterator[list[int]]:
    """The most that the counts grow between two turns of another task."""
    most = [0]
    at_first = counts.total()

    async def take_turns() -> None:
        before = at_first
        while True:
            await trio.lowlevel.checkpoint()
            now = counts.total()
            most[0] = max(most[0], now - before)
            before = now

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        yield most
        nursery.cancel_scope.cancel()


def each_look_is_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each client took as long as all together may take."""
    looks = [0.0]

    def look() -> float:
        looks[0] += 1.1 * reactor.SLICE
        return looks[0]

    monkeypatch.setattr(reactor, "perf_counter", look)


async def test_ready_clients_do_not_keep_other_tasks_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    each_look_is_a_slice(monkeypatch)
    asked = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with running() as server:
        clients = [await server.connect() for _ in range(50)]
        counts = counted(monkeypatch, Channel, "handle")
        async with most_between_turns(counts) as most:
            for client in clients:
                os.write(client.socket.fileno(), asked)  # all of them before the server's turn
            for client in clients:
                await client.receive_some()
    assert counts["handle"] >= 50
    assert 1 <= most[0] <= 2  # one task may be first in a round, and last in the next


async def test_new_clients_do_not_keep_other_tasks_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    each_look_is_a_slice(monkeypatch)
    many = 4 * MAX_ACCEPTS
    async with running() as server:
        counts = counted(monkeypatch, reactor.Reactor, "_admit")
        connections = []
        async with most_between_turns(counts) as most:
            for _ in range(many):  # all of them before the server's turn
                connection = socket.socket()
                connection.setblocking(False)
                with suppress(BlockingIOError):
                    connection.connect(("127.0.0.1", server.port))
                connections.append(connection)
            with trio.fail_after(PATIENCE):
                while counts["_admit"] < many:  # noqa: ASYNC110  # nothing tells of it
                    await trio.sleep(0.01)
        for connection in connections:
            connection.close()
    assert MAX_ACCEPTS // 2 < most[0] <= 2 * MAX_ACCEPTS


@pytest.mark.parametrize("extra", [b"", INTERLEAVED], ids=["plain", "interleaved"])
async def test_one_client_cannot_ask_for_much_at_a_time(extra: bytes) -> None:
    parts = Parts()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        channel = Channel(
            ours,
            Connection(parts.context(), parts.caller()),
            parts.clock,
            Limits(),
            now=0.0,
            caller=parts.caller(),
        )
        theirs.send(UPGRADE % (b"x", extra))
        channel.handle(1, 0.0)
        theirs.recv(65536)
        theirs.setblocking(False)
        theirs.send(frame(b"1") * 20_000)
        most = before = 0
        for _ in range(1000):
            channel.handle(1 | 4, 0.0)
            most, before = max(most, parts.counters.messages - before), parts.counters.messages
            with suppress(BlockingIOError):
                theirs.recv(1_000_000)
    assert parts.counters.messages > READ_SIZE // 7
    assert most <= READ_SIZE // len(frame(b"1")) + 1


# Descriptors and log lines


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def rude(port: int, random: Random) -> socket.socket:
    """A client that sends something, and perhaps resets the connection."""
    client = socket.create_connection(("127.0.0.1", port))
    client.send(random.choice((b"GET ", b"\x16\x03\x01", UPGRADE % (b"x", b""), REQUESTS[0], b"")))
    if random.random() < 0.5:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return client


async def is_rid_of_clients(server: Running) -> None:
    with trio.fail_after(PATIENCE):
        while server.counters.connections or not server.counters.accepted:  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_rude_clients_leave_no_descriptor_and_no_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    random = Random(1)
    parameters = ServerParameters(
        listen=("127.0.0.1:0",),
        local=True,
        limits=Limits(connections=20, connections_per_address=10, exempt_loopback=False),
    )
    async with running(parameters) as server:
        rude(server.port, random).close()  # a server that has served has opened all that it needs
        await is_rid_of_clients(server)
        before = descriptors()
        caplog.clear()
        kept: list[socket.socket] = []
        for number in range(1000):
            kept.append(rude(server.port, random))
            if len(kept) > 15:
                kept.pop(random.randrange(len(kept))).close()
            if number % 10 == 0:
                await trio.lowlevel.checkpoint()
        for client in kept:
            client.close()
        await is_rid_of_clients(server)
        assert descriptors() <= before
    assert [each for each in caplog.records if each.levelno > logging.INFO] == []


def channels() -> list[Channel]:
    """All that are in memory."""
    return [each for each in gc.get_objects() if isinstance(each, Channel)]


async def test_a_connection_that_is_closed_is_freed_at_once() -> None:
    """A reference cycle would wait for the garbage collector, which does not see OpenSSL's."""
    random = Random(1)
    gc.collect()
    gc.disable()
    of_other_tests = channels()
    try:
        parameters = ServerParameters(listen=("127.0.0.1:0",), local=True)
        async with running(parameters) as server:
            for _ in range(10):
                rude(server.port, random).close()
            await is_rid_of_clients(server)
        assert [each for each in channels() if each not in of_other_tests] == []
    finally:
        gc.enable()


def bad_input(random: Random) -> bytes:
    return random.choice(
        (
            random.randbytes(50),
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
            b"BREW / HTTP/9.9\r\nHost: x\r\n\r\n",
            UPGRADE % (b"x", b"") + random.randbytes(20),
            UPGRADE % (b"x", b"") + frame(b"\xff"),
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        )
    )


def test_bad_clients_cost_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    parts, random = Parts(), Random(2)
    context, caller = parts.context(), parts.caller()
    for _ in range(EVENTS):
        Connection(context, caller).receive(bad_input(random), T0)
    assert caplog.records == []


class Recorder(logging.Handler):
    """Counts the lines that the daemon's own limit lets through."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self.addFilter(RateLimit(now))
        self.lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        del record
        self.lines += 1


def lines_of(failures: Callable[[int], Failure | None]) -> tuple[int, float]:
    """The lines that are logged while a server fails so 10^4 times, and how long that takes, s."""
    now_ns = 0
    recorder = Recorder(lambda: now_ns / NS_PER_S)
    peer = Peer(PeerParameters("bad", minpoll=0, maxpoll=0), Random(3).random)
    status: Status | None = None
    actions = peer.start(now_ns)
    events = 0
    while events < EVENTS:
        for action in actions:
            if isinstance(action, Report):
                before, status = status, snapshot(action.report, now_ns)
                for line in changes(before, status):
                    record = logging.makeLogRecord(
                        {"msg": "%s", "args": (line.text,), "fields": line.fields}
                    )
                    recorder.handle(record)
        *_, last = actions
        if isinstance(last, Wait):
            now_ns = last.until_ns
            actions = peer.on_timer(now_ns)
            continue
        failure = failures(events)
        events += 1
        now_ns += NS_PER_S // 100
        if failure is None:
            actions = peer.on_readings((), now_ns)
        else:
            actions = peer.on_failure(failure, now_ns)
    return recorder.lines, now_ns / NS_PER_S


def snapshot(report: PeerReport, now_ns: int) -> Status:
    """A snapshot with that one peer."""
    verdict = Verdict(NoEstimate.NO_PEER, {report.name: Tally.UNFIT})
    return Status(now_ns, (PeerStatus(report, "http", Tally.UNFIT),), verdict)


def test_a_bad_server_costs_a_log_line_for_each_kind_of_failure() -> None:
    random = Random(4)
    kinds = list(Rejection)

    def failures(number: int) -> Failure:
        return Failure(random.choice(kinds), f"reply {number} {random.random()}")

    lines, _ = lines_of(failures)
    assert lines <= len(kinds) + 1  # and that there is nothing to publish


def test_a_server_that_answers_now_and_then_costs_few_log_lines() -> None:
    """To become reachable or unreachable is worth a line, and one a minute for long."""

    def failures(number: int) -> Failure | None:
        return Failure(Rejection.TIMEOUT, str(number)) if number % 20 else None

    lines, seconds = lines_of(failures)
    assert lines <= EVENTS // 10
    assert lines <= 2 * (BURST + seconds / INTERVAL) + 2
