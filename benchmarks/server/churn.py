"""Clients that come and go in every wrong way, and what is left of them in the server."""

import itertools
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass

from benchmarks.server.contenders import Contender
from benchmarks.server.load import GET, UPGRADE, Load, Transport

HELD = 50
"""Clients that are there at a time."""
WARM_UP = 0.1
"""The part of all clients after which memory counts: until then caches and pools fill."""
DRAIN = 10.0
"""How long the server may take to notice that all are gone, s."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset


@dataclass(frozen=True, slots=True)
class Churn:
    """Memory in bytes after the warm-up and at the end; descriptors before and after."""

    clients: int
    seconds: float
    resident: tuple[int, int]
    descriptors: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Manner:
    """What a client says before it goes, and whether it goes with a reset."""

    words: bytes
    reset: bool = False


MANNERS = (
    Manner(b""),
    Manner(GET),
    Manner(GET, reset=True),
    Manner(GET[:40]),
    Manner(GET[:40], reset=True),
    Manner(UPGRADE + Transport.WEBSOCKET.request),
    Manner(UPGRADE + Transport.WEBSOCKET.request, reset=True),
    Manner(UPGRADE + Transport.WEBSOCKET.request[:7]),
    Manner(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not TLS here"),
)


def measure_churn(contender: Contender, clients: int) -> Churn:
    """Let that many clients come and go, and look at what the server keeps."""
    process = contender.process
    start = time.monotonic()
    with Load(contender.port, Transport.HTTP, 1) as pulse:
        descriptors = process.descriptors()
        _visit(contender.port, round(clients * WARM_UP), pulse)
        _await_descriptors(contender, descriptors)
        resident = process.resident()
        _visit(contender.port, clients - round(clients * WARM_UP), pulse)
        left = _await_descriptors(contender, descriptors)
        return Churn(
            clients, time.monotonic() - start, (resident, process.resident()), (descriptors, left)
        )


def _visit(port: int, clients: int, pulse: Load) -> None:
    held: deque[socket.socket] = deque()
    for number, manner in zip(range(clients), itertools.cycle(MANNERS), strict=False):
        client = socket.create_connection(("127.0.0.1", port), source_address=(_source(number), 0))
        held.append(client)
        client.send(manner.words)
        if manner.reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if len(held) > HELD:
            held.popleft().close()
        if number % HELD == 0:
            pulse.ask_once()  # or we would be faster than the server, and fill its backlog
    for client in held:
        client.close()


def _source(number: int) -> str:
    """An address of loopback: a port of one that was closed cannot be used again for a while."""
    return f"127.0.1.{1 + number % 250}"


def _await_descriptors(contender: Contender, expected: int) -> int:
    """The descriptors that are open once they are as many as expected, or after a while."""
    deadline = time.monotonic() + DRAIN
    while (count := contender.process.descriptors()) > expected and time.monotonic() < deadline:
        time.sleep(0.1)
    return count
