"""JSON over HTTP: a GET whose query is our timestamp."""

from collections.abc import Sequence

import trio

from webntpd.clock.clocks import Clock
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.dial import Dialer
from webntpd.exchange.httpclient import HttpClient
from webntpd.ntp.readings import Reading
from webntpd.protocol import wire
from webntpd.protocol.onwire import OnWire

ACCEPTED = frozenset({200})


class HttpExchange:
    """An exchange by GET. See `webntpd.exchange.base.Exchange`."""

    def __init__(self, parameters: ExchangeParameters, clock: Clock) -> None:
        self._clock = clock
        self._on_wire = OnWire(
            local_precision=clock.precision, allow_unsynchronised=parameters.allow_unsynchronised
        )
        dialer = Dialer(parameters, clock)
        self._path = dialer.url.raw_path.partition(b"?")[0]
        self._client = HttpClient(dialer, parameters.timeout, clock)

    async def measure(self, *, last: bool) -> Sequence[Reading]:  # noqa: ARG002
        token = wire.format_token(self._clock.realtime_ns())
        with self._client.closed_on_error():
            answer = await self._client.request(
                "GET", b"%s?%s" % (self._path, token.encode()), ACCEPTED
            )
            reading = self._on_wire.complete(wire.parse_reply(answer.body), answer.trip, sent=token)
        return [reading]

    async def aclose(self) -> None:
        self._client.close()
        await trio.lowlevel.checkpoint()
