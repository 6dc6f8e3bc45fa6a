"""The listener that is scraped, over real loopback sockets, with clients of every kind."""

import errno
import socket
from http import HTTPStatus
from itertools import pairwise

import h11
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock, memory_stream_pair

from tests.unit.daemon.test_control import receive_all
from tests.unit.status.snapshots import SYNCHRONISED
from webntpd.daemon.metrics import REQUEST_SIZE, REST, HttpResponse, answer, refusal, serve_metrics
from webntpd.sockets.callers import CALLERS, TIME_LIMIT
from webntpd.sockets.listeners import ListenError, split_address
from webntpd.status.snapshot import Status

GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def address(nursery: trio.Nursery) -> str:
    return str(await nursery.start(serve_metrics, "127.0.0.1:0", lambda: SYNCHRONISED))


async def connect(address: str) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", split_address(address)[1])


def parsed(received: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """A reply that must be whole, and the last on its connection."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "localhost")]))
    client.send(h11.EndOfMessage())
    client.receive_data(received)
    client.receive_data(b"")
    response, body = client.next_event(), b""
    assert isinstance(response, h11.Response)
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert isinstance(client.next_event(), h11.ConnectionClosed)
    return response, body


async def ask(address: str, request: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    async with await connect(address) as client:
        await client.send_all(request)
        return parsed(await receive_all(client), method)


async def status_of(address: str, request: bytes) -> int:
    return (await ask(address, request))[0].status_code


# -- what is right -----------------------------------------------------------------------------


async def test_a_scrape_gets_the_snapshot_and_the_process(address: str) -> None:
    response, body = await ask(address, GET)
    assert response.status_code == 200
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"ntp_source_offset_seconds", "process_cpu_seconds"} <= names
    assert dict(response.headers)[b"content-type"].startswith(b"text/plain; version=0.0.4")


async def test_whoever_takes_openmetrics_gets_it(address: str) -> None:
    accept = b"\r\nAccept: text/html\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n"
    response, body = await ask(address, GET.removesuffix(b"\r\n\r\n") + accept)
    assert dict(response.headers)[b"content-type"].startswith(b"application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "fault", [OSError(errno.EMFILE, "Too many open files"), RuntimeError("broken")]
)
async def test_a_scrape_that_fails_costs_that_scrape(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    faults = [fault]

    def snapshot() -> Status:
        if faults:
            raise faults.pop()
        return SYNCHRONISED

    address = str(await nursery.start(serve_metrics, "127.0.0.1:0", snapshot))
    async with await connect(address) as client:
        await client.send_all(GET)
        assert await receive_all(client) == b""
    assert str(fault) in caplog.text
    assert await status_of(address, GET) == 200


async def test_a_head_gets_the_same_without_the_body(address: str) -> None:
    response, body = await ask(address, GET.replace(b"GET", b"HEAD"), "HEAD")
    assert response.status_code == 200
    assert int(dict(response.headers)[b"content-length"]) > 1000
    assert body == b""


async def test_a_request_may_come_byte_by_byte_and_with_a_query(address: str) -> None:
    async with await connect(address) as client:
        for byte in GET.replace(b"/metrics", b"/metrics?a=b"):
            await client.send_all(bytes([byte]))
        assert parsed(await receive_all(client))[0].status_code == 200


async def test_before_there_is_a_snapshot_the_reply_says_so(nursery: trio.Nursery) -> None:
    address = await nursery.start(serve_metrics, "127.0.0.1:0", lambda: None)
    response, body = await ask(address, GET)
    assert (response.status_code, body[:3]) == (503, b"503")


async def test_an_address_in_use_is_named() -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        taken = "{}:{}".format(*squatter.getsockname())
        with pytest.raises(ListenError, match=f"{taken}: address already in use"):
            await serve_metrics(taken, lambda: SYNCHRONISED)


# -- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 405),
        (b"OPTIONS /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * REQUEST_SIZE, 431),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else value,
)
async def test_what_is_no_scrape_is_refused(address: str, request_: bytes, status: int) -> None:
    assert await status_of(address, request_) == status


async def test_a_wrong_method_is_told_the_right_ones(address: str) -> None:
    response, _ = await ask(address, GET.replace(b"GET", b"DELETE"))
    assert dict(response.headers)[b"allow"] == b"GET, HEAD"


async def test_whoever_goes_without_a_request_gets_nothing(address: str) -> None:
    async with await connect(address) as client:
        await client.send_eof()
        assert await receive_all(client) == b""


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda junk: GET[:-2] + junk))
async def test_whatever_is_sent_the_reply_is_whole_or_there_is_none(request: bytes) -> None:
    async def scrape(accept: str) -> HttpResponse:
        return refusal(HTTPStatus.SERVICE_UNAVAILABLE, accept)

    client, server = memory_stream_pair()
    await client.send_all(request)
    await client.send_eof()
    await answer(server, scrape)
    await server.aclose()
    received = b"".join([chunk async for chunk in client])
    if received:
        parsed(received, "HEAD" if received.endswith(b"\r\n\r\n") else "GET")  # without a body


async def test_a_gigabyte_is_cut_off(address: str) -> None:
    async with await connect(address) as client:
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(bytes(2**30))
    assert await status_of(address, GET) == 200


async def test_a_client_that_is_silent_is_hung_up_on(
    nursery: trio.Nursery, patient_clock: MockClock
) -> None:
    address = await nursery.start(serve_metrics, "127.0.0.1:0", lambda: SYNCHRONISED)
    async with await connect(address) as client:
        began = trio.current_time()
        assert await receive_all(client) == b""
        assert trio.current_time() - began >= TIME_LIMIT - 0.1


async def test_a_client_that_never_reads_is_hung_up_on(
    nursery: trio.Nursery, patient_clock: MockClock
) -> None:
    many = Status(0, SYNCHRONISED.peers * 2000, SYNCHRONISED.verdict)
    address = await nursery.start(serve_metrics, "127.0.0.1:0", lambda: many)
    async with await connect(address) as client:
        await client.send_all(GET)
        await trio.sleep(TIME_LIMIT + 1)
        received = await receive_all(client)
    declared = int(received.partition(b"Content-Length: ")[2].split()[0])
    assert 0 < len(received) < declared


async def test_with_as_many_clients_as_may_be_the_next_is_hung_up_on(
    nursery: trio.Nursery, patient_clock: MockClock
) -> None:
    address = await nursery.start(serve_metrics, "127.0.0.1:0", lambda: SYNCHRONISED)
    silent = [await connect(address) for _ in range(CALLERS)]
    async with await connect(address) as late:
        began = trio.current_time()
        assert await receive_all(late) == b""
        assert trio.current_time() - began < TIME_LIMIT
    await trio.sleep(TIME_LIMIT + 1)
    assert await status_of(address, GET) == 200
    for client in silent:
        await client.aclose()


async def test_many_scrapes_at_once_are_made_one_after_the_other_with_rests(
    nursery: trio.Nursery, patient_clock: MockClock
) -> None:
    made: list[float] = []

    def snapshot() -> Status:
        made.append(trio.current_time())
        return SYNCHRONISED

    address = await nursery.start(serve_metrics, "127.0.0.1:0", snapshot)
    async with trio.open_nursery() as clients:
        for _ in range(CALLERS):
            clients.start_soon(ask, address, GET)
    assert len(made) == CALLERS
    assert min(later - earlier for earlier, later in pairwise(made)) >= REST - 1e-9


async def test_a_length_of_too_many_digits_for_python_is_a_bad_request(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: h11.Connection) -> None:
        raise ValueError("Exceeds the limit for integer string conversion")  # as with h11 0.14

    async with await connect(address) as client:
        with monkeypatch.context() as failing:
            failing.setattr(h11.Connection, "next_event", fail)
            await client.send_all(GET)
            received = await receive_all(client)
    response, _ = parsed(received)
    assert response.status_code == 400
