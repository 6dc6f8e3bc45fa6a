"""The server as one task of the daemon."""

import logging
from collections.abc import Callable

import trio

from webntpd import kernelstamps
from webntpd.clock import Clock
from webntpd.leap import LeapList
from webntpd.server.connection import Connection
from webntpd.server.counters import Counters
from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.kernelclock import clock_state_source
from webntpd.server.listeners import listen, shown_address
from webntpd.server.parameters import ServerParameters
from webntpd.server.reactor import Reactor
from webntpd.server.site import Site
from webntpd.server.timesource import TimeSource

logger = logging.getLogger(__name__)


async def serve(
    parameters: ServerParameters,
    clock: Clock,
    leap: Callable[[], LeapList | None],
    *,
    counters: Counters | None = None,
    task_status: trio.TaskStatus[tuple[str, ...]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the clock's time until cancelled, and stop gracefully then.

    Reports the addresses that it listens on once it does. Raises ServerError if it cannot.
    `leap` is asked about once a second; `counters` are kept up to date for others to look at.
    """
    listeners = await listen(parameters.listen)
    addresses = tuple(map(shown_address, listeners))
    stamped = parameters.kernel_timestamps and all(
        kernelstamps.enable(listener, transmit=False) for listener in listeners
    )  # which the sockets of their clients inherit
    time = TimeSource(clock, leap, clock_state_source(parameters))
    site = Site(time, CrossOrigin(parameters.allow_cross_origin), counters or Counters())
    reactor = Reactor(listeners, lambda: Connection(site), clock, site.counters, departures=stamped)
    stamps = "the kernel's timestamps" if stamped else "timestamps read in user space"
    logger.info("serving time on %s, with %s", ", ".join(addresses), stamps)
    try:
        task_status.started(addresses)
        await reactor.run()
    finally:
        with trio.CancelScope(shield=True):
            await reactor.stop(parameters.grace)
