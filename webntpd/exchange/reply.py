"""From what a server answered to a reading, or to the name of what is wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager

from webntpd.clock.clocks import Clock
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.failure import failed
from webntpd.ntp.readings import Reading, Rejection
from webntpd.protocol import onwire, wire


def parse_reply(body: bytes) -> wire.Reply:
    """The JSON of a reply. Raises ExchangeError."""
    with named_rejections():
        return wire.parse_reply(body)


class ReplyJudge:
    """Makes readings of one server's replies, and remembers whether the server echoes tokens."""

    def __init__(self, parameters: ExchangeParameters, clock: Clock) -> None:
        self._parameters = parameters
        self._clock = clock
        self._has_echoed = False

    def complete(
        self, reply: wire.Reply, trip: onwire.Trip, *, sent: str, pst_ns: int | None = None
    ) -> Reading:
        """As onwire.complete, with an exchange's parameters. Raises ExchangeError."""
        with named_rejections():
            reading = onwire.complete(
                reply,
                trip,
                sent=sent,
                local_precision=self._clock.precision,
                allow_unsynchronised=self._parameters.allow_unsynchronised,
                has_echoed=self._has_echoed,
                pst_ns=pst_ns,
            )
        self._has_echoed |= wire.echoes(sent, reply.it)
        return reading


@contextmanager
def named_rejections() -> Iterator[None]:
    """What onwire rejects and what wire cannot read, as the ExchangeErrors that they come to."""
    try:
        yield
    except wire.WireError as error:
        raise failed(Rejection.MALFORMED, str(error)) from error
    except onwire.Rejected as error:
        raise failed(error.rejection, error.detail) from error
