"""What a WebSocket costs that has nothing to say, and what many of them do to those that have."""

import resource
import time
from dataclasses import dataclass

from benchmarks.server.contenders import Contender
from benchmarks.server.load import Load, Outcome, Transport

SETTLE = 1.0
"""Quiet before memory is read, s."""
POLLS = 1000.0
"""Polls per second, spread over all connections: one in ten seconds each if they are 10 000."""
SPARE = 200
"""Descriptors that are left for other things."""


@dataclass(frozen=True, slots=True)
class Memory:
    """`each` is the server's memory for one open connection, bytes; `polled` while all are open."""

    connections: int
    each: float
    polled: Outcome


def raise_limits() -> int:
    """Allow us, and what we start, all descriptors that we may have; how many connections fit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - SPARE


def measure_memory(contender: Contender, connections: int, seconds: float) -> Memory:
    """Open that many WebSockets, each of which asks once, then poll them in turn."""
    with Load(contender.port, Transport.WEBSOCKET, 1):  # what is made once is made now
        time.sleep(SETTLE)
        before = contender.process.resident()
        with Load(contender.port, Transport.WEBSOCKET, connections) as load:
            time.sleep(SETTLE)
            grown = contender.process.resident() - before
            polled = load.pace(POLLS, seconds)
    return Memory(connections, grown / connections, polled)
