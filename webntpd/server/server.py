"""A server in this process, on sockets that are open already."""

import resource
from collections.abc import Callable, Sequence
from dataclasses import replace

import trio

from webntpd.clock.adjtime import clock_state_source
from webntpd.clock.clocks import Clock
from webntpd.leap.list import LeapList
from webntpd.server.admission import Admission
from webntpd.server.clients import Clients
from webntpd.server.context import Context
from webntpd.server.counters import Counters
from webntpd.server.credentials import Credentials, Pem
from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.parameters import Limits, ServerError, ServerParameters
from webntpd.server.reactor import Reactor
from webntpd.server.timesource import TimeSource
from webntpd.sockets import stamps
from webntpd.sockets.listeners import Listener

SPARE_DESCRIPTORS = 64
"""Descriptors that connections leave free for the rest of the process, but at most half of all."""


class Server:
    """The parts of a server. Raises ServerError if it cannot serve as configured.

    `pem` is used instead of the files of the certificate and its key, if it is given.
    """

    def __init__(
        self,
        parameters: ServerParameters,
        clock: Clock,
        leap: Callable[[], LeapList | None],
        *,
        counters: Counters,
        fast_paths: bool = True,
        pem: Pem | None = None,
    ) -> None:
        self._parameters = parameters
        self._clock = clock
        limits = _within_descriptors(parameters.limits)
        self._credentials = _credentials(parameters, pem)
        self._admission = Admission(Clients(limits, clock.monotonic_ns), parameters.trusted_proxies)
        state = clock_state_source(local=parameters.local, max_error=parameters.max_error)
        self._context = Context(
            TimeSource(clock, leap, state, require_sync=parameters.require_sync),
            CrossOrigin(parameters.allow_cross_origin),
            limits,
            counters,
            fast_paths=fast_paths,
        )

    def renew(self) -> bool:
        """Read the certificate anew; whether there is one, and it could be read."""
        return self._credentials is not None and self._credentials.renew()

    @property
    def pem(self) -> Pem | None:
        """The certificate and the key in use."""
        return None if self._credentials is None else self._credentials.pem

    def use(self, pem: Pem) -> None:
        """Use this certificate for new connections."""
        if self._credentials is not None:
            self._credentials.use(pem)

    async def run(self, listeners: Sequence[Listener], *, stamped: bool) -> None:
        """Serve until cancelled, then stop gracefully, and close the listeners.

        `stamped` says that the kernel gives timestamps.
        """
        reactor = Reactor(
            listeners,
            self._context,
            self._admission,
            self._clock,
            credentials=self._credentials,
            departures=stamped,
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reactor.run)
                if self._credentials is not None:
                    nursery.start_soon(self._credentials.keep_renewing_ticket_keys)
        finally:
            with trio.CancelScope(shield=True):
                await reactor.stop(self._parameters.grace)


def check_server(parameters: ServerParameters) -> None:
    """Raise ServerError if no server can start with these parameters, even with its ports free."""
    _credentials(parameters)


def stamp(listeners: Sequence[Listener], parameters: ServerParameters) -> bool:
    """Have the kernel stamp the arrivals at these sockets; False if it does not."""
    return parameters.kernel_timestamps and all(
        stamps.enable(listener.socket, transmit=False) for listener in listeners
    )


def _within_descriptors(limits: Limits) -> Limits:
    """The limits, with `connections` lowered to leave SPARE_DESCRIPTORS free."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = min(SPARE_DESCRIPTORS, most // 2)
    return replace(limits, connections=min(limits.connections, most - spare))


def _credentials(parameters: ServerParameters, pem: Pem | None = None) -> Credentials | None:
    if parameters.certificate is not None:
        return Credentials(parameters.certificate, parameters.key, pem)
    if parameters.listen_tls:
        raise ServerError(f"cannot listen on {parameters.listen_tls[0]}: TLS needs a certificate")
    return None
