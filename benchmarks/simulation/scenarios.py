"""The days that are simulated: an administrator's machine and its network.

All parameters were chosen before the first run, and do not follow its results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import pi, sin
from random import Random

from benchmarks.simulation.network import (
    Delay,
    Handovers,
    Lie,
    Path,
    between,
    bloated,
    exponential,
    pareto,
)
from benchmarks.simulation.oscillator import Quartz, Shocks, Sine, Suspend

US = 1e-6
MS = 1e-3
PPM = 1e-6
HOUR = 3600.0
LIE = 0.3
"""The error of a constant liar, s."""
BASES = (8 * MS, 11 * MS, 17 * MS, 9 * MS, 13 * MS, 20 * MS, 25 * MS)
"""One-way base delays of broadband servers, s."""
MOBILE_BASES = (30 * MS, 35 * MS, 45 * MS)

ORDINARY = Quartz()

Paths = tuple[Path, ...]


@dataclass(frozen=True)
class Step:
    """At the instant `at`, s, the wall clock is set ahead by `by` s."""

    at: float
    by: float


@dataclass(frozen=True)
class Scenario:
    """A day.

    `draw` gives the paths of a seed. `poll` is minpoll and maxpoll. `truth` is the error of the
    scale that counts as true time, s: a lone server is the truth, even where it steps. `liars` are
    the indices of the servers that are wrong at some time; they are never a majority. `silence` is
    the longest time without any answer, s; without `judge_gaps` the peers answer too seldom for a
    mark.
    """

    name: str
    title: str
    draw: Callable[[Random], Paths]
    quartz: Quartz = ORDINARY
    poll: tuple[int, int] = (4, 6)
    steps: Sequence[Step] = ()
    suspends: Sequence[Suspend] = ()
    truth: Callable[[float], float] = field(default=lambda _: 0.0)
    liars: frozenset[int] = frozenset()
    silence: float = 0.0
    judge_gaps: bool = True


def lan(base: float) -> Path:
    return Path(exponential(base, 40 * US), exponential(base, 40 * US))


def slow(base: float) -> Delay:
    """One way over a shared line."""
    return pareto(base, scale=1.5 * MS, shape=1.4, most=400 * MS)


def broadband(base: float) -> Path:
    return Path(slow(base), slow(base))


def radio(base: float) -> Delay:
    """One way over a loaded radio cell."""
    return bloated(exponential(base, 15 * MS), period=900, duty=0.3, extra=250 * MS)


def mobile(base: float) -> Path:
    return Path(radio(base), radio(base), loss=0.1)


def uplink(base: float) -> Path:
    return Path(bloated(slow(base), period=900, duty=0.6, extra=1.0), slow(base))


def geostationary(base: float) -> Path:
    way = pareto(base, scale=5 * MS, shape=1.4, most=400 * MS)
    return Path(way, way, loss=0.01)


def fixed(paths: Sequence[Path]) -> Callable[[Random], Paths]:
    return lambda _: tuple(paths)


def handed_over(rng: Random) -> Paths:
    cells = Handovers(rng, period=1200, most=60 * MS)

    def path(base: float) -> Path:
        way = exponential(base, 15 * MS)
        return Path(cells.behind(way, "out"), cells.behind(way, "back"), loss=0.02)

    return tuple(map(path, MOBILE_BASES))


LAN_PATHS = tuple(map(lan, (80 * US,) * 3))
BROADBAND_PATHS = tuple(map(broadband, BASES))


def constant(by: float, since: float = 0.0) -> Lie:
    return lambda _, at: by if at >= since else 0.0


def walking(rate: float) -> Lie:
    """A lie that grows by `rate` s/s."""
    return lambda _, at: rate * at


def oscillating(amplitude: float, period: float) -> Lie:
    return lambda _, at: amplitude * sin(2 * pi * at / period)


def at_random(most: float) -> Lie:
    return lambda rng, _: rng.uniform(-most, most)


def lying(lies: Mapping[int, Lie], count: int = 3, *, no_delay: bool = False) -> Paths:
    """Broadband servers; those with an index in `lies` lie."""
    return tuple(
        replace(path, lie=lies[index], no_delay=no_delay) if index in lies else path
        for index, path in enumerate(BROADBAND_PATHS[:count])
    )


def liar_scenario(name: str, title: str, lie: Lie) -> Scenario:
    """Three servers: the first, of the least delay, lies."""
    return Scenario(name, title, fixed(lying({0: lie})), liars=frozenset({0}))


def poll_scenario(poll: int) -> Scenario:
    return Scenario(
        f"poll-{poll}",
        f"broadband, polls of 2^{poll} s",
        fixed(BROADBAND_PATHS[:3]),
        poll=(poll, poll),
    )


def down_at(period: float, length: float) -> Callable[[float], bool]:
    """A server that is down at the end of each period."""
    return lambda at: at % period < period - length


SIX_HOURS = Quartz(temperature=Sine(5 * PPM, 6 * HOUR))
STEP_AT = 4 * HOUR
STEP_BY = 50 * MS
server_step = constant(STEP_BY, since=STEP_AT)

SCENARIOS: Sequence[Scenario] = (
    Scenario("lan", "LAN", fixed(LAN_PATHS)),
    Scenario("lan-temperature", "LAN, ±5 ppm over 6 h", fixed(LAN_PATHS), SIX_HOURS),
    Scenario("broadband", "broadband", fixed(BROADBAND_PATHS[:3])),
    Scenario("broadband-1", "broadband, one server", fixed((broadband(10 * MS),))),
    Scenario("broadband-2", "broadband, two servers", fixed(BROADBAND_PATHS[:2])),
    Scenario("broadband-7", "broadband, seven servers", fixed(BROADBAND_PATHS)),
    Scenario(
        "stable-quartz",
        "broadband, a quartz that never wanders",
        fixed(BROADBAND_PATHS[:3]),
        Quartz(wander=0.0),
    ),
    Scenario(
        "broadband-temperature",
        "broadband, ±5 ppm over 6 h",
        fixed(BROADBAND_PATHS[:3]),
        SIX_HOURS,
    ),
    Scenario(
        "fast-temperature",
        "broadband, ±5 ppm over 30 min",
        fixed(BROADBAND_PATHS[:3]),
        Quartz(temperature=Sine(5 * PPM, HOUR / 2)),
    ),
    Scenario(
        "temperature-shock",
        "broadband, 4.5 ppm within a minute",
        fixed(BROADBAND_PATHS[:3]),
        Quartz(temperature=Shocks(4.5 * PPM, 60.0, 2 * HOUR)),
    ),
    Scenario("mobile", "mobile, 10 % loss", fixed(tuple(map(mobile, MOBILE_BASES)))),
    Scenario("handovers", "handovers every 20 min", handed_over),
    Scenario("bufferbloat", "bufferbloat, uplink up to 1 s", fixed(tuple(map(uplink, BASES[:3])))),
    Scenario(
        "geostationary",
        "geostationary",
        fixed(tuple(map(geostationary, (270 * MS, 275 * MS, 285 * MS)))),
    ),
    Scenario(
        "retransmissions",
        "broadband, TCP sends 5 % again",
        fixed([replace(path, retransmission=0.05) for path in BROADBAND_PATHS[:3]]),
    ),
    Scenario(
        "route-change",
        "one route of four asymmetric for 8 h",
        fixed(
            (
                Path(between(8, 16, slow(38 * MS), slow(8 * MS)), slow(8 * MS)),
                *map(broadband, (11 * MS, 14 * MS, 17 * MS)),
            )
        ),
    ),
    Scenario(
        "asymmetry",
        "one route of three asymmetric by 30 ms",
        fixed((Path(slow(38 * MS), slow(8 * MS)), *BROADBAND_PATHS[1:3])),
    ),
    Scenario(
        "asymmetry-all",
        "all routes asymmetric by 30 ms",
        fixed([Path(slow(base + 30 * MS), slow(base)) for base in BASES[:3]]),
    ),
    liar_scenario(
        "liar-constant", "one of three lies by 0.3 s from 6 h on", constant(LIE, 6 * HOUR)
    ),
    liar_scenario("liar-walking", "one of three walks at 10 ms/h", walking(10 * MS / HOUR)),
    liar_scenario(
        "liar-oscillating", "one of three oscillates by ±30 ms", oscillating(30 * MS, HOUR)
    ),
    liar_scenario("liar-random", "one of three is random within ±100 ms", at_random(100 * MS)),
    liar_scenario("liar-within", "one of three lies by 5 ms, within its bound", constant(5 * MS)),
    liar_scenario("liar-rate", "one of three runs at 50 ppm", walking(50 * PPM)),
    Scenario(
        "liars-3-of-7",
        "three of seven lie, each in its way",
        fixed(
            lying(
                {
                    0: constant(LIE, 6 * HOUR),
                    1: walking(10 * MS / HOUR),
                    2: oscillating(30 * MS, HOUR),
                },
                count=7,
            )
        ),
        liars=frozenset({0, 1, 2}),
    ),
    Scenario(
        "zero-delay-liar",
        "one of three lies by 5 ms and claims no delay",
        fixed(lying({0: constant(5 * MS)}, no_delay=True)),
        liars=frozenset({0}),
    ),
    Scenario(
        "zero-delay-liars-2-of-5",
        "two of five lie by 5 ms and claim no delay",
        fixed(lying({0: constant(5 * MS), 3: constant(5 * MS)}, count=5, no_delay=True)),
        liars=frozenset({0, 3}),
    ),
    Scenario(
        "server-restart",
        "a lone server restarts every 3 h, down for 3 min",
        fixed((replace(broadband(10 * MS), answers=down_at(3 * HOUR, 180.0)),)),
        silence=180.0,
    ),
    Scenario(
        "server-step",
        "a lone server steps by 50 ms",
        fixed((replace(broadband(10 * MS), lie=server_step),)),
        truth=lambda at: STEP_BY if at >= STEP_AT else 0.0,
    ),
    Scenario(
        "server-step-1-of-3",
        "one of three servers steps by 50 ms",
        fixed(lying({0: server_step})),
        liars=frozenset({0}),
    ),
    Scenario(
        "local-step",
        "the wall clock is set by 0.3 s and back",
        fixed(BROADBAND_PATHS[:3]),
        steps=(Step(3 * HOUR, 0.3), Step(9 * HOUR, -0.3)),
    ),
    Scenario(
        "suspend",
        "the machine sleeps for 1 h and 20 min",
        fixed(BROADBAND_PATHS[:3]),
        suspends=(Suspend(5 * HOUR, HOUR, error=0.2), Suspend(12 * HOUR, HOUR / 3, error=-0.2)),
    ),
    Scenario(
        "join-leave",
        "peers join at 2 h and 6 h and leave at 4 h and 8 h",
        fixed(
            (
                replace(BROADBAND_PATHS[0], leaves=4 * HOUR),
                replace(BROADBAND_PATHS[1], leaves=8 * HOUR),
                BROADBAND_PATHS[2],
                replace(BROADBAND_PATHS[3], joins=2 * HOUR),
                replace(BROADBAND_PATHS[4], joins=6 * HOUR),
            )
        ),
    ),
    Scenario(
        "flaky",
        "a healthy server beside one that answers 5 %",
        fixed((BROADBAND_PATHS[0], replace(BROADBAND_PATHS[1], loss=0.95))),
    ),
    *map(poll_scenario, range(4, 11)),
    Scenario(
        "poll-10-temperature",
        "broadband, maxpoll 10, ±5 ppm over 6 h",
        fixed(BROADBAND_PATHS[:3]),
        SIX_HOURS,
        poll=(4, 10),
    ),
    Scenario(
        "date-only",
        "one server of whole seconds, not aimed",
        fixed((replace(broadband(10 * MS), resolution=1.0),)),
    ),
    Scenario(
        "hourly",
        "a lone server that answers once an hour",
        fixed((replace(broadband(10 * MS), ration=(2, HOUR)),)),
        judge_gaps=False,
    ),
)

BY_NAME: Mapping[str, Scenario] = {scenario.name: scenario for scenario in SCENARIOS}
