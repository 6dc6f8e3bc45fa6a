"""Asks servers for their time once, without a daemon.

The servers are asked one after the other: samples that are taken at the same time queue behind
each other, and that would be measured as jitter. What is shown is what the daemon would make of
the same samples: the clock filter's best one, and the vote if there are several servers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from webntpd.clock import Clock
from webntpd.config import PeerSpec
from webntpd.exchange import Exchange, ExchangeError, ExchangeParameters
from webntpd.exchange.factory import make_exchange
from webntpd.leap import warning_from
from webntpd.ntp.filter import estimate_of, evaluate
from webntpd.ntp.selection import Candidate, Combination, cluster, combine, select
from webntpd.ntp.types import Failure, Leap, PeerEstimate, Reading

INTERVAL = 0.1
"""Between two samples, s: what queued on the way for one is gone at the next."""

Progress = Callable[[str], None]
Connect = Callable[[ExchangeParameters, Clock, trio.Nursery], Exchange]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one server. `error` bounds the estimate's error, s."""

    spec: PeerSpec
    samples: int
    estimate: PeerEstimate | None = None
    error: float = 0.0
    leap: Leap = Leap.NONE
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """All answers, and what they say together; None if no majority of them agrees."""

    answers: tuple[Answer, ...]
    combined: Combination | None
    survivors: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every server gave all samples."""
        return all(answer.failure is None for answer in self.answers)


async def survey(
    specs: Sequence[PeerSpec],
    samples: int,
    clock: Clock,
    progress: Progress = lambda _: None,
    connect: Connect = make_exchange,
) -> Survey:
    """Take `samples` samples of each server. `progress` is told in words how far it is."""
    answers = [await ask(spec, samples, clock, progress, connect) for spec in specs]
    progress("")
    return vote(answers)


async def ask(
    spec: PeerSpec, samples: int, clock: Clock, progress: Progress, connect: Connect
) -> Answer:
    """One server's answer. The first failure ends it: what follows would fail as well."""
    readings: list[Reading] = []
    failure = None
    async with trio.open_nursery() as nursery:
        exchange = connect(spec.exchange, clock, nursery)
        try:
            await _collect(
                exchange, samples, readings, lambda text: progress(f"{spec.name}: {text}")
            )
        except ExchangeError as error:
            failure = error.failure
        await exchange.aclose()
    return answer_of(spec, usable(readings), failure, clock)


async def _collect(
    exchange: Exchange, samples: int, readings: list[Reading], progress: Progress
) -> None:
    """One exchange to warm the connection up, and one for each sample."""
    progress("connecting")
    readings += await exchange.measure(last=False)
    for number in range(1, samples + 1):
        progress(f"{number} of {samples}")
        await trio.sleep(INTERVAL)
        readings += await exchange.measure(last=number == samples)


def usable(readings: Sequence[Reading]) -> Sequence[Reading]:
    """All but the first on a connection, the delay of which has the connection's start in it."""
    return readings[1:] if len(readings) > 1 and readings[0].first else readings


def answer_of(
    spec: PeerSpec, readings: Sequence[Reading], failure: Failure | None, clock: Clock
) -> Answer:
    """What the clock filter makes of the readings."""
    if not readings:
        return Answer(spec, 0, failure=failure)
    now_ns = clock.monotonic_ns()
    estimate = estimate_of(evaluate(readings, now_ns), spec.peer, readings[-1].leap)
    return Answer(
        spec,
        len(readings),
        estimate,
        error=estimate.root_distance(now_ns),
        leap=warning_from(estimate.leap, clock.realtime_ns()) if estimate.leap else Leap.NONE,
        failure=failure,
    )


def vote(answers: Sequence[Answer]) -> Survey:
    """The answers with what a majority of those who answered says (RFC 5905 §11.2)."""
    candidates = [
        Candidate(answer.spec.name, answer.estimate.offset, answer.error, answer.estimate.jitter)
        for answer in answers
        if answer.estimate
    ]
    intersection = select(candidates, len(candidates))
    if intersection is None:
        return Survey(tuple(answers), None)
    survivors = cluster(each for each in candidates if intersection.meets(each))
    combined = combine(survivors, intersection)
    return Survey(tuple(answers), combined, tuple(each.name for each in survivors))
