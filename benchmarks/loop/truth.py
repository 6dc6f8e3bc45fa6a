"""The guest's clock by this machine's clock, read over the clean port.

The server in the guest answers as any server does; the offset of an exchange with it is the error
of the guest's clock. A sample is the exchange of least delay out of many.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import trio

from benchmarks.accuracy.client import asked, reachable
from benchmarks.accuracy.modes import Asking, Sample, Transport
from webntpd.clock.clocks import SystemClock
from webntpd.exchange import make_exchange
from webntpd.exchange.base import Exchange
from webntpd.ntp.readings import NS_PER_S
from webntpd.protocol.rejected import Rejected

INTERVAL = 5.0
"""Time from one sample to the next, s."""
EXCHANGES = 24
"""Exchanges for a sample."""
PAUSE = 0.005
"""Pause between two exchanges, s: a guest under emulation is slow."""


class Truth(NamedTuple):
    """The guest's clock less this machine's, s, at so many seconds into the watch."""

    at: float
    error: float
    delay: float


@dataclass(frozen=True, slots=True)
class Watch:
    """The samples of a watch, and the number of failed ones: no exchange succeeded."""

    samples: tuple[Truth, ...]
    failures: int


def watch(url: str, seconds: float) -> Watch:
    """Read the guest's clock for so many seconds. Raises Rejected if it never answers."""
    return trio.run(_watch, url, seconds)


async def _watch(url: str, seconds: float) -> Watch:
    samples, failures = [], 0
    async with trio.open_nursery() as nursery:
        parameters = asked(url, Transport.WS, Asking.INTERLEAVED)
        exchange = make_exchange(parameters, SystemClock(), nursery)
        await reachable(exchange)
        start, start_ns = trio.current_time(), time.time_ns()
        due = start
        while due < start + seconds:
            await trio.sleep_until(due)
            best = least_delay(await _exchanges(exchange))
            if best is None:
                failures += 1
            else:
                at = ((best.t1_ns + best.t4_ns) // 2 - start_ns) / NS_PER_S
                samples.append(Truth(at, best.offset, best.delay))
            due += INTERVAL
        await exchange.aclose()
    return Watch(tuple(samples), failures)


async def _exchanges(exchange: Exchange) -> list[Sample]:
    taken: list[Sample] = []
    for number in range(EXCHANGES):
        try:
            readings = await exchange.measure(last=number == EXCHANGES - 1)
        except Rejected:
            continue
        taken += [Sample.of(each) for each in readings if not each.first]
        await trio.sleep(PAUSE)
    return taken


def least_delay(samples: Iterable[Sample]) -> Sample | None:
    """The sample of least delay: its error is at most half of that."""
    return min(samples, key=lambda sample: sample.delay, default=None)
