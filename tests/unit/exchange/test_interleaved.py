"""Interleaved mode: exchanges completed by the reply after them, and every way to fall back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import trio
from wsproto.events import Event, Message, Pong

from tests.fakes.server import FakeSocket, Script, Visitor, always_right_socket, seconds, serve
from tests.unit.conftest import ExchangeTo
from webntpd.clock.clocks import SystemClock
from webntpd.exchange.base import Exchange
from webntpd.ntp.readings import Formula, Reading, Rejection, StampSource
from webntpd.protocol import wire
from webntpd.protocol.rejected import Rejected
from webntpd.server.parameters import ServerParameters
from webntpd.server.service import serve as serve_really


@dataclass(frozen=True)
class Exchanged:
    """What a scripted server remembers of an exchange, ns: it left `pst_ns` a little after st."""

    it: str
    rt_ns: int
    st_ns: int

    @property
    def pst_ns(self) -> int:
        return self.st_ns + 10


Said = tuple[str, int] | None
"""`pit` and `pst`, or neither."""
Memory = Sequence[Exchanged]


def honest(memory: Memory) -> Said:
    """What a right server says of the exchanges so far, of which the last is the present one."""
    return (memory[-2].it, memory[-2].pst_ns) if len(memory) > 1 else None


def interleaving(say: Callable[[Memory], Said] = honest, *, messages: int = 1000) -> Script:
    """An interleaving server that hangs up after a number of messages."""

    async def script(visitor: Visitor) -> None:
        websocket = FakeSocket(visitor)
        await websocket.accept(wire.INTERLEAVED_SUBPROTOCOL)
        memory: list[Exchanged] = []
        for _ in range(messages):
            token = await websocket.token()
            now_ns = SystemClock().realtime_ns()
            memory.append(Exchanged(token, now_ns, now_ns))
            visitor.server.requests.append(token)
            reply = f'{{"it":{token},"st":{seconds(now_ns)},"rt":{seconds(now_ns)}'
            if said := say(memory):
                reply += f',"pit":{said[0]},"pst":{seconds(said[1])}'
            await websocket.reply(f"{reply}}}".encode())

    return script


def formulas(readings: Sequence[Reading]) -> list[Formula]:
    return [reading.provenance.formula for reading in readings]


async def error_of(exchange: Exchange, *, last: bool) -> Rejected:
    with pytest.raises(Rejected) as caught:
        await exchange.measure(last=last)
    return caught.value


async def test_each_exchange_is_completed_by_the_next_and_a_closing_one_ends_the_burst(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, interleaving())
    exchange = exchange_to(server.url("ws"))
    assert await exchange.measure(last=False) == []
    [first] = await exchange.measure(last=False)
    second, third = await exchange.measure(last=True)
    assert formulas([first, second, third]) == [Formula.INTERLEAVED] * 3
    assert [each.first for each in (first, second, third)] == [True, False, False]
    assert all(each.t3_ns == each.t2_ns + 10 for each in (first, second, third))
    assert first.t4_ns <= second.t1_ns <= second.t4_ns <= third.t1_ns
    assert len(server.requests) == 4


async def test_the_closing_exchange_is_no_sample_of_the_next_burst(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, interleaving())
    exchange = exchange_to(server.url("ws"))
    for _ in range(3):
        assert formulas(await exchange.measure(last=True)) == [Formula.INTERLEAVED]
    assert len(server.requests) == 6
    assert server.connections == 1


async def test_the_subprotocol_is_offered_first_or_when_not_wanted_not_at_all(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def script(visitor: Visitor) -> None:
        websocket = FakeSocket(visitor)
        await websocket.accept()
        offers.append(websocket.offered)

    offers: list[list[str]] = []
    server = await serve(nursery, script)
    for interleaved in (True, False):
        with pytest.raises(Rejected):
            await exchange_to(server.url("ws"), interleaved=interleaved).measure(last=True)
    assert offers == [[wire.INTERLEAVED_SUBPROTOCOL, wire.SUBPROTOCOL], [wire.SUBPROTOCOL]]


async def test_a_server_that_does_not_agree_is_asked_once_per_sample(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, always_right_socket)
    exchange = exchange_to(server.url("ws"))
    assert formulas(await exchange.measure(last=False)) == [Formula.FOUR_STAMP]
    assert formulas(await exchange.measure(last=True)) == [Formula.FOUR_STAMP]


def nothing(_: Memory) -> Said:
    return None


def of_another_exchange(memory: Memory) -> Said:
    return ("1489217288.328757", memory[-2].pst_ns) if len(memory) > 1 else None


def always_of_the_first(memory: Memory) -> Said:
    return (memory[0].it, memory[0].pst_ns) if len(memory) > 2 else None


@pytest.mark.parametrize("say", [nothing, of_another_exchange, always_of_the_first])
async def test_without_the_right_pst_a_sample_falls_back_to_st(
    nursery: trio.Nursery, exchange_to: ExchangeTo, say: Callable[[Memory], Said]
) -> None:
    server = await serve(nursery, interleaving(say))
    exchange = exchange_to(server.url("ws"))
    assert await exchange.measure(last=False) == []
    readings = [*await exchange.measure(last=False), *await exchange.measure(last=True)]
    assert formulas(readings) == [Formula.FOUR_STAMP] * 3
    assert all(reading.t3_ns == reading.t2_ns for reading in readings)


def before_it_arrived(memory: Memory) -> Said:
    return (memory[-2].it, memory[-2].rt_ns - 1) if len(memory) > 1 else None


def after_the_next_arrived(memory: Memory) -> Said:
    return (memory[-2].it, memory[-1].rt_ns + 1) if len(memory) > 1 else None


@pytest.mark.parametrize("say", [before_it_arrived, after_the_next_arrived])
async def test_a_pst_that_cannot_be_is_named_and_no_sample_comes_of_it(
    nursery: trio.Nursery, exchange_to: ExchangeTo, say: Callable[[Memory], Said]
) -> None:
    server = await serve(nursery, interleaving(say))
    exchange = exchange_to(server.url("ws"))
    assert await exchange.measure(last=False) == []
    error = await error_of(exchange, last=False)
    assert error.failure.rejection is Rejection.DISORDERED
    assert error.readings == ()
    assert await exchange.measure(last=False) == []
    assert server.connections == 2


@pytest.mark.parametrize("say", [before_it_arrived, after_the_next_arrived])
async def test_a_closing_exchange_that_contradicts_the_last_sample_is_named(
    nursery: trio.Nursery, exchange_to: ExchangeTo, say: Callable[[Memory], Said]
) -> None:
    def say_so_at_last(memory: Memory) -> Said:
        return say(memory) if len(memory) > 2 else honest(memory)

    server = await serve(nursery, interleaving(say_so_at_last))
    exchange = exchange_to(server.url("ws"))
    assert await exchange.measure(last=False) == []
    error = await error_of(exchange, last=True)
    assert error.failure.rejection is Rejection.DISORDERED
    assert formulas(error.readings) == [Formula.INTERLEAVED]
    assert error.readings[0].first
    assert len(server.requests) == 3


def breaking(second: Script) -> Script:
    """An interleaving server that hangs up after one reply, and then serves `second`."""

    async def script(visitor: Visitor) -> None:
        if visitor.number == 2:
            await second(visitor)
        else:
            await interleaving(messages=1)(visitor)

    return script


async def speaks_no_http(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.send(b"no HTTP\r\n\r\n")


async def answers_another_request(visitor: Visitor) -> None:
    websocket = FakeSocket(visitor)
    await websocket.accept(wire.INTERLEAVED_SUBPROTOCOL)
    await websocket.token()
    await websocket.reply(b'{"it":1.000001,"st":1489217288.5}')


FAILURES = [
    (speaks_no_http, Rejection.PROTOCOL),
    (answers_another_request, Rejection.BOGUS),
    (interleaving(messages=0), Rejection.CLOSED),
]


@pytest.mark.parametrize(("second", "rejection"), FAILURES)
@pytest.mark.parametrize("last", [False, True])
async def test_a_complete_answer_is_not_lost_when_the_next_exchange_fails(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    last: bool,
    second: Script,
    rejection: Rejection,
) -> None:
    server = await serve(nursery, breaking(second))
    exchange = exchange_to(server.url("ws"))
    assert await exchange.measure(last=False) == []
    error = await error_of(exchange, last=last)
    assert error.failure.rejection is rejection
    assert formulas(error.readings) == [Formula.FOUR_STAMP]
    assert server.connections == 2


@pytest.mark.parametrize(("second", "rejection"), FAILURES)
async def test_a_closing_exchange_that_fails_costs_no_sample_and_is_named(
    nursery: trio.Nursery, exchange_to: ExchangeTo, second: Script, rejection: Rejection
) -> None:
    server = await serve(nursery, breaking(second))
    error = await error_of(exchange_to(server.url("ws")), last=True)
    assert error.failure.rejection is rejection
    assert formulas(error.readings) == [Formula.FOUR_STAMP]
    assert server.connections == 2


async def test_a_failure_leaves_nothing_pending(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, breaking(speaks_no_http))
    exchange = exchange_to(server.url("ws"))
    assert await exchange.measure(last=False) == []
    await error_of(exchange, last=False)
    assert await exchange.measure(last=False) == []


async def test_a_lost_connection_costs_no_sample(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, interleaving(messages=1))
    exchange = exchange_to(server.url("ws"))
    assert await exchange.measure(last=False) == []
    [first] = await exchange.measure(last=False)
    [second] = await exchange.measure(last=False)
    assert formulas([first, second]) == [Formula.FOUR_STAMP] * 2
    assert first.first
    assert second.first
    assert server.connections == 3


async def test_a_server_that_no_longer_agrees_after_a_lost_connection_costs_no_sample(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, breaking(always_right_socket))
    exchange = exchange_to(server.url("ws"))
    assert await exchange.measure(last=False) == []
    pending, plain = await exchange.measure(last=False)
    assert formulas([pending, plain]) == [Formula.FOUR_STAMP] * 2
    assert pending.r4_ns < plain.r1_ns
    assert formulas(await exchange.measure(last=True)) == [Formula.FOUR_STAMP]
    assert server.connections == 2


async def test_with_our_own_server_all_four_stamps_are_a_kernels(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    parameters = ServerParameters(listen=("127.0.0.1:0",), local=True)
    [address] = await nursery.start(serve_really, parameters, SystemClock(), lambda: None)
    exchange = exchange_to(f"ws://{address}/json")
    with trio.fail_after(10):
        while True:  # the kernel takes its time with its first stamps
            [reading] = await exchange.measure(last=True)
            if str(reading.provenance) == "interleaved kernel":
                break
            await trio.sleep(0.001)
    assert reading.precision < 5e-6
    nursery.cancel_scope.cancel()


async def test_with_our_own_server_user_space_stamps_still_interleave(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    parameters = ServerParameters(listen=("127.0.0.1:0",), local=True)
    [address] = await nursery.start(serve_really, parameters, SystemClock(), lambda: None)
    exchange = exchange_to(f"ws://{address}/json", kernel_timestamps=False)
    [reading] = await exchange.measure(last=True)
    assert reading.provenance.t1 is reading.provenance.t4 is StampSource.USER
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("agreed", [wire.INTERLEAVED_SUBPROTOCOL, wire.SUBPROTOCOL])
async def test_in_interleaved_mode_a_pong_warms_the_way_for_each_message(
    nursery: trio.Nursery, exchange_to: ExchangeTo, agreed: str
) -> None:
    async def script(visitor: Visitor) -> None:
        websocket = FakeSocket(visitor)
        await websocket.accept(agreed)
        came.append(await websocket.event())

    came: list[Event] = []
    server = await serve(nursery, script)
    with pytest.raises(Rejected):
        await exchange_to(server.url("ws")).measure(last=True)
    expected = Pong if agreed == wire.INTERLEAVED_SUBPROTOCOL else Message
    assert [isinstance(event, expected) for event in came] == [True]
