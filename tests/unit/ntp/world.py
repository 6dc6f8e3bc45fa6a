"""A small world whose true time is known to the nanosecond, for the estimator as a whole.

A random consumer slews and steps the wall clock. The stamps are made as timestamping makes them,
and onwire completes the exchanges. From there on the real Peer and System work.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from random import Random

from webntpd.clock.clocks import Pair
from webntpd.ntp.actions import Action, Disconnect, Measure, PeerReport, Report, Wait
from webntpd.ntp.estimates import Verdict
from webntpd.ntp.parameters import PeerParameters, SystemParameters
from webntpd.ntp.peer import Peer
from webntpd.ntp.readings import NS_PER_S, Failure, Reading, Rejection, Stamp, StampSource
from webntpd.ntp.system import System, is_undecided
from webntpd.protocol.onwire import OnWire, Trip
from webntpd.protocol.rejected import Rejected
from webntpd.protocol.wire import Reply
from webntpd.sockets.stream import carry

X_NS = 1_700_000_000 * NS_PER_S
MS = 1_000_000
US = 1_000
KNOT_NS = 10 * NS_PER_S
LARGEST_SLEW = 83_333e-6
SWING = 10e-6
"""The oscillator's frequency changes by no more than this altogether, s/s."""


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


def untouched(_: int) -> float:
    """The delay that an attacker adds on a path without one, s."""
    return 0.0


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
    """Whether the server claims that almost no time passed on the way."""
    held: Callable[[int], float] = untouched
    """How long an attacker on the path holds up the reply to a request of this RAW instant, s."""


@dataclass
class Seen:
    """One vote: when it was, whose report called for it, and its outcome."""

    raw_ns: int
    report: PeerReport
    verdict: Verdict
    undecided: frozenset[str]


Event = tuple[int, int, str, Peer, "Connection", Callable[[int], tuple[Action, ...]]]
"""RAW, a number to order equal instants, a peer, and the event that the peer gets then."""


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
            failure = rejected.failure
            self._first = True
            return end_ns, lambda now_ns: peer.on_failure(failure, now_ns, readings)
        return end_ns, lambda now_ns: peer.on_readings(readings, now_ns)

    def _complete(self, reply: Reply, trip: Trip, pst_ns: int | None) -> Reading:
        return OnWire(local_precision=1e-7).complete(reply, trip, sent="1", pst_ns=pst_ns)

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
        back += round(server.held(left_ns) * NS_PER_S)
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
    """The resolution of a time, seen from its trailing zeros, ns."""
    while digits_ns < NS_PER_S and told_ns % (10 * digits_ns) == 0:
        digits_ns *= 10
    return digits_ns
