"""The server as one task of the daemon: in its own loop, or in processes of their own."""

import logging
import resource
from collections.abc import Callable
from functools import partial

import trio
from trio.lowlevel import ParkingLot

from webntpd.clock.clocks import Clock
from webntpd.leap.list import LeapList
from webntpd.server.counters import Counters
from webntpd.server.parameters import ServerError, ServerParameters
from webntpd.server.server import Server, stamp
from webntpd.server.workers import Workers
from webntpd.sockets.listeners import Listener, ListenError, listen

logger = logging.getLogger(__name__)


async def serve(
    parameters: ServerParameters,
    clock: Clock,
    leap: Callable[[], LeapList | None],
    *,
    counters: Counters | None = None,
    fast_paths: bool = True,
    reload: ParkingLot | None = None,
    task_status: trio.TaskStatus[tuple[str, ...]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the clock's time until cancelled, and stop gracefully then.

    Reports the addresses that it listens on once it does. Raises ServerError if it cannot.
    `leap` is asked about once a second; `counters` are kept up to date for
    other tasks. Each wake-up in `reload` makes it read the certificate anew, and ends no
    connection. `fast_paths` are switched off only by measurements.
    """
    counters = counters or Counters()
    reload = ParkingLot() if reload is None else reload  # an empty one is false
    _allow_descriptors()
    server = Server(parameters, clock, leap, counters=counters, fast_paths=fast_paths)
    listeners = await _listen(parameters)
    stamped = stamp(listeners, parameters)
    addresses = tuple(dict.fromkeys(listener.address for listener in listeners))
    stamps = "the kernel's timestamps" if stamped else "timestamps read in user space"
    logger.info("serving time on %s, with %s", ", ".join(addresses), stamps)
    task_status.started(addresses)
    async with trio.open_nursery() as nursery:
        if parameters.workers:
            workers = Workers(
                parameters, clock, leap, lambda: server.pem, counters, fast_paths=fast_paths
            )
            nursery.start_soon(workers.run, listeners)
            nursery.start_soon(_renew, reload, server, workers.renew)
        else:
            nursery.start_soon(partial(server.run, listeners, stamped=stamped))
            nursery.start_soon(_renew, reload, server)


async def _renew(
    reload: ParkingLot, server: Server, tell_others: Callable[[], None] = lambda: None
) -> None:
    """Read the certificate anew at each wake-up. A bad one is not used."""
    while True:
        await reload.park()
        if server.renew():
            logger.info("the certificate was read anew")
            tell_others()


async def _listen(parameters: ServerParameters) -> list[Listener]:
    copies = max(1, parameters.workers)
    listeners: list[Listener] = []
    try:
        listeners += await listen(parameters.listen, copies=copies)
        listeners += await listen(parameters.listen_tls, tls=True, copies=copies)
    except ListenError as error:
        for listener in listeners:
            listener.close()
        raise ServerError(str(error)) from error
    return listeners


def _allow_descriptors() -> None:
    """Use as many descriptors as we may: the usual soft limit suits programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
