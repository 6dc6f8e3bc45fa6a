"""The peers' tasks: a reload starts new ones, stops removed ones, and leaves the others alone."""

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import trio

from webntpd.clock.clocks import Clock
from webntpd.config import PeerSpec
from webntpd.daemon.peer_task import PeerTask
from webntpd.exchange import make_exchange
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Frequency
from webntpd.ntp.peer import Peer
from webntpd.ntp.readings import Reading, Smear
from webntpd.tasks.restart import keep_running


@dataclass(frozen=True, slots=True)
class RunningPeer:
    """A peer's task from outside: its configuration, and the ways to reach it."""

    spec: PeerSpec
    scope: trio.CancelScope
    alarms: trio.MemorySendChannel[None]


class Peers:
    """Runs a task for each peer in `nursery`.

    `reports` takes the reports of all peers. `prior` gives the frequency that a new peer starts
    with. `correct` takes the smear of its server out of a reading, or drops the reading.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        clock: Clock,
        reports: trio.MemorySendChannel[PeerReport],
        *,
        prior: Callable[[], Frequency],
        correct: Callable[[Reading, Smear], Reading | None],
    ) -> None:
        self._nursery = nursery
        self._clock = clock
        self._reports = reports
        self._prior = prior
        self._correct = correct
        self._running: dict[str, RunningPeer] = {}

    def __len__(self) -> int:
        return len(self._running)

    def change(self, specs: Iterable[PeerSpec]) -> None:
        """Run these peers from now on. A peer whose configuration changed begins anew."""
        wanted = {spec.name: spec for spec in specs}
        for name, running in list(self._running.items()):
            if wanted.get(name) != running.spec:
                running.scope.cancel()
                del self._running[name]
        for name, spec in wanted.items():
            if name not in self._running:
                self._running[name] = self._start(spec)

    def alarm(self) -> None:
        """Tell every peer that the machine was suspended."""
        for running in self._running.values():
            with suppress(trio.WouldBlock):  # one alarm that waits is enough
                running.alarms.send_nowait(None)

    def _start(self, spec: PeerSpec) -> RunningPeer:
        alarm, alarms = trio.open_memory_channel[None](1)
        running = RunningPeer(spec, trio.CancelScope(), alarm)

        def correct(reading: Reading) -> Reading | None:
            return self._correct(reading, spec.peer.smear)

        async def run() -> None:
            peer = Peer(spec.peer, random.random, prior=self._prior(), slew=self._clock.slew)
            async with trio.open_nursery() as nursery:
                exchange = make_exchange(spec.exchange, self._clock, nursery)
                await PeerTask(peer, exchange, self._clock, self._reports, alarms, correct).run()

        async def run_within_scope() -> None:
            with running.scope:
                await keep_running(f"peer {spec.name}", run)

        self._nursery.start_soon(run_within_scope)
        return running
