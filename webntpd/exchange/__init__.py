"""Asks servers for their time: an exchange for each way to ask, made by make_exchange()."""

import trio

from webntpd.clock.clocks import Clock
from webntpd.exchange.base import Exchange, ExchangeParameters
from webntpd.exchange.http import HttpExchange
from webntpd.exchange.timeheader import TimeHeaderExchange
from webntpd.exchange.websocket import WebSocketExchange
from webntpd.names import Kind


def make_exchange(parameters: ExchangeParameters, clock: Clock, nursery: trio.Nursery) -> Exchange:
    """An exchange that connects at its first measure.

    A WebSocket's reader is a task in `nursery`, from a measure until aclose. The owner of the
    nursery closes the exchange or cancels the nursery.
    """
    match parameters.kind:
        case Kind.HTTP:
            return HttpExchange(parameters, clock)
        case Kind.TIME_HEADER:
            return TimeHeaderExchange(parameters, clock)
        case Kind.WEBSOCKET:
            return WebSocketExchange(parameters, clock, nursery)
