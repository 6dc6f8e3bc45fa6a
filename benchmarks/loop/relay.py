"""A TCP relay that delays all data: the emulated paths between the guest and the server.

Each direction of a connection draws a delay for each chunk and keeps the order of the chunks, as
TCP does: a late chunk holds up those behind it. The relay resets no connection.

The relay runs in a process of its own and waits with select(), whose timeout has microseconds; that
of epoll, which trio and asyncio use, has milliseconds.
"""

import argparse
import ctypes
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from random import Random

from benchmarks.common.process import await_listener, free_port, running
from benchmarks.loop.paths import PATHS, tcp_delays
from benchmarks.simulation.network import Delay, Path

CHUNK = 1 << 16
"""Bytes read at once."""
PRIORITY = 10
"""Priority in the real-time class: a late relay adds jitter that the model does not have."""
PR_SET_TIMERSLACK = 29
"""From <linux/prctl.h>; the least slack, 1 ns, is for machines that refuse the real-time class."""


class Way:
    """One direction of a connection: chunks that wait until they are due.

    `draw` gives the delay in s of a chunk that arrives at an instant.
    """

    def __init__(self, draw: Callable[[float], float]) -> None:
        self._draw = draw
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._last_due = 0.0

    def put(self, chunk: bytes, now: float) -> None:
        """Take a chunk in. It leaves no earlier than the chunks before it."""
        self._last_due = max(now + self._draw(now), self._last_due)
        self._waiting.append((self._last_due, chunk))

    @property
    def due(self) -> float | None:
        """The instant at which the next chunk leaves; None if no chunk waits."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, now: float) -> bytes | None:
        """The next chunk, if it is due."""
        if self._waiting and self._waiting[0][0] <= now:
            return self._waiting.popleft()[1]
        return None


class Wire:
    """The way from one socket to another. `reading` and `writing` tell which ends are open."""

    def __init__(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        self.source = source
        self.sink = sink
        self.way = way
        self.reading = True
        self.writing = True

    def read(self, now: float) -> None:
        """Take a chunk from the source. The end of its data is a chunk, too: an empty one."""
        try:
            chunk = self.source.recv(CHUNK)
        except OSError:
            chunk = b""
        self.reading = bool(chunk)
        self.way.put(chunk, now)

    def write(self, now: float) -> None:
        """Pass on all chunks that are due."""
        while (chunk := self.way.take(now)) is not None:
            with suppress(OSError):  # the sink has gone; the source notices by the other wire
                if chunk:
                    self.sink.sendall(chunk)
                else:
                    self.sink.shutdown(socket.SHUT_WR)
            self.writing = self.writing and bool(chunk)


class Relay:
    """One listener on loopback for each path, all before the same server."""

    def __init__(self, paths: Sequence[Path], seed: int, target: int, ports: Sequence[int]) -> None:
        self._target = target
        self._start = time.monotonic()
        self._draws = {
            socket.create_server(("127.0.0.1", port)): [
                self._draw(delay, Random(f"{seed} {number} {direction}"))
                for delay, direction in zip(tcp_delays(path), ("out", "back"), strict=True)
            ]
            for number, (port, path) in enumerate(zip(ports, paths, strict=True))
        }
        self._connections: list[tuple[Wire, Wire]] = []

    def _draw(self, delay: Delay, rng: Random) -> Callable[[float], float]:
        return lambda now: delay(rng, now - self._start)

    def run(self) -> None:
        """Relay until the process ends."""
        while True:
            self._wait()
            now = time.monotonic()
            for wire in self._wires():
                wire.write(now)
            self._close_finished()

    def _wires(self) -> Iterator[Wire]:
        return chain.from_iterable(self._connections)

    def _wait(self) -> None:
        """Take in chunks and connections; return when a chunk may be due."""
        dues = [wire.way.due for wire in self._wires() if wire.way.due is not None]
        timeout = max(0.0, min(dues) - time.monotonic()) if dues else None
        sources = {wire.source: wire for wire in self._wires() if wire.reading}
        readable, _, _ = select.select([*self._draws, *sources], (), (), timeout)
        now = time.monotonic()
        for each in readable:
            if each in self._draws:
                self._connect(each)
            else:
                sources[each].read(now)

    def _connect(self, listener: socket.socket) -> None:
        near, _ = listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            near.close()
            return
        for each in (near, far):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        out, back = map(Way, self._draws[listener])
        self._connections.append((Wire(near, far, out), Wire(far, near, back)))

    def _close_finished(self) -> None:
        kept = []
        for connection in self._connections:
            if any(wire.writing for wire in connection):
                kept.append(connection)
            else:
                for wire in connection:
                    wire.source.close()
        self._connections = kept


@contextmanager
def relaying(name: str, seed: int, target: int) -> Iterator[Sequence[int]]:
    """Run a relay before the server at that port; yields its ports, one for each path."""
    ports = [free_port() for _ in PATHS[name]]
    argv = (
        sys.executable, "-m", "benchmarks.loop.relay",
        name, str(seed), str(target), *map(str, ports),
    )  # fmt: skip
    with running(argv) as process:
        await_listener(process, ports[-1])
        yield ports
        process.check()


def be_punctual() -> None:
    """Let the kernel wake this process at once."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PATHS)
    parser.add_argument("seed", type=int)
    parser.add_argument("target", type=int, metavar="PORT")
    parser.add_argument("ports", type=int, nargs="+", metavar="PORT")
    arguments = parser.parse_args()
    relay = Relay(PATHS[arguments.name], arguments.seed, arguments.target, arguments.ports)
    be_punctual()
    relay.run()


if __name__ == "__main__":
    main()
