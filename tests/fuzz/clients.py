"""Target: input of a hostile server or proxy. The daemon gets readings, or a Rejected."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence

import trio
from trio.testing import MockClock

from tests.fuzz.draw import Bytes
from webntpd.clock.clocks import Pair
from webntpd.exchange.base import Exchange, ExchangeParameters
from webntpd.exchange.dial import MAX_RECEIVED, Dialer, Link
from webntpd.exchange.http import HttpExchange
from webntpd.exchange.timeheader import TimeHeaderExchange
from webntpd.exchange.tunnel import open_tunnel, parse_proxy
from webntpd.exchange.websocket import WebSocketExchange
from webntpd.names import Kind
from webntpd.ntp.readings import NS_PER_S, Failure, Reading, Stamp, StampSource
from webntpd.protocol.rejected import Rejected
from webntpd.protocol.wire import INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL
from webntpd.sockets.stream import Arrival, Departure, FloodError

T0 = 1_489_217_288_328_757_000
"""The time of the clock, ns, which stands still, so that inputs can hold the token."""
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"sec-websocket-key: *(\S+)", re.IGNORECASE)
QUESTIONS = 3


class Still:
    """A clock that stands still."""

    precision = 1e-9
    shift_ns = 0
    slew = 0.0

    def realtime_ns(self) -> int:
        return T0

    def raw_ns(self) -> int:
        return T0

    def monotonic_ns(self) -> int:
        return T0

    def boottime_ns(self) -> int:
        return T0


class Server(trio.abc.Stream):
    """A connection to a server that sends `data`, in pieces of `size` bytes, and hangs up.

    With `subprotocol` it first agrees to a WebSocket. It is the stream and the one with the stamps.
    """

    kernel = False

    def __init__(self, data: bytes, size: int, subprotocol: str | None) -> None:
        pair = Pair(T0, T0, 0)
        self.last_sent = Departure(0, pair, pair)
        self.last_received = Arrival(0, Stamp(T0, T0, StampSource.USER))
        self._data = data
        self._size = size
        self._subprotocol = subprotocol
        self._expected = MAX_RECEIVED
        self._closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        data = bytes(data)
        pair = Pair(T0, T0, 0)
        self.last_sent = Departure(self.last_sent.end + len(data), pair, pair)
        if self._subprotocol is not None and (key := _KEY.search(data)):
            self._data = agreement(key[1], self._subprotocol) + self._data
            self._subprotocol = None

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError
        size = min(self._size, max_bytes or self._size)
        data, self._data = self._data[:size], self._data[size:]
        end = self.last_received.end + len(data)
        self.last_received = Arrival(end, Stamp(T0, T0, StampSource.USER))
        if end > self._expected:
            raise FloodError(f"byte {end}")
        return data

    def expect(self, size: int) -> None:
        self._expected = self.last_received.end + size

    def departure(self, sent: Departure) -> Stamp:
        return sent.user

    def least_round_trip(self) -> float | None:
        return None

    def is_readable(self) -> bool:
        return not self._data

    def close(self) -> None:
        self._closed = True

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


def agreement(key: bytes, subprotocol: str) -> bytes:
    accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n"
        % (accept, subprotocol.encode())
    )


PARAMETERS = {
    kind: ExchangeParameters(url=f"{scheme}://x/", kind=kind, proxy="", accept_date=True)
    for scheme, kind in (
        ("ws", Kind.WEBSOCKET),
        ("http", Kind.HTTP),
        ("http", Kind.TIME_HEADER),
    )
}
PROXY = parse_proxy("http://user:word@proxy.example:3128")


def test_one(data: bytes) -> None:
    if not data:
        return
    draw = Bytes(data)
    how = draw.byte()
    size = 8 * draw.byte() or 16384
    rest = draw.rest()
    agreed = (None, SUBPROTOCOL, INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL)[how >> 2 & 3]
    server = Server(rest, size, agreed)
    trio.run(CONVERSATIONS[how & 3], server, clock=MockClock(autojump_threshold=0))


async def by_websocket(server: Server) -> None:
    async with trio.open_nursery() as nursery:
        exchange = WebSocketExchange(PARAMETERS[Kind.WEBSOCKET], Still(), nursery)
        await measure(exchange, server)


async def by_http(server: Server) -> None:
    await measure(HttpExchange(PARAMETERS[Kind.HTTP], Still()), server)


async def by_time_header(server: Server) -> None:
    await measure(TimeHeaderExchange(PARAMETERS[Kind.TIME_HEADER], Still()), server)


async def measure(exchange: Exchange, server: Server) -> None:
    """Ask a few times. Each new connection gets the rest of the server's data."""

    async def dial(dialer: Dialer) -> Link:
        await trio.lowlevel.checkpoint()
        server._closed = False
        return Link(server, server, direct=False)  # type: ignore[arg-type]  # a fake one

    real, Dialer.dial = Dialer.dial, dial  # type: ignore[assignment, method-assign]
    try:
        for number in range(QUESTIONS):
            readings: Sequence[Reading] = ()
            try:
                readings = await exchange.measure(last=number == QUESTIONS - 1)
            except Rejected as error:
                readings = error.readings
                is_fit_to_log(error.failure)
            for reading in readings:
                assert reading.delay >= -reading.resolution_ns / NS_PER_S
    finally:
        Dialer.dial = real  # type: ignore[method-assign]
        await exchange.aclose()


async def by_proxy(server: Server) -> None:
    try:
        await open_tunnel(server, PROXY, "x:443", T0)
    except Rejected as error:
        is_fit_to_log(error.failure)


def is_fit_to_log(failure: Failure) -> None:
    assert failure.detail.isprintable()
    assert (failure.retry_after or 0) >= 0


CONVERSATIONS: tuple[Callable[[Server], Awaitable[None]], ...] = (
    by_websocket,
    by_http,
    by_time_header,
    by_proxy,
)
