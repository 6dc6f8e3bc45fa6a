"""The server as one task of the daemon: in its own loop, or in processes of their own."""

import logging
import resource
from collections.abc import Callable

import trio

from webntpd.clock import Clock
from webntpd.leap import LeapList
from webntpd.server.counters import Counters
from webntpd.server.listeners import Listener, listen
from webntpd.server.parameters import ServerError, ServerParameters
from webntpd.server.single import Server, stamp
from webntpd.server.workers import Workers

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
    counters = counters or Counters()
    server = Server(parameters, clock, leap, counters=counters, fast_paths=fast_paths)
    _allow_descriptors()
    listeners = await _listen(parameters)
    stamped = stamp(listeners, parameters)
    addresses = tuple(dict.fromkeys(listener.address for listener in listeners))
    stamps = "the kernel's timestamps" if stamped else "timestamps read in user space"
    logger.info("serving time on %s, with %s", ", ".join(addresses), stamps)
    task_status.started(addresses)
    if parameters.workers:
        await Workers(parameters, clock, leap, counters, fast_paths=fast_paths).run(listeners)
    else:
        await server.run(listeners, stamped=stamped)


async def _listen(parameters: ServerParameters) -> list[Listener]:
    copies = max(1, parameters.workers)
    plain = await listen(parameters.listen, copies=copies)
    try:
        return plain + await listen(parameters.listen_tls, tls=True, copies=copies)
    except ServerError:
        for listener in plain:
            listener.close()
        raise


def _allow_descriptors() -> None:
    """Use as many descriptors as we may: the usual soft limit suits programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
