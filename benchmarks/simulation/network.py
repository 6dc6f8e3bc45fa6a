"""Paths with random delays, and the exchange that takes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import trio

from benchmarks.simulation.clock import true_ns
from webntpd.clock import Clock
from webntpd.exchange import ExchangeError
from webntpd.ntp.types import (
    NS_PER_S,
    Failure,
    Formula,
    Provenance,
    Reading,
    Rejection,
    StampSource,
)

TIMEOUT = 5.0
SERVER_TIME = 30e-6
"""From a request's arrival to its reply's departure, s."""
STAMP_NOISE = 20e-6
"""User-space stamps are late by up to about this, s."""

Delay = Callable[[Random, float], float]
"""A one-way delay in s, drawn at so many seconds into the day."""


def never(_: float) -> float:
    return 0.0


@dataclass(frozen=True)
class Path:
    """A way to a server and back. `loss` is the chance that an exchange is lost.

    `lie` gives the server's own error, s, at so many seconds into the day.
    """

    out: Delay
    back: Delay
    loss: float = 0.0
    lie: Callable[[float], float] = never


def exponential(base: float, mean: float) -> Delay:
    """Light-tailed jitter above a base: a local network."""
    return lambda rng, _: base + rng.expovariate(1 / mean)


def pareto(base: float, scale: float, shape: float, most: float) -> Delay:
    """Heavy-tailed jitter above a base, cut at `most`: a shared line."""
    return lambda rng, _: base + min(scale * (rng.paretovariate(shape) - 1), most)


def between(start: float, end: float, inside: Delay, outside: Delay) -> Delay:
    """One delay in the hours from `start` to `end`, another in the rest of the day."""
    return lambda rng, at: (inside if start <= at / 3600 < end else outside)(rng, at)


def bloated(delay: Delay, period: float, duty: float, extra: float) -> Delay:
    """A buffer that fills for a part of each period: delays grow by up to `extra`, then drop."""

    def draw(rng: Random, at: float) -> float:
        phase = (at % period) / (period * duty)
        return delay(rng, at) + (extra * phase * rng.random() if phase < 1 else 0.0)

    return draw


@dataclass
class SimulatedExchange:
    """A webntpd Exchange over a Path.

    Each packet is seen by two clients, each with a clock of its own: ours, and the reference's,
    whose readings go to `shadow`.
    """

    path: Path
    clock: Clock
    shadow_clock: Clock
    shadow: Callable[[Reading], None]
    rng: Random
    _connected: bool = False

    async def measure(self, *, last: bool) -> Sequence[Reading]:  # noqa: ARG002 - the protocol's
        first, self._connected = not self._connected, True
        if self.rng.random() < self.path.loss:
            await trio.sleep(TIMEOUT)
            raise ExchangeError(Failure(Rejection.TIMEOUT, "lost"))
        day = trio.current_time()
        sent_ns = self.clock.realtime_ns(), self.shadow_clock.realtime_ns()
        await trio.sleep(self.path.out(self.rng, day))
        arrived_ns = true_ns() + round(self.path.lie(day) * NS_PER_S)
        await trio.sleep(
            SERVER_TIME + self.path.back(self.rng, day) + self.rng.random() * STAMP_NOISE
        )
        ours, theirs = (
            Reading(
                t1_ns,
                arrived_ns,
                arrived_ns + round(SERVER_TIME * NS_PER_S),
                clock.realtime_ns(),
                at_ns=clock.monotonic_ns(),
                precision=STAMP_NOISE,
                provenance=Provenance(Formula.FOUR_STAMP, StampSource.USER, StampSource.USER),
                first=first,
            )
            for t1_ns, clock in zip(sent_ns, (self.clock, self.shadow_clock), strict=True)
        )
        if not first:
            self.shadow(theirs)
        return (ours,)

    async def aclose(self) -> None:
        self._connected = False
