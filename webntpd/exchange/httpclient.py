"""One HTTP request at a time over one kept-alive connection, with the stamps of request and reply.

httpcore speaks HTTP/1.1 over our own stream, and httpx over httpcore, each by its documented
extension point: no pool, no proxies and no redirects of theirs are in play, for every one of them
would put a round trip where no one sees it.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx
import trio

from webntpd import __version__, wire
from webntpd.clock import Clock
from webntpd.exchange import ExchangeError
from webntpd.exchange.dial import Dialer, Link
from webntpd.exchange.failure import broken, failed, refused, step
from webntpd.ntp.types import Rejection, Stamp

# Identity: a compressed reply would be neither bounded nor quicker.
HEADERS = {"User-Agent": f"webntpd/{__version__}", "Accept-Encoding": "identity"}

MAX_ANSWER = 16384 + wire.MAX_REPLY
"""Most that is read of one answer, bytes: headers and body."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply of an accepted status. `first` is of the first one on a connection."""

    headers: httpx.Headers
    body: bytes
    t1: Stamp
    t4: Stamp
    first: bool


class HttpClient:
    """Asks one server, over a connection that it opens when there is none to reuse."""

    def __init__(self, dialer: Dialer, timeout: float, clock: Clock) -> None:
        self._dialer = dialer
        self._timeout = timeout
        self._clock = clock
        self._connection: _Connection | None = None

    async def ask(self, method: str, url: httpx.URL, accepted: frozenset[int]) -> Answer:
        """Make one request. Raises ExchangeError, after which the connection is of no use."""
        answer = await self._ask_reused(method, url, accepted)
        if answer is not None:
            return answer
        self.close()
        self._connection = _Connection(await self._dialer.dial(), url)
        return await self._ask(self._connection, method, url, accepted)

    async def _ask_reused(
        self, method: str, url: httpx.URL, accepted: frozenset[int]
    ) -> Answer | None:
        """The answer over the connection that there is; None when the server has closed it.

        Servers close what is idle when they like, so that it is no failure: not even when the
        request crosses the closing on its way.
        """
        connection = self._connection
        if connection is None or connection.is_stale():
            return None
        try:
            return await self._ask(connection, method, url, accepted)
        except ExchangeError as error:
            if error.failure.rejection is Rejection.CLOSED and not connection.answered:
                return None
            raise

    async def _ask(
        self, connection: "_Connection", method: str, url: httpx.URL, accepted: frozenset[int]
    ) -> Answer:
        with step("the reply", self._timeout):
            return await connection.ask(method, url, accepted, self._clock)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Whatever goes wrong inside, cancellation too, leaves no half-used connection behind."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Connection:
    """One connection, and httpx's client on top of it."""

    def __init__(self, link: Link, url: httpx.URL) -> None:
        self._stream = _NetworkStream(link)
        self._stamped = link.stamped
        self._transport = _Transport(self._stream, url)
        self._client = httpx.AsyncClient(
            transport=self._transport, headers=HEADERS, trust_env=False
        )
        self._fresh = True

    @property
    def answered(self) -> bool:
        """True if any byte came back since the last request was begun."""
        return self._stream.received > 0

    def is_stale(self) -> bool:
        """True if the connection cannot carry another request. Nothing may come unasked."""
        return self._transport.is_closed() or self._stamped.is_readable()

    async def ask(
        self, method: str, url: httpx.URL, accepted: frozenset[int], clock: Clock
    ) -> Answer:
        first, self._fresh = self._fresh, False
        self._stream.received = 0
        try:
            async with self._client.stream(method, url) as response:
                if response.status_code not in accepted:
                    raise refused(response.status_code, response.headers, clock.realtime_ns())
                body = b"".join([chunk async for chunk in response.aiter_raw()])
        except (httpcore.ProtocolError, httpcore.NetworkError) as error:
            raise self._failure(error) from error
        t1, t4 = self._stamped.departure(self._stream.sent), self._stream.arrived.stamp
        return Answer(response.headers, body, t1, t4, first)

    def _failure(self, error: Exception) -> ExchangeError:
        if self._stream.ended or isinstance(error, httpcore.NetworkError):
            return failed(Rejection.CLOSED, "the server hung up")
        return failed(Rejection.PROTOCOL, str(error))

    def close(self) -> None:
        self._stamped.close()


class _Transport(httpx.AsyncBaseTransport):
    """httpx over exactly one httpcore connection. httpx's timeouts stop here."""

    def __init__(self, stream: "_NetworkStream", url: httpx.URL) -> None:
        self._connection = httpcore.AsyncHTTP11Connection(_core_url(url).origin, stream)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._connection.handle_async_request(
            httpcore.Request(request.method, _core_url(request.url), headers=request.headers.raw)
        )
        return httpx.Response(
            response.status, headers=response.headers, stream=_ResponseStream(response)
        )

    def is_closed(self) -> bool:
        return self._connection.is_closed()


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


class _ResponseStream(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


class _NetworkStream(httpcore.AsyncNetworkStream):
    """A link as httpcore wants it. Its timeouts would be of each read; the exchange has one."""

    def __init__(self, link: Link) -> None:
        self._link = link
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
        if self.received > MAX_ANSWER:
            raise failed(Rejection.TOO_LARGE, f"the reply exceeds {MAX_ANSWER} bytes")
        return bytes(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        if not buffer:  # httpcore writes an empty body too, which is no segment
            return
        try:
            await self._link.stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            # httpcore goes on to read, for the server may have said why before it hung up.
            raise httpcore.WriteError(str(error)) from error
        self.sent = self._link.stamped.last_sent

    async def aclose(self) -> None:
        self._link.stamped.close()
