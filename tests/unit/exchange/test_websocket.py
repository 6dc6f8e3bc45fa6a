"""The WebSocket exchange against scripted servers, frame by frame."""

import socket
import ssl
import struct
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from tests.fakes.server import (
    FakeSocket,
    Script,
    Visitor,
    always_right,
    always_right_socket,
    http_response,
    over_websocket,
    reply_json,
    serve,
)
from tests.unit.conftest import ExchangeTo
from webntpd.clock.clocks import SystemClock
from webntpd.exchange import make_exchange
from webntpd.exchange.base import Exchange, ExchangeParameters
from webntpd.exchange.session import GOODBYE
from webntpd.names import Kind
from webntpd.ntp.readings import Failure, Formula, Reading, Rejection, StampSource
from webntpd.protocol import wire
from webntpd.protocol.rejected import Rejected


async def measure(exchange: Exchange) -> Reading:
    [reading] = await exchange.measure(last=True)
    return reading


async def failure_of(exchange: Exchange) -> Failure:
    with pytest.raises(Rejected) as caught:
        await exchange.measure(last=True)
    return caught.value.failure


async def test_a_reply_gives_a_reading_between_the_clients_own_stamps(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, always_right_socket)
    reading = await measure(exchange_to(server.url("ws"), kernel_timestamps=False))
    assert reading.t1_ns <= reading.t2_ns <= reading.t3_ns <= reading.t4_ns
    assert reading.provenance.formula is Formula.FOUR_STAMP
    assert reading.provenance.t1 is reading.provenance.t4 is StampSource.USER


async def test_one_connection_serves_many_exchanges_and_only_the_first_is_marked(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, always_right_socket)
    exchange = exchange_to(server.url("ws"))
    assert [(await measure(exchange)).first for _ in range(3)] == [True, False, False]
    assert server.connections == 1


async def test_the_upgrade_names_host_path_and_subprotocol(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.request()
        await visitor.send(http_response(b"", "404 Not Found"))

    server = await serve(nursery, script)
    await failure_of(exchange_to(server.url("ws", "/api/json")))
    line, *headers = server.requests[0].split("\r\n")
    assert line == "GET /api/json HTTP/1.1"
    assert f"Host: {server.host}:{server.port}" in headers
    [offered] = [h for h in headers if h.startswith("Sec-WebSocket-Protocol: ")]
    assert offered.endswith(wire.SUBPROTOCOL)


async def test_an_echoed_subprotocol_and_a_binary_reply_are_welcome(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def script(visitor: Visitor) -> None:
        websocket = FakeSocket(visitor)
        await websocket.accept(wire.SUBPROTOCOL)
        await websocket.send(BytesMessage(reply_json(await websocket.token())))
        await visitor.until_closed()

    server = await serve(nursery, script)
    assert (await measure(exchange_to(server.url("ws")))).delay >= 0


async def test_a_reply_byte_by_byte_is_a_reply(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        body = reply_json(await websocket.token()).decode()
        await websocket.visitor.drip(websocket.frame(TextMessage(body)))
        await websocket.visitor.until_closed()

    server = await serve(nursery, script)
    assert (await measure(exchange_to(server.url("ws")))).delay >= 0


async def test_a_fragmented_reply_among_control_frames_is_a_reply(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        body = reply_json(await websocket.token()).decode()
        await websocket.send(Pong(b"unasked"))
        await websocket.send(TextMessage(body[:9], message_finished=False))
        await websocket.send(Ping(b"are you there?"))
        await websocket.send(TextMessage(body[9:]))
        assert await websocket.event() == Pong(b"are you there?")
        ponged.set()
        await websocket.visitor.until_closed()

    ponged = trio.Event()
    server = await serve(nursery, script)
    assert (await measure(exchange_to(server.url("ws")))).delay >= 0
    await ponged.wait()


async def test_pings_are_answered_between_two_measures(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token()))
        await websocket.send(Ping(b"idle"))
        assert await websocket.event() == Pong(b"idle")
        ponged.set()
        await websocket.reply(reply_json(await websocket.token()))
        await websocket.visitor.until_closed()

    ponged = trio.Event()
    server = await serve(nursery, script)
    exchange = exchange_to(server.url("ws"))
    await measure(exchange)
    await ponged.wait()
    assert not (await measure(exchange)).first


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_connection_closed_while_idle_is_renewed_in_silence(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    goodbye: bool,
) -> None:
    @over_websocket
    async def one_reply(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token()))
        if goodbye:
            await websocket.send(CloseConnection(1000))

    server = await serve(nursery, one_reply)
    exchange = exchange_to(server.url("ws"))
    for connections in (1, 2, 3):
        assert (await measure(exchange)).first
        assert server.connections == connections
        await trio.testing.wait_all_tasks_blocked(0.01)  # the closing has been heard of


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_closing_that_crosses_the_message_is_no_failure(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    goodbye: bool,
) -> None:
    @over_websocket
    async def deaf_to_the_second(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token()))
        await websocket.token()
        if goodbye:
            await websocket.send(CloseConnection(1001))

    server = await serve(nursery, deaf_to_the_second)
    exchange = exchange_to(server.url("ws"))
    assert [(await measure(exchange)).first for _ in range(2)] == [True, True]
    assert server.connections == 2


async def test_a_hang_up_within_a_later_frame_is_a_failure(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    @over_websocket
    async def half_of_the_second(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token()))
        body = reply_json(await websocket.token()).decode()
        await websocket.visitor.send(websocket.frame(TextMessage(body))[:30])

    server = await serve(nursery, half_of_the_second)
    exchange = exchange_to(server.url("ws"))
    await measure(exchange)
    assert await failure_of(exchange) == Failure(Rejection.CLOSED, "the server hung up")
    assert (await measure(exchange)).first


def floods(frames: bytes) -> Script:
    """Answers every message, and sends `frames` a thousand times behind the first answer."""

    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token()))
        await websocket.visitor.send(frames * 1000)
        while True:
            await websocket.reply(reply_json(await websocket.token()))

    return script


@pytest.mark.parametrize(
    "frames",
    [b"\x8a\x00", b"\x89\x00", b"\x01\x00" + b"\x00\x00" * 9],
    ids=["pong", "ping", "empty"],
)
async def test_a_server_that_floods_is_dropped_and_the_next_measure_says_so(
    nursery: trio.Nursery, exchange_to: ExchangeTo, frames: bytes
) -> None:
    server = await serve(nursery, floods(frames))
    exchange = exchange_to(server.url("ws"))
    failures = []
    for _ in range(2):  # the flood may overtake the first answer
        try:
            await measure(exchange)
        except Rejected as error:
            failures.append(error.failure.rejection)
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert failures[:1] == [Rejection.PROTOCOL]


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_a_server_that_floods_below_tls_is_dropped(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    context: ssl.SSLContext,
    ca_file: Path,
    scheme: str,
) -> None:
    context.num_tickets = 2000  # TLS sends them behind its handshake
    script = always_right if scheme == "https" else always_right_socket
    server = await serve(nursery, script, context=context)
    failure = await failure_of(exchange_to(server.url(scheme), ca_file=ca_file))
    assert failure.rejection is Rejection.PROTOCOL


async def test_a_peer_that_echoed_once_is_held_to_it(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        for it in ("0", "", None, "0.000", ""):
            token = await websocket.token()
            await websocket.reply(reply_json(token) if it is None else reply_json(token, it=it))
        await websocket.visitor.until_closed()

    exchange = exchange_to((await serve(nursery, script)).url("ws"))
    for _ in range(3):
        await measure(exchange)
    failure = await failure_of(exchange)
    assert failure.rejection is Rejection.BOGUS
    assert "has echoed before" in failure.detail


async def test_unsolicited_messages_leave_no_task_behind(nursery: trio.Nursery) -> None:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        message = TextMessage(reply_json(await websocket.token()).decode())
        await websocket.visitor.send(b"".join(websocket.frame(message) for _ in range(4)))
        await websocket.visitor.until_closed()

    server = await serve(nursery, script)
    async with trio.open_nursery() as readers:
        parameters = ExchangeParameters(server.url("ws"), Kind.WEBSOCKET, proxy="")
        exchange = make_exchange(parameters, SystemClock(), readers)
        await measure(exchange)
        assert (await failure_of(exchange)).rejection is Rejection.BOGUS
        await trio.testing.wait_all_tasks_blocked()
        assert not readers.child_tasks


async def test_aclose_says_goodbye_and_a_later_measure_connects_anew(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token()))
        goodbye = await websocket.event()
        assert isinstance(goodbye, CloseConnection)
        codes.append(goodbye.code)
        await websocket.send(goodbye.response())

    codes: list[int] = []
    server = await serve(nursery, script)
    exchange = exchange_to(server.url("ws"))
    await measure(exchange)
    await exchange.aclose()
    await exchange.aclose()
    assert codes == [1000]
    assert (await measure(exchange)).first


async def test_aclose_does_not_wait_for_a_server_that_does_not_answer(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    patient_clock: MockClock,
) -> None:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token()))
        await websocket.visitor.until_closed()
        closed.set()

    closed = trio.Event()
    server = await serve(nursery, script)
    exchange = exchange_to(server.url("ws"))
    await measure(exchange)
    await exchange.aclose()
    await closed.wait()


async def test_when_all_is_cancelled_aclose_waits_for_nothing(
    nursery: trio.Nursery,
    patient_clock: MockClock,
) -> None:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token()))
        await websocket.visitor.until_closed()

    server = await serve(nursery, script)
    parameters = ExchangeParameters(server.url("ws"), Kind.WEBSOCKET, proxy="")
    async with trio.open_nursery() as dying:
        exchange = make_exchange(parameters, SystemClock(), dying)
        await measure(exchange)
        dying.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            before = trio.current_time()
            await exchange.aclose()
            assert trio.current_time() - before < GOODBYE


def upgrades_to(data: bytes) -> Script:
    """Answers the upgrade request with raw bytes."""

    async def script(visitor: Visitor) -> None:
        await visitor.request()
        await visitor.send(data)

    return script


def refuses_and_waits(data: bytes) -> Script:
    """Answers the upgrade and keeps the connection: what was said must do."""

    async def script(visitor: Visitor) -> None:
        await visitor.request()
        await visitor.send(data)
        await visitor.until_closed()

    return script


def answers_with(data: bytes) -> Script:
    """Answers the first message with raw bytes."""

    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        await websocket.token()
        await websocket.visitor.send(data)

    return script


def replies_with(**members: str) -> Script:
    @over_websocket
    async def script(websocket: FakeSocket) -> None:
        await websocket.reply(reply_json(await websocket.token(), **members))
        await websocket.visitor.until_closed()

    return script


@over_websocket
async def resets(websocket: FakeSocket) -> None:
    await websocket.token()
    assert isinstance(websocket.visitor.stream, trio.SocketStream)
    websocket.visitor.stream.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
REDIRECT = http_response(b"", "302 Found", "Location: wss://example.org/json")
PROXY_ERROR = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 7\r\n\r\n<html>busy"
HUGE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 10485760\r\n\r\n" + b"x" * 65536

BAD_INPUT = [
    (upgrades_to(b""), Rejection.CLOSED, "in the WebSocket handshake"),
    (upgrades_to(SWITCHING[:50]), Rejection.CLOSED, "in the WebSocket handshake"),
    (upgrades_to(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), Rejection.PROTOCOL, ""),
    (upgrades_to(SWITCHING + b"X: y\r\n" * 5000), Rejection.PROTOCOL, ""),
    (refuses_and_waits(SWITCHING + b"\r\n"), Rejection.HANDSHAKE, "accept"),
    (
        refuses_and_waits(SWITCHING + b"Sec-WebSocket-Accept: AAAA\r\n\r\n"),
        Rejection.HANDSHAKE,
        "accept",
    ),
    (refuses_and_waits(http_response(b"{}")), Rejection.HANDSHAKE, "200, not 101"),
    (refuses_and_waits(http_response(b"", "403 Forbidden")), Rejection.HTTP_STATUS, "403"),
    (refuses_and_waits(HUGE), Rejection.HTTP_STATUS, "404 Not Found"),
    (refuses_and_waits(REDIRECT), Rejection.REDIRECT, "to wss://example.org/json"),
    (upgrades_to(PROXY_ERROR), Rejection.HTTP_STATUS, "503"),
    (answers_with(b""), Rejection.CLOSED, "hung up"),
    (answers_with(b"\x81\x7e\x01"), Rejection.CLOSED, "hung up"),
    (answers_with(b"\x81\x05{"), Rejection.CLOSED, "hung up"),
    (answers_with(b"\x88\x0c\x03\xe9going away"), Rejection.CLOSED, "1001 GOING_AWAY: going away"),
    (answers_with(b"\xff\x00"), Rejection.PROTOCOL, "1002"),
    (answers_with(b"\x81\x02\xc3\x28"), Rejection.PROTOCOL, "1007"),
    (answers_with(b"\x81\x7e\x10\x01" + b" " * 4097), Rejection.TOO_LARGE, "1009"),
    (answers_with(b"\x81\x7f" + b"\0\0\0\0\1\0\0\0" + b" " * 65536), Rejection.TOO_LARGE, "1009"),
    (answers_with(b"\x81\x02{}"), Rejection.MALFORMED, ""),
    (answers_with(b"\x82\x01\xff"), Rejection.MALFORMED, ""),
    (resets, Rejection.CLOSED, "connection lost"),
    (replies_with(st="1489217288.1000000", rt=""), Rejection.MALFORMED, ""),
    (replies_with(it="1.000001"), Rejection.BOGUS, ""),
    (replies_with(sync="false"), Rejection.UNSYNCHRONISED, ""),
    (replies_with(st="1000.5", rt="1000.0"), Rejection.NEGATIVE_DELAY, ""),
    (replies_with(st="1000", rt="1000.5"), Rejection.DISORDERED, ""),
]


@pytest.mark.parametrize(("script", "rejection", "detail"), BAD_INPUT)
async def test_bad_input_gets_one_named_rejection(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    script: Script,
    rejection: Rejection,
    detail: str,
) -> None:
    server = await serve(nursery, script)
    failure = await failure_of(exchange_to(server.url("ws")))
    assert failure.rejection is rejection
    assert detail in failure.detail


async def test_a_refused_upgrade_passes_retry_after_on(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, upgrades_to(PROXY_ERROR))
    failure = await failure_of(exchange_to(server.url("ws")))
    assert failure.retry_after == 7


async def never_upgrades(visitor: Visitor) -> None:
    await visitor.request()
    await trio.sleep_forever()


async def drips_the_upgrade(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.drip(SWITCHING, interval=1)


async def never_answers(visitor: Visitor) -> None:
    await FakeSocket(visitor).accept()
    await trio.sleep_forever()


@over_websocket
async def drips_the_reply(websocket: FakeSocket) -> None:
    body = reply_json(await websocket.token()).decode()
    await websocket.visitor.drip(websocket.frame(TextMessage(body)), interval=1)


@over_websocket
async def only_pings(websocket: FakeSocket) -> None:
    while True:
        await websocket.send(Ping())
        await trio.sleep(1)


@pytest.mark.parametrize(
    ("script", "step"),
    [
        (never_upgrades, "the WebSocket handshake"),
        (drips_the_upgrade, "the WebSocket handshake"),
        (never_answers, "the reply"),
        (drips_the_reply, "the reply"),
        (only_pings, "the reply"),
    ],
)
async def test_every_step_must_end_in_time(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    script: Script,
    step: str,
    patient_clock: MockClock,
) -> None:
    server = await serve(nursery, script)
    failure = await failure_of(exchange_to(server.url("ws")))
    assert failure == Failure(Rejection.TIMEOUT, f"{step} took longer than 5 s")


@pytest.mark.parametrize("shake_hands", [True, False])
async def test_a_cancelled_measure_leaves_no_half_used_connection(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    shake_hands: bool,
) -> None:
    async def deaf_at_first(visitor: Visitor) -> None:
        if visitor.number > 1:
            return await always_right_socket(visitor)
        if shake_hands:
            websocket = FakeSocket(visitor)
            await websocket.accept()
            await websocket.token()
        asked.set()
        return await visitor.until_closed()

    asked = trio.Event()
    server = await serve(nursery, deaf_at_first)
    exchange = exchange_to(server.url("ws"))
    async with trio.open_nursery() as measuring:
        measuring.start_soon(measure, exchange)
        await asked.wait()
        measuring.cancel_scope.cancel()
    assert (await measure(exchange)).first
    assert server.connections == 2
