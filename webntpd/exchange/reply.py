"""From what a server answered to a reading, or to the name of what is wrong with it."""

from webntpd import onwire, wire
from webntpd.clock import Clock
from webntpd.exchange import ExchangeParameters
from webntpd.exchange.failure import failed
from webntpd.ntp.types import Reading, Rejection, Stamp


def parse_reply(body: bytes) -> wire.Reply:
    """The JSON of a reply. Raises ExchangeError."""
    try:
        return wire.parse_reply(body)
    except wire.WireError as error:
        raise failed(Rejection.MALFORMED, str(error)) from error


def complete(
    reply: wire.Reply,
    *,
    sent: str,
    t1: Stamp,
    t4: Stamp,
    first: bool,
    parameters: ExchangeParameters,
    clock: Clock,
    pst_ns: int | None = None,
) -> Reading:
    """As onwire.complete, with an exchange's parameters. Raises ExchangeError."""
    try:
        return onwire.complete(
            reply,
            sent=sent,
            t1=t1,
            t4=t4,
            local_precision=clock.precision,
            first=first,
            allow_unsynchronised=parameters.allow_unsynchronised,
            pst_ns=pst_ns,
        )
    except onwire.Rejected as error:
        raise failed(error.rejection, error.detail) from error
