"""A peer's task does what its state machine asks, on a scripted exchange and virtual time."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from tests.fakes.clock import EPOCH_NS, VirtualClock
from webntpd.daemon.peer_task import PeerTask
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.bounds import estimate_of
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.peer import Peer
from webntpd.ntp.readings import Failure, Formula, Provenance, Reading, Rejection, StampSource
from webntpd.protocol.rejected import Rejected

PROVENANCE = Provenance(Formula.FOUR_STAMP, StampSource.USER, StampSource.USER)
PARAMETERS = PeerParameters("one", minpoll=4, maxpoll=6, burst=1, iburst=4, burst_interval=2.0)
DELAY = 0.020


@dataclass
class ScriptedExchange:
    """A server that is 0.5 s ahead; it fails while `failure` is set."""

    clock: VirtualClock
    failure: Failure | None = None
    closed: int = 0
    asked_at: list[float] = field(default_factory=list)
    lasts: list[bool] = field(default_factory=list)
    completed: int = 0  # readings that come with a failure

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        self.asked_at.append(trio.current_time())
        self.lasts.append(last)
        t1_ns, r1_ns = self.clock.realtime_ns(), self.clock.raw_ns()
        await trio.sleep(DELAY)
        t4_ns, r4_ns = self.clock.realtime_ns(), self.clock.raw_ns()
        server_ns = (t1_ns + t4_ns) // 2 + 500_000_000
        made = Reading(t1_ns, server_ns, server_ns, t4_ns, r1_ns, r4_ns, 1e-6, PROVENANCE)
        if self.failure:
            raise Rejected(
                self.failure.rejection, self.failure.detail, readings=(made,) * self.completed
            )
        return (made,)

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class Stage:
    exchange: ScriptedExchange
    reports: trio.MemoryReceiveChannel[PeerReport]
    alarm: trio.MemorySendChannel[None]

    def latest(self) -> PeerReport:
        """The last of the reports that have come so far."""
        report = self.reports.receive_nowait()
        while True:
            try:
                report = self.reports.receive_nowait()
            except trio.WouldBlock:
                return report


@asynccontextmanager
async def running(
    correct: Callable[[Reading], Reading | None] = lambda reading: reading,
) -> AsyncIterator[Stage]:
    clock = VirtualClock()
    exchange = ScriptedExchange(clock)
    send, reports = trio.open_memory_channel[PeerReport](1000)
    alarm, alarms = trio.open_memory_channel[None](1)
    task = PeerTask(Peer(PARAMETERS, lambda: 0.5), exchange, clock, send, alarms, correct)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run)
        yield Stage(exchange, reports, alarm)
        nursery.cancel_scope.cancel()


async def test_it_polls_and_reports_what_it_found(autojump_clock: MockClock) -> None:
    async with running() as stage:
        await trio.sleep(30)
        report = stage.latest()
    assert report.reach
    assert report.track is not None
    estimate = estimate_of(report.track, report.at_ns)
    assert estimate.offset(0, EPOCH_NS) == pytest.approx(0.5)
    assert estimate.delay == pytest.approx(DELAY, abs=1e-8)


async def test_readings_complete_before_a_failure_are_not_lost(autojump_clock: MockClock) -> None:
    async with running() as stage:
        stage.exchange.failure = Failure(Rejection.TIMEOUT, "late")
        stage.exchange.completed = 1
        await trio.sleep(10)
        report = stage.latest()
    assert report.samples == report.rejections[Rejection.TIMEOUT] > 0


async def test_a_reading_is_corrected_or_dropped(autojump_clock: MockClock) -> None:
    def dropped(reading: Reading) -> None:
        del reading

    async with running(dropped) as stage:
        await trio.sleep(10)
        report = stage.latest()
    assert report.reach
    assert report.samples == 0


async def test_the_last_exchange_of_a_burst_is_called_so(autojump_clock: MockClock) -> None:
    async with running() as stage:
        await trio.sleep(10)
        assert stage.exchange.lasts == [False, False, False, True]


async def test_polls_keep_their_distance(autojump_clock: MockClock) -> None:
    async with running() as stage:
        await trio.sleep(200)
        polls = stage.exchange.asked_at[4:]
    distances = [later - earlier for earlier, later in pairwise(polls)]
    assert distances
    assert all(15 <= distance <= 68 for distance in distances)


async def test_a_failure_is_reported_by_its_name(autojump_clock: MockClock) -> None:
    async with running() as stage:
        stage.exchange.failure = Failure(Rejection.CONNECT, "refused")
        await trio.sleep(10)
        report = stage.latest()
    assert report.last_failure == Failure(Rejection.CONNECT, "refused")
    assert report.rejections == {Rejection.CONNECT: 1}
    assert report.track is None


async def test_an_alarm_ends_the_wait_and_starts_anew(autojump_clock: MockClock) -> None:
    async with running() as stage:
        await trio.sleep(12)
        asked = len(stage.exchange.asked_at)
        stage.alarm.send_nowait(None)
        await trio.sleep(0.001)
        assert stage.exchange.closed == 1
        assert len(stage.exchange.asked_at) == asked + 1


async def test_what_an_alarm_interrupted_is_not_used(autojump_clock: MockClock) -> None:
    async with running() as stage:
        await trio.sleep(1 + DELAY / 2)
        stage.alarm.send_nowait(None)
        await trio.sleep(DELAY)
        assert stage.latest().samples == 0
        assert stage.exchange.closed == 1


async def test_cancelling_closes_the_connection(autojump_clock: MockClock) -> None:
    async with running() as stage:
        await trio.sleep(3)
    assert stage.exchange.closed == 1
