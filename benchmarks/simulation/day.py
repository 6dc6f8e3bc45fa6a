"""One simulated day, event by event: the daemon's state machines, a consumer, and the rivals.

There is no concurrency: a heap of events in true time calls Peer and System as their tasks do, so a
day of several peers takes seconds. The schedule depends on RAW alone, and RAW on the seed alone, so
all consumers see the same packets.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from benchmarks.simulation.consumers import CONSUMERS
from benchmarks.simulation.network import SERVER_TIME, STAMP_NOISE, TIMEOUT, Path
from benchmarks.simulation.oscillator import (
    EPOCH_NS,
    Oscillator,
    Suspend,
    raw_ns,
    raw_of,
    true_ns,
)
from benchmarks.simulation.rivals.best import BestSample
from benchmarks.simulation.rivals.chrony import ChronyEstimator
from benchmarks.simulation.rivals.first import FirstVersion
from benchmarks.simulation.rivals.packet import Packet, Rival
from benchmarks.simulation.rivals.reference import ReferenceRule
from benchmarks.simulation.scenarios import Scenario, Step
from benchmarks.simulation.score import (
    BEST,
    CHRONY,
    CHRONY_POLLS,
    FIRST,
    OURS,
    REFERENCE,
    RIVALS,
    Miss,
    Outcome,
    Record,
)
from webntpd.ntp.actions import Action, Disconnect, Measure, PeerReport, Report, Wait
from webntpd.ntp.estimates import Estimate
from webntpd.ntp.parameters import PeerParameters, SystemParameters
from webntpd.ntp.peer import Peer
from webntpd.ntp.readings import (
    NS_PER_S,
    Failure,
    Formula,
    Provenance,
    Reading,
    Rejection,
    StampSource,
)
from webntpd.ntp.system import System, calls_for_publication

LOOK = 16.0
"""How often the wall clocks are compared with true time, s."""
AHEAD = 0.020
"""How far the wall clock is off at the start, s."""
REFUSED = 0.05
"""A server that is down refuses the connection after this, s."""
STEP_NS = 100_000
"""REALTIME and RAW may part by this, and by a tenth of the time, within an exchange."""
UNSEEN_DELAY = 1e-6
"""The delay that a liar leaves, s: none at all would be too plain."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The consumer of a day, its poll in log2 s, and the length of the day in hours."""

    consumer: str = "chrony"
    poll: int = 4
    hours: float = 24.0


def simulate(scenario: Scenario, seed: int, setting: Setting = Setting()) -> Outcome:
    """Live through a day of `scenario`; a seed always gives the same outcome."""
    return Day(scenario, seed, setting).run()


@dataclass(frozen=True, slots=True)
class Request:
    """An exchange under way: our stamps of its departure, on the present clock and the rival's."""

    true: float
    r1_ns: int
    t1_ns: int
    rival_t1_ns: int
    first: bool


@dataclass
class Association:
    """One peer, its path, and its connection."""

    name: str
    index: int
    peer: Peer
    path: Path
    rng: Random
    connected: bool = False
    polling: bool = False  # a poll is under way
    filling: bool = False  # it is an iburst
    last: bool = False  # the exchange under way ends the burst
    answered: bool = False  # an exchange of this poll was answered
    reach: int = 0
    rationed: tuple[float, int] = (-1.0, 0)  # the period of the ration, and its requests so far
    life: int = 0  # events of an earlier life are void


class Day:
    """All that takes part in a day."""

    def __init__(self, scenario: Scenario, seed: int, setting: Setting) -> None:
        def rng(purpose: str) -> Random:
            return Random(f"{scenario.name} {seed} {purpose}")

        self._scenario = scenario
        self._seed = seed
        self._length = setting.hours * 3600
        self._oscillator = Oscillator(
            scenario.quartz, rng("oscillator"), self._length, scenario.suspends
        )
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._now = 0.0

        make = CONSUMERS[setting.consumer]
        self._wall = make(AHEAD, setting.poll)
        minpoll, maxpoll = scenario.poll
        self._associations = [
            Association(
                name=f"server {index}",
                index=index,
                peer=Peer(
                    PeerParameters(f"server {index}", minpoll=minpoll, maxpoll=maxpoll),
                    rng(f"peer {index}").random,
                ),
                path=path,
                rng=rng(f"path {index}"),
            )
            for index, path in enumerate(scenario.draw(rng("paths")))
        ]
        self._present: dict[str, Association] = {}
        self._system = System(SystemParameters(), ())
        self._first = FirstVersion(make(AHEAD, setting.poll), (), 2.0**maxpoll)
        self._rivals: dict[str, Rival] = {
            CHRONY: ChronyEstimator(),
            CHRONY_POLLS: ChronyEstimator(bursts=False),
            REFERENCE: ReferenceRule(),
            BEST: BestSample(),
        }
        names = (OURS, *RIVALS)
        self._outcome = Outcome(scenario.name, {name: Record() for name in names})
        self._published_at: float | None = None

    def run(self) -> Outcome:
        for association in self._associations:
            self._at(association.path.joins, partial(self._join, association))
            self._at(association.path.leaves, partial(self._leave, association))
        for step in self._scenario.steps:
            self._at(step.at, partial(self._set_wall, step))
        for suspend in self._scenario.suspends:
            self._at(suspend.start, self._fall_asleep)
            self._at(suspend.end, partial(self._wake, suspend))
        self._at(0.0, self._look)
        while self._queue and self._queue[0][0] <= self._length:
            self._now, _, event = heapq.heappop(self._queue)
            event()
        self._now = self._length
        self._note_gap()
        return self._outcome

    # The day's own events.

    def _at(self, true: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (true, next(self._order), event))

    @property
    def _raw(self) -> float:
        return self._oscillator.raw(self._now)

    def _truth(self, true: float) -> float:
        """The scale that counts as true time, s."""
        return true + self._scenario.truth(true)

    @property
    def _x_true(self) -> float:
        return self._truth(self._now) - self._raw

    def _look(self) -> None:
        """Compare the wall clocks with true time."""
        raw, truth = self._raw, self._truth(self._now)
        if not self._is_asleep():
            for name, wall in ((OURS, self._wall), (FIRST, self._first.wall)):
                self._outcome.records[name].clock.append(wall.read(raw) - truth)
        self._at(self._now + LOOK, self._look)

    def _is_asleep(self) -> bool:
        return any(each.start <= self._now < each.end for each in self._scenario.suspends)

    def _join(self, association: Association) -> None:
        self._present[association.name] = association
        self._system.configure(SystemParameters(), list(self._present))
        self._first.join(association.name)
        self._perform(association, association.peer.start(raw_ns(self._raw)))

    def _leave(self, association: Association) -> None:
        association.life += 1
        del self._present[association.name]
        self._system.configure(SystemParameters(), list(self._present))
        self._first.on_leave(association.name)
        for rival in self._rivals.values():
            rival.on_leave(association.name)

    def _set_wall(self, step: Step) -> None:
        self._wall.step(self._raw, step.by)
        self._first.wall.step(self._raw, step.by)
        self._first.on_jump()

    def _fall_asleep(self) -> None:
        for association in self._present.values():
            association.life += 1

    def _wake(self, suspend: Suspend) -> None:
        slept = suspend.length + suspend.error
        self._wall.resume(self._raw, slept)
        self._first.wall.resume(self._raw, slept)
        self._first.on_jump()
        for rival in self._rivals.values():
            rival.on_suspend()
        self._system.forget()
        for association in self._present.values():
            association.reach = 0
            association.polling = False
            self._perform(association, association.peer.on_suspend(raw_ns(self._raw)))

    # The part of a peer's task.

    def _later(self, association: Association, true: float, event: Callable[[], None]) -> None:
        """As _at, unless the peer leaves or the machine falls asleep before."""
        life = association.life

        def alive() -> None:
            if association.life == life:
                event()

        self._at(max(true, self._now), alive)

    def _perform(self, association: Association, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Report(report):
                    self._on_report(report)
                case Disconnect():
                    association.connected = False
                case Measure(last):
                    self._measure(association, last=last)
                case Wait(until_ns):
                    self._wait(association, until_ns)

    def _wait(self, association: Association, until_ns: int) -> None:
        def on_timer() -> None:
            now_ns = max(raw_ns(self._raw), until_ns)
            self._perform(association, association.peer.on_timer(now_ns))

        self._later(association, self._oscillator.true(raw_of(until_ns)), on_timer)

    def _measure(self, association: Association, *, last: bool) -> None:
        path, rng = association.path, association.rng
        association.last = last
        if not association.polling:
            self._begin_poll(association)
        raw = self._raw
        request = Request(
            true=self._now,
            r1_ns=raw_ns(raw),
            t1_ns=self._wall_ns(raw),
            rival_t1_ns=self._first.stamp(raw),
            first=not association.connected,
        )
        # Each exchange draws all chances, also if it fails: then later draws stay the same.
        lost, again, longer, back_again = (rng.random() for _ in range(4))
        out, back = path.out(rng, self._now), path.back(rng, self._now)
        lie = path.lie(rng, self._now)
        noise = rng.random() * STAMP_NOISE
        if again < path.retransmission:
            late = 0.2 + 0.8 * longer
            out, back = (out, back + late) if back_again < 0.5 else (out + late, back)

        if not path.answers(self._now):
            self._fail(association, REFUSED, Failure(Rejection.CONNECT, "refused"))
        elif (
            lost < path.loss
            or out + SERVER_TIME + back > TIMEOUT
            or not self._is_within_ration(association)
        ):
            self._fail(association, TIMEOUT, Failure(Rejection.TIMEOUT, "lost"))
        else:
            arrived = self._now + out
            answered = arrived + SERVER_TIME + back + noise
            t2_ns, t3_ns = server_stamps(path, request.true, arrived, answered, lie)

            def on_answer() -> None:
                self._on_answer(association, request, t2_ns, t3_ns)

            self._later(association, answered, on_answer)

    def _is_within_ration(self, association: Association) -> bool:
        if association.path.ration is None:
            return True
        most, period = association.path.ration
        number, used = association.rationed
        if number != self._now // period:
            number, used = self._now // period, 0
        association.rationed = number, used + 1
        return used < most

    def _begin_poll(self, association: Association) -> None:
        association.polling = True
        association.answered = False
        association.filling = not association.reach
        association.reach = association.reach << 1 & 0xFF
        self._first.on_poll_begin(association.name)

    def _wall_ns(self, raw: float) -> int:
        return EPOCH_NS + round(self._wall.read(raw) * NS_PER_S)

    def _fail(self, association: Association, after: float, failure: Failure) -> None:
        def on_failure() -> None:
            association.connected = False
            actions = association.peer.on_failure(failure, raw_ns(self._raw))
            self._finish(association, actions, ends=True)

        self._later(association, self._now + after, on_failure)

    def _on_answer(
        self, association: Association, request: Request, t2_ns: int, t3_ns: int
    ) -> None:
        raw = self._raw
        now_ns, t4_ns = raw_ns(raw), self._wall_ns(raw)
        association.connected = True
        parted_ns = abs((t4_ns - request.t1_ns) - (now_ns - request.r1_ns))
        if parted_ns > STEP_NS + (now_ns - request.r1_ns) // 10:
            failure = Failure(Rejection.STEPPED, "the wall clock was set")
            actions = association.peer.on_failure(failure, now_ns)
            self._finish(association, actions, ends=True)
            return
        association.reach |= 1
        if not request.first:
            association.answered = True
            self._show_rivals(association, request, t2_ns, t3_ns, now_ns)
        reading = reading_of(association.path, request, t2_ns, t3_ns, now_ns, t4_ns)
        actions = association.peer.on_readings((reading,), now_ns)
        self._finish(association, actions, ends=association.last)

    def _finish(self, association: Association, actions: Sequence[Action], *, ends: bool) -> None:
        """Go on after an exchange. `ends` says that it ends its burst, unless it was a warm-up."""
        over = ends and isinstance(actions[-1], Wait)
        if over:
            association.polling = False
        self._perform(association, actions)
        if over:
            self._end_poll(association)

    # The publications, ours and the rivals'.

    def _on_report(self, report: PeerReport) -> None:
        self._system.on_report(report)
        raw = self._raw
        now_ns = raw_ns(raw)
        verdict = self._system.vote(now_ns)
        estimate = verdict.estimate
        if not isinstance(estimate, Estimate) or not calls_for_publication(verdict, report):
            return
        wall_ns = self._wall_ns(raw)
        offset = estimate.offset(now_ns, wall_ns)
        bound = estimate.error_bound(now_ns)
        error = offset - (true_ns(self._truth(self._now)) - wall_ns) / NS_PER_S
        self._outcome.ours.published.append(error)
        if abs(error) > bound:
            self._outcome.misses.append(Miss(self._seed, self._now, error, bound))
        self._note_liars(verdict.weights)
        self._note_gap()
        self._published_at = raw
        if self._outcome.first is None:
            self._outcome.first = raw
        self._wall.take(raw, offset)

    def _note_liars(self, speakers: Iterable[str]) -> None:
        """Count the publications during a lie, and the ones among them with a liar's weight."""
        chance = Random(0)  # any: a random lie is never 0
        liars = {
            name
            for name, each in self._present.items()
            if each.index in self._scenario.liars and each.path.lie(chance, self._now) != 0
        }
        self._outcome.lies += bool(liars)
        self._outcome.believed += not liars.isdisjoint(speakers)

    def _note_gap(self) -> None:
        if self._published_at is not None:
            self._outcome.gap = max(self._outcome.gap, self._raw - self._published_at)

    def _show_rivals(
        self, association: Association, request: Request, t2_ns: int, t3_ns: int, r4_ns: int
    ) -> None:
        path = association.path
        middle_ns = round(path.resolution * NS_PER_S) // 2
        middle = (request.true + self._now) / 2
        packet = Packet(
            server=association.name,
            r1_ns=request.r1_ns,
            r4_ns=r4_ns,
            t2_ns=t2_ns + middle_ns,
            t3_ns=t3_ns + middle_ns,
            resolution=path.resolution,
            x_true=self._truth(middle) - self._oscillator.raw(middle),
            filling=association.filling,
        )
        for name, rival in self._rivals.items():
            self._score(name, rival.on_packet(packet))
        stamp_ns = self._first.stamp(self._raw)
        error = self._first.on_stamped(packet, request.rival_t1_ns, stamp_ns, self._x_true)
        self._score(FIRST, error)

    def _end_poll(self, association: Association) -> None:
        name, answered = association.name, association.answered
        for rival_name, rival in self._rivals.items():
            error = rival.on_poll_end(name, self._raw, self._x_true, answered=answered)
            self._score(rival_name, error)
        error = self._first.on_poll_end(name, self._raw, self._x_true, answered=answered)
        self._score(FIRST, error)

    def _score(self, name: str, error: float | None) -> None:
        if error is not None:
            self._outcome.records[name].published.append(error)


def server_stamps(
    path: Path, sent: float, arrived: float, answered: float, lie: float
) -> tuple[int, int]:
    """T2 and T3, ns, cut to the server's resolution."""
    if path.no_delay:
        return true_ns(sent + lie), true_ns(answered + lie - UNSEEN_DELAY)
    step_ns = round(path.resolution * NS_PER_S)
    if step_ns >= NS_PER_S:  # a Date is one time, and that of the reply
        cut_ns = true_ns(arrived + SERVER_TIME + lie) // step_ns * step_ns
        return cut_ns, cut_ns
    t2_ns, t3_ns = true_ns(arrived + lie), true_ns(arrived + SERVER_TIME + lie)
    return t2_ns // step_ns * step_ns, t3_ns // step_ns * step_ns


def reading_of(
    path: Path, request: Request, t2_ns: int, t3_ns: int, r4_ns: int, t4_ns: int
) -> Reading:
    is_date = path.resolution >= 1
    formula = Formula.DATE if is_date else Formula.FOUR_STAMP
    return Reading(
        t1_ns=request.t1_ns,
        t2_ns=t2_ns,
        t3_ns=t3_ns,
        t4_ns=t4_ns,
        r1_ns=request.r1_ns,
        r4_ns=r4_ns,
        precision=STAMP_NOISE,
        provenance=Provenance(formula, StampSource.USER, StampSource.USER),
        resolution_ns=round(path.resolution * NS_PER_S),
        first=request.first,
    )
