"""Several processes that serve side by side, for more than one core.

Each has its own socket of every TCP address (SO_REUSEPORT), over which the kernel spreads the
clients; other sockets are shared. The sockets stay open here, so that clients wait in the queue of
a worker that failed until another has taken its place. A worker gets its task over its standard
input, and the news whenever there are any; it tells its counters on standard output; and it stops
when its input ends, which it also does when this process dies.

Limits hold in each worker by itself. That of all connections is divided by their number, and so is
that of the connections of one address, with a margin: the kernel spreads them by chance, and who
keeps to the limit should hardly ever be refused for that. What an address may send is not divided:
all that comes over one connection comes to one worker, and would be held to a fraction of what is
configured. So an address that has connections to N workers may send N times as much.
"""

import json
import logging
import math
import pickle
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import trio
from trio.lowlevel import ParkingLot

from webntpd.clock import Clock
from webntpd.leap import LeapList
from webntpd.server.counters import Counters
from webntpd.server.limits import Limits
from webntpd.server.listeners import Listener
from webntpd.server.parameters import ServerParameters
from webntpd.server.tls import Pem

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "webntpd.worker")
FIRST_RESTART_DELAY = 0.5
LAST_RESTART_DELAY = 60.0
"""A worker that ended is replaced after the first, then each time after twice as long, s."""
PERIOD = 1.0
"""Time between two looks at the leap-seconds list, and between two reports of counters, s."""

_LENGTH = 4  # bytes before each message to a worker


@dataclass(frozen=True, slots=True)
class News:
    """What may change while a worker runs; `pem` is the certificate that was last good.

    A worker does not read the files: what they hold may be bad by the time that it starts.
    """

    leap_list: LeapList | None
    pem: Pem | None
    log_level: int


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do: `sockets` are inherited descriptors, and whether TLS is spoken."""

    parameters: ServerParameters
    clock: Clock
    news: News
    sockets: tuple[tuple[int, bool], ...]
    fast_paths: bool


class Workers:
    """Keeps `parameters.workers` processes running."""

    def __init__(
        self,
        parameters: ServerParameters,
        clock: Clock,
        leap: Callable[[], LeapList | None],
        pem: Callable[[], Pem | None],
        counters: Counters,
        *,
        fast_paths: bool,
    ) -> None:
        self._parameters = replace(
            parameters, limits=share_of(parameters.limits, parameters.workers)
        )
        self._clock = clock
        self._leap = leap
        self._pem = pem
        self._counters = counters
        self._fast_paths = fast_paths
        self._renewed = ParkingLot()

    def renew(self) -> None:
        """Give the workers the certificate that was read anew."""
        self._renewed.unpark_all()

    async def run(self, listeners: Sequence[Listener]) -> None:
        """Run until cancelled, then let the workers stop, and close the listeners."""
        try:
            async with trio.open_nursery() as nursery:
                for number in range(self._parameters.workers):
                    shares = [each for each in listeners if each.worker in {None, number}]
                    nursery.start_soon(self._keep_running, number, shares)
        finally:
            for listener in listeners:
                listener.close()

    async def _keep_running(self, number: int, listeners: Sequence[Listener]) -> None:
        delay = FIRST_RESTART_DELAY
        while True:
            started = trio.current_time()
            status = await self._run_one(listeners)
            if trio.current_time() - started > LAST_RESTART_DELAY:
                delay = FIRST_RESTART_DELAY
            logger.error("server worker %d ended (%d); another in %.1f s", number, status, delay)
            await trio.sleep(delay)
            delay = min(2 * delay, LAST_RESTART_DELAY)

    async def _run_one(self, listeners: Sequence[Listener]) -> int:
        """Run one worker to its end, and return its exit status."""
        sockets = [(listener.socket.fileno(), listener.tls) for listener in listeners]
        start = partial(
            trio.run_process,
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[descriptor for descriptor, _ in sockets],
            check=False,
            deliver_cancel=self._stop,
        )
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(start)
            nursery.start_soon(self._tell, process, sockets)
            nursery.start_soon(self._count, process)
            status = await process.wait()
            nursery.cancel_scope.cancel()
        return status

    async def _stop(self, process: trio.Process) -> None:
        """End a worker's input, and it stops as gracefully as we would."""
        if process.stdin is not None:
            await process.stdin.aclose()
        with trio.move_on_after(self._parameters.grace + PERIOD):
            await process.wait()
            return
        process.kill()

    async def _tell(self, process: trio.Process, sockets: list[tuple[int, bool]]) -> None:
        """Give a worker its task, then the news."""
        if process.stdin is None:
            return
        news = self._news()
        task = Task(self._parameters, self._clock, news, tuple(sockets), self._fast_paths)
        with suppress(trio.BrokenResourceError):  # it has ended
            await process.stdin.send_all(packed(task))
            while True:
                with trio.move_on_after(PERIOD):
                    await self._renewed.park()
                if news != (news := self._news()):
                    await process.stdin.send_all(packed(news))

    def _news(self) -> News:
        return News(self._leap(), self._pem(), logging.getLogger().level)

    async def _count(self, process: trio.Process) -> None:
        """Add a worker's counters to those of all."""
        if process.stdout is None:
            return
        last = Counters()
        line = b""
        try:
            async for piece in process.stdout:
                *lines, line = (line + piece).split(b"\n")
                for each in lines:
                    now = Counters(**json.loads(each))
                    self._counters.add(now, since=last)
                    last = now
        finally:
            self._counters.connections -= last.connections


def share_of(limits: Limits, workers: int) -> Limits:
    """The limits of each of so many workers."""
    mean = limits.connections_per_address / workers
    most = math.ceil(mean + 3 * math.sqrt(mean))  # three standard deviations of Poisson's
    return replace(
        limits,
        connections=max(1, limits.connections // workers),
        connections_per_address=min(limits.connections_per_address, most),
    )


def packed(message: object) -> bytes:
    """A message as a worker reads it: its length, and its pickle."""
    data = pickle.dumps(message)
    return len(data).to_bytes(_LENGTH) + data


async def unpacked(stream: trio.abc.ReceiveStream) -> AsyncGenerator[object, None]:
    """The messages that come in."""
    data = b""
    async for piece in stream:
        data += piece
        while len(data) >= _LENGTH:
            end = _LENGTH + int.from_bytes(data[:_LENGTH])
            if len(data) < end:
                break
            # From the process that started this one, over a pipe that nobody else has.
            yield pickle.loads(data[_LENGTH:end])  # noqa: S301
            data = data[end:]
