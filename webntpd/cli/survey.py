"""Asks servers for their time once, without a daemon.

It asks one server after the other: samples taken at the same time would queue behind each other,
and the queues would show as jitter. The daemon would make the same of these samples: an estimate
and its bounds for each server, and a vote if there are several servers.

A survey is too short to measure the oscillator's frequency. It takes the rate of the wall clock
instead, which a consumer has steered to be right, with the uncertainty of an unknown oscillator.
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
"""Pause between two samples, s: queues that delay one sample have drained by the next."""
MAX_FREQUENCY = 500e-6
"""A wall clock that runs faster or slower than this, s/s, is being slewed."""

Progress = Callable[[str], None]
Connect = Callable[[ExchangeParameters, Clock, trio.Nursery], Exchange]


@dataclass(frozen=True, slots=True)
class Finding:
    """The survey's result for one server: the offset, and the bound of its error, s.

    Both, and `estimate`, are as of the end of this server's exchanges. Without a usable sample
    `track` and `estimate` are None, and `failure` says why if an exchange failed.
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
class CombinedOffset:
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
    """The findings about all servers, and the outcome of the vote: None if no majority agrees."""

    findings: tuple[Finding, ...]
    combined: CombinedOffset | None

    @property
    def complete(self) -> bool:
        """Whether every server gave all samples."""
        return all(finding.failure is None for finding in self.findings)


async def survey(
    specs: Sequence[PeerSpec],
    samples: int,
    clock: Clock,
    progress: Progress = lambda _: None,
    connect: Connect = make_exchange,
) -> Survey:
    """Take `samples` samples of each server. `progress` gets a few words on each step."""
    start = read_pair(clock)
    findings = [await survey_server(spec, samples, clock, progress, connect) for spec in specs]
    progress("")
    return Survey(tuple(findings), combined_offset(findings, start, read_pair(clock), clock.slew))


async def survey_server(
    spec: PeerSpec, samples: int, clock: Clock, progress: Progress, connect: Connect
) -> Finding:
    """The finding about one server. The first failure ends it: later exchanges would fail too."""
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
        finding_of(spec, found, failure, end, clock.slew)
        if found
        else Finding(spec, failure=failure)
    )


async def _collect(
    exchange: Exchange, samples: int, readings: list[Reading], progress: Progress
) -> None:
    """Fill `readings`: one exchange warms the connection up, then one follows for each sample."""
    progress("connecting")
    readings += await exchange.measure(last=False)
    for number in range(1, samples + 1):
        progress(f"{number} of {samples}")
        await trio.sleep(INTERVAL)
        readings += await exchange.measure(last=number == samples)


def usable(readings: Sequence[Reading]) -> Sequence[Reading]:
    """The readings without the first of each connection: its delay includes the connection's start.

    If the server closes each connection after one reply, only the very first reading is left out.
    """
    before = [None, *readings]
    warm = [
        reading
        for previous, reading in zip(before, readings, strict=False)
        if not reading.first or (previous and previous.first)
    ]
    return warm or readings


def finding_of(
    spec: PeerSpec, track: Track, failure: Failure | None, now: Pair, slew: float = 0.0
) -> Finding:
    """What a server's track says about the wall clock at `now`."""
    estimate = estimate_of(track, now.raw_ns, track.frequency, slew=slew)
    return Finding(
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
    # The daemon makes one entry of all readings of an exchange, a survey one of each reading: while
    # the oscillator is unknown, bounds age by half a millisecond a second, so the newest are the
    # narrowest.
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

    A server truncates its timestamps, so half of its resolution is added.
    """
    twice_ns = (reading.t2_ns - reading.t1_ns) + (reading.t3_ns - reading.t4_ns)
    return (twice_ns + reading.resolution_ns) / 2 / NS_PER_S


def combined_offset(
    findings: Sequence[Finding], start: Pair, now: Pair, slew: float = 0.0
) -> CombinedOffset | None:
    """The vote at `now` of the servers that answered since `start` (RFC 5905 §11.2)."""
    frequency = wall_frequency(start, now)
    estimates = {
        finding.spec.name: estimate_of(
            replace(finding.track, frequency=frequency), now.raw_ns, frequency, slew=slew
        )
        for finding in findings
        if finding.track
    }
    base_ns = now.wall_ns - now.raw_ns
    agreed = vote.agree(
        [vote.candidate(name, each, base_ns) for name, each in estimates.items()], len(estimates)
    )
    if agreed is None:
        return None
    estimate = vote.conclude(
        agreed, estimates, base_ns, now.raw_ns, leaps=_informed_warnings(findings)
    )
    return CombinedOffset(
        wall_ns=now.wall_ns,
        offset=estimate.offset(now.raw_ns, now.wall_ns),
        error=estimate.error,
        jitter=estimate.jitter,
        leap=estimate.leap,
        agreeing=agreed.names,
        survivors=tuple(agreed.combination.weights),
    )


def _informed_warnings(findings: Sequence[Finding]) -> dict[str, Leap]:
    """The warning of each server that can know of leap seconds: its notice has a step."""
    return {
        finding.spec.name: finding.leap
        for finding in findings
        if finding.estimate and finding.estimate.leap and finding.estimate.leap.step
    }
