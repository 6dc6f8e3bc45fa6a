"""The system task votes on reports as they come, and publishes only what is new."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.fakes.clock import VirtualClock
from webntpd.leap import LeapList
from webntpd.ntp.types import (
    NS_PER_S,
    Estimate,
    Leap,
    LeapNotice,
    NoEstimate,
    PeerEstimate,
    PeerReport,
    Publication,
    SystemParameters,
    Tally,
)
from webntpd.status import RefclockStatus, Status
from webntpd.system_task import (
    REMEMBERED_OFFSETS,
    ClockSet,
    Event,
    Heartbeat,
    Output,
    Setup,
    SystemTask,
)

NAMES = ("a", "b", "c")


@dataclass
class RecordingRefclock:
    published: list[Publication] = field(default_factory=list)

    @property
    def status(self) -> RefclockStatus:
        return RefclockStatus("recorded", len(self.published))

    def open(self) -> None: ...

    def publish(self, publication: Publication) -> None:
        self.published.append(publication)

    def close(self) -> None: ...


@dataclass
class Stage:
    clock: VirtualClock
    events: trio.MemorySendChannel[Event]
    combined: RecordingRefclock
    only_b: RecordingRefclock
    setup: Setup
    statuses: list[Status]
    fed: list[float]
    flushed: list[float]

    async def tell(self, *events: Event) -> Status:
        for event in events:
            await self.events.send(event)
        await wait_all_tasks_blocked()
        return self.statuses[-1]

    def report(self, name: str, offset: float, *, fresh: bool = True) -> PeerReport:
        now_ns = self.clock.monotonic_ns()
        estimate = PeerEstimate(offset, delay=0.01, dispersion=1e-4, jitter=1e-4, at_ns=now_ns)
        return PeerReport(name, 1, 4, estimate, fresh, at_ns=now_ns, next_poll_ns=now_ns)


@asynccontextmanager
async def running(setup: Setup | None = None) -> AsyncIterator[Stage]:
    combined, only_b = RecordingRefclock(), RecordingRefclock()
    setup = setup or Setup(SystemParameters(), dict.fromkeys(NAMES, "http"), ())
    setup = replace(setup, outputs=(Output(combined), Output(only_b, peer="b")))
    send, receive = trio.open_memory_channel[Event](0)
    clock = VirtualClock()
    stage = Stage(clock, send, combined, only_b, setup, [], [], [])
    task = SystemTask(
        setup,
        clock,
        observe=stage.statuses.append,
        feed_watchdog=lambda: stage.fed.append(trio.current_time()),
        flush_peers=lambda: stage.flushed.append(trio.current_time()),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run, receive)
        await wait_all_tasks_blocked()
        yield stage
        nursery.cancel_scope.cancel()


async def test_before_any_report_there_is_a_snapshot_without_an_estimate() -> None:
    async with running() as stage:
        assert stage.statuses[-1].verdict.estimate is NoEstimate.NO_PEER


async def test_a_fresh_report_of_a_survivor_is_published_at_the_present_time(
    autojump_clock: MockClock,
) -> None:
    async with running() as stage:
        await trio.sleep(7)
        status = await stage.tell(stage.report("a", 0.25))
        (publication,) = stage.combined.published
        assert publication.offset == 0.25
        assert publication.receive_ns == stage.clock.realtime_ns()
        assert publication.error == status.verdict.estimate.root_distance  # type: ignore[union-attr]
        assert publication.leap is Leap.NONE
    assert status.peers[0].tally is Tally.SYSTEM_PEER


async def test_what_is_not_fresh_is_not_published_again() -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.25, fresh=False))
        assert stage.combined.published == []
        assert isinstance(stage.statuses[-1].verdict.estimate, Estimate)


async def test_a_falsetickers_fresh_report_publishes_nothing() -> None:
    async with running() as stage:
        await stage.tell(*(stage.report(name, 0.0) for name in ("a", "b")))
        before = len(stage.combined.published)
        status = await stage.tell(stage.report("c", 0.3))
        assert len(stage.combined.published) == before
        assert status.peers[2].tally is Tally.FALSETICKER


async def test_without_a_majority_nothing_is_published() -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.0))
        before = len(stage.combined.published)
        status = await stage.tell(stage.report("b", 0.3))
        assert status.verdict.estimate is NoEstimate.NO_MAJORITY
        assert len(stage.combined.published) == before


async def test_an_output_of_one_peer_gets_that_peer_whatever_the_vote_says() -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.0), stage.report("c", 0.0), stage.report("b", 0.3))
        assert [each.offset for each in stage.only_b.published] == [0.3]
        unreachable = replace(stage.report("b", 0.4), reach=0)
        await stage.tell(unreachable)
        assert len(stage.only_b.published) == 1


async def test_a_report_of_a_peer_that_was_removed_is_not_counted() -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.0), stage.report("b", 0.0))
        status = await stage.tell(replace(stage.setup, kinds={"a": "http"}))
        assert [peer.report.name for peer in status.peers] == ["a"]
        status = await stage.tell(stage.report("b", 0.3))
        assert [peer.report.name for peer in status.peers] == ["a"]


async def test_the_watchdog_is_fed_at_each_heartbeat() -> None:
    async with running() as stage:
        await stage.tell(Heartbeat(), Heartbeat())
        assert len(stage.fed) == 2


@pytest.mark.parametrize("notice", [True, False], ids=["told by the kernel", "seen at a report"])
async def test_after_a_step_nothing_measured_before_it_counts(
    autojump_clock: MockClock, notice: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.25))
        on_its_way = stage.report("b", 0.25)
        await trio.sleep(1)
        stage.clock.step(100)
        status = await stage.tell(ClockSet() if notice else on_its_way)
        assert status.peers == ()
        assert len(stage.flushed) == 1
        status = await stage.tell(on_its_way)
        assert status.peers == ()
        assert len(stage.combined.published) == 1
        await trio.sleep(1)
        status = await stage.tell(stage.report("a", 0.1))
        assert stage.combined.published[-1].offset == 0.1
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert [line for line in lines if "clock was set" in line] == [
        "the clock was set: all samples are dropped, all peers polled anew"
    ]


async def test_a_needless_word_of_the_kernel_changes_nothing() -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.25))
        status = await stage.tell(ClockSet())
        assert isinstance(status.verdict.estimate, Estimate)
        assert stage.flushed == []


DAY_NS = 86_400 * NS_PER_S


def next_midnight(clock: VirtualClock) -> int:
    return (clock.realtime_ns() // DAY_NS + 1) * DAY_NS


async def test_a_leap_second_that_the_majority_announces_is_passed_on() -> None:
    async with running() as stage:
        notice = LeapNotice(37, next_midnight(stage.clock), 1)

        def announcing(name: str, leap: LeapNotice | None) -> PeerReport:
            report = stage.report(name, 0.0)
            assert report.estimate is not None
            return replace(report, estimate=replace(report.estimate, leap=leap))

        await stage.tell(announcing("a", notice), announcing("b", None))
        await stage.tell(announcing("c", notice))
        told = [each.leap for each in stage.combined.published]
    assert told[-2:] == [Leap.NONE, Leap.INSERT]


@pytest.mark.parametrize(("valid_days", "leap"), [(1, Leap.DELETE), (-1, Leap.NONE)])
async def test_our_own_list_decides_as_long_as_it_is_valid(valid_days: int, leap: Leap) -> None:
    clock = VirtualClock()
    now_ns = clock.realtime_ns()
    notice = LeapNotice(37, next_midnight(clock), -1)
    own = LeapList(updated_ns=0, expires_ns=now_ns + valid_days * DAY_NS, leaps=(notice,))
    setup = Setup(SystemParameters(), {"a": "http"}, (), leap_list=own)
    async with running(setup) as stage:
        await stage.tell(stage.report("a", 0.0))
        assert stage.combined.published[-1].leap is leap


async def test_a_snapshot_has_both_clocks_and_the_start(autojump_clock: MockClock) -> None:
    async with running() as stage:
        started_ns = stage.clock.monotonic_ns()
        await trio.sleep(3)
        status = await stage.tell(stage.report("a", 0.0))
        assert status.started_ns == started_ns
        assert status.at_ns == stage.clock.monotonic_ns() == started_ns + 3 * NS_PER_S
        assert status.wall_ns == stage.clock.realtime_ns()
        assert status.leap_expires_ns is None


async def test_a_snapshot_says_until_when_the_leap_list_is_good() -> None:
    own = LeapList(updated_ns=0, expires_ns=7, leaps=(LeapNotice(37, 0, 1),))
    async with running(Setup(SystemParameters(), {}, (), leap_list=own)) as stage:
        assert stage.statuses[-1].leap_expires_ns == 7


async def test_a_peers_last_offsets_are_remembered_while_they_are_of_this_clock() -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 9.0, fresh=False))
        many = [stage.report("a", float(number)) for number in range(REMEMBERED_OFFSETS + 2)]
        status = await stage.tell(*many)
        assert status.peers[0].offsets == tuple(map(float, range(2, REMEMBERED_OFFSETS + 2)))
        stage.clock.step(0.5)
        await stage.tell(ClockSet())
        status = await stage.tell(stage.report("a", 0.5))
        assert status.peers[0].offsets == (0.5,)


async def test_a_peer_that_a_reload_removed_leaves_no_offsets() -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 1.0))
        await stage.tell(replace(stage.setup, kinds={"b": "http"}))
        status = await stage.tell(stage.setup, stage.report("a", 2.0))
        assert status.peers[0].offsets == (2.0,)
