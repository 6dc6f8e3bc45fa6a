"""The time-header exchange against scripted servers."""

import time

import pytest
import trio

from tests.fakes.server import Script, Visitor, seconds, serve
from tests.unit.conftest import ExchangeTo
from webntpd.names import Kind
from webntpd.ntp.readings import NS_PER_S, Formula, Rejection
from webntpd.protocol.rejected import Rejected

DATE = "Date: Sun, 22 Nov 2026 20:00:00 GMT"
DATE_NS = 1_795_377_600_000_000_000


def answers(status: str, *headers: str) -> Script:
    async def script(visitor: Visitor) -> None:
        while True:
            await visitor.request()
            await visitor.send("\r\n".join([f"HTTP/1.1 {status}", *headers, "\r\n"]).encode())

    return script


async def right(visitor: Visitor) -> None:
    while True:
        await visitor.request()
        header = f"X-HTTPSTIME: {seconds(time.time_ns())}"
        await visitor.send(f"HTTP/1.1 204 No Content\r\n{header}\r\n\r\n".encode())


async def test_the_header_gives_a_two_stamp_reading(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, right)
    exchange = exchange_to(server.url("http", ""), Kind.TIME_HEADER)
    [first] = await exchange.measure(last=False)
    [second] = await exchange.measure(last=True)
    assert (first.first, second.first) == (True, False)
    assert second.t1_ns <= second.t2_ns == second.t3_ns <= second.t4_ns
    assert second.provenance.formula is Formula.TWO_STAMP
    assert server.connections == 1


@pytest.mark.parametrize(
    ("path", "asked"),
    [("", "/.well-known/time"), ("/", "/.well-known/time"), ("/of/mine", "/of/mine")],
)
async def test_the_request_is_a_head_of_the_well_known_path_unless_the_url_has_one(
    nursery: trio.Nursery, exchange_to: ExchangeTo, path: str, asked: str
) -> None:
    server = await serve(nursery, right)
    exchange = exchange_to(server.url("http", path), Kind.TIME_HEADER)
    await exchange.measure(last=True)
    assert server.requests[0].startswith(f"HEAD {asked} HTTP/1.1\r\n")


async def test_a_date_is_read_where_it_is_accepted_as_the_begin_of_its_second(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, answers("200 OK", DATE))
    exchange = exchange_to(server.url("http"), Kind.TIME_HEADER, accept_date=True)
    [reading] = await exchange.measure(last=True)
    assert reading.t2_ns == reading.t3_ns == DATE_NS
    assert reading.provenance.formula is Formula.DATE
    assert reading.resolution_ns == NS_PER_S


@pytest.mark.parametrize(
    ("digits", "past_ns", "resolution_ns"),
    [(".25", 250_000_000, 10**7), (".250000", 250_000_000, 1000), ("", 0, NS_PER_S)],
)
async def test_the_header_is_preferred_to_the_date_with_any_number_of_digits(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    digits: str,
    past_ns: int,
    resolution_ns: int,
) -> None:
    header = f"X-HTTPSTIME: {DATE_NS // NS_PER_S}{digits}"
    server = await serve(nursery, answers("204 No Content", DATE, header))
    exchange = exchange_to(server.url("http"), Kind.TIME_HEADER, accept_date=True)
    [reading] = await exchange.measure(last=True)
    assert reading.t2_ns == reading.t3_ns == DATE_NS + past_ns
    assert reading.provenance.formula is Formula.TWO_STAMP
    assert reading.resolution_ns == resolution_ns


@pytest.mark.parametrize(
    ("script", "rejection"),
    [
        (answers("204 No Content", DATE), Rejection.MALFORMED),
        (answers("204 No Content", "X-HTTPSTIME: noon"), Rejection.MALFORMED),
        (answers("204 No Content", "X-HTTPSTIME: 1489217288.1000000"), Rejection.MALFORMED),
        (answers("404 Not Found", "X-HTTPSTIME: 1795377600.25"), Rejection.HTTP_STATUS),
        (answers("308 Permanent Redirect", "Location: /here"), Rejection.REDIRECT),
    ],
)
async def test_bad_input_gets_one_named_rejection(
    nursery: trio.Nursery, exchange_to: ExchangeTo, script: Script, rejection: Rejection
) -> None:
    server = await serve(nursery, script)
    exchange = exchange_to(server.url("http"), Kind.TIME_HEADER)
    with pytest.raises(Rejected) as caught:
        await exchange.measure(last=True)
    assert caught.value.failure.rejection is rejection


async def test_a_date_that_is_none_is_malformed(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, answers("200 OK", "Date: today"))
    exchange = exchange_to(server.url("http"), Kind.TIME_HEADER, accept_date=True)
    with pytest.raises(Rejected) as caught:
        await exchange.measure(last=True)
    assert caught.value.failure.rejection is Rejection.MALFORMED


async def test_a_server_that_does_not_want_the_load_is_heard(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    busy = answers("429 Too Many Requests", "Retry-After: 3600", "Content-Length: 0")
    server = await serve(nursery, busy)
    exchange = exchange_to(server.url("http"), Kind.TIME_HEADER)
    with pytest.raises(Rejected) as caught:
        await exchange.measure(last=True)
    assert caught.value.failure.retry_after == 3600
