"""What the HTTP client makes of a connection that breaks as it sends."""

import httpx
import pytest
import trio

from tests.fakes.server import http_response
from webntpd.clock.clocks import Pair, SystemClock
from webntpd.exchange.dial import Link
from webntpd.exchange.httpclient import HttpClient
from webntpd.ntp.readings import Rejection, Stamp, StampSource
from webntpd.protocol.rejected import Rejected
from webntpd.sockets.stream import Arrival, Departure


class HungUp(trio.abc.Stream):
    """A connection that takes nothing any more, but still has `last_words` to give."""

    def __init__(self, last_words: bytes) -> None:
        self._last_words = last_words
        self.last_sent = Departure(0, Pair(0, 0, 0), Pair(0, 0, 0))
        self.last_received = Arrival(0, Stamp(0, 0, StampSource.USER))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:  # noqa: ARG002
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError("Broken pipe")

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:  # noqa: ARG002
        await trio.lowlevel.checkpoint()
        data, self._last_words = self._last_words, b""
        return data

    def expect(self, size: int) -> None:
        pass

    def close(self) -> None:
        self._last_words = b""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class OneLink:
    """A dialer that has one connection to give."""

    def __init__(self, stream: HungUp) -> None:
        self.url = httpx.URL("http://server/")
        self._stream = stream

    async def dial(self) -> Link:
        await trio.lowlevel.checkpoint()
        return Link(self._stream, self._stream, direct=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("last_words", "rejection"),
    [
        (http_response(b"", "503 Service Unavailable"), Rejection.HTTP_STATUS),
        (b"", Rejection.CLOSED),
    ],
)
async def test_what_a_server_said_before_it_hung_up_is_heard(
    last_words: bytes, rejection: Rejection
) -> None:
    dialer = OneLink(HungUp(last_words))
    client = HttpClient(dialer, 5.0, SystemClock())  # type: ignore[arg-type]
    with pytest.raises(Rejected) as caught:
        await client.request("GET", b"/", frozenset({200}))
    assert caught.value.failure.rejection is rejection
