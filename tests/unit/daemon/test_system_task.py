"""The system task votes on reports as they come, and publishes only what is new."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.fakes.clock import VirtualClock
from webntpd.daemon.system_task import (
    REMEMBERED_OFFSETS,
    ClockSet,
    Destination,
    Event,
    Heartbeat,
    Setup,
    SystemTask,
)
from webntpd.leap.knowledge import LeapKnowledge
from webntpd.leap.list import LeapList
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Entry, Estimate, Frequency, NoEstimate, Publication, Tally, Track
from webntpd.ntp.parameters import SystemParameters
from webntpd.ntp.readings import NS_PER_S, Leap, LeapNotice, Smear
from webntpd.status.snapshot import RefclockStatus, Status

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
    alarmed: list[float]

    async def tell(self, *events: Event) -> Status:
        for event in events:
            await self.events.send(event)
        await wait_all_tasks_blocked()
        return self.statuses[-1]

    def report(
        self, name: str, offset: float, *, fresh: bool = True, leap: LeapNotice | None = None
    ) -> PeerReport:
        """Of a peer that has just measured the offset of the wall clock."""
        now_ns = self.clock.raw_ns()
        x_ns = self.clock.realtime_ns() - now_ns + round(offset * NS_PER_S)
        entry = Entry(x_ns + 5_000_000, now_ns, x_ns - 5_000_000, now_ns, delay=0.01)
        known = Frequency(0.0, 1e-7, 1e-10)
        track = Track((entry,), known, 4, last_reply_ns=now_ns, leap=leap)
        return PeerReport(name, 1, 4, track, fresh, at_ns=now_ns, next_poll_ns=now_ns)


@asynccontextmanager
async def running(setup: Setup | None = None) -> AsyncIterator[Stage]:
    combined, only_b = RecordingRefclock(), RecordingRefclock()
    setup = setup or Setup(SystemParameters(), dict.fromkeys(NAMES, "http"), ())
    setup = replace(setup, outputs=(Destination(combined), Destination(only_b, peer="b")))
    send, receive = trio.open_memory_channel[Event](0)
    clock = VirtualClock()
    stage = Stage(clock, send, combined, only_b, setup, [], [], [])
    task = SystemTask(
        clock,
        observe=stage.statuses.append,
        feed_watchdog=lambda: stage.fed.append(trio.current_time()),
        alarm_peers=lambda: stage.alarmed.append(trio.current_time()),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run, receive)
        await stage.tell(setup)
        yield stage
        nursery.cancel_scope.cancel()


async def test_before_any_report_there_is_a_snapshot_without_an_estimate() -> None:
    async with running() as stage:
        assert stage.statuses[-1].verdict.estimate is NoEstimate.NO_PEER


async def test_a_fresh_report_of_a_speaker_is_published_at_the_present_time(
    autojump_clock: MockClock,
) -> None:
    async with running() as stage:
        await trio.sleep(7)
        status = await stage.tell(stage.report("a", 0.25))
        (publication,) = stage.combined.published
        assert publication.offset == 0.25
        assert publication.receive_ns == stage.clock.realtime_ns()
        assert isinstance(status.verdict.estimate, Estimate)
        assert publication.error == status.verdict.estimate.error
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


async def test_an_output_of_one_peer_ignores_the_vote(
    autojump_clock: MockClock,
) -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.0), stage.report("c", 0.0), stage.report("b", 0.3))
        assert [each.offset for each in stage.only_b.published] == [0.3]
        report = stage.report("b", 0.4)
        assert report.track is not None
        await stage.tell(replace(report, track=replace(report.track, exchanges=3)))
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
async def test_after_a_suspend_nothing_measured_before_it_counts(
    autojump_clock: MockClock, notice: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.25))
        on_its_way = stage.report("b", 0.25)
        await trio.sleep(1)
        stage.clock.suspend(100)
        status = await stage.tell(ClockSet() if notice else on_its_way)
        assert status.peers == ()
        assert len(stage.alarmed) == 1
        status = await stage.tell(on_its_way)
        assert status.peers == ()
        assert len(stage.combined.published) == 1
        await trio.sleep(1)
        status = await stage.tell(stage.report("a", 0.1))
        assert stage.combined.published[-1].offset == 0.1
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert [line for line in lines if "suspended" in line] == [
        "the machine was suspended: all samples are dropped, all peers polled anew"
    ]


async def test_a_step_of_the_wall_clock_loses_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running() as stage:
        for name in ("a", "b", "c"):
            await stage.tell(stage.report(name, 0.25))
        await trio.sleep(1)
        stage.clock.step(100)
        status = await stage.tell(ClockSet())
        assert stage.alarmed == []
        estimate = status.verdict.estimate
        assert isinstance(estimate, Estimate)
        assert estimate.offset(status.at_ns, status.wall_ns) == pytest.approx(-99.75)
    assert "the clock was set by +100.000 s; all measurements stand" in caplog.text


async def test_the_published_offset_is_of_this_moment(autojump_clock: MockClock) -> None:
    """The consumer has corrected the clock since the other peer was polled."""
    async with running() as stage:
        await stage.tell(stage.report("a", 0.030))
        await trio.sleep(16)
        stage.clock.step(0.030)
        await stage.tell(stage.report("c", 0.0))
    assert stage.combined.published[-1].offset == pytest.approx(0.0, abs=1e-4)


async def test_a_needless_word_of_the_kernel_changes_nothing() -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 0.25))
        status = await stage.tell(ClockSet())
        assert isinstance(status.verdict.estimate, Estimate)
        assert stage.alarmed == []


DAY_NS = 86_400 * NS_PER_S
TO_LAST_DAY = 16 * 86_400
"""From the virtual clock's epoch to the last day of the month, s."""


def next_midnight(clock: VirtualClock) -> int:
    return (clock.realtime_ns() // DAY_NS + 1) * DAY_NS


async def test_a_leap_second_that_the_majority_announces_is_passed_on(
    autojump_clock: MockClock,
) -> None:
    async with running() as stage:
        stage.clock.step(TO_LAST_DAY)
        notice = LeapNotice(37, next_midnight(stage.clock), 1)
        past = LeapNotice(36, 1_483_228_800 * NS_PER_S, 1)
        await stage.tell(stage.report("a", 0.0, leap=notice), stage.report("b", 0.0, leap=past))
        await stage.tell(stage.report("c", 0.0, leap=notice))
    told = [each.leap for each in stage.combined.published]
    assert told[-2:] == [Leap.NONE, Leap.INSERT]


@pytest.mark.parametrize(("valid_days", "leap"), [(1, Leap.DELETE), (-1, Leap.NONE)])
async def test_our_own_list_decides_as_long_as_it_is_valid(
    autojump_clock: MockClock, valid_days: int, leap: Leap
) -> None:
    clock = VirtualClock()
    clock.step(TO_LAST_DAY)
    notice = LeapNotice(37, next_midnight(clock), -1)
    expires_ns = clock.realtime_ns() + valid_days * DAY_NS
    own = LeapList(updated_ns=0, expires_ns=expires_ns, leaps=(notice,))
    setup = Setup(SystemParameters(), {"a": "http"}, (), leap=LeapKnowledge(own))
    async with running(setup) as stage:
        stage.clock.step(TO_LAST_DAY)
        await stage.tell(stage.report("a", 0.0))
        assert stage.combined.published[-1].leap is leap


SMEARING = Setup(
    SystemParameters(),
    dict.fromkeys(NAMES, "http"),
    (),
    leap=LeapKnowledge(smears={"a": Smear.NOON_TO_NOON}),
)


async def test_a_peer_that_may_be_smearing_has_no_vote_and_announces_nothing(
    autojump_clock: MockClock,
) -> None:
    async with running(SMEARING) as stage:
        stage.clock.step(TO_LAST_DAY)
        notice = LeapNotice(37, next_midnight(stage.clock), 1)
        await stage.tell(stage.report("b", 0.0, leap=notice))
        status = await stage.tell(stage.report("a", 0.3, leap=notice))
        assert [peer.tally for peer in status.peers] == [Tally.UNFIT, Tally.SYSTEM_PEER]
        (publication,) = stage.combined.published
        assert publication.leap is Leap.INSERT


async def test_an_output_of_a_peer_that_may_be_smearing_gets_nothing(
    autojump_clock: MockClock,
) -> None:
    setup = replace(SMEARING, leap=LeapKnowledge(smears={"b": Smear.NOON_TO_NOON}))
    async with running(setup) as stage:
        stage.clock.step(TO_LAST_DAY)
        notice = LeapNotice(37, next_midnight(stage.clock), 1)
        await stage.tell(stage.report("a", 0.0, leap=notice), stage.report("b", 0.0))
        assert stage.only_b.published == []
        await stage.tell(replace(stage.setup, leap=LeapKnowledge()), stage.report("b", 0.0))
        assert len(stage.only_b.published) == 1


async def test_a_smearing_peer_votes_where_a_valid_list_takes_its_smear_out(
    autojump_clock: MockClock,
) -> None:
    clock = VirtualClock()
    own = LeapList(0, clock.realtime_ns() + 99 * DAY_NS, (LeapNotice(37, 0, 1),))
    async with running(replace(SMEARING, leap=LeapKnowledge(own, SMEARING.leap.smears))) as stage:
        stage.clock.step(TO_LAST_DAY)
        status = await stage.tell(stage.report("a", 0.0))
        assert status.peers[0].tally is Tally.SYSTEM_PEER


async def test_a_snapshot_has_both_clocks_and_the_start(autojump_clock: MockClock) -> None:
    async with running() as stage:
        started_ns = stage.clock.raw_ns()
        await trio.sleep(3)
        status = await stage.tell(stage.report("a", 0.0))
        assert status.started_ns == started_ns
        assert status.at_ns == stage.clock.raw_ns() == started_ns + 3 * NS_PER_S
        assert status.wall_ns == stage.clock.realtime_ns()
        assert status.leap_expires_ns is None


async def test_a_snapshot_says_until_when_the_leap_list_is_good() -> None:
    own = LeapList(updated_ns=0, expires_ns=7, leaps=(LeapNotice(37, 0, 1),))
    async with running(Setup(SystemParameters(), {}, (), leap=LeapKnowledge(own))) as stage:
        assert stage.statuses[-1].leap_expires_ns == 7


async def test_a_peers_last_offsets_are_remembered_until_a_suspend(
    autojump_clock: MockClock,
) -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 9.0, fresh=False))
        many = [stage.report("a", float(number)) for number in range(REMEMBERED_OFFSETS + 2)]
        status = await stage.tell(*many)
        assert status.peers[0].offsets == tuple(map(float, range(2, REMEMBERED_OFFSETS + 2)))
        stage.clock.suspend(0.5)
        await stage.tell(ClockSet())
        await trio.sleep(1)
        status = await stage.tell(stage.report("a", 0.5))
        assert status.peers[0].offsets == (0.5,)


async def test_a_peer_that_a_reload_removed_leaves_no_offsets(
    autojump_clock: MockClock,
) -> None:
    async with running() as stage:
        await stage.tell(stage.report("a", 1.0))
        await stage.tell(replace(stage.setup, kinds={"b": "http"}))
        status = await stage.tell(stage.setup, stage.report("a", 2.0))
        assert status.peers[0].offsets == (2.0,)
