"""One simulated day: the daemon's own tasks from the exchange to the refclock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import trio
import trio.testing

from benchmarks.simulation.clock import DisciplinedClock, Oscillator
from benchmarks.simulation.network import Path, SimulatedExchange
from benchmarks.simulation.reference import ReferenceRule
from benchmarks.simulation.scenarios import Scenario
from webntpd.ntp.peer import Peer
from webntpd.ntp.types import PeerParameters, Publication, Reading, SystemParameters
from webntpd.peer_task import PeerTask
from webntpd.status import RefclockStatus
from webntpd.system_task import Event, Output, Setup, SystemTask

WARM_UP = 3600.0
"""The consumer's loop settles first: what is published in this time, s, does not count."""
LOOK = 60.0
"""How often the disciplined clock is compared with true time, s."""


@dataclass(frozen=True)
class Errors:
    """Errors, s, of what was published and of the clock that it disciplined."""

    published: Sequence[float]
    clock: Sequence[float]


@dataclass(frozen=True)
class Outcome:
    scenario: Scenario
    ours: Errors
    reference: Errors


def rms(values: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


class Client:
    """One of the two programs that are compared, as its consumer sees it: a webntpd Refclock."""

    status = RefclockStatus("simulated")

    def __init__(self, oscillator: Oscillator) -> None:
        self.clock = DisciplinedClock(oscillator)
        self._published: list[float] = []
        self._clock: list[float] = []

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def publish(self, publication: Publication) -> None:
        self.take(publication.offset)

    def take(self, offset: float) -> None:
        if trio.current_time() > WARM_UP:
            self._published.append(offset + self.clock.error())
        self.clock.discipline(offset)

    def look(self) -> None:
        """Compare the clock with true time."""
        self._clock.append(self.clock.error())

    def result(self) -> Errors:
        return Errors(self._published, self._clock)


def simulate(scenario: Scenario, seed: int, hours: float = 24.0) -> Outcome:
    """Live through the warm-up and `hours` of `scenario`; a seed always gives the same outcome."""
    day = Day(scenario, Random(seed))
    seconds = WARM_UP + hours * 3600
    trio.run(day.run, seconds, clock=trio.testing.MockClock(autojump_threshold=0))
    return Outcome(scenario, day.ours.result(), day.reference.result())


class Day:
    """What lives through the day. Both clients have the same oscillator and the same packets."""

    def __init__(self, scenario: Scenario, rng: Random) -> None:
        self._scenario = scenario
        self._rng = rng
        oscillator = Oscillator(Random(rng.random()))
        self.ours = Client(oscillator)
        self.reference = Client(oscillator)
        self._rule = ReferenceRule()

    async def run(self, seconds: float) -> None:
        send, receive = trio.open_memory_channel[Event](0)
        system = self._system()
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(system.run, receive)
                for name, path in self._servers().items():
                    peer = Peer(PeerParameters(name), Random(self._rng.random()).random)
                    _, alarms = trio.open_memory_channel[None](1)
                    exchange = SimulatedExchange(
                        path,
                        self.ours.clock,
                        self.reference.clock,
                        partial(self._show_reference, name),
                        Random(self._rng.random()),
                    )
                    task = PeerTask(peer, exchange, self.ours.clock, send, alarms)
                    nursery.start_soon(task.run)
                await trio.sleep(WARM_UP)
                while True:
                    self.ours.look()
                    self.reference.look()
                    await trio.sleep(LOOK)

    def _servers(self) -> dict[str, Path]:
        return {f"server {number}": path for number, path in enumerate(self._scenario.paths)}

    def _system(self) -> SystemTask:
        setup = Setup(
            parameters=SystemParameters(),
            kinds=dict.fromkeys(self._servers(), "simulated"),
            outputs=[Output(self.ours)],
        )
        return SystemTask(
            setup,
            self.ours.clock,
            observe=lambda _: None,
            feed_watchdog=lambda: None,
            flush_peers=lambda: None,
        )

    def _show_reference(self, server: str, reading: Reading) -> None:
        offset = self._rule.take(server, reading)
        if offset is not None:
            self.reference.take(offset)
