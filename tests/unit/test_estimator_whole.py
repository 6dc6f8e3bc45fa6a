"""The estimator as a whole, in a small world whose true time is known to the nanosecond.

The wall clock is slewed and stepped by a consumer that does as it likes, stamps are made as
timestamping makes them, and exchanges are completed as onwire completes them. From there on the
real Peer and System work. The truth must always lie within the bounds.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webntpd.clock import Pair
from webntpd.ntp.peer import Peer
from webntpd.ntp.system import System, calls_for_publication, is_undecided
from webntpd.ntp.types import (
    NS_PER_S,
    Action,
    Disconnect,
    Estimate,
    Failure,
    Measure,
    PeerEstimate,
    PeerParameters,
    PeerReport,
    Reading,
    Rejection,
    Report,
    Stamp,
    StampSource,
    SystemParameters,
    Tally,
    Verdict,
    Wait,
)
from webntpd.onwire import Rejected, Trip, complete
from webntpd.timestamping import carry
from webntpd.wire import Reply

X_NS = 1_700_000_000 * NS_PER_S
MS = 1_000_000
US = 1_000
KNOT_NS = 10 * NS_PER_S
LARGEST_SLEW = 83_333e-6
SWING = 10e-6
"""The oscillator's frequency changes by no more than this altogether, s/s."""
WORLDS = 40
"""Each takes about a tenth of a second."""


class Oscillator:
    """X over RAW: up to 200 ppm off, and wandering around that by up to 5 ppm a minute.

    It comes back before it has changed by more than SWING, as a quartz does: the bounds promise to
    hold through such a change, not through a rise of 5 ppm a minute that goes on and on.
    """

    def __init__(self, rng: Random, duration: float, wander: float = 5e-6) -> None:
        step = wander * KNOT_NS / NS_PER_S / 60
        centre, x = rng.uniform(-200e-6, 200e-6), 0.0
        frequency = centre
        self._knots: list[tuple[float, float]] = []
        for _ in range(round(duration * NS_PER_S / KNOT_NS) + 100):
            self._knots.append((x, frequency))
            following = frequency + rng.choice((-step, 0.0, step, rng.uniform(-step, step)))
            following = min(max(following, centre - SWING / 2), centre + SWING / 2)
            x += (frequency + following) / 2 * KNOT_NS
            frequency = following

    def x_ns(self, raw_ns: int) -> int:
        index, elapsed_ns = divmod(raw_ns, KNOT_NS)
        x, frequency = self._knots[index]
        change = self._knots[index + 1][1] - frequency
        return X_NS + round(x + (frequency + change * elapsed_ns / KNOT_NS / 2) * elapsed_ns)

    def true_ns(self, raw_ns: int) -> int:
        return raw_ns + self.x_ns(raw_ns)


class WallClock:
    """CLOCK_REALTIME: it starts 20 ms off, and a random consumer slews and steps it."""

    def __init__(self, rng: Random, duration: float, *, steps: bool) -> None:
        self._starts = [0]
        self._pieces = [(X_NS + 20 * MS, 0.0)]
        raw_ns = 0
        while raw_ns < (duration + 100) * NS_PER_S:
            raw_ns += round(rng.choice((0.01, 1.0, 30.0)) * rng.expovariate(1) * NS_PER_S) + 1
            wall_ns = self.at(raw_ns)
            if steps and rng.random() < 0.1:
                wall_ns += round(rng.choice((-1, 1)) * 10 ** rng.uniform(2, 12))
            slew = rng.choice((0.0, LARGEST_SLEW, -LARGEST_SLEW, rng.uniform(-1e-3, 1e-3)))
            self._starts.append(raw_ns)
            self._pieces.append((wall_ns, slew))

    def at(self, raw_ns: int) -> int:
        index = bisect_right(self._starts, raw_ns) - 1
        wall_ns, slew = self._pieces[index]
        elapsed_ns = raw_ns - self._starts[index]
        return wall_ns + elapsed_ns + round(slew * elapsed_ns)


def right(_: int) -> int:
    """The error of a server that is right, ns."""
    return 0


@dataclass(frozen=True)
class Server:
    """A server and the path to it. `error_ns` is that of its clock at a RAW instant, ns."""

    error_ns: Callable[[int], int] = right
    honest: bool = True
    least: tuple[float, float] = (0.005, 0.005)
    """The least times there and back, s."""
    queueing: float = 0.002
    loss: float = 0.02
    max_error: float | None = None
    digits_ns: int = 1
    interleaved: bool = False
    kernel: bool = True
    quick: bool = False
    """Whether it claims that almost no time passed on the way."""


@dataclass
class Seen:
    """One vote: when it was, whose report called for it, and its outcome."""

    raw_ns: int
    report: PeerReport
    verdict: Verdict
    undecided: frozenset[str]


Event = tuple[int, int, str, Peer, "Connection", Callable[[int], tuple[Action, ...]]]
"""RAW, a number that puts equal instants in order, a peer, and the event that it gets then."""


@dataclass
class World:
    """Peers, each with its server, from RAW 0 on."""

    seed: int
    servers: dict[str, Server]
    duration: float = 1500.0
    wander: float = 5e-6
    steps: bool = True
    clock: WallClock | None = None
    minpoll: int = 4
    maxpoll: int = 6
    parameters: SystemParameters = field(default_factory=SystemParameters)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.oscillator = Oscillator(Random(self.seed), self.duration, self.wander)
        self.wall = self.clock or WallClock(Random(self.seed), self.duration, steps=self.steps)
        self.system = System(self.parameters, self.servers)

    def run(self) -> Iterator[Seen]:
        """All votes, in the order of time."""
        order = count()
        latest: dict[str, PeerReport] = {}
        events: list[Event] = []
        for name, server in self.servers.items():
            peer = Peer(PeerParameters(name, self.minpoll, self.maxpoll), self.rng.random)
            connection = Connection(self, server)
            events.append((0, next(order), name, peer, connection, peer.start))
        heapify(events)
        while events[0][0] < self.duration * NS_PER_S:
            raw_ns, _, name, peer, connection, call = heappop(events)
            actions: tuple[Action, ...] = call(raw_ns)
            for action in actions:
                match action:
                    case Report(report):
                        latest[name] = report
                        self.system.on_report(report)
                        verdict = self.system.vote(raw_ns)
                        undecided = frozenset(
                            each.name for each in latest.values() if is_undecided(each, raw_ns)
                        )
                        yield Seen(raw_ns, report, verdict, undecided)
                    case Wait(until_ns):
                        at_ns = max(raw_ns, until_ns)
                        heappush(
                            events, (at_ns, next(order), name, peer, connection, peer.on_timer)
                        )
                    case Measure(last):
                        at_ns, then = connection.measure(peer, raw_ns, last=last)
                        heappush(events, (at_ns, next(order), name, peer, connection, then))
                    case Disconnect():
                        raise AssertionError("without a failure or a suspend")


class Connection:
    """The way to one server, and the stamps that are taken on it."""

    def __init__(self, world: World, server: Server) -> None:
        self._world = world
        self._server = server
        self._first = True
        self._unfinished: tuple[Reply, Trip, int] | None = None

    def measure(
        self, peer: Peer, raw_ns: int, *, last: bool
    ) -> tuple[int, Callable[[int], tuple[Action, ...]]]:
        """The end of an exchange that begins now, and the event that the peer gets then."""
        rng, server = self._world.rng, self._server
        if rng.random() < server.loss:
            self._first, self._unfinished = True, None
            failure = Failure(Rejection.TIMEOUT, "")
            return raw_ns + NS_PER_S, lambda now_ns: peer.on_failure(failure, now_ns)
        readings: list[Reading] = []
        rejected: Rejected | None = None
        reply, trip, pst_ns, end_ns = self._exchange(raw_ns)
        try:
            if self._unfinished is not None:
                before, earlier, told_ns = self._unfinished
                self._unfinished = None
                readings.append(self._complete(before, earlier, told_ns))
            if server.interleaved and not last:
                self._unfinished = reply, trip, pst_ns
            else:
                readings.append(self._complete(reply, trip, None))
        except Rejected as error:
            rejected = error
        if rejected is not None:
            failure = Failure(rejected.rejection, rejected.detail)
            self._first = True
            return end_ns, lambda now_ns: peer.on_failure(failure, now_ns, readings)
        return end_ns, lambda now_ns: peer.on_readings(readings, now_ns)

    def _complete(self, reply: Reply, trip: Trip, pst_ns: int | None) -> Reading:
        return complete(reply, trip, sent="1", local_precision=1e-7, pst_ns=pst_ns)

    def _pair(self, raw_ns: int) -> Pair:
        window_ns = self._world.rng.choice((60, 900, 5000))
        return Pair(raw_ns, self._world.wall.at(raw_ns + window_ns // 2), window_ns)

    def _exchange(self, raw_ns: int) -> tuple[Reply, Trip, int, int]:
        rng, server = self._world.rng, self._server
        before = self._pair(raw_ns)
        left_ns = raw_ns + before.window_ns + rng.randint(0, 5 * US)
        after = self._pair(left_ns + rng.randint(0, 20 * US))
        there, back = (
            round((least + rng.expovariate(1) * server.queueing) * NS_PER_S)
            for least in server.least
        )
        reached_ns = left_ns + there
        leaves_ns = reached_ns + rng.randint(0, 300 * US)
        came_ns = leaves_ns + back
        woken = self._pair(came_ns + rng.choice((2 * US, rng.randint(0, 300 * US))))

        t4 = Stamp(woken.wall_ns, woken.raw_ns + woken.window_ns, StampSource.USER)
        t1 = Stamp(before.wall_ns, before.raw_ns, StampSource.USER)
        if server.kernel:
            # As TimestampedStream.departure and its counterpart for arrivals do.
            wall_ns = self._world.wall.at(came_ns)
            bounds = carry(wall_ns, after, woken)
            if bounds is not None:
                t4 = Stamp(wall_ns, bounds.latest_ns, StampSource.KERNEL)
            wall_ns = self._world.wall.at(left_ns)
            bounds = carry(wall_ns, before, after) or carry(wall_ns, before, woken)
            if bounds is not None:
                t1 = Stamp(wall_ns, bounds.earliest_ns, StampSource.KERNEL)

        def told(at_ns: int) -> int:
            true_ns = self._world.oscillator.true_ns(at_ns) + server.error_ns(at_ns)
            return true_ns // server.digits_ns * server.digits_ns

        rt_ns, st_ns, pst_ns = told(reached_ns), told(leaves_ns - 50 * US), told(leaves_ns)
        if server.quick:
            rt_ns, st_ns = told(left_ns + 10 * US), told(came_ns - 10 * US)
        reply = Reply(
            st_ns=max(rt_ns, st_ns),
            rt_ns=rt_ns,
            max_error=server.max_error,
            resolution_ns=_shown(rt_ns, server.digits_ns),
        )
        first, self._first = self._first, False
        return reply, Trip(t1, t4, first=first), pst_ns, woken.raw_ns + woken.window_ns


def _shown(told_ns: int, digits_ns: int) -> int:
    """The resolution that a time shows whose trailing zeros are left out, ns."""
    while digits_ns < NS_PER_S and told_ns % (10 * digits_ns) == 0:
        digits_ns *= 10
    return digits_ns


def holds(estimate: PeerEstimate, x_ns: int) -> bool:
    return estimate.low_ns <= x_ns <= estimate.high_ns


def check(world: World, seen: Seen) -> None:
    """Check the bounds of a vote's honest peers, and of its estimate by an honest majority."""
    x_ns = world.oscillator.x_ns(seen.raw_ns)
    honest = {name for name, server in world.servers.items() if server.honest}
    estimates = seen.verdict.estimates
    for name in honest & estimates.keys():
        assert holds(estimates[name], x_ns), (name, seen.raw_ns / NS_PER_S)
        # The bound is still good when nothing comes for a minute.
        later_ns = seen.raw_ns + 60 * NS_PER_S
        offset = estimates[name].offset(later_ns, later_ns + world.oscillator.x_ns(later_ns))
        assert abs(offset) <= estimates[name].error_bound(later_ns) + 1e-9, name
    tallies = seen.verdict.tallies
    electorate = seen.undecided | {n for n, tally in tallies.items() if tally is not Tally.UNFIT}
    if 2 * len(electorate & honest) <= len(electorate):
        return
    estimate = seen.verdict.estimate
    if isinstance(estimate, Estimate):
        assert abs(estimate.x_ns - x_ns) / NS_PER_S <= estimate.error + 1e-9


def honest_server(rng: Random) -> Server:
    max_error = rng.choice((None, 0.0, 0.001))
    bias_ns = round(rng.uniform(-1, 1) * (max_error or 0.0) * NS_PER_S)
    scale = rng.choice((1e-5, 0.002, 0.05))
    return Server(
        error_ns=lambda _: bias_ns,
        least=(scale * rng.random(), scale * rng.random()),
        queueing=scale * rng.choice((0.01, 1.0)),
        max_error=max_error,
        digits_ns=rng.choice((1, 1, 1000, 1_000_000)),
        interleaved=rng.random() < 0.3,
        kernel=rng.random() < 0.7,
        loss=rng.choice((0.0, 0.1)),
    )


def lie(rng: Random) -> Callable[[int], int]:
    """The error of a liar's clock at a RAW instant, ns: one of several kinds."""
    size_ns = rng.choice((-1, 1)) * 10 ** rng.uniform(4, 9)
    period_ns = rng.uniform(20, 2000) * NS_PER_S
    rate = rng.uniform(-100e-6, 100e-6)
    kinds: tuple[Callable[[int], float], ...] = (
        lambda _: size_ns,
        lambda raw_ns: rate * raw_ns,
        lambda raw_ns: size_ns * (raw_ns // period_ns % 2),
        lambda raw_ns: -1.5 * max(0, raw_ns - 500 * NS_PER_S),
        lambda _: rng.uniform(-size_ns, size_ns),
    )
    kind = rng.choice(kinds)
    return lambda raw_ns: round(kind(raw_ns))


@settings(max_examples=WORLDS)
@given(st.integers(0, 2**32))
def test_bounds_hold_against_any_consumer_and_any_minority_of_servers(seed: int) -> None:
    rng = Random(seed)
    honest, liars = rng.choice(((1, 0), (2, 1), (3, 1), (3, 2)))
    servers = {f"honest {index}": honest_server(rng) for index in range(honest)}
    servers |= {
        f"liar {index}": Server(
            lie(rng), honest=False, least=(1e-5, 1e-5), queueing=1e-5, quick=rng.random() < 0.3
        )
        for index in range(liars)
    }
    world = World(seed, servers)
    published = 0
    for seen in world.run():
        check(world, seen)
        published += calls_for_publication(seen.verdict, seen.report)
    assert published


def at_poll_starts(seed: int, *, steps: bool) -> list[tuple[int, Verdict]]:
    """All votes on one peer. With `steps` the wall clock is set while the peer waits."""

    class Stepped(WallClock):
        stepped_ns = 0

        def at(self, raw_ns: int) -> int:
            return X_NS + raw_ns + self.stepped_ns

    clock = Stepped(Random(0), 0.0, steps=False)
    rng = Random(seed)
    # Kernel stamps before a step cannot be carried over to RAW behind it, so user space stamps.
    server = Server(kernel=False, loss=0.1)
    world = World(seed, {"a": server}, clock=clock)
    votes = []
    for seen in world.run():
        votes.append((seen.raw_ns, seen.verdict))
        if steps and seen.report.fresh:
            clock.stepped_ns += round(rng.choice((-1, 1)) * 10 ** rng.uniform(3, 12))
    return votes


@pytest.mark.parametrize("seed", range(3))
def test_a_step_of_the_wall_clock_changes_no_estimate(seed: int) -> None:
    votes = at_poll_starts(seed, steps=True)
    assert len(votes) > 30
    assert votes == at_poll_starts(seed, steps=False)


AT_NS = 700 * NS_PER_S
"""When a server in the tests below begins to misbehave, RAW."""


def jumps(raw_ns: int) -> int:
    return 300 * MS if raw_ns > AT_NS else 0


def goes_backwards(raw_ns: int) -> int:
    return -2 * max(0, raw_ns - AT_NS)


def runs_at_a_wrong_rate(raw_ns: int) -> int:
    return raw_ns // 10_000


def contradicts_itself(raw_ns: int) -> int:
    return 50 * MS * (raw_ns // (40 * NS_PER_S) % 2)


@pytest.mark.parametrize("error", [jumps, goes_backwards, contradicts_itself])
def test_contradictions_of_a_server_are_counted_and_never_published(
    error: Callable[[int], int],
) -> None:
    servers = {"liar": Server(error, honest=False)} | {name: Server() for name in "ab"}
    world = World(1, servers)
    rejections: dict[str, int] = {}
    for seen in world.run():
        check(world, seen)
        rejections[seen.report.name] = seen.report.rejections.get(Rejection.CONTRADICTION, 0)
    assert rejections["liar"]
    assert not rejections["a"]
    assert not rejections["b"]


def test_a_server_of_a_wrong_rate_among_three_is_never_published() -> None:
    world = World(
        2, {"liar": Server(runs_at_a_wrong_rate, honest=False), "a": Server(), "b": Server()}
    )
    tallies = set()
    for seen in world.run():
        check(world, seen)
        tallies.add(seen.verdict.tallies.get("liar"))
    assert Tally.FALSETICKER in tallies


@pytest.mark.parametrize("step_ns", [50 * MS, -50 * MS, 3600 * NS_PER_S])
def test_a_lone_server_that_was_set_is_followed_within_three_polls(step_ns: int) -> None:
    world = World(3, {"a": Server(lambda raw_ns: step_ns if raw_ns > AT_NS else 0, loss=0.0)})
    polls = 0
    for seen in world.run():
        if not seen.report.fresh or seen.raw_ns < AT_NS + NS_PER_S:
            continue
        polls += 1
        if polls < 3:
            continue
        estimate = seen.verdict.estimate
        assert isinstance(estimate, Estimate)
        server_ns = world.oscillator.x_ns(seen.raw_ns) + step_ns
        assert abs(estimate.x_ns - server_ns) / NS_PER_S <= estimate.error
        assert abs(estimate.x_ns - server_ns) <= 6 * MS
    assert polls > 10
