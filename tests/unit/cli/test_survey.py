"""Asking servers once: which samples are used, and what becomes of failures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import trio
import trio.testing

from tests.fakes.clock import VirtualClock
from tests.unit.builders import reading as built
from webntpd.cli.survey import Connect, Survey, offset_of, survey, wall_frequency
from webntpd.clock.clocks import Clock, Pair
from webntpd.config import PeerSpec
from webntpd.exchange.base import CLOSE_TIMEOUT, Exchange, ExchangeParameters
from webntpd.names import Kind
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.readings import (
    NS_PER_S,
    Failure,
    Formula,
    Leap,
    LeapNotice,
    Provenance,
    Reading,
    Rejection,
    StampSource,
)
from webntpd.protocol.rejected import Rejected

USER = Provenance(Formula.FOUR_STAMP, StampSource.USER, StampSource.USER)
DAY_NS = 86_400 * NS_PER_S
REFUSED = Failure(Rejection.CONNECT, "refused")


def reading(
    clock: Clock,
    offset: float = 0.0,
    delay: float = 0.01,
    *,
    first: bool = False,
    leap: LeapNotice | None = None,
    max_error: float | None = None,
) -> Reading:
    t4_ns, r4_ns = clock.realtime_ns(), clock.raw_ns()
    delay_ns = round(delay * NS_PER_S)
    middle_ns = t4_ns - delay_ns // 2 + round(offset * NS_PER_S)
    return Reading(
        t1_ns=t4_ns - delay_ns,
        t2_ns=middle_ns,
        t3_ns=middle_ns,
        t4_ns=t4_ns,
        r1_ns=r4_ns - delay_ns,
        r4_ns=r4_ns,
        precision=1e-6,
        provenance=USER,
        first=first,
        leap=leap,
        max_error=max_error,
    )


Script = Sequence[Sequence[Reading] | Failure | Rejected]
"""The results of an exchange's measures, or their errors."""


class FakeExchange:
    """Gives what its script says, one item a measure, and notes what it was asked."""

    def __init__(self, script: Script) -> None:
        self._script = list(script)
        self.last: list[bool] = []
        self.closed = False

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        assert not self.closed
        await trio.lowlevel.checkpoint()
        self.last.append(last)
        item = self._script.pop(0)
        if isinstance(item, Failure):
            raise Rejected(item.rejection, item.detail)
        if isinstance(item, Rejected):
            raise item
        return item

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


def spec(url: str, *, root_delay: float = 0.0, root_dispersion: float = 0.0) -> PeerSpec:
    return PeerSpec(
        ExchangeParameters(url, Kind.WEBSOCKET),
        PeerParameters(url, root_delay=root_delay, root_dispersion=root_dispersion),
    )


def connecting(exchanges: dict[str, FakeExchange]) -> Connect:
    def connect(parameters: ExchangeParameters, _clock: Clock, _nursery: trio.Nursery) -> Exchange:
        return exchanges[parameters.url]

    return connect


async def survey_of(scripts: Mapping[str, Script], samples: int, clock: Clock) -> Survey:
    exchanges = {url: FakeExchange(script) for url, script in scripts.items()}
    result = await survey(
        [spec(url) for url in scripts], samples, clock, connect=connecting(exchanges)
    )
    assert all(exchange.closed for exchange in exchanges.values())
    return result


async def test_the_sample_of_least_delay_decides(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    result = await survey_of(
        {"ws://a": [[reading(clock, offset, delay)] for offset, delay in FOUR]}, 3, clock
    )
    (finding,) = result.findings
    assert finding.estimate is not None
    assert finding.offset == pytest.approx(0.5, abs=0.001)
    assert finding.estimate.delay == pytest.approx(0.002, abs=1e-9)
    assert abs(finding.offset - 0.5) <= finding.error < 0.002
    assert finding.estimate.jitter > 0.1
    assert finding.samples == 4
    assert result.complete


FOUR = [(0.6, 0.2), (0.5, 0.002), (0.55, 0.1), (0.7, 0.4)]


async def test_the_first_exchange_on_a_connection_is_no_sample(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    exchange = FakeExchange(
        [[reading(clock, 9.0, 0.001, first=True)], [reading(clock, 1.0)], [reading(clock, 1.0)]]
    )
    result = await survey([spec("ws://a")], 2, clock, connect=connecting({"ws://a": exchange}))
    (finding,) = result.findings
    assert finding.samples == 2
    assert finding.offset == pytest.approx(1.0)
    assert exchange.last == [False, False, True]


async def test_a_server_that_always_hangs_up_gives_samples_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    result = await survey_of({"ws://a": [[reading(clock, first=True)] for _ in range(3)]}, 2, clock)
    assert result.findings[0].samples == 2


async def test_readings_may_come_later_and_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    script: list[list[Reading]] = [
        [reading(clock, first=True)],
        [],
        [reading(clock), reading(clock)],
    ]
    result = await survey_of({"ws://a": script}, 2, clock)
    assert result.findings[0].samples == 2


async def test_a_failure_at_once_leaves_no_estimate(autojump_clock: trio.testing.MockClock) -> None:
    clock = VirtualClock()
    result = await survey_of({"ws://a": [REFUSED]}, 2, clock)
    (finding,) = result.findings
    assert (finding.estimate, finding.samples, finding.failure) == (None, 0, REFUSED)
    assert result.combined is None
    assert not result.complete


class StuckExchange(FakeExchange):
    """Never answers, and does not answer a goodbye either."""

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        await trio.sleep_forever()
        raise AssertionError(last)

    async def aclose(self) -> None:
        self.closed = True
        await trio.sleep_forever()


async def test_a_survey_that_is_cancelled_closes_its_exchange(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = StuckExchange([])
    with trio.move_on_after(5) as scope:
        await survey([spec("ws://a")], 1, VirtualClock(), connect=connecting({"ws://a": exchange}))
    assert scope.cancelled_caught
    assert exchange.closed
    assert trio.current_time() == 5 + CLOSE_TIMEOUT


async def test_a_failure_in_the_middle_keeps_the_samples_before_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    script: list[Sequence[Reading] | Failure] = [
        [reading(clock, first=True)],
        [reading(clock, 1.0)],
        REFUSED,
    ]
    result = await survey_of({"ws://a": script}, 5, clock)
    (finding,) = result.findings
    assert finding.samples == 1
    assert finding.offset == pytest.approx(1.0)
    assert finding.failure == REFUSED
    assert not result.complete


async def test_the_servers_own_error_widens_the_bound(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    plain = (await survey_of({"ws://a": [[reading(clock)]] * 2}, 1, clock)).findings[0].error
    declared = (
        await survey_of({"ws://a": [[reading(clock, max_error=0.5)]] * 2}, 1, clock)
    ).findings
    assert declared[0].error == pytest.approx(plain + 0.5)
    exchange = FakeExchange([[reading(clock)]] * 2)
    configured = await survey(
        [spec("ws://a", root_delay=0.2, root_dispersion=0.25)],
        1,
        clock,
        connect=connecting({"ws://a": exchange}),
    )
    assert configured.findings[0].error == pytest.approx(plain + 0.35)


async def test_readings_complete_before_a_failure_are_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    late = Rejected(REFUSED.rejection, REFUSED.detail, readings=[reading(clock, 1.0)])
    result = await survey_of({"ws://a": [[reading(clock, first=True)], late]}, 5, clock)
    (finding,) = result.findings
    assert (finding.samples, finding.failure) == (1, REFUSED)
    assert finding.offset == pytest.approx(1.0)


async def test_the_first_exchange_of_a_later_connection_is_no_sample_either(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    script = [[reading(clock, first=first)] for first in (True, False, True, False)]
    assert (await survey_of({"ws://a": script}, 3, clock)).findings[0].samples == 2


async def test_the_lucky_packets_of_both_directions_meet(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    # One request and another reply were each 80 ms late.
    slow = reading(clock, delay=0.1)
    request, reply = (
        replace(slow, t2_ns=slow.t2_ns + late_ns, t3_ns=slow.t3_ns + late_ns)
        for late_ns in (40 * 10**6, -40 * 10**6)
    )
    result = await survey_of({"ws://a": [[request], [reply]]}, 1, clock)
    assert result.findings[0].offset == pytest.approx(0.0, abs=1e-6)
    assert result.findings[0].error < 0.011


async def test_the_servers_digits_are_cut_and_it_shows_how_far(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    whole = replace(reading(clock, delay=0.002), resolution_ns=NS_PER_S)
    result = await survey_of({"ws://a": [[whole]] * 2}, 1, clock)
    assert result.findings[0].offset == pytest.approx(0.5)
    assert result.findings[0].error == pytest.approx(0.501, rel=1e-3)
    # A finer one showed the digits that they all have.
    fine = replace(whole, resolution_ns=1000)
    result = await survey_of({"ws://a": [[whole], [fine]]}, 1, clock)
    assert result.findings[0].error == pytest.approx(0.001, rel=0.2)


async def test_a_server_with_more_digits_than_it_knows_gives_no_sample(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    plain = reading(clock, delay=0.002)
    late = replace(plain, t3_ns=plain.t2_ns + 3 * 10**6)
    result = await survey_of({"ws://a": [[late], [late]]}, 1, clock)
    assert (result.findings[0].samples, result.findings[0].estimate) == (0, None)


def test_the_wall_clocks_rate_stands_in_for_the_oscillators() -> None:
    start = Pair(raw_ns=5 * NS_PER_S, wall_ns=0, window_ns=0)
    later = Pair(raw_ns=7 * NS_PER_S, wall_ns=2 * NS_PER_S + 200_000, window_ns=0)
    assert wall_frequency(start, later).value == pytest.approx(100e-6)
    assert wall_frequency(start, start) == UNKNOWN_FREQUENCY


def test_a_wall_clock_that_is_slewed_tells_nothing_of_the_oscillator() -> None:
    start, later = Pair(0, 0, 0), Pair(NS_PER_S, NS_PER_S + 10**7, 0)
    assert wall_frequency(start, later) == UNKNOWN_FREQUENCY


def test_the_offset_of_one_exchange_has_half_of_the_resolution_in_it() -> None:
    made = built(1.0, offset=0.25, delay=0.1)
    assert offset_of(made) == pytest.approx(0.25)
    assert offset_of(replace(made, resolution_ns=NS_PER_S)) == pytest.approx(0.75)


async def test_an_announced_leap_second_is_told(autojump_clock: trio.testing.MockClock) -> None:
    clock = VirtualClock()
    clock.step(16 * 86_400)  # to the last day of November 2023
    midnight_ns = (clock.realtime_ns() // DAY_NS + 1) * DAY_NS
    soon, none = LeapNotice(37, midnight_ns, 1), LeapNotice(37, 0, 0)
    scripts = {
        "ws://a": [[reading(clock, leap=soon)]] * 2,
        "ws://b": [[reading(clock)]] * 2,
        "ws://c": [[reading(clock, leap=none)]] * 2,
    }
    result = await survey_of(scripts, 1, clock)
    assert [finding.leap for finding in result.findings] == [Leap.INSERT, Leap.NONE, Leap.NONE]
    # The two others cannot know.
    assert result.combined is not None
    assert result.combined.leap is Leap.INSERT


async def test_servers_that_agree_are_combined_and_a_liar_is_outvoted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    offsets = {"ws://a": 0.1, "ws://b": 0.101, "ws://liar": 5.0}
    result = await survey_of(
        {url: [[reading(clock, offset)]] * 2 for url, offset in offsets.items()}, 1, clock
    )
    assert result.combined is not None
    assert set(result.combined.survivors) == {"ws://a", "ws://b"}
    assert result.combined.agreeing == ("ws://a", "ws://b")
    assert result.combined.offset == pytest.approx(0.1005, abs=1e-3)
    assert result.combined.leap is Leap.NONE


async def test_two_servers_that_disagree_give_nothing_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    scripts = {"ws://a": [[reading(clock, 0.0)]] * 2, "ws://b": [[reading(clock, 5.0)]] * 2}
    result = await survey_of(scripts, 1, clock)
    assert result.combined is None
    assert result.complete


async def test_progress_is_told_in_words_and_taken_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    told: list[str] = []
    exchange = FakeExchange([[reading(clock)]] * 3)
    await survey([spec("ws://a")], 2, clock, told.append, connect=connecting({"ws://a": exchange}))
    assert told == ["ws://a: connecting", "ws://a: 1 of 2", "ws://a: 2 of 2", ""]
