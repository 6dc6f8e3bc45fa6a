"""Time over HTTPS: a HEAD whose answer carries the time in a header.

A server that has no X-HTTPSTIME still has a Date, of whole seconds: it is read where the peer is
configured so, and its half second of doubt goes into the reading's precision.
"""

from collections.abc import Sequence

import httpx
import trio

from webntpd import onwire, wire
from webntpd.clock import Clock
from webntpd.exchange import ExchangeParameters
from webntpd.exchange.dial import Dialer
from webntpd.exchange.httpclient import HttpClient
from webntpd.exchange.reply import named_rejections
from webntpd.ntp.types import Reading

WELL_KNOWN = "/.well-known/time"
"""The registered path, asked for where the URL names none."""

ACCEPTED = frozenset({200, 204})  # servers that only have a Date say 200


class TimeHeaderExchange:
    """An exchange by HEAD. See `webntpd.exchange.Exchange`."""

    def __init__(self, parameters: ExchangeParameters, clock: Clock) -> None:
        self._parameters = parameters
        self._clock = clock
        dialer = Dialer(parameters, clock)
        self._target = dialer.url.raw_path
        if dialer.url.path == "/":
            self._target = dialer.url.copy_with(path=WELL_KNOWN).raw_path
        self._client = HttpClient(dialer, parameters.timeout, clock)

    async def measure(self, *, last: bool) -> Sequence[Reading]:  # noqa: ARG002
        with self._client.closed_on_error(), named_rejections():
            answer = await self._client.ask("HEAD", self._target, ACCEPTED)
            st_ns, resolution = self._time_of(answer.headers)
            reading = onwire.from_header(
                st_ns,
                t1=answer.t1,
                t4=answer.t4,
                local_precision=self._clock.precision,
                first=answer.first,
                resolution=resolution,
            )
        return [reading]

    def _time_of(self, headers: httpx.Headers) -> tuple[int, float]:
        """The server's time and its resolution, s. Raises WireError."""
        if "x-httpstime" in headers:
            text = headers["x-httpstime"]
            return wire.parse_server_timestamp(text), wire.resolution(text)
        if self._parameters.accept_date and "date" in headers:
            return wire.parse_http_date(headers["date"]), onwire.DATE_RESOLUTION
        raise wire.WireError("no X-HTTPSTIME header")

    async def aclose(self) -> None:
        self._client.close()
        await trio.lowlevel.checkpoint()
