"""Time over HTTPS: a HEAD request, whose answer has the time in the header X-HTTPSTIME.

A peer can be configured to read the Date header if there is no X-HTTPSTIME. A Date has whole
seconds, so the reading has a resolution of one second.
"""

from collections.abc import Sequence

import trio

from webntpd.clock.clocks import Clock
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.dial import Dialer
from webntpd.exchange.httpclient import Answer, HttpClient
from webntpd.ntp.readings import Formula, Reading, Rejection
from webntpd.protocol import onwire, wire
from webntpd.protocol.rejected import Rejected

WELL_KNOWN = "/.well-known/time"
"""The registered path, for a URL without a path."""

ACCEPTED = frozenset({200, 204})  # servers that only have a Date say 200


class TimeHeaderExchange:
    """An exchange by HEAD. See `webntpd.exchange.base.Exchange`."""

    def __init__(self, parameters: ExchangeParameters, clock: Clock) -> None:
        self._parameters = parameters
        self._clock = clock
        dialer = Dialer(parameters, clock)
        self._target = dialer.url.raw_path
        if dialer.url.path == "/":
            self._target = dialer.url.copy_with(path=WELL_KNOWN).raw_path
        self._client = HttpClient(dialer, parameters.timeout, clock)

    async def measure(self, *, last: bool) -> Sequence[Reading]:  # noqa: ARG002
        with self._client.closed_on_error():
            answer = await self._client.request("HEAD", self._target, ACCEPTED)
            reading = self._reading(answer)
        return [reading]

    def _reading(self, answer: Answer) -> Reading:
        """The reading from the best header that there is. Raises Rejected."""
        headers, precision = answer.headers, self._clock.precision
        if "x-httpstime" in headers:
            text = headers["x-httpstime"]
            return onwire.from_header(
                wire.parse_server_timestamp(text),
                answer.trip,
                Formula.TWO_STAMP,
                resolution_ns=wire.resolution_ns(text),
                local_precision=precision,
            )
        if self._parameters.accept_date and "date" in headers:
            return onwire.from_header(
                wire.parse_http_date(headers["date"]),
                answer.trip,
                Formula.DATE,
                resolution_ns=onwire.DATE_RESOLUTION_NS,
                local_precision=precision,
            )
        raise Rejected(Rejection.MALFORMED, "no X-HTTPSTIME header")

    async def aclose(self) -> None:
        self._client.close()
        await trio.lowlevel.checkpoint()
