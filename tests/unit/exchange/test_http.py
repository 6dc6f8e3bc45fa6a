"""The HTTP exchange against scripted servers: readings, silent reconnects, and every rejection."""

import socket
import struct

import pytest
import trio
from trio.testing import MockClock

from tests.fakes.server import (
    Script,
    Visitor,
    always_right,
    http_response,
    reply_json,
    serve,
)
from tests.unit.conftest import ExchangeTo
from webntpd.exchange.base import Exchange
from webntpd.ntp.readings import Failure, Formula, Reading, Rejection, StampSource
from webntpd.protocol.rejected import Rejected


async def measure(exchange: Exchange) -> Reading:
    [reading] = await exchange.measure(last=True)
    return reading


async def failure_of(exchange: Exchange) -> Failure:
    with pytest.raises(Rejected) as caught:
        await exchange.measure(last=True)
    return caught.value.failure


async def failure_with(nursery: trio.Nursery, exchange_to: ExchangeTo, script: Script) -> Failure:
    server = await serve(nursery, script)
    return await failure_of(exchange_to(server.url("http")))


async def test_a_reply_gives_a_reading_between_the_clients_own_stamps(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
) -> None:
    server = await serve(nursery, always_right)
    reading = await measure(exchange_to(server.url("http"), kernel_timestamps=False))
    assert reading.t1_ns <= reading.t2_ns <= reading.t3_ns <= reading.t4_ns
    assert reading.provenance.formula is Formula.FOUR_STAMP
    assert reading.provenance.t1 is reading.provenance.t4 is StampSource.USER


async def test_the_request_is_a_get_of_the_path_with_the_timestamp_as_query(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.request()
        await visitor.send(http_response(reply_json("0")))

    server = await serve(nursery, script)
    reading = await measure(exchange_to(server.url("http", "/api/json")))
    line, *headers = server.requests[0].split("\r\n")
    method, target, version = line.split(" ")
    assert (method, version) == ("GET", "HTTP/1.1")
    path, _, query = target.partition("?")
    assert path == "/api/json"
    whole, _, fraction = query.partition(".")
    assert len(fraction) == 6
    assert 0 <= reading.t1_ns // 1000 - int(whole + fraction) < 1_000_000
    assert f"Host: {server.host}:{server.port}" in headers


async def test_one_connection_serves_many_exchanges_and_only_the_first_is_marked(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
) -> None:
    server = await serve(nursery, always_right)
    exchange = exchange_to(server.url("http"))
    assert [(await measure(exchange)).first for _ in range(3)] == [True, False, False]
    assert server.connections == 1


async def test_a_server_cannot_make_requests_longer_with_cookies(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
) -> None:
    async def script(visitor: Visitor) -> None:
        while True:
            body = reply_json(await visitor.token())
            await visitor.send(http_response(body, "200 OK", "Set-Cookie: a=b"))

    server = await serve(nursery, script)
    exchange = exchange_to(server.url("http"))
    for _ in range(2):
        await measure(exchange)
    first, second = server.requests
    assert len(first) == len(second)


async def test_a_reply_byte_by_byte_is_a_reply(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.drip(http_response(reply_json(await visitor.token())))

    server = await serve(nursery, script)
    assert (await measure(exchange_to(server.url("http")))).delay >= 0


async def test_a_chunked_reply_is_a_reply(nursery: trio.Nursery, exchange_to: ExchangeTo) -> None:
    async def script(visitor: Visitor) -> None:
        body = reply_json(await visitor.token())
        await visitor.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (body[:20], body[20:], b""):
            await visitor.send(b"%x\r\n%s\r\n" % (len(part), part))

    server = await serve(nursery, script)
    assert (await measure(exchange_to(server.url("http")))).delay >= 0


async def test_a_reply_that_ends_with_the_connection_is_a_reply(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def script(visitor: Visitor) -> None:
        body = reply_json(await visitor.token())
        await visitor.send(b"HTTP/1.0 200 OK\r\n\r\n" + body)

    server = await serve(nursery, script)
    exchange = exchange_to(server.url("http"))
    for _ in range(2):
        assert (await measure(exchange)).first


async def test_bytes_in_a_segment_behind_the_reply_cost_the_next_exchange_only(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def script(visitor: Visitor) -> None:
        while True:
            await visitor.send(http_response(reply_json(await visitor.token())) + b"HTTP/1.1 2")

    server = await serve(nursery, script)
    exchange = exchange_to(server.url("http"))
    assert (await measure(exchange)).first
    assert (await failure_of(exchange)).rejection is Rejection.PROTOCOL
    assert (await measure(exchange)).first


async def test_bytes_long_after_a_reply_cost_the_connection_and_no_exchange(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.send(http_response(reply_json(await visitor.token())))
        await taken.wait()
        await visitor.send(b"HTTP/1.1 200 OK")
        spoilt.set()
        await visitor.until_closed()

    taken, spoilt = trio.Event(), trio.Event()
    server = await serve(nursery, script)
    exchange = exchange_to(server.url("http"))
    await measure(exchange)
    taken.set()
    await spoilt.wait()
    assert (await measure(exchange)).first
    assert server.connections == 2


async def test_a_connection_closed_while_idle_is_renewed_in_silence(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
) -> None:
    async def one_reply(visitor: Visitor) -> None:
        await visitor.send(http_response(reply_json(await visitor.token())))

    server = await serve(nursery, one_reply)
    exchange = exchange_to(server.url("http"))
    assert [(await measure(exchange)).first for _ in range(3)] == [True] * 3
    assert server.connections == 3


async def test_a_closing_that_crosses_the_request_is_no_failure(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def deaf_to_the_second(visitor: Visitor) -> None:
        await visitor.send(http_response(reply_json(await visitor.token())))
        await visitor.request()

    server = await serve(nursery, deaf_to_the_second)
    exchange = exchange_to(server.url("http"))
    assert [(await measure(exchange)).first for _ in range(2)] == [True, True]
    assert server.connections == 2


async def test_a_hang_up_within_a_later_reply_is_a_failure(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def half_of_the_second(visitor: Visitor) -> None:
        await visitor.send(http_response(reply_json(await visitor.token())))
        await visitor.send(http_response(reply_json(await visitor.token()))[:80])

    server = await serve(nursery, half_of_the_second)
    exchange = exchange_to(server.url("http"))
    await measure(exchange)
    assert (await failure_of(exchange)).rejection is Rejection.CLOSED
    assert (await measure(exchange)).first
    assert server.connections == 2


async def test_after_aclose_a_measure_connects_anew(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, always_right)
    exchange = exchange_to(server.url("http"))
    await measure(exchange)
    await exchange.aclose()
    await exchange.aclose()
    assert (await measure(exchange)).first


def sends(data: bytes) -> Script:
    async def script(visitor: Visitor) -> None:
        await visitor.request()
        await visitor.send(data)

    return script


def replies_with(**members: str) -> Script:
    async def script(visitor: Visitor) -> None:
        await visitor.send(http_response(reply_json(await visitor.token(), **members)))

    return script


async def hangs_up(visitor: Visitor) -> None:
    await visitor.request()


async def resets(visitor: Visitor) -> None:
    await visitor.request()
    assert isinstance(visitor.stream, trio.SocketStream)
    visitor.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


REDIRECT = http_response(b"", "301 Moved Permanently", "Location: https://example.org/json")
ODD_REDIRECT = http_response(b"", "302 Found", "Location: http://[\x1b[2J/")
HTML = http_response(b"<!doctype html><title>It works</title>", "200 OK", "Content-Type: text/html")

BAD_INPUT = [
    (hangs_up, Rejection.CLOSED, "hung up"),
    (resets, Rejection.CLOSED, "connection lost"),
    (sends(http_response(b"{}")[:-1]), Rejection.CLOSED, "hung up"),
    (sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), Rejection.PROTOCOL, ""),
    (sends(b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n"), Rejection.PROTOCOL, ""),
    (sends(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Rejection.PROTOCOL, ""),
    (sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000), Rejection.TOO_LARGE, ""),
    (sends(http_response(b"gone", "404 Not Found")), Rejection.HTTP_STATUS, "404 Not Found"),
    (sends(http_response(b"", "204 No Content")), Rejection.HTTP_STATUS, "204 No Content"),
    (sends(http_response(b"", "799 Odd")), Rejection.HTTP_STATUS, "799"),
    (sends(http_response(b"", "304 Not Modified")), Rejection.HTTP_STATUS, "304 Not Modified"),
    (sends(REDIRECT), Rejection.REDIRECT, "to https://example.org/json"),
    (sends(ODD_REDIRECT), Rejection.REDIRECT, r"to http://[\x1b[2J/"),
    (sends(HTML), Rejection.MALFORMED, ""),
    (sends(http_response(b"")), Rejection.MALFORMED, ""),
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
    failure = await failure_with(nursery, exchange_to, script)
    assert failure.rejection is rejection
    assert detail in failure.detail
    assert failure.retry_after is None


async def test_a_peer_that_echoed_once_is_held_to_it(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def script(visitor: Visitor) -> None:
        for it in ("0", "", None, "0", "", None):
            token = await visitor.token()
            await visitor.send(
                http_response(reply_json(token) if it is None else reply_json(token, it=it))
            )

    exchange = exchange_to((await serve(nursery, script)).url("http"))
    for _ in range(3):
        await measure(exchange)
    with pytest.raises(Rejected, match="has echoed before") as caught:
        await measure(exchange)
    assert caught.value.failure.rejection is Rejection.BOGUS


async def test_a_failure_closes_the_connection_and_the_next_measure_opens_one(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
) -> None:
    async def bogus_first(visitor: Visitor) -> None:
        if visitor.number == 1:
            await visitor.token()
            await visitor.send(http_response(reply_json("1.000001")))
            await visitor.until_closed()
            closed.set()
        else:
            await always_right(visitor)

    closed = trio.Event()
    server = await serve(nursery, bogus_first)
    exchange = exchange_to(server.url("http"))
    assert (await failure_of(exchange)).rejection is Rejection.BOGUS
    await closed.wait()
    assert (await measure(exchange)).first


@pytest.mark.parametrize("framing", [b"Content-Length: 10485760", b"Transfer-Encoding: chunked"])
async def test_a_huge_body_is_given_up_early(
    nursery: trio.Nursery, exchange_to: ExchangeTo, framing: bytes
) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.request()
        await visitor.send(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % framing)
        for _ in range(160):
            await visitor.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        sent_all.set()

    sent_all = trio.Event()
    failure = await failure_with(nursery, exchange_to, script)
    assert failure.rejection is Rejection.TOO_LARGE
    assert not sent_all.is_set()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 120", 120.0),
        ("Date: Sun, 22 Nov 2026 20:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 20:01:30 GMT", 90.0),
    ],
)
async def test_retry_after_is_passed_on(
    nursery: trio.Nursery, exchange_to: ExchangeTo, header: str, seconds: float
) -> None:
    failure = await failure_with(
        nursery, exchange_to, sends(http_response(b"", "503 Service Unavailable", header))
    )
    assert failure == Failure(Rejection.HTTP_STATUS, "503 Service Unavailable", retry_after=seconds)


async def never_answers(visitor: Visitor) -> None:
    await visitor.request()
    await trio.sleep_forever()


async def drips_the_head(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.drip(http_response(b""), interval=1)


async def drips_the_body(visitor: Visitor) -> None:
    reply = http_response(reply_json(await visitor.token()))
    await visitor.send(reply[:-10])
    await visitor.drip(reply[-10:], interval=1)


@pytest.mark.parametrize("script", [never_answers, drips_the_head, drips_the_body])
async def test_a_reply_must_be_whole_in_time(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    script: Script,
    patient_clock: MockClock,
) -> None:
    failure = await failure_with(nursery, exchange_to, script)
    assert failure == Failure(Rejection.TIMEOUT, "the reply took longer than 5 s")


async def test_a_cancelled_measure_leaves_no_half_used_connection(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    async def deaf_at_first(visitor: Visitor) -> None:
        if visitor.number == 1:
            await visitor.request()
            asked.set()
            await visitor.until_closed()
        else:
            await always_right(visitor)

    asked = trio.Event()
    server = await serve(nursery, deaf_at_first)
    exchange = exchange_to(server.url("http"))
    async with trio.open_nursery() as measuring:
        measuring.start_soon(measure, exchange)
        await asked.wait()
        measuring.cancel_scope.cancel()
    assert (await measure(exchange)).first
    assert server.connections == 2
