"""What the better stamps cost: how often either end wakes up for an exchange.

A wake-up is a voluntary context switch: the process waited, and something came. Two ways of
asking take turns, so that what else happens on the machine is shared out evenly.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import trio

from benchmarks.accuracy.client import asked, reachable
from benchmarks.accuracy.modes import Asking, Transport
from benchmarks.common.process import wake_ups
from webntpd.clock.clocks import SystemClock
from webntpd.exchange import make_exchange
from webntpd.exchange.base import Exchange

COMPARED = (Asking.KERNEL, Asking.INTERLEAVED)
ROUNDS = 10
EXCHANGES = 50  # of a round
PAUSE = 0.002  # s, after each exchange: what it left behind is dealt with before the next


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one exchange. The client's pause after it is not counted as a wake-up."""

    client: float
    server: float


async def costs(url: str, server: int) -> Mapping[Asking, Cost]:
    """The cost of each of COMPARED with the server of that pid."""
    clock = SystemClock()
    at_client, at_server = dict.fromkeys(COMPARED, 0), dict.fromkeys(COMPARED, 0)
    async with trio.open_nursery() as nursery:
        exchanges = {
            asking: make_exchange(asked(url, Transport.WS, asking), clock, nursery)
            for asking in COMPARED
        }
        for exchange in exchanges.values():
            await reachable(exchange)
        for _ in range(ROUNDS):
            for asking, exchange in exchanges.items():
                of_client, of_server = await _round(exchange, server)
                at_client[asking] += of_client
                at_server[asking] += of_server
        for exchange in exchanges.values():
            await exchange.aclose()
    total = ROUNDS * EXCHANGES
    return {
        asking: Cost(at_client[asking] / total - 1, at_server[asking] / total)
        for asking in COMPARED
    }


async def _round(exchange: Exchange, server: int) -> tuple[int, int]:
    """The wake-ups of client and server in one round."""
    before = wake_ups(os.getpid()), wake_ups(server)
    for _ in range(EXCHANGES):
        await exchange.measure(last=False)
        await trio.sleep(PAUSE)
    return wake_ups(os.getpid()) - before[0], wake_ups(server) - before[1]
