"""The server as one task of the daemon."""

import logging
import resource
from collections.abc import Callable

import trio

from webntpd import kernelstamps
from webntpd.clock import Clock
from webntpd.leap import LeapList
from webntpd.server.clients import Clients
from webntpd.server.counters import Counters
from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.kernelclock import clock_state_source
from webntpd.server.listeners import listen, shown_address
from webntpd.server.parameters import ServerParameters
from webntpd.server.reactor import Reactor
from webntpd.server.reception import Reception
from webntpd.server.site import Site
from webntpd.server.timesource import TimeSource

logger = logging.getLogger(__name__)


async def serve(
    parameters: ServerParameters,
    clock: Clock,
    leap: Callable[[], LeapList | None],
    *,
    counters: Counters | None = None,
    fast_paths: bool = True,
    task_status: trio.TaskStatus[tuple[str, ...]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the clock's time until cancelled, and stop gracefully then.

    Reports the addresses that it listens on once it does. Raises ServerError if it cannot.
    `leap` is asked about once a second; `counters` are kept up to date for others to look at.
    `fast_paths` are only ever off to measure what they are worth.
    """
    reception = Reception(
        Clients(parameters.limits, clock.monotonic_ns), parameters.trusted_proxies
    )
    _allow_descriptors()
    listeners = await listen(parameters.listen)
    addresses = tuple(map(shown_address, listeners))
    stamped = parameters.kernel_timestamps and all(
        kernelstamps.enable(listener, transmit=False) for listener in listeners
    )  # which the sockets of their clients inherit
    site = Site(
        TimeSource(
            clock, leap, clock_state_source(parameters), require_sync=parameters.require_sync
        ),
        CrossOrigin(parameters.allow_cross_origin),
        parameters.limits,
        counters or Counters(),
        fast_paths=fast_paths,
    )
    reactor = Reactor(listeners, site, reception, clock, departures=stamped)
    stamps = "the kernel's timestamps" if stamped else "timestamps read in user space"
    logger.info("serving time on %s, with %s", ", ".join(addresses), stamps)
    try:
        task_status.started(addresses)
        await reactor.run()
    finally:
        with trio.CancelScope(shield=True):
            await reactor.stop(parameters.grace)


def _allow_descriptors() -> None:
    """Use as many descriptors as we may: the usual soft limit suits programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
