"""Connects to a server: looks up the name, connects, opens a proxy's tunnel, starts TLS.

Each step may take the peer's timeout, and a failure names its step.
"""

import functools
import logging
import os
import socket
import ssl
from dataclasses import dataclass

import httpx
import trio

from webntpd.clock.clocks import Clock
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.failure import step
from webntpd.exchange.tls import make_context, start_tls
from webntpd.exchange.tunnel import Proxy, effective_port, open_tunnel, proxy_for
from webntpd.ntp.readings import Rejection, Stamp
from webntpd.protocol.onwire import Trip
from webntpd.protocol.rejected import Rejected
from webntpd.sockets.stream import Departure, TimestampedStream, detach

logger = logging.getLogger(__name__)

MAX_RECEIVED = 2**18
"""Most bytes on the wire that a connection receives as it opens, and again for each request.

A server may send a ping every 20 s for the longest poll of 36 h within that.
"""


@dataclass(frozen=True, slots=True)
class Link:
    """A connection to a server: `stream` carries the bytes, and `stamped` below it has the stamps.

    `direct` says that there is no proxy of ours: the kernel's round trips are then to the server.
    """

    stream: trio.abc.Stream
    stamped: TimestampedStream
    direct: bool

    def expect_reply(self) -> None:
        """Call before each request: the server may then send MAX_RECEIVED more bytes."""
        self.stamped.expect(MAX_RECEIVED)

    def trip(self, sent: Departure, t4: Stamp, *, first: bool) -> Trip:
        """Our side of an exchange that is complete just now."""
        least = self.stamped.least_round_trip() if self.direct else None
        return Trip(self.stamped.departure(sent), t4, first, least)


class Dialer:
    """Makes connections to one server."""

    def __init__(self, parameters: ExchangeParameters, clock: Clock) -> None:
        self.url = httpx.URL(parameters.url)
        self._parameters = parameters
        self._clock = clock
        self._context: ssl.SSLContext | None = None

    async def dial(self) -> Link:
        """A new connection. Raises Rejected, and leaves none behind then."""
        port = effective_port(self.url)
        proxy = proxy_for(self.url, self._parameters.proxy)
        if proxy is None:
            stamped = await self._connect(self.url.host, port)
        else:
            stamped = await self._connect(proxy.host, proxy.port)
        try:
            stream = await self._through(proxy, stamped, port)
            if self.url.scheme in {"https", "wss"}:
                with step("the TLS handshake", self._parameters.timeout):
                    stream = await start_tls(
                        stream, self._own_context(), self.url.host, self._clock.realtime_ns()
                    )
        except BaseException:
            stamped.close()
            raise
        return Link(stream, stamped, direct=proxy is None)

    async def _connect(self, host: str, port: int) -> TimestampedStream:
        with step(f"connecting to {host}", self._parameters.timeout):
            try:
                stream = await trio.open_tcp_stream(host, port)
            except (socket.gaierror, ValueError) as error:
                # ValueError: a name with a null character or a label that no DNS name has
                reason = error.strerror if isinstance(error, OSError) else error
                raise Rejected(Rejection.RESOLVE, f"{host}: {reason}") from error
            except OSError as error:
                raise Rejected(Rejection.CONNECT, f"{host}:{port}: {_reasons(error)}") from error
        wanted = self._parameters.kernel_timestamps
        stamped = TimestampedStream(detach(stream), self._clock, kernel=wanted)
        stamped.expect(MAX_RECEIVED)
        if wanted and not stamped.kernel:
            tell_of_refusal()
        return stamped

    async def _through(
        self, proxy: Proxy | None, stream: trio.abc.Stream, port: int
    ) -> trio.abc.Stream:
        if proxy is None:
            return stream
        if proxy.tls:
            with step(f"the TLS handshake with the {proxy}", self._parameters.timeout):
                stream = await start_tls(
                    stream, make_context(None), proxy.host, self._clock.realtime_ns()
                )
        host = f"[{self.url.host}]" if ":" in self.url.host else self.url.raw_host.decode()
        with step(f"the tunnel of the {proxy}", self._parameters.timeout):
            await open_tunnel(stream, proxy, f"{host}:{port}", self._clock.realtime_ns())
        return stream

    def _own_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = make_context(self._parameters.ca_file)
        return self._context


@functools.cache
def tell_of_refusal() -> None:
    """Say that this kernel gives no timestamps: once, as no connection will fare better."""
    logger.warning("the kernel refuses timestamps: those of user space are used")


def _reasons(error: OSError) -> str:
    """Why no address of a name answered: trio tries them all, and groups the errors."""
    group = error.__cause__
    attempts = group.exceptions if isinstance(group, BaseExceptionGroup) else (error,)
    # trio puts the address into strerror, where it would stand twice.
    numbers = (getattr(attempt, "errno", None) for attempt in attempts)
    return ", ".join(dict.fromkeys(os.strerror(each) if each else str(error) for each in numbers))
