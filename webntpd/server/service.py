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
from webntpd.server.listeners import Listener, listen
from webntpd.server.parameters import ServerError, ServerParameters
from webntpd.server.reactor import Reactor
from webntpd.server.reception import Reception
from webntpd.server.site import Site
from webntpd.server.timesource import TimeSource
from webntpd.server.tls import Credentials

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
    credentials = _credentials(parameters)
    _allow_descriptors()
    listeners = await _listen(parameters)
    addresses = tuple(listener.address for listener in listeners)
    stamped = parameters.kernel_timestamps and all(
        kernelstamps.enable(listener.socket, transmit=False) for listener in listeners
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
    reactor = Reactor(
        listeners, site, reception, clock, credentials=credentials, departures=stamped
    )
    stamps = "the kernel's timestamps" if stamped else "timestamps read in user space"
    logger.info("serving time on %s, with %s", ", ".join(addresses), stamps)
    try:
        task_status.started(addresses)
        await reactor.run()
    finally:
        with trio.CancelScope(shield=True):
            await reactor.stop(parameters.grace)


def _credentials(parameters: ServerParameters) -> Credentials | None:
    if parameters.certificate is not None:
        return Credentials(parameters.certificate, parameters.key)
    if parameters.listen_tls:
        raise ServerError(f"cannot listen on {parameters.listen_tls[0]}: TLS needs a certificate")
    return None


async def _listen(parameters: ServerParameters) -> list[Listener]:
    plain = await listen(parameters.listen)
    try:
        return plain + await listen(parameters.listen_tls, tls=True)
    except ServerError:
        for listener in plain:
            listener.close()
        raise


def _allow_descriptors() -> None:
    """Use as many descriptors as we may: the usual soft limit suits programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
