"""Asking servers once: which samples are used, and what becomes of failures."""

from collections.abc import Mapping, Sequence

import pytest
import trio
import trio.testing

from tests.fakes.clock import VirtualClock
from webntpd.choices import Kind
from webntpd.clock import Clock
from webntpd.config import PeerSpec
from webntpd.exchange import Exchange, ExchangeError, ExchangeParameters
from webntpd.ntp.types import (
    NS_PER_S,
    Failure,
    Formula,
    Leap,
    LeapNotice,
    PeerParameters,
    Provenance,
    Reading,
    Rejection,
    StampSource,
)
from webntpd.query.survey import Connect, Survey, survey

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
    t4_ns = clock.realtime_ns()
    t1_ns = t4_ns - round(delay * NS_PER_S)
    middle_ns = (t1_ns + t4_ns) // 2 + round(offset * NS_PER_S)
    return Reading(
        t1_ns, middle_ns, middle_ns, t4_ns, clock.monotonic_ns(), 1e-6, USER, first, leap, max_error
    )


class FakeExchange:
    """Gives what its script says, one item a measure, and notes what it was asked."""

    def __init__(self, script: Sequence[Sequence[Reading] | Failure]) -> None:
        self._script = list(script)
        self.last: list[bool] = []
        self.closed = False

    async def measure(self, *, last: bool) -> Sequence[Reading]:
        assert not self.closed
        await trio.lowlevel.checkpoint()
        self.last.append(last)
        item = self._script.pop(0)
        if isinstance(item, Failure):
            raise ExchangeError(item)
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


async def survey_of(
    scripts: Mapping[str, Sequence[Sequence[Reading] | Failure]], samples: int, clock: Clock
) -> Survey:
    exchanges = {url: FakeExchange(script) for url, script in scripts.items()}
    result = await survey(
        [spec(url) for url in scripts], samples, clock, connect=connecting(exchanges)
    )
    assert all(exchange.closed for exchange in exchanges.values())
    return result


async def test_the_sample_of_least_delay_is_believed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    result = await survey_of(
        {"ws://a": [[reading(clock, offset, delay)] for offset, delay in FOUR]}, 3, clock
    )
    (answer,) = result.answers
    assert answer.estimate is not None
    assert answer.estimate.offset == pytest.approx(0.5, abs=1e-9)
    assert answer.estimate.delay == pytest.approx(0.002, abs=1e-9)
    assert answer.error > 0.001
    assert answer.samples == 4
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
    (answer,) = result.answers
    assert answer.samples == 2
    assert answer.estimate is not None
    assert answer.estimate.offset == pytest.approx(1.0)
    assert exchange.last == [False, False, True]


async def test_a_server_that_always_hangs_up_gives_samples_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    result = await survey_of({"ws://a": [[reading(clock, first=True)] for _ in range(3)]}, 2, clock)
    assert result.answers[0].samples == 2


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
    assert result.answers[0].samples == 2


async def test_a_failure_at_once_leaves_no_estimate(autojump_clock: trio.testing.MockClock) -> None:
    clock = VirtualClock()
    result = await survey_of({"ws://a": [REFUSED]}, 2, clock)
    (answer,) = result.answers
    assert (answer.estimate, answer.samples, answer.failure) == (None, 0, REFUSED)
    assert result.combined is None
    assert not result.complete


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
    (answer,) = result.answers
    assert answer.samples == 1
    assert answer.estimate is not None
    assert answer.failure is REFUSED
    assert not result.complete


async def test_the_servers_own_error_widens_the_bound(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    plain = (await survey_of({"ws://a": [[reading(clock)]] * 2}, 1, clock)).answers[0].error
    declared = (
        await survey_of({"ws://a": [[reading(clock, max_error=0.5)]] * 2}, 1, clock)
    ).answers
    assert declared[0].error == pytest.approx(plain + 0.5)
    exchange = FakeExchange([[reading(clock)]] * 2)
    configured = await survey(
        [spec("ws://a", root_delay=0.2, root_dispersion=0.25)],
        1,
        clock,
        connect=connecting({"ws://a": exchange}),
    )
    assert configured.answers[0].error == pytest.approx(plain + 0.35)


async def test_an_announced_leap_second_is_told(autojump_clock: trio.testing.MockClock) -> None:
    clock = VirtualClock()
    midnight_ns = (clock.realtime_ns() // DAY_NS + 1) * DAY_NS
    soon = LeapNotice(37, midnight_ns, 1)
    result = await survey_of(
        {
            "ws://a": [[reading(clock, leap=soon)]] * 2,
            "ws://b": [[reading(clock)]] * 2,
        },
        1,
        clock,
    )
    assert [answer.leap for answer in result.answers] == [Leap.INSERT, Leap.NONE]


async def test_servers_that_agree_are_combined_and_a_liar_is_outvoted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = VirtualClock()
    offsets = {"ws://a": 0.1, "ws://b": 0.101, "ws://liar": 5.0}
    result = await survey_of(
        {url: [[reading(clock, offset)]] * 2 for url, offset in offsets.items()}, 1, clock
    )
    assert set(result.survivors) == {"ws://a", "ws://b"}
    assert result.combined is not None
    assert result.combined.offset == pytest.approx(0.1005, abs=1e-3)


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
