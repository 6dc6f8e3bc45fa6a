"""The whole server on loopback, with clients that others wrote, and with clients that misbehave."""

import errno
import fcntl
import json
import logging
import math
import os
import resource
import select
import socket
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from trio.lowlevel import ParkingLot
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from tests.system.harness import require
from tests.unit.server.parts import Parts
from webntpd.clock.clocks import ShiftedClock, SystemClock
from webntpd.ntp.readings import NS_PER_S
from webntpd.protocol.wire import INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL, Reply, parse_reply
from webntpd.server import Counters, ServerError, ServerParameters, reactor, serve
from webntpd.server import server as single_process
from webntpd.server.channel import LINGER, LINGER_BYTES, READ_SIZE, Channel
from webntpd.server.connection import Connection
from webntpd.server.parameters import Limits
from webntpd.server.reactor import TICK
from webntpd.sockets import stamps
from webntpd.sockets.listeners import ListenError, listen, split_address

TOKEN = "1489217288.328757"
GET = f"GET /json?{TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
REQUESTS = 40
"""Their replies are fewer bytes than wait, and more than small buffers of the kernel hold."""
SHIFT = 1000.0
LOOPBACK = ServerParameters(listen=("127.0.0.1:0",), local=True)


@dataclass
class Running:
    addresses: tuple[str, ...]
    counters: Counters
    stop: Callable[[], None]
    stopped: trio.Event
    reload: ParkingLot
    clients: list[trio.SocketStream] = field(default_factory=list)

    @property
    def port(self) -> int:
        return split_address(self.addresses[0])[1]

    async def connect(self) -> trio.SocketStream:
        client = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.clients.append(client)
        return client

    async def hang_up(self) -> None:
        with trio.CancelScope(shield=True):
            for client in self.clients:
                await client.aclose()


@asynccontextmanager
async def running(parameters: ServerParameters = LOOPBACK) -> AsyncIterator[Running]:
    """A server whose clock is ahead by SHIFT seconds."""
    counters = Counters()
    scope = trio.CancelScope()
    stopped = trio.Event()
    reload = ParkingLot()

    async def run(task_status: trio.TaskStatus[tuple[str, ...]]) -> None:
        with scope:
            await serve(
                parameters,
                ShiftedClock(SHIFT),
                lambda: None,
                counters=counters,
                reload=reload,
                task_status=task_status,
            )
        stopped.set()

    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(run)
        server = Running(addresses, counters, scope.cancel, stopped, reload)
        try:
            yield server
        finally:
            await server.hang_up()
            scope.cancel()


@asynccontextmanager
async def websocket(server: Running, *subprotocols: str) -> AsyncIterator[WebSocketConnection]:
    """A client; unlike trio-websocket's own way, its socket is closed whoever hangs up first."""
    stream = await server.connect()
    async with trio.open_nursery() as nursery:
        yield await wrap_client_stream(
            nursery, stream, server.addresses[0], "/", subprotocols=subprotocols
        )
        nursery.cancel_scope.cancel()


async def read_reply(stream: trio.SocketStream) -> bytes:
    """One reply with a body; fails if the server hangs up before it is whole."""
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"}"):
        piece = await stream.receive_some()
        assert piece, data
        data += piece
    return data


async def finish(stream: trio.SocketStream, rest: bytes) -> None:
    """Send the rest of the requests, and say that there are no more."""
    await stream.send_all(rest)
    await stream.send_eof()


async def read_all(stream: trio.SocketStream) -> bytes:
    data = b""
    async for piece in stream:
        data += piece
    return data


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
async def test_httpx_gets_the_servers_time(address: str) -> None:
    async with (
        running(ServerParameters(listen=(address,), local=True)) as server,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        url = f"http://{server.addresses[0]}/json?{TOKEN}"
        for _ in range(2):
            before_ns = SystemClock().realtime_ns() + round(SHIFT * NS_PER_S)
            response = await client.get(url)
            after_ns = SystemClock().realtime_ns() + round(SHIFT * NS_PER_S)
            reply = parse_reply(response.content)
            assert response.status_code == 200
            assert reply.it == TOKEN
            assert reply.rt_ns is not None
            assert before_ns <= reply.rt_ns <= reply.st_ns <= after_ns
        head = await client.head(url)
        assert (head.status_code, "x-httpstime" in head.headers) == (204, True)
        post = await client.post(url, content=b"x")
        assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        status = server.counters.status()
        assert (status.accepted, status.requests, status.refusals) == (1, 4, 1)


async def test_trio_websocket_gets_the_servers_time() -> None:
    async with (
        running() as server,
        websocket(server, SUBPROTOCOL) as client,
    ):
        assert client.subprotocol == SUBPROTOCOL
        for message in (TOKEN, TOKEN.encode()):
            await client.send_message(message)
            reply = await client.get_message()
            assert isinstance(reply, str)
            assert parse_reply(reply.encode()).it == TOKEN
        await client.ping(b"hello")
        await client.send_message("what time is it?")
        with pytest.raises(ConnectionClosed):
            await client.get_message()
        assert client.closed is not None
        assert client.closed.code == 1008


@pytest.fixture
def curl() -> str:
    return require("curl")


@pytest.mark.system
@pytest.mark.parametrize("options", [["-0"], ["--http1.1"], ["-d", "x", "-X", "GET"], ["--http2"]])
async def test_curl_gets_the_servers_time(curl: str, options: list[str]) -> None:
    async with running() as server:
        url = f"http://{server.addresses[0]}/json?{TOKEN}"
        command = [curl, "--silent", "--fail", "--noproxy", "*", *options, url, url]
        result = await trio.run_process(command, capture_stdout=True)
    first, second = result.stdout.decode().replace("}{", "}\n{").splitlines()
    assert json.loads(first, parse_float=str)["it"] == TOKEN
    assert parse_reply(second.encode()).sync is True


async def test_a_stop_closes_websockets_as_going_away_and_others_at_once() -> None:
    async with running() as server:
        idle, half = await server.connect(), await server.connect()
        await half.send_all(GET[:10])
        async with websocket(server) as client:
            server.stop()
            with pytest.raises(ConnectionClosed):
                await client.get_message()
            assert client.closed is not None
            assert client.closed.code == 1001
        assert await read_all(idle) == await read_all(half) == b""
        await server.hang_up()
        await server.stopped.wait()
    assert server.counters.status().connections == 0


@pytest.mark.parametrize("fault", [ssl.SSLError("protocol is shutdown"), RuntimeError("broken")])
async def test_a_goodbye_that_fails_keeps_no_other_client_from_being_told(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    faults = [fault]
    shutdown = Connection.shutdown

    def broken(connection: Connection) -> bytes:
        if faults:
            raise faults.pop()
        return shutdown(connection)

    monkeypatch.setattr(Connection, "shutdown", broken)
    async with running() as server:
        first = await server.connect()
        await first.send_all(GET)
        await read_reply(first)
        async with websocket(server) as client:
            server.stop()
            with pytest.raises(ConnectionClosed):
                await client.get_message()
            assert client.closed is not None
            assert client.closed.code == 1001
        assert await read_all(first) == b""
        await server.hang_up()
        await server.stopped.wait()
    assert server.counters.status().connections == 0


async def test_a_stop_waits_no_longer_than_its_grace(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.rate = 1000
    async with running() as server:
        client = await server.connect()
        await client.send_all(UPGRADE)
        assert (await client.receive_some()).startswith(b"HTTP/1.1 101 ")
        server.stop()  # the client never answers the close
        await server.stopped.wait()
    assert server.counters.status().connections == 0


@contextmanager
def slow_client() -> Iterator[tuple[socket.socket, Channel]]:
    """A client that has asked for more than its window and the server's kernel take at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        served, _ = listener.accept()
    served.settimeout(0)
    parts = Parts()
    channel = Channel(
        served, parts.connection(), parts.clock, parts.limits, now=0.0, caller=parts.caller()
    )
    with client, served:
        client.send(GET * REQUESTS)
        channel.handle(select.EPOLLIN, 0.0)
        assert channel.interest & select.EPOLLOUT
        yield client, channel


def test_a_stop_lets_replies_get_through() -> None:
    with slow_client() as (client, channel):
        channel.stop(0.0)
        replies = b""
        while piece := client.recv(65536):
            replies += piece
            channel.handle(select.EPOLLOUT, 0.0)
        assert replies.count(b"HTTP/1.1 200 OK") == REQUESTS
        assert replies.endswith(b"}")
        client.shutdown(socket.SHUT_WR)
        channel.handle(select.EPOLLIN | select.EPOLLRDHUP, 0.0)
        assert channel.closed


def test_a_stop_of_a_client_that_has_gone_closes_at_once() -> None:
    with slow_client() as (client, channel):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # with a reset
        channel.stop(0.0)
        assert channel.closed


def test_a_client_that_takes_nothing_gets_no_more_time() -> None:
    with slow_client() as (_, channel):
        now = 0.0
        while channel.since == now:  # the kernel takes some of what is left
            now += 1
            channel.handle(select.EPOLLOUT, now)
        assert channel.since == now - 1
        assert channel.interest & select.EPOLLOUT


def queued(channel: Channel) -> int:
    queued: int
    (queued,) = struct.unpack("i", fcntl.ioctl(channel.socket, termios.TIOCOUTQ, bytes(4)))
    return queued


def test_a_client_with_a_small_window_that_reads_is_not_cut() -> None:
    """Although the kernel never says that there is room for more."""
    patience = Limits().request_time
    with slow_client() as (client, channel):
        before = queued(channel)
        assert not channel.is_overdue(patience - 1)
        while queued(channel) == before:  # until the kernel has the acknowledgement
            client.recv(256)
        assert not channel.is_overdue(patience + 1)
        assert not channel.is_overdue(2 * patience)
        assert channel.is_overdue(2 * patience + 1)  # nothing was read since


CHUNKED = GET.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
HOSTILE = {
    b"HTTP/1.1 400 ": (
        b"\x16\x03\x01\x02\x00" + bytes(512),
        GET.replace(b"\r\n", b"\n"),
        GET.replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n"),
        GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n"),
    ),
    b"HTTP/1.1 413 ": (
        GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 9999999999\r\n\r\n"),
        CHUNKED + b"1\r\na\r\n" * 5000,
    ),
    b"HTTP/1.1 431 ": (
        GET[:-2] + b"X: y\r\n" * 9000,
        b"GET /" + b"x" * 50000,
        CHUNKED + b"1;" + b"x" * 50000,
        CHUNKED + b"0\r\n" + b"X: y\r\n" * 9000,
    ),
    b"\x88": (
        UPGRADE + b"\x81\x01x",
        UPGRADE + b"\x82\xff" + (2**62).to_bytes(8) + b"mask" + bytes(50000),
        UPGRADE + b"\xc1\x80mask",
        UPGRADE + b"\x83\x80mask",
        UPGRADE + b"\x88\x80mask",
    ),
}


async def test_bad_input_is_refused_and_costs_nobody_else_anything() -> None:
    async with running() as server:
        polite = await server.connect()
        for expected, hostile in HOSTILE.items():
            for sent in hostile:
                client = await server.connect()
                await client.send_all(sent)
                await polite.send_all(GET)
                assert (await read_reply(polite)).startswith(b"HTTP/1.1 200 ")
                assert expected in await read_all(client), sent[:99]
                await client.aclose()
        while server.counters.status().connections > 1:
            await polite.send_all(GET)
            await read_reply(polite)


async def test_a_client_that_is_done_sending_gets_its_replies_and_the_end() -> None:
    async with running() as server:
        client = await server.connect()
        await client.send_all(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await read_all(client)).endswith(b"}")
        await client.aclose()
        client = await server.connect()
        await client.send_all(GET + GET)
        await client.send_eof()
        assert (await read_all(client)).count(b"HTTP/1.1 200 OK") == 2


async def test_the_reason_of_a_refusal_gets_through_to_a_client_that_goes_on_sending() -> None:
    async with running() as server:
        client = await server.connect()
        await client.send_all(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 60000\r\n\r\n"))
        await client.send_all(bytes(LINGER_BYTES // 2))
        assert (await read_all(client)).startswith(b"HTTP/1.1 413 ")


async def test_a_refused_client_that_never_stops_sending_is_cut_off() -> None:
    async with running() as server:
        client = await server.connect()
        await client.send_all(b"nonsense\r\n\r\n")
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(bytes(LINGER_BYTES) * 1000)


async def test_a_refused_client_that_stays_is_cut_off(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with running() as server:
        client = await server.connect()
        await client.send_all(b"nonsense\r\n\r\n")
        assert (await read_all(client)).startswith(b"HTTP/1.1 400 ")
        assert server.counters.status().connections == 1
        while server.counters.status().connections:
            mock_clock.jump(LINGER + TICK)
            await trio.testing.wait_all_tasks_blocked()


async def test_a_client_that_does_not_read_is_not_read_from_and_holds_up_nobody() -> None:
    async with running() as server:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        slow.setblocking(False)
        with pytest.raises(BlockingIOError):
            slow.connect(("127.0.0.1", server.port))
        sent = 0
        other = await server.connect()
        refused = 0
        while refused < 5:  # the server takes no more, however often others are served meanwhile
            try:
                sent += slow.send((GET * 100)[sent % len(GET) :])
                refused = 0
            except BlockingIOError:
                refused += 1
            await other.send_all(GET)
            await read_reply(other)
        # Now it reads: every request that got through whole is answered, in order.
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(slow))
        server.clients.append(stream)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(finish, stream, GET[sent % len(GET) :] if sent % len(GET) else b"")
            replies = await read_all(stream)
        assert replies.count(b"HTTP/1.1 200 OK") == -(-sent // len(GET))
        assert replies.endswith(b"}")


async def test_a_client_that_resets_is_forgotten() -> None:
    async with running() as server:
        for request in (b"", GET[:9], GET, UPGRADE, GET * (READ_SIZE // len(GET)) * 50):
            client = await server.connect()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await client.send_all(request)
            await client.aclose()
        other = await server.connect()
        while server.counters.status().connections > 1:
            await other.send_all(GET)
            await read_reply(other)
        assert server.counters.status().accepted == 6


async def test_running_out_of_descriptors_ends_the_longest_idle_connection() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running() as server:
        client = await server.connect()
        await client.send_all(GET)
        await read_reply(client)
        waiting = trio.socket.socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, hard))
        try:
            await waiting.connect(("127.0.0.1", server.port))
            assert await read_all(client) == b""
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        stream = trio.SocketStream(waiting)
        server.clients.append(stream)
        await stream.send_all(GET)
        await read_reply(stream)


async def test_running_out_of_descriptors_without_clients_pauses_and_recovers(
    mock_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running() as server:
        await trio.testing.wait_all_tasks_blocked()
        waiting = trio.socket.socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, hard))
        try:
            await waiting.connect(("127.0.0.1", server.port))
            while not caplog.records:
                await trio.testing.wait_all_tasks_blocked()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "Too many open files" in caplog.text
        stream = trio.SocketStream(waiting)
        server.clients.append(stream)
        await stream.send_all(GET)
        await trio.testing.wait_all_tasks_blocked()  # until the pause has begun
        mock_clock.jump(2 * TICK)
        await read_reply(stream)


@pytest.mark.parametrize(("descriptors", "connections"), [(48, 24), (300, 236), (2000, 1000)])
def test_connections_leave_descriptors_for_the_rest(descriptors: int, connections: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        found = single_process._within_descriptors(Limits(connections=1000))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == Limits(connections=connections)


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("broken")]
)
async def test_a_client_that_cannot_be_admitted_is_hung_up_on_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    faults = [fault]

    def broken(*arguments: Any, **keywords: Any) -> Channel:
        if faults:
            raise faults.pop()
        return Channel(*arguments, **keywords)

    monkeypatch.setattr(reactor, "Channel", broken)
    async with running() as server:
        refused = await server.connect()
        assert await read_all(refused) == b""
        served = await server.connect()
        await served.send_all(GET)
        await read_reply(served)
        status = server.counters.status()
        assert (status.connections, status.accepted) == (1, 1)
    assert str(fault) in caplog.text


async def test_a_client_that_meets_a_fault_is_dropped_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    async with running() as server:
        served, dropped = await server.connect(), await server.connect()
        with monkeypatch.context() as failing:
            failing.setattr(Channel, "handle", fail)
            await dropped.send_all(GET)
            with pytest.raises(trio.BrokenResourceError):  # its request was never read: a reset
                await read_all(dropped)
        await served.send_all(GET)
        await read_reply(served)
        assert server.counters.status().connections == 1
    assert "a connection was dropped by a fault in the server" in caplog.messages


async def test_a_client_that_went_before_it_was_accepted_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = [True]

    def accept(sock: socket.socket) -> tuple[socket.socket, Any]:
        if gone:
            gone.clear()
            raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        return real_accept(sock)

    real_accept = socket.socket.accept
    async with running() as server:
        monkeypatch.setattr(socket.socket, "accept", accept)
        client = await server.connect()
        await client.send_all(GET)
        await read_reply(client)
        assert not gone


async def test_an_event_of_a_client_that_just_made_room_is_dropped() -> None:
    async with running(replace(LOOPBACK, limits=Limits(connections=1))) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as first:
            while not server.counters.status().connections:
                await trio.lowlevel.checkpoint()
            # The server then finds both events at once, that of the listening socket first.
            with socket.create_connection(("127.0.0.1", server.port)) as second:
                first.sendall(GET)
                second.sendall(GET)
                while not server.counters.status().requests:
                    await trio.lowlevel.checkpoint()
                with pytest.raises(ConnectionResetError):
                    first.recv(1)
                assert second.recv(65536).startswith(b"HTTP/1.1 200 OK")


async def test_a_client_that_epoll_does_not_take_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """fs.epoll.max_user_watches is used up."""

    class Epoll:
        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.full = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._epoll, name)

        def register(self, fd: int, events: int) -> None:
            if events & select.EPOLLET and self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._epoll.register(fd, events)

    epoll = Epoll()
    monkeypatch.setattr("webntpd.server.reactor.select.epoll", lambda: epoll)
    async with running() as server:
        epoll.full = True
        refused = await server.connect()
        assert await read_all(refused) == b""
        epoll.full = False
        served = await server.connect()
        await served.send_all(GET)
        await read_reply(served)
        assert server.counters.status().connections == 1


async def test_a_flood_leaves_other_tasks_their_turns() -> None:
    clients, requests = 100, 30

    def flood(client: int) -> bytes:
        """Requests whose header blocks are not known from before."""
        numbers = (f"X-Number: {client}.{number}\r\nHost" for number in range(requests))
        return b"".join(GET.replace(b"Host", number.encode()) for number in numbers)

    async with running() as server:
        with ExitStack() as stack:
            # All of it is there before the server looks, so that it could go on and on by itself.
            for number in range(clients):
                client = socket.create_connection(("127.0.0.1", server.port))
                stack.enter_context(client).sendall(flood(number))
            turns = 0
            while server.counters.status().requests < clients * requests:
                await trio.lowlevel.checkpoint()
                turns += 1
    assert turns > 20


async def test_without_clients_nothing_wakes_it_up(mock_clock: trio.testing.MockClock) -> None:
    async with running() as server:

        async def deadline() -> float:
            await trio.testing.wait_all_tasks_blocked()
            return trio.lowlevel.current_statistics().seconds_to_next_deadline

        assert await deadline() == math.inf
        async with await server.connect() as client:
            await client.send_all(GET)
            await read_reply(client)
            assert await deadline() <= TICK
        while server.counters.status().connections:
            await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(TICK)
        assert await deadline() == math.inf


async def exchange(client: WebSocketConnection, token: str) -> tuple[Reply, int]:
    """The reply, and when it was here, by the server's clock."""
    await client.send_message(token)
    message = await client.get_message()
    arrived_ns = SystemClock().realtime_ns() + round(SHIFT * NS_PER_S)
    assert isinstance(message, str)
    return parse_reply(message.encode()), arrived_ns


@pytest.fixture
def kernel_stamps() -> Iterator[None]:
    """Once the kernel gives stamps: from the first request on, it takes a moment to begin."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert stamps.enable(listener, transmit=False)
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as s:
            client.send(b"x")
            while stamps.receive(s, 1)[1] is None:
                client.send(b"x")
            yield


@pytest.mark.usefixtures("kernel_stamps")
async def test_a_client_in_interleaved_mode_learns_when_each_reply_left() -> None:
    async with (
        running() as server,
        websocket(server, INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL) as client,
    ):
        assert client.subprotocol == INTERLEAVED_SUBPROTOCOL
        before, before_arrived_ns = await exchange(client, "1.000001")
        assert (before.pit, before.pst_ns) == (None, None)
        for token in ("2.000002", "3.000003", "4.000004"):
            reply, arrived_ns = await exchange(client, token)
            assert reply.pit == before.it
            assert reply.pst_ns is not None
            assert before.st_ns < reply.pst_ns < before_arrived_ns
            before, before_arrived_ns = reply, arrived_ns


@pytest.mark.usefixtures("kernel_stamps")
@pytest.mark.parametrize(
    ("parameters", "subprotocols"),
    [
        (LOOPBACK, [SUBPROTOCOL]),
        (replace(LOOPBACK, kernel_timestamps=False), [INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL]),
    ],
    ids=["not asked for", "no kernel timestamps"],
)
async def test_others_get_replies_without_that(
    parameters: ServerParameters, subprotocols: list[str]
) -> None:
    async with running(parameters) as server, websocket(server, *subprotocols) as client:
        for token in ("1.000001", "2.000002"):
            reply, arrived_ns = await exchange(client, token)
            assert (reply.pit, reply.pst_ns) == (None, None)
            assert reply.rt_ns is not None
            assert reply.rt_ns <= reply.st_ns <= arrived_ns


@pytest.mark.usefixtures("kernel_stamps")
async def test_the_arrival_is_the_kernels_not_that_of_the_server_waking_up() -> None:
    async with running() as server:
        client = await server.connect()
        with socket.socket(fileno=os.dup(client.socket.fileno())) as raw:
            raw.send(GET)  # and no checkpoint before the clock is read: the server did not run
            sent_ns = SystemClock().realtime_ns() + round(SHIFT * NS_PER_S)
        reply = parse_reply((await read_reply(client)).partition(b"\r\n\r\n")[2])
        assert reply.rt_ns is not None
        assert reply.rt_ns < sent_ns < reply.st_ns


async def test_a_kernel_without_stamps_is_said_once_and_served_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webntpd")
    monkeypatch.setattr(stamps, "SO_TIMESTAMPING_NEW", -1)
    async with (
        running() as server,
        websocket(server, INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL) as client,
    ):
        for token in ("1.000001", "2.000002"):
            reply, _ = await exchange(client, token)
            assert reply.pit is None
            assert reply.rt_ns is not None
    (record,) = caplog.records
    assert "read in user space" in record.getMessage()


@pytest.mark.usefixtures("kernel_stamps")
async def test_a_stamp_that_comes_late_is_taken_and_wakes_the_server_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
    served.settimeout(0)
    parts = Parts()
    channel = Channel(
        served,
        parts.connection(),
        parts.clock,
        parts.limits,
        now=0.0,
        caller=parts.caller(),
        departures=True,
    )
    with client, served, select.epoll() as epoll:
        epoll.register(served.fileno(), channel.interest)

        def handle() -> None:
            for _, events in epoll.poll(0):
                channel.handle(events, 0.0)

        subprotocols = f"Sec-WebSocket-Protocol: {INTERLEAVED_SUBPROTOCOL}\r\n\r\n".encode()
        client.send(UPGRADE[:-2] + subprotocols)
        handle()
        served.send(b"")  # nothing: no stamp
        assert epoll.poll(0) == []
        served.send(b"\x89\x00")  # a ping that the channel knows nothing of
        ((_, events),) = epoll.poll(0)
        assert events & select.EPOLLERR
        handle()
        assert epoll.poll(0) == []
        assert not channel.closed


async def test_a_port_in_use_is_named() -> None:
    async with running() as server:
        address = server.addresses[0]
        with pytest.raises(ServerError, match=f"{address}: address already in use"):
            await serve(ServerParameters(listen=(address,)), SystemClock(), lambda: None)


async def test_what_was_opened_is_closed_when_a_later_address_fails() -> None:
    (free,) = await listen(["127.0.0.1:0"])
    _, port = split_address(free.address)
    free.close()
    with pytest.raises(ListenError):
        await listen([f"127.0.0.1:{port}", "192.0.2.1:0"])
    (again,) = await listen([f"127.0.0.1:{port}"])
    again.close()


@pytest.mark.parametrize(
    "address", ["8080", "host", "::1:80", "host:", "host:x", "a:65536", "a:-1"]
)
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(ListenError, match=f"cannot listen on {address}: "):
        split_address(address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:0", ("::1", 0)),
        ("name.example:65535", ("name.example", 65535)),
        (":8080", (None, 8080)),
    ],
)
def test_an_address_is_a_host_and_a_port(address: str, expected: tuple[str | None, int]) -> None:
    assert split_address(address) == expected


async def test_a_name_without_address_is_named() -> None:
    with pytest.raises(ListenError, match="cannot listen on no such host:80: "):
        await listen(["no such host:80"])


async def test_without_a_host_every_address_is_listened_on() -> None:
    listeners = await listen([":0"])
    hosts = {split_address(listener.address)[0] for listener in listeners}
    for listener in listeners:
        listener.close()
    assert "0.0.0.0" in hosts
