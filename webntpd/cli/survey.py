"""Asks servers for their time once, without a daemon.

The servers are asked one after the other: samples taken at the same time would queue behind each
other, and show as jitter. The outcome is the daemon's for the same samples: each server's guess and
its bounds, and the vote if there are several servers.

A survey is too short to measure the oscillator. The rate of the wall clock takes its place: a
consumer has steered it to be right. It counts as no more certain than an unknown oscillator's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import trio

from webntpd.clock.clocks import Clock, Pair, read_pair
from webntpd.config import PeerSpec
from webntpd.exchange import make_exchange
from webntpd.exchange.base import Exchange, ExchangeParameters, say_goodbye
from webntpd.leap.notice import warning_from
from webntpd.ntp import vote
from webntpd.ntp.bounds import Window, bounds_of, estimate_of
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Entry, Frequency, PeerEstimate, Track
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.readings import NS_PER_S, Failure, Leap, Reading
from webntpd.protocol.rejected import Rejected

INTERVAL = 0.1
"""Pause between two samples, s: the queues that one met are gone at the next."""
MAX_FREQUENCY = 500e-6
"""A wall clock that runs faster or slower than this, s/s, is being slewed."""

Progress = Callable[[str], None]
Connect = Callable[[ExchangeParameters, Clock, trio.Nursery], Exchange]


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome for one server: the offset, and the bound of its error, s.

    `estimate` and both are as of the server's last sample; without a sample there are none.
    """

    spec: PeerSpec
    samples: int = 0
    track: Track | None = None
    estimate: PeerEstimate | None = None
    offset: float = 0.0
    error: float = 0.0
    leap: Leap = Leap.NONE
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The outcome of the vote: the offset when the wall clock showed `wall_ns`.

    `error` bounds the offset's error, s. `agreeing` are the servers of the majority; the offset is
    combined from the `survivors` among them.
    """

    wall_ns: int
    offset: float
    error: float
    jitter: float
    leap: Leap
    agreeing: tuple[str, ...]
    survivors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """All answers, and the outcome of the vote: None if no majority agrees."""

    answers: tuple[Answer, ...]
    combined: Agreement | None

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
    start = read_pair(clock)
    answers = [await ask(spec, samples, clock, progress, connect) for spec in specs]
    progress("")
    return Survey(tuple(answers), combined_of(answers, start, read_pair(clock), clock.slew))


async def ask(
    spec: PeerSpec, samples: int, clock: Clock, progress: Progress, connect: Connect
) -> Answer:
    """One server's answer. The first failure ends it: later exchanges would fail as well."""
    readings: list[Reading] = []
    failure = None
    start = read_pair(clock)
    async with trio.open_nursery() as nursery:
        exchange = connect(spec.exchange, clock, nursery)
        try:
            await _collect(
                exchange, samples, readings, lambda text: progress(f"{spec.name}: {text}")
            )
        except Rejected as error:
            readings += error.readings
            failure = error.failure
        finally:
            end = read_pair(clock)
            await say_goodbye(exchange)
    found = track_of(usable(readings), spec.peer, wall_frequency(start, end), clock.slew)
    return (
        answer_of(spec, found, failure, end, clock.slew) if found else Answer(spec, failure=failure)
    )


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
    """All but the first of each connection, whose delay has the connection's start in it.

    A server that hangs up after each reply has no others; then only the very first is left out.
    """
    before = [None, *readings]
    warm = [
        reading
        for previous, reading in zip(before, readings, strict=False)
        if not reading.first or (previous and previous.first)
    ]
    return warm or readings


def answer_of(
    spec: PeerSpec, track: Track, failure: Failure | None, now: Pair, slew: float = 0.0
) -> Answer:
    """A server's answer about the wall clock at `now`, from its track."""
    estimate = estimate_of(track, now.raw_ns, track.frequency, slew=slew)
    return Answer(
        spec,
        track.exchanges,
        track,
        estimate,
        offset=estimate.offset(now.raw_ns, now.wall_ns),
        error=estimate.error_bound(now.raw_ns),
        leap=warning_from(estimate.leap, now.wall_ns) if estimate.leap else Leap.NONE,
        failure=failure,
    )


def track_of(
    readings: Sequence[Reading],
    parameters: PeerParameters,
    frequency: Frequency,
    slew: float = 0.0,
) -> Track | None:
    """The track of a peer with these readings; None if no reading is usable."""
    resolution_ns = min((reading.resolution_ns for reading in readings), default=1)
    found = [(reading, bounds_of(reading, resolution_ns)) for reading in readings]
    found = [(reading, bounds) for reading, bounds in found if bounds.delay >= 0]
    if not found:
        return None
    # An entry for each, not for all together as in the daemon: while the oscillator is unknown,
    # bounds age by half a millisecond a second, and the newest are the narrowest.
    window = Window(slew)
    window.entries = tuple(
        Entry(bounds.ceiling_ns, each.r1_ns, bounds.floor_ns, each.r4_ns, bounds.delay)
        for each, bounds in found
    )
    window.settle(frequency)
    readings = [reading for reading, _ in found]
    best, _ = min(found, key=lambda each: each[1].delay)
    last = readings[-1]
    return Track(
        entries=window.entries,
        frequency=frequency,
        exchanges=len(readings),
        last_reply_ns=last.at_ns,
        sigma=spread(readings, best),
        root_delay=parameters.root_delay,
        root_error=max(parameters.root_dispersion, last.max_error or 0.0),
        provenance=best.provenance,
        leap=last.leap,
    )


def wall_frequency(start: Pair, end: Pair) -> Frequency:
    """The rate at which the wall clock gained on RAW, as uncertain as an unknown oscillator's."""
    elapsed_ns = end.raw_ns - start.raw_ns
    rate = (end.wall_ns - start.wall_ns) / elapsed_ns - 1 if elapsed_ns > 0 else 0.0
    return replace(UNKNOWN_FREQUENCY, value=rate if abs(rate) <= MAX_FREQUENCY else 0.0)


def spread(readings: Sequence[Reading], best: Reading) -> float:
    """The RMS difference of the other offsets from the best one, s (RFC 5905 §10)."""
    squares = sum((offset_of(reading) - offset_of(best)) ** 2 for reading in readings)
    return max(sqrt(squares / max(1, len(readings) - 1)), best.precision)


def offset_of(reading: Reading) -> float:
    """The offset of one exchange by the wall clock, s (RFC 5905 §8).

    The server cuts its times, so half of its resolution is added.
    """
    twice_ns = (reading.t2_ns - reading.t1_ns) + (reading.t3_ns - reading.t4_ns)
    return (twice_ns + reading.resolution_ns) / 2 / NS_PER_S


def combined_of(
    answers: Sequence[Answer], start: Pair, now: Pair, slew: float = 0.0
) -> Agreement | None:
    """The vote at `now` of the servers that answered since `start` (RFC 5905 §11.2)."""
    frequency = wall_frequency(start, now)
    estimates = {
        answer.spec.name: estimate_of(
            replace(answer.track, frequency=frequency), now.raw_ns, frequency, slew=slew
        )
        for answer in answers
        if answer.track
    }
    base_ns = now.wall_ns - now.raw_ns
    agreed = vote.agree(
        [vote.candidate(name, each, base_ns) for name, each in estimates.items()], len(estimates)
    )
    if agreed is None:
        return None
    estimate = vote.conclude(
        agreed, estimates, base_ns, now.raw_ns, leaps=_informed_warnings(answers)
    )
    return Agreement(
        wall_ns=now.wall_ns,
        offset=estimate.offset(now.raw_ns, now.wall_ns),
        error=estimate.error,
        jitter=estimate.jitter,
        leap=estimate.leap,
        agreeing=agreed.names,
        survivors=tuple(agreed.combination.weights),
    )


def _informed_warnings(answers: Sequence[Answer]) -> dict[str, Leap]:
    """The warning of each server that can know of leap seconds: its notice has a step."""
    return {
        answer.spec.name: answer.leap
        for answer in answers
        if answer.estimate and answer.estimate.leap and answer.estimate.leap.step
    }
