"""Several processes that serve side by side, for more than one core.

Each has its own socket of every TCP address (SO_REUSEPORT), over which the kernel spreads the
clients; other sockets are shared. The sockets stay open here, so that clients wait in the queue of
a worker that failed until another takes its place. While a worker that fails again and again is
away, the others get its clients.

A worker gets its task and later update over its standard input. It reports its counters on standard
output, and is killed if the reports stop. It stops when its input ends, which also happens when
this process dies.

Limits hold in each worker by itself. That of all connections is divided by their number, and so is
that of the connections of one address, with a margin: the kernel spreads them by chance, and a
client within the limit should hardly ever be refused for that. The rate of an address is not
divided: all that comes over one connection comes to one worker, and would be held to a fraction of
the configured rate. So an address that has connections to N workers may send N times as much.
"""

import logging
import math
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import trio
from trio.lowlevel import ParkingLot

from webntpd.clock.clocks import Clock
from webntpd.leap.list import LeapList
from webntpd.server.counters import Counters
from webntpd.server.credentials import Pem
from webntpd.server.messages import PERIOD, Task, Update, lines_in, packed, reported
from webntpd.server.parameters import Limits, ServerParameters
from webntpd.sockets.listeners import BACKLOG, Listener
from webntpd.tasks.restart import Backoff, EndedError, keep_running

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "webntpd.server.worker")
BACKOFF = Backoff(first=0.5, last=60.0)


@dataclass(frozen=True, slots=True)
class Supervision:
    """When a worker is replaced.

    `backoff` has the delays before a worker that ended is replaced. A worker hangs, and is killed,
    if it misses `patience` reports in a row, or `first_patience` before its first one, since a slow
    machine takes long to load it. Reports are counted rather than timed, so that no worker seems to
    hang after the machine was suspended.
    """

    backoff: Backoff = BACKOFF
    patience: int = 10
    first_patience: int = 60


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
        supervision: Supervision = Supervision(),
    ) -> None:
        self._parameters = replace(
            parameters, limits=divided(parameters.limits, parameters.workers)
        )
        self._clock = clock
        self._leap = leap
        self._pem = pem
        self._counters = counters
        self._fast_paths = fast_paths
        self._supervision = supervision
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
        backoff = self._supervision.backoff

        def pause(delay: float) -> AbstractContextManager[None]:
            return resting(listeners if delay > backoff.first else ())

        await keep_running(
            f"server worker {number}",
            partial(self._run_one, number, listeners),
            backoff=backoff,
            pause=pause,
        )

    async def _run_one(self, number: int, listeners: Sequence[Listener]) -> None:
        """Run one worker process. Raises EndedError when it ends, or cannot start."""
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
            try:
                process: trio.Process = await nursery.start(start)
            except OSError as error:
                outcome = f"cannot be started: {error.strerror}"
            except RuntimeError as error:  # the system allows no more threads
                outcome = f"cannot be started: {error}"
            else:
                nursery.start_soon(self._tell, process, sockets)
                nursery.start_soon(self._watch, number, process)
                outcome = f"ended ({await process.wait()})"
            nursery.cancel_scope.cancel()
        raise EndedError(outcome)

    async def _stop(self, process: trio.Process) -> None:
        """End a worker's input, and it stops as gracefully as we would."""
        await pipes_of(process)[0].aclose()
        with trio.move_on_after(self._parameters.grace + PERIOD):
            await process.wait()
            return
        process.kill()

    async def _tell(self, process: trio.Process, sockets: list[tuple[int, bool]]) -> None:
        """Give a worker its task, then the update."""
        stdin, _ = pipes_of(process)
        update = self._update()
        task = Task(self._parameters, self._clock, update, tuple(sockets), self._fast_paths)
        with suppress(trio.BrokenResourceError):  # it has ended
            await stdin.send_all(packed(task))
            while True:
                with trio.move_on_after(PERIOD):
                    await self._renewed.park()
                if update != (update := self._update()):
                    await stdin.send_all(packed(update))

    def _update(self) -> Update:
        return Update(self._leap(), self._pem(), logging.getLogger().level)

    async def _watch(self, number: int, process: trio.Process) -> None:
        """Add a worker's counters to those of all, and kill it if it reports nothing any more."""
        _, output = pipes_of(process)
        patience = self._supervision.first_patience
        silent = 0  # periods
        last = Counters()

        async def hear() -> None:
            nonlocal last, patience, silent
            async for line in lines_in(output):
                now = reported(line)
                if now is None:
                    text = line.decode(errors="replace")
                    logger.warning("server worker %d writes: %.200s", number, text)
                    continue
                self._counters.add(now, since=last)
                last, patience, silent = now, self._supervision.patience, 0

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hear)
                while silent < patience:
                    await trio.sleep(PERIOD)
                    silent += 1
                logger.error("server worker %d hangs, and is killed", number)
                process.kill()
        finally:
            self._counters.connections -= last.connections


def pipes_of(process: trio.Process) -> tuple[trio.abc.SendStream, trio.abc.ReceiveStream]:
    """Standard input and output of a worker, which is always started with both."""
    return cast("trio.abc.SendStream", process.stdin), cast(
        "trio.abc.ReceiveStream", process.stdout
    )


@contextmanager
def resting(listeners: Sequence[Listener]) -> Iterator[None]:
    """Stop listening on these sockets: the kernel gives their clients to the other workers.

    Clients that wait already are reset. A socket that the workers share is left alone.
    """
    own = [listener.socket for listener in listeners if listener.worker is not None]
    for sock in own:
        place = sock.getsockname()
        sock.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):  # the socket still has its port
            sock.bind(place)  # shutdown() lets go of a port that the kernel chose
    try:
        yield
    finally:
        for sock in own:
            sock.listen(BACKLOG)


def divided(limits: Limits, workers: int) -> Limits:
    """The limits of each of so many workers."""
    mean = limits.connections_per_address / workers
    most = math.ceil(mean + 3 * math.sqrt(mean))  # three standard deviations of Poisson's
    return replace(
        limits,
        connections=max(1, limits.connections // workers),
        connections_per_address=min(limits.connections_per_address, most),
    )
