"""The load: many connections to a server on loopback, with one request under way on each.

It works with prepared bytes and looks at no more of a reply than its end, so that it takes less
for a request than any server in the same language can. A reply is complete if it ends with the
brace that closes its JSON; the first one on each connection is looked at more closely.
"""

import select
import socket
import time
from array import array
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Self

from benchmarks.common.figures import median, quantile

TIMEOUT = 10.0
"""How long any reply may take, s."""
READ_SIZE = 4096
BATCH = 64
"""Connections opened at a time: fewer than any server's backlog."""
TICK = 0.001
"""How long to wait for replies before looking whether the next request is due, s."""

NS_PER_S = 10**9
_TIMESTAMP = b"1489217288.328757"
GET = b"GET /json?" + _TIMESTAMP + b" HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
_MASK = b"\x37\xfa\x21\x3d"  # the example of RFC 6455 §5.7
UPGRADE = (
    b"GET /json HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: webntp.shogo82148.com\r\n\r\n"
)


def masked_frame(payload: bytes) -> bytes:
    """A final text frame of at most 125 bytes, as a client sends it (RFC 6455 §5.2)."""
    masked = bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))
    return bytes((0x81, 0x80 | len(payload))) + _MASK + masked


class Transport(Enum):
    """How to ask: what opens a connection, with the start of its answer, and what each asks."""

    HTTP = ("HTTP", b"", b"", GET, b"HTTP/1.1 200 ")
    WEBSOCKET = ("WebSocket", UPGRADE, b"HTTP/1.1 101 ", masked_frame(_TIMESTAMP), b"\x81")

    def __init__(
        self, label: str, opening: bytes, opened: bytes, request: bytes, answered: bytes
    ) -> None:
        self.label = label
        self.opening = opening
        self.opened = opened
        self.request = request
        self.answered = answered


class LoadError(Exception):
    """The server did not answer as it should."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some seconds of load: replies per second, and how long replies took, s."""

    rate: float
    p50: float
    p99: float


class Load:
    """Open connections to a port of loopback. Raises LoadError whenever the server fails."""

    def __init__(self, port: int, transport: Transport, connections: int) -> None:
        self._request = transport.request
        self._sockets: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        try:
            for start in range(0, connections, BATCH):
                self._open(port, transport, min(BATCH, connections - start))
        except BaseException:
            self.close()
            raise

    def saturate(self, seconds: float) -> Outcome:
        """Ask anew on each connection as soon as its reply is there."""
        clock, poll, request = time.perf_counter_ns, self._epoll.poll, self._request
        receive = {fd: each.recv for fd, each in self._sockets.items()}
        send = {fd: each.send for fd, each in self._sockets.items()}
        sent = dict.fromkeys(self._sockets, clock())
        for ask in send.values():
            ask(request)
        latencies = array("q")
        start = now = clock()
        end = start + round(seconds * NS_PER_S)
        while now < end:
            for fd, _ in poll(TIMEOUT):
                if not _complete(receive[fd](READ_SIZE)):
                    continue
                now = clock()
                latencies.append(now - sent[fd])
                sent[fd] = now
                send[fd](request)
        self._await_replies(set(self._sockets))
        return _outcome(latencies, now - start)

    def pace(self, rate: float, seconds: float) -> Outcome:
        """Ask that many times a second, on one connection after the other."""
        clock = time.perf_counter_ns
        idle = deque(self._sockets)
        sent: dict[int, int] = {}
        latencies = array("q")
        start = now = clock()
        issued = 0
        while (now := clock()) < start + seconds * NS_PER_S:
            due = round((now - start) / NS_PER_S * rate) - issued
            for _ in range(min(due, len(idle))):
                fd = idle.popleft()
                sent[fd] = clock()
                self._sockets[fd].send(self._request)
                issued += 1
            for fd, _ in self._epoll.poll(TICK):
                if _complete(self._sockets[fd].recv(READ_SIZE)):
                    latencies.append(clock() - sent.pop(fd))
                    idle.append(fd)
        self._await_replies(set(sent))
        return _outcome(latencies, now - start)

    def ask_once(self) -> None:
        """One request on each connection, and its reply."""
        for each in self._sockets.values():
            each.send(self._request)
        self._await_replies(set(self._sockets))

    def _open(self, port: int, transport: Transport, count: int) -> None:
        opened = [socket.create_connection(("127.0.0.1", port), TIMEOUT) for _ in range(count)]
        self._sockets |= {each.fileno(): each for each in opened}
        for each in opened:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if transport.opening:
            _ask(opened, transport.opening, transport.opened)
        _ask(opened, transport.request, transport.answered)
        for each in opened:
            each.settimeout(0)
            self._epoll.register(each, select.EPOLLIN)

    def _await_replies(self, waiting: set[int]) -> None:
        """Leave no request under way."""
        deadline = time.monotonic() + TIMEOUT
        while waiting:
            if time.monotonic() > deadline:
                raise LoadError(f"{len(waiting)} requests are without a reply")
            for fd, _ in self._epoll.poll(TIMEOUT):
                if _complete(self._sockets[fd].recv(READ_SIZE)):
                    waiting.discard(fd)

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()
        self._epoll.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _complete(reply: bytes) -> bool:
    if not reply:
        raise LoadError("the server closed a connection")
    return reply.endswith(b"}")


def _ask(sockets: list[socket.socket], request: bytes, answered: bytes) -> None:
    for each in sockets:
        each.sendall(request)
    for each in sockets:
        if not (reply := each.recv(READ_SIZE)).startswith(answered):
            raise LoadError(f"the server answered {reply[:60]!r}")


def _outcome(latencies: "array[int]", elapsed_ns: int) -> Outcome:
    if not latencies:
        raise LoadError("the server answered nothing")
    return Outcome(
        rate=len(latencies) / elapsed_ns * NS_PER_S,
        p50=median(latencies) / NS_PER_S,
        p99=quantile(latencies, 0.99) / NS_PER_S,
    )
