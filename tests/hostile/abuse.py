"""Abusive clients of the server: `python -m tests.hostile.abuse KIND [ACTS]`; endless without ACTS.

Each kind does one act after another as fast as it can. Its priority is lower than the daemon's, so
that the daemon is measured and not the scheduler. It prints its counts each second, as a line of
JSON.
"""

import json
import math
import os
import resource
import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from random import Random

from tests.hostile.arena import (
    HTTP,
    HTTPS,
    METRICS,
    Crowd,
    connect,
    frame,
    request,
    reset,
    upgrade,
)

NICE = 10
Act = Callable[[], None]


@dataclass
class Counts:
    """The number of acts done, and of acts that the server refused, by the error."""

    acts: int = 0
    refused: dict[str, int] = field(default_factory=dict)


# One connection after another


def quotes(crowd: Crowd) -> Act:
    """A Host of quotation marks, which JSON makes twice as long, and messages that repeat it."""
    kept: deque[socket.socket] = deque()
    asked = upgrade(b'"' * 7880) + frame(b"1") * 200

    def act() -> None:
        connection = connect(crowd.address(crowd.random.randrange(300)), HTTP)
        kept.append(connection)
        if len(kept) > 2000:
            kept.popleft().close()
        connection.sendall(asked)

    return act


def resets(crowd: Crowd) -> Act:
    """Requests, whole and not, whose connection is reset at once."""
    whole = request()

    def act() -> None:
        connection = connect(crowd.address(), crowd.random.choice((HTTP, HTTP, HTTPS)))
        connection.sendall(whole[: crowd.random.randrange(1, 2 * len(whole))])
        reset(connection)

    return act


def refused(crowd: Crowd) -> Act:
    """One address with far more connections than its rate allows."""
    asked = request(b"Connection: close")
    address = crowd.address(0)

    def act() -> None:
        with connect(address, HTTP) as connection:
            connection.sendall(asked)
            while connection.recv(65536):
                pass

    return act


def headers(crowd: Crowd) -> Act:
    """Requests with 700 headers of 8 kB in all; a hundred from each address."""
    asked = request(*(b"a%d: %d" % (n, n) for n in range(700)))
    open_now: list[socket.socket] = []

    def act() -> None:
        if not open_now or crowd.random.random() < 0.01:
            drop_all(open_now)
            open_now.append(connect(crowd.address(), HTTP))
        try:
            open_now[0].sendall(asked)
            if not open_now[0].recv(65536):
                drop_all(open_now)
        except OSError:
            drop_all(open_now)
            raise

    return act


def drop_all(connections: list[socket.socket]) -> None:
    while connections:
        connections.pop().close()


def handshakes(crowd: Crowd) -> Act:
    """TLS handshakes that end when the server has done its part of the work."""
    hello = client_hello()

    def act() -> None:
        connection = connect(crowd.address(), HTTPS)
        try:
            connection.sendall(hello)
            connection.recv(65536)
        finally:
            reset(connection)

    return act


def client_hello() -> bytes:
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


WEBSOCKET = {
    "pings": frame(b"p" * 125, 0x89) * 500,
    "pongs": frame(b"p" * 125, 0x8A) * 500,
    "fragments": frame(b"1", 0x01) + frame(b"1", 0x00) * 3000,
    "empty fragments": frame(b"", 0x01) + frame(b"", 0x00) * 3000,
    "oversized": b"\x81\xff" + (2**40).to_bytes(8) + bytes(4) + b"1" * 65536,
    "unmasked": b"\x81\x011" * 50,
    "reserved": frame(b"1", 0xF1) * 50,
    "an unknown opcode": frame(b"1", 0x83) * 50,
    "not UTF-8": frame(b"\xff\xfe") * 50,
    "messages": frame(b"1489217288.328757") * 1000,
    "words": frame(b"not a number") * 1000,
    "a close and more": frame(b"\x03\xe8", 0x88) + frame(b"1") * 500,
    "half a frame": frame(b"1489217288.328757")[:9],
}


def websockets(crowd: Crowd) -> Act:
    """WebSockets whose messages break the protocol."""
    kinds = list(WEBSOCKET.values())

    def act() -> None:
        with connect(crowd.address(), HTTP, timeout=0.1) as connection:
            connection.sendall(upgrade() + crowd.random.choice(kinds))
            with suppress(TimeoutError):
                while connection.recv(65536):
                    pass

    return act


def noise(crowd: Crowd) -> Act:
    """Bytes by chance, and requests with some bytes changed."""
    whole = request(b"User-Agent: noise", b"Accept: */*")

    def act() -> None:
        with connect(
            crowd.address(), crowd.random.choice((HTTP, HTTPS)), timeout=0.05
        ) as connection:
            data = bytearray(whole)
            for _ in range(crowd.random.randrange(1, 8)):
                data[crowd.random.randrange(len(data))] = crowd.random.getrandbits(8)
            connection.sendall(crowd.random.choice((bytes(data), crowd.random.randbytes(500))))
            with suppress(TimeoutError):
                connection.recv(65536)

    return act


def scrapes(crowd: Crowd) -> Act:
    """Scrapers that send nothing or nonsense, or do not read."""
    kept: deque[socket.socket] = deque()

    def act() -> None:
        connection = connect(crowd.address(), METRICS)
        kept.append(connection)
        connection.sendall(crowd.random.choice((b"\x00", b"GET /metrics HTTP/1.1\r\n\r\n" * 3)))
        if len(kept) > 12:
            kept.popleft().close()
        time.sleep(0.05)  # the real scraper would never come in between otherwise

    return act


# Many connections at a time


class Pool:
    """Connections that are kept open; those that the server has closed are made anew."""

    def __init__(self, size: int, make: Callable[[int], socket.socket]) -> None:
        self._size = size
        self._make = make
        self._epoll = select.epoll()
        self._kept: dict[int, socket.socket] = {}
        self._made = 0

    def fill(self) -> None:
        """Make one more, or wait a moment for one that ends."""
        if len(self._kept) < self._size:
            self._made += 1
            connection = self._make(self._made)
            self._kept[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLRDHUP | select.EPOLLHUP)
        wait = 0.0 if len(self._kept) < self._size else 0.05
        for fd, _ in self._epoll.poll(wait, 64):
            self.drop(self._kept[fd])

    def drop(self, connection: socket.socket) -> None:
        del self._kept[connection.fileno()]
        connection.close()

    def some(self, random: Random) -> socket.socket:
        return random.choice(list(self._kept.values()))


def silent(crowd: Crowd) -> Act:
    """All the slots that there are, from 300 /48s with 64 connections each.

    They say nothing, half of them after a first request.
    """

    def make(number: int) -> socket.socket:
        network = number // 64 % 300
        address = crowd.address(network, number % 64 + 1)
        connection = connect(address, HTTP if number % 4 else HTTPS)
        if number % 2:
            connection.sendall(request())
        return connection

    return Pool(17_000, make).fill


def slowloris(crowd: Crowd) -> Act:
    """Requests whose headers come a byte at a time."""
    pool = Pool(500, lambda number: connect(crowd.address(number), HTTP))
    line = b"X-Slow: "

    def act() -> None:
        pool.fill()
        connection = pool.some(crowd.random)
        try:
            connection.sendall(crowd.random.choice((b"GET / HTTP/1.1\r\n", line[:1], b"a")))
        except OSError:
            pool.drop(connection)
        time.sleep(0.005)

    return act


def deaf(crowd: Crowd) -> Act:
    """Clients that send requests without end, and never read."""

    def make(number: int) -> socket.socket:
        connection = connect(crowd.address(number), HTTP, window=4096)
        connection.sendall(upgrade() if number % 2 else request())
        connection.setblocking(False)
        return connection

    pool = Pool(300, make)
    asked = frame(b"1489217288.328757") * 100, request() * 20

    def act() -> None:
        pool.fill()
        connection = pool.some(crowd.random)
        try:
            connection.send(crowd.random.choice(asked))
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:
            pool.drop(connection)

    return act


def windows(crowd: Crowd) -> Act:
    """Clients with the least receive window that there is, which read a byte at a time."""

    def make(number: int) -> socket.socket:
        connection = connect(crowd.address(number), HTTP, window=1)
        connection.sendall(request() * 90)
        connection.setblocking(False)
        return connection

    pool = Pool(200, make)

    def act() -> None:
        pool.fill()
        connection = pool.some(crowd.random)
        try:
            if not connection.recv(1):
                pool.drop(connection)
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            pool.drop(connection)

    return act


KINDS: tuple[Callable[[Crowd], Act], ...] = (
    quotes, silent, slowloris, resets, refused, headers, handshakes, websockets, deaf, windows,
    noise, scrapes,
)  # fmt: skip
BY_NAME = {kind.__name__: (number, kind) for number, kind in enumerate(KINDS, 1)}


def abuse(act: Act, acts: float) -> None:
    """Do so many acts, counting those that the server refuses."""
    counts = Counts()
    told = time.monotonic()
    while counts.acts + sum(counts.refused.values()) < acts:
        try:
            act()
            counts.acts += 1
        except OSError as error:
            name = type(error).__name__
            counts.refused[name] = counts.refused.get(name, 0) + 1
        if (now := time.monotonic()) >= told + 1:
            told = now
            print(json.dumps(asdict(counts)), flush=True)


def main() -> None:
    number, kind = BY_NAME[sys.argv[1]]
    os.nice(NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    abuse(kind(Crowd(number, Random(number))), float(sys.argv[2]) if sys.argv[2:] else math.inf)


if __name__ == "__main__":
    main()
