"""One HTTP request at a time over one kept-alive connection, with the stamps of request and reply.

httpcore speaks HTTP/1.1 over our own stream, by its documented extension point. httpx's client is
not used: its pool, proxies and redirects would hide round trips, and its cookies would let a server
make each request longer than the last.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx
import trio

from webntpd import __version__
from webntpd.clock.clocks import Clock
from webntpd.exchange.dial import Dialer, Link
from webntpd.exchange.failure import broken, refused, step
from webntpd.ntp.readings import Rejection
from webntpd.protocol import wire
from webntpd.protocol.onwire import Trip
from webntpd.protocol.rejected import Rejected

# Identity: a compressed reply would be neither bounded nor quicker.
HEADERS = {"User-Agent": f"webntpd/{__version__}", "Accept-Encoding": "identity"}

MAX_HEADERS = 16384
"""Most bytes of one answer before its body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply of an accepted status."""

    status: int
    headers: httpx.Headers
    body: bytes
    trip: Trip


class HttpClient:
    """Sends requests to one server, over a connection that it keeps and reopens when needed.

    `timeout` limits each step, s; `max_body` limits the body of an answer, bytes.
    """

    def __init__(
        self, dialer: Dialer, timeout: float, clock: Clock, *, max_body: int = wire.MAX_REPLY
    ) -> None:
        self._dialer = dialer
        self._max_answer = MAX_HEADERS + max_body
        self._requests = _Requests(dialer.url)
        self._timeout = timeout
        self._clock = clock
        self._connection: _Connection | None = None

    async def request(self, method: str, target: bytes, accepted: frozenset[int]) -> Answer:
        """Make one request. Raises Rejected, after which the connection is of no use."""
        request = self._requests.make(method, target)
        answer = await self._request_reused(request, accepted)
        if answer is not None:
            return answer
        self.close()
        link = await self._dialer.dial()
        self._connection = _Connection(link, request.url.origin, self._max_answer)
        return await self._request(self._connection, request, accepted)

    async def _request_reused(
        self, request: httpcore.Request, accepted: frozenset[int]
    ) -> Answer | None:
        """The answer over the open connection; None if the server has closed it.

        A server may close an idle connection at any time, even while our request is on its way. So
        that is no failure.
        """
        connection = self._connection
        if connection is None or connection.is_stale():
            return None
        try:
            return await self._request(connection, request, accepted)
        except Rejected as error:
            if error.rejection is Rejection.CLOSED and not connection.answered:
                return None
            raise

    async def _request(
        self, connection: "_Connection", request: httpcore.Request, accepted: frozenset[int]
    ) -> Answer:
        with step("the reply", self._timeout):
            return await connection.request(request, accepted, self._clock)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the connection after any failure inside, and after a cancellation."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Requests:
    """Requests to one server: only their targets differ."""

    def __init__(self, url: httpx.URL) -> None:
        self._url = url
        # httpx knows how to write a Host.
        self._headers = httpx.Request("GET", url, headers=HEADERS).headers.raw

    def make(self, method: str, target: bytes) -> httpcore.Request:
        url = self._url
        core_url = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target
        )
        return httpcore.Request(method, core_url, headers=self._headers)


class _Connection:
    """One connection, and httpcore on top of it."""

    def __init__(self, link: Link, origin: httpcore.Origin, max_answer: int) -> None:
        self._stream = _NetworkStream(link, max_answer)
        self._link = link
        self._http = httpcore.AsyncHTTP11Connection(origin, self._stream)
        self._fresh = True

    @property
    def answered(self) -> bool:
        """Whether any byte came since the last request began."""
        return self._stream.received > 0

    def is_stale(self) -> bool:
        """Whether the connection can carry no more: it is closed, or sent unasked bytes."""
        return self._http.is_closed() or self._link.stamped.is_readable()

    async def request(
        self, request: httpcore.Request, accepted: frozenset[int], clock: Clock
    ) -> Answer:
        first, self._fresh = self._fresh, False
        self._stream.received = 0
        self._link.expect_reply()
        try:
            response = await self._http.handle_async_request(request)
            headers = httpx.Headers(response.headers)
            if response.status not in accepted:
                raise refused(response.status, headers, clock.realtime_ns())
            body = await response.aread()
            await response.aclose()
        except (httpcore.ProtocolError, httpcore.NetworkError) as error:
            raise self._failure(error) from error
        trip = self._link.trip(self._stream.sent, self._stream.arrived.stamp, first=first)
        return Answer(response.status, headers, body, trip)

    def _failure(self, error: Exception) -> Rejected:
        if self._stream.ended or isinstance(error, httpcore.NetworkError):
            return Rejected(Rejection.CLOSED, "the server hung up")
        return Rejected(Rejection.PROTOCOL, str(error))

    def close(self) -> None:
        self._link.stamped.close()


class _NetworkStream(httpcore.AsyncNetworkStream):
    """A link for httpcore. It ignores httpcore's timeouts, since the exchange has its own."""

    def __init__(self, link: Link, max_answer: int) -> None:
        self._link = link
        self._max_answer = max_answer
        self.sent, self.arrived = link.stamped.last_sent, link.stamped.last_received
        self.received = 0
        self.ended = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        try:
            data = await self._link.stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise broken(error) from error
        self.arrived = self._link.stamped.last_received
        self.received += len(data)
        self.ended = not data
        if self.received > self._max_answer:
            raise Rejected(Rejection.TOO_LARGE, f"the reply exceeds {self._max_answer} bytes")
        return bytes(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        if not buffer:  # httpcore writes an empty body too, which is no segment
            return
        try:
            await self._link.stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # httpcore then reads: the server may have sent a reason before it hung up.
            raise httpcore.WriteError(str(error)) from error
        self.sent = self._link.stamped.last_sent

    async def aclose(self) -> None:
        self._link.stamped.close()
