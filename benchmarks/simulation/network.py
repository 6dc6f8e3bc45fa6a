"""Paths to servers: one-way delays, lost replies, and servers that lie or fall silent."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

TIMEOUT = 5.0
"""An exchange without an answer ends after this, s."""
SERVER_TIME = 30e-6
"""Time from a request's arrival to its reply's departure, s."""
STAMP_NOISE = 20e-6
"""User-space stamps of an arrival are late by up to about this, s."""

Delay = Callable[[Random, float], float]
"""Draws a one-way delay, s, at an instant in s since the start of the day."""
Lie = Callable[[Random, float], float]
"""Draws a server's own error, s, at an instant in s since the start of the day."""


def honest(_rng: Random, _at: float) -> float:
    return 0.0


def always(_at: float) -> bool:
    return True


@dataclass(frozen=True)
class Path:
    """A server, and the way to it and back.

    `loss` is the chance that an exchange gets no answer, `retransmission` the chance that TCP sends
    a segment again, which comes 0.2 to 1 s late. `answers` says whether the server is up at an
    instant. With a `ration` of (n, s) the server answers only the first n requests in each s. The
    server cuts its times to `resolution` s. `no_delay` is a liar's trick: the server's two times
    claim the whole round trip for itself. `joins` and `leaves` are the instants at which the
    configuration gains and loses the peer, s.
    """

    out: Delay
    back: Delay
    loss: float = 0.0
    lie: Lie = honest
    retransmission: float = 0.0
    answers: Callable[[float], bool] = always
    ration: tuple[int, float] | None = None
    resolution: float = 1e-9
    no_delay: bool = False
    joins: float = 0.0
    leaves: float = math.inf


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


class Handovers:
    """Every `period` s a phone changes its cell: each way has another detour of up to `most` s.

    All servers are behind the same cell.
    """

    def __init__(self, rng: Random, period: float, most: float) -> None:
        self._period = period
        self._most = most
        self._seed = rng.getrandbits(32)

    def behind(self, delay: Delay, way: str) -> Delay:
        """A delay with the detour of the cell that the phone is in."""
        detours: dict[int, float] = {}

        def draw(rng: Random, at: float) -> float:
            cell = int(at / self._period)
            if cell not in detours:
                chance = Random(f"{self._seed} {way} {cell}").random()
                detours[cell] = self._most * chance
            return delay(rng, at) + detours[cell]

        return draw
