"""Target: input of a client. The server answers or closes, equally with and without fast paths.

The first byte says whether a WebSocket is open already, and chooses the settings. The second says
how the rest is cut into pieces.
"""

from tests.fuzz.draw import Bytes
from tests.unit.server.parts import T0, Parts
from webntpd.clock.adjtime import ClockState
from webntpd.ntp.readings import NS_PER_S
from webntpd.server.connection import Connection
from webntpd.server.parameters import Limits

GET = b"GET /json?1489217288.328757 HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
INTERLEAVED = b"Sec-WebSocket-Protocol: webntp-interleaved.v1\r\n"
MOST_PER_BYTE = 80
"""Most bytes of output for each byte of input, besides LARGEST_REPLY."""
LARGEST_REPLY = 32768
"""Most bytes of output that come once: a page, with which the connection ends."""
FEW = Limits(requests_per_second=2.0, request_burst=3)


def test_one(data: bytes) -> None:
    draw = Bytes(data)
    how, size = draw.byte(), draw.byte()
    rest = draw.rest()
    assert converse(how, size, rest, fast=True) == converse(how, size, rest, fast=False)


def converse(how: int, size: int, data: bytes, *, fast: bool) -> list[tuple[bytes, bool, bool]]:
    """The output for each piece, and whether the connection ends, and is interleaved."""
    parts = Parts(
        allow_cross_origin=bool(how & 4),
        state=ClockState(not how & 8, 0.001),
        require_sync=bool(how & 16),
        limits=FEW if how & 32 else Limits(),
        fast_paths=fast,
    )
    context = parts.context()
    connection = Connection(context, parts.caller("192.0.2.7" if how & 32 else "127.0.0.1"))
    connection.receive(GET, T0)
    if how & 1:
        interleaved = INTERLEAVED if how & 2 else b""
        connection.receive(UPGRADE + interleaved + b"\r\n", T0)
    found = []
    sent = 0
    size = size or len(data) or 1
    for start in range(0, len(data), size):
        at_ns = parts.clock.wall_ns = parts.monotonic_ns = T0 + start * NS_PER_S // 16
        context.refresh(at_ns)
        output = connection.receive(data[start : start + size], at_ns)
        while connection.paused:
            output += connection.resume(at_ns)
        sent += len(output)
        found.append((output, connection.closing, connection.interleaved))
        connection.transmitted(sent, at_ns)
        if connection.closing:
            break
    assert sent <= MOST_PER_BYTE * len(data) + LARGEST_REPLY
    connection.shutdown()
    return found
