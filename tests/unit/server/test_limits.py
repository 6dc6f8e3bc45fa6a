"""Who counts as one client, what each may ask, and how more than that is refused."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.server.parts import T0, Parts, answer
from tests.unit.server.test_fastpaths import GET, TOKEN, UPGRADE, frame
from tests.unit.server.test_sockets import LOOPBACK, Running, read_all, read_reply, running
from tests.unit.server.test_websocket import close_code
from webntpd.clock.adjtime import ClockState
from webntpd.ntp.readings import NS_PER_S
from webntpd.server import ServerError
from webntpd.server.admission import network
from webntpd.server.clients import LOOPBACK as THIS_MACHINE
from webntpd.server.clients import MAX_ADDRESSES, UNKNOWN, Client, Clients, share_of
from webntpd.server.connection import Connection
from webntpd.server.parameters import Limits
from webntpd.server.reactor import TICK

FEW = Limits(requests_per_second=2.0, request_burst=3)


@pytest.mark.parametrize(
    ("host", "share"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", THIS_MACHINE),
        ("127.1.2.3", THIS_MACHINE),
        ("::1", THIS_MACHINE),
        ("::ffff:127.0.0.1", THIS_MACHINE),
        ("", THIS_MACHINE),
        ("unknown", UNKNOWN),
        ("192.0.2.7:443", "192.0.2.7"),
        ("[2001:db8:1:2::3]:443", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::3]", "2001:db8:1:2::/64"),
        ("192.0.2.7:", UNKNOWN),
        ("192.0.2.7:x", UNKNOWN),
        ("[192.0.2.7]:1", UNKNOWN),
        ("[2001:db8::1", UNKNOWN),
    ],
)
def test_an_address_uses_a_share(host: str, share: str) -> None:
    assert share_of(host) == share


class Time:
    """A monotonic clock that stands still."""

    ns = 0

    def __call__(self) -> int:
        return self.ns


def test_a_client_may_send_its_burst_and_then_its_rate() -> None:
    now = Time()
    client = Client(FEW, now)
    assert [client.admit() for _ in range(5)] == [True, True, True, False, False]
    assert client.retry_after == 1
    now.ns += NS_PER_S // 2
    assert [client.admit() for _ in range(2)] == [True, False]


@given(st.lists(st.integers(0, NS_PER_S), max_size=100))
def test_no_client_ever_gets_more_than_its_burst_and_rate(pauses: list[int]) -> None:
    now = Time()
    client = Client(FEW, now)
    admitted = 0
    for pause in pauses:
        now.ns += pause
        admitted += client.admit()
    assert admitted <= FEW.request_burst + now.ns * FEW.requests_per_second / NS_PER_S


@given(st.integers(1, 200))
def test_after_the_time_that_it_was_told_a_client_is_admitted(requests: int) -> None:
    now = Time()
    client = Client(replace(FEW, requests_per_second=0.1), now)
    for _ in range(requests):
        client.admit()
    now.ns += client.retry_after * NS_PER_S
    assert client.admit()


@pytest.mark.parametrize("tls", [False, True])
def test_a_polite_client_that_connects_for_every_request_is_never_refused(tls: bool) -> None:
    parts = Parts(limits=replace(FEW, requests_per_second=2.0, request_burst=4))
    admission = parts.caller("192.0.2.7").admission
    for _ in range(50):
        caller = admission.caller("192.0.2.7")
        assert caller.pay(tls=tls)
        assert answer(Connection(parts.context(), caller).receive(GET, T0)).status == 200
        parts.monotonic_ns += NS_PER_S if tls else NS_PER_S // 2


def test_the_price_of_a_connection_includes_one_request() -> None:
    caller = Parts(limits=FEW).caller("192.0.2.7")
    assert caller.pay(tls=False)
    assert caller.direct is not None
    assert [caller.admits(caller.direct) for _ in range(4)] == [True, True, True, False]


def test_a_burst_of_one_request_is_enough_for_a_tls_connection() -> None:
    parts = Parts(limits=replace(FEW, request_burst=1))
    admission = parts.caller("192.0.2.7").admission
    assert [admission.caller("192.0.2.7").pay(tls=True) for _ in range(2)] == [True, False]
    parts.monotonic_ns += NS_PER_S // 2
    assert admission.caller("192.0.2.7").pay(tls=True)


def test_connections_without_requests_are_limited_as_requests_are() -> None:
    parts = Parts(limits=FEW)
    admission = parts.caller("192.0.2.7").admission
    paid = [admission.caller("192.0.2.7").pay(tls=False) for _ in range(5)]
    assert paid == [True, True, True, False, False]


@pytest.mark.parametrize("host", ["10.1.2.3", "127.0.0.1", ""])
def test_proxies_and_this_machine_pay_for_no_connection(host: str) -> None:
    parts = Parts(limits=FEW)
    admission = parts.caller(host, "10.0.0.0/8").admission
    assert all(admission.caller(host).pay(tls=True) for _ in range(10))


def test_a_client_is_forgotten_when_it_has_regained_its_burst_and_has_no_connection() -> None:
    now = Time()
    clients = Clients(FEW, now)
    client = clients.find("192.0.2.7")
    assert client is not None
    client.admit()
    client.connections = 1
    now.ns += NS_PER_S
    clients.prune()
    assert clients.find("192.0.2.7") is client
    client.connections = 0
    clients.prune()
    assert clients.find("192.0.2.7") is not client


def test_the_loopback_is_exempt_unless_it_shall_not_be() -> None:
    assert Clients(FEW, Time()).find("::1") is None
    assert Clients(replace(FEW, exempt_loopback=False), Time()).find("::1") is not None


def test_those_who_come_when_too_many_are_known_share_one_share() -> None:
    clients = Clients(FEW, Time())
    for number in range(MAX_ADDRESSES):
        clients.find(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert clients.find("192.0.2.1") is clients.find("192.0.2.2")
    assert clients.find("10.0.0.1") is not clients.find("192.0.2.1")


def connection(parts: Parts, host: str, *proxies: str) -> Connection:
    return Connection(parts.context(), parts.caller(host, *proxies))


@pytest.mark.parametrize("fast_paths", [True, False])
def test_a_request_too_many_is_told_when_to_come_again(fast_paths: bool) -> None:
    parts = Parts(limits=replace(FEW, requests_per_second=0.1), fast_paths=fast_paths)
    conversation = connection(parts, "192.0.2.7")
    for _ in range(3):
        assert answer(conversation.receive(GET, T0)).status == 200
    refused = answer(conversation.receive(GET, T0))
    assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    assert "error" in json.loads(refused.body)
    assert conversation.closing
    assert parts.counters.status().refusals == 1


@pytest.mark.parametrize("message", [TOKEN, b"1.5e9"])
def test_a_message_too_many_closes_the_websocket(message: bytes) -> None:
    conversation = connection(Parts(limits=FEW), "192.0.2.7")
    conversation.receive(UPGRADE, T0)  # counts as well
    for _ in range(2):
        assert b'"it":' in conversation.receive(frame(message), T0)
    assert close_code(conversation.receive(frame(message), T0)) == 1008


@pytest.mark.parametrize(
    "too_many",
    [frame(b"", 0x89), frame(b"", 0x8A), frame(b"", 0x01) + frame(b"", 0x00) * 9],
    ids=["pings", "pongs", "fragments"],
)
def test_frames_that_say_nothing_count_as_well(too_many: bytes) -> None:
    conversation = connection(Parts(limits=FEW), "192.0.2.7")
    conversation.receive(UPGRADE, T0)
    assert close_code(conversation.receive(too_many * 3, T0)) == 1008
    assert conversation.closing


def test_a_frame_counts_once_however_it_is_cut() -> None:
    conversation = connection(Parts(limits=FEW), "192.0.2.7")
    conversation.receive(UPGRADE, T0)
    output = b"".join(
        conversation.receive(bytes([byte]), T0)
        for byte in frame(TOKEN[:9], 0x01) + frame(TOKEN[9:], 0x80)
    )
    assert b'"it":' + TOKEN in output


def test_this_machine_may_send_as_much_as_it_likes() -> None:
    conversation = connection(Parts(limits=FEW), "127.0.0.1")
    for _ in range(10):
        assert answer(conversation.receive(GET, T0)).status == 200


@pytest.mark.parametrize("proxy", ["10.1.2.3", "unix"])
def test_the_clients_of_a_proxy_that_is_trusted_have_a_share_each(proxy: str) -> None:
    host = "" if proxy == "unix" else proxy
    conversation = connection(Parts(limits=FEW), host, "10.0.0.0/8", "unix")

    def ask(forwarded_for: str) -> int:
        header = f"X-Forwarded-For: {forwarded_for}\r\n\r\n".encode()
        return answer(conversation.receive(GET[:-2] + header, T0)).status

    for _ in range(3):
        assert ask("203.0.113.1, 192.0.2.7") == 200
    assert ask("203.0.113.1, 192.0.2.8") == 200
    assert ask("192.0.2.99, 192.0.2.7") == 429


@pytest.mark.parametrize(
    ("forwarded_for", "share"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("127.0.0.1, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.9, 203.0.113.1, 192.0.2.7", "192.0.2.7"),
        ("203.0.113.1, 192.0.2.7, 10.0.0.9", "192.0.2.7"),
        ("127.0.0.1, 192.0.2.7, 10.0.0.9,10.0.0.8", "192.0.2.7"),
        ("192.0.2.7, 2001:db8:f::1", "192.0.2.7"),
        ("2001:db8:1:2::3, 10.0.0.9", "2001:db8:1:2::9"),
        ("10.0.0.8, 10.0.0.9", "10.0.0.8"),
        ("192.0.2.7:5, 10.0.0.9:6, [2001:db8:f::1]:7", "192.0.2.7"),
        ("192.0.2.7, nonsense", UNKNOWN),
        ("127.0.0.1, ", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_the_client_is_the_last_in_a_chain_that_is_no_proxy_of_ours(
    forwarded_for: str, share: str
) -> None:
    caller = Parts().caller("10.1.2.3", "10.0.0.0/8", "2001:db8:f::/48")
    assert caller.client(forwarded_for) is caller.admission.clients.find(share)
    assert caller.client(forwarded_for) is not None


def test_what_a_proxy_says_of_its_client_is_not_kept_unless_it_is_short() -> None:
    caller = Parts().caller("10.1.2.3", "10.0.0.0/8")
    share_of.cache_clear()
    for number in range(100):
        assert caller.client(f"{number:08000}") is caller.admission.clients.find(UNKNOWN)
    assert share_of.cache_info().currsize == 1
    longest = "[2001:0db8:0001:0002:0003:0004:192.168.100.100%interface-name01]:65535"
    assert caller.client(longest) is caller.admission.clients.find("2001:db8:1:2::")


def test_what_two_headers_say_is_one_chain() -> None:
    conversation = connection(Parts(limits=FEW), "10.1.2.3", "10.0.0.0/8")
    statuses = []
    for number in range(4):
        chain = f"X-Forwarded-For: 192.0.2.{number}\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
        statuses.append(answer(conversation.receive(GET[:-2] + chain.encode(), T0)).status)
    assert statuses == [200, 200, 200, 429]


def test_what_others_say_of_whom_they_forward_for_is_not_believed() -> None:
    conversation = connection(Parts(limits=FEW), "192.0.2.7", "10.0.0.0/8")
    statuses = []
    for number in range(4):
        header = f"X-Forwarded-For: 192.0.2.{number}\r\n\r\n".encode()
        statuses.append(answer(conversation.receive(GET[:-2] + header, T0)).status)
    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize("host", ["10.1.2.3", "127.0.0.1", ""])
@pytest.mark.parametrize("fast_paths", [True, False])
def test_a_proxy_that_names_no_client_is_limited_itself(fast_paths: bool, host: str) -> None:
    parts = Parts(limits=FEW, fast_paths=fast_paths)
    conversation = connection(parts, host, "10.0.0.0/8", "127.0.0.1", "unix")
    statuses = [answer(conversation.receive(GET, T0)).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize("trusted", ["192.0.2.0/24", "::ffff:192.0.2.0/120", "::ffff:192.0.2.1"])
@pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:192.0.2.1"])
def test_a_proxy_is_known_on_a_socket_that_takes_both_ipv4_and_ipv6(
    trusted: str, host: str
) -> None:
    caller = Parts(limits=FEW).caller(host, trusted)
    assert caller.proxy == host
    assert caller.admission.caller("::ffff:198.51.100.1").proxy is None
    assert caller.client("198.51.100.7, ::ffff:192.0.2.1") is caller.client("198.51.100.7")


def test_a_proxy_that_is_no_address_is_named() -> None:
    with pytest.raises(ServerError, match="cannot trust proxy example: "):
        Parts().caller("127.0.0.1", "example")


UNSYNCHRONISED = ClockState(synchronised=False, max_error=16.0)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("required", "state", "status"),
    [
        (False, UNSYNCHRONISED, 200),
        (True, UNSYNCHRONISED, 503),
        (True, ClockState(synchronised=True, max_error=0.1), 200),
    ],
)
def test_the_page_for_load_balancers_tells_whether_time_is_served(
    method: str, required: bool, state: ClockState, status: int
) -> None:
    parts = Parts(require_sync=required, state=state)
    request = f"{method} /healthz HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    found = answer(parts.connection().receive(request, T0), method)
    assert found.status == status
    if method == "GET":
        members = json.loads(found.body)
        assert members == {"healthy": status == 200, "synchronised": state.synchronised}


def test_time_that_is_not_synchronised_is_withheld_if_so_wanted() -> None:
    parts = Parts(require_sync=True)
    context = parts.context()
    conversation, websocket = (Connection(context, parts.caller()) for _ in range(2))
    websocket.receive(UPGRADE, T0)
    assert answer(conversation.receive(GET, T0)).status == 200
    parts.state = UNSYNCHRONISED
    later = T0 + NS_PER_S
    context.refresh(later)
    found = answer(conversation.receive(GET, later))
    assert (found.status, found.headers["retry-after"]) == (503, "60")
    head = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert answer(conversation.receive(head, later), "HEAD").status == 503
    assert answer(conversation.receive(UPGRADE, later)).status == 503
    assert close_code(websocket.receive(frame(TOKEN), later)) == 1013


# On real sockets; the loopback is what clients connect by here.

STRICT = replace(LOOPBACK, limits=Limits(exempt_loopback=False, connections_per_address=2))
CROWDED = replace(LOOPBACK, limits=Limits(connections=2))


async def test_a_connection_too_many_of_one_address_is_refused_and_a_place_is_freed() -> None:
    async with running(STRICT) as server:
        first, second = await server.connect(), await server.connect()
        for client in (first, second):
            await client.send_all(GET)
            await read_reply(client)
        assert await read_all(await server.connect()) == b""
        assert server.counters.status().refusals == 1
        await first.aclose()
        while server.counters.status().connections == 2:
            await trio.testing.wait_all_tasks_blocked()
        third = await server.connect()
        await third.send_all(GET)
        await read_reply(third)


async def test_with_too_many_in_all_the_longest_idle_makes_room() -> None:
    async with running(CROWDED) as server:
        first, second = await server.connect(), await server.connect()
        for client in (first, second, first):
            await client.send_all(GET)
            await read_reply(client)
        third = await server.connect()
        assert await read_all(second) == b""
        for client in (first, third):
            await client.send_all(GET)
            await read_reply(client)
        status = server.counters.status()
        assert (status.connections, status.accepted, status.refusals) == (2, 3, 1)


@pytest.mark.parametrize("tls", [False, True])
async def test_an_address_over_its_rate_is_refused_before_anything_is_read(
    tls: bool, authority: trustme.CA, tmp_path: Path
) -> None:
    limits = Limits(exempt_loopback=False, requests_per_second=0.001, request_burst=4)
    parameters = replace(LOOPBACK, limits=limits)
    if tls:
        path = tmp_path / "both.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
        parameters = replace(parameters, listen=(), listen_tls=("127.0.0.1:0",), certificate=path)
    paid = 2 if tls else 4
    async with running(parameters) as server:
        clients = [await server.connect() for _ in range(paid)]
        assert await read_all(await server.connect()) == b""
        assert server.counters.status().accepted == paid
        if not tls:
            for client in clients:
                await client.send_all(GET)
                assert (await read_reply(client)).startswith(b"HTTP/1.1 200 ")


async def ask_for_a_websocket(server: Running, client: str) -> tuple[trio.SocketStream, int]:
    stream = await server.connect()
    await stream.send_all(UPGRADE[:-2] + f"X-Forwarded-For: {client}\r\n\r\n".encode())
    return stream, int((await stream.receive_some()).split()[1])


async def test_websockets_behind_a_proxy_count_as_connections_of_their_client() -> None:
    parameters = replace(STRICT, trusted_proxies=("127.0.0.1",))
    async with running(parameters) as server:
        first, status = await ask_for_a_websocket(server, "192.0.2.7")
        assert status == 101
        statuses = [(await ask_for_a_websocket(server, "192.0.2.7"))[1] for _ in range(3)]
        assert statuses == [101, 429, 429]
        assert (await ask_for_a_websocket(server, "192.0.2.8"))[1] == 101
        before = server.counters.status().connections
        await first.aclose()
        while server.counters.status().connections == before:
            await trio.testing.wait_all_tasks_blocked()
        assert (await ask_for_a_websocket(server, "192.0.2.7"))[1] == 101


@pytest.mark.parametrize(
    ("sent", "patience"),
    [
        (b"", Limits().request_time),
        (GET[:20], Limits().request_time),
        (GET + GET[:20], Limits().request_time),
        (GET, Limits().idle_time),
        (UPGRADE, Limits().idle_time),
    ],
    ids=["nothing", "half a request", "half a second request", "a request", "a handshake"],
)
async def test_a_client_that_falls_silent_is_given_up_in_time(
    sent: bytes, patience: float, mock_clock: trio.testing.MockClock
) -> None:
    async with running() as server:
        client = await server.connect()
        await client.send_all(sent)
        while server.counters.status().accepted == 0:
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(patience - 2 * TICK)
        await trio.testing.wait_all_tasks_blocked()
        assert server.counters.status().connections == 1
        mock_clock.jump(4 * TICK)
        while server.counters.status().connections:
            await trio.testing.wait_all_tasks_blocked()


async def test_a_client_that_takes_no_reply_is_given_up_in_time(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with running() as server:
        client = await server.connect()
        await client.send_all(UPGRADE)
        jumps = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_until_cut_off, client)
            while server.counters.status().connections or jumps == 0:
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(TICK)
                jumps += 1
    assert jumps * TICK < Limits().idle_time / 2


async def send_until_cut_off(client: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        while True:
            await client.send_all(frame(TOKEN) * 1000)


async def drip(server: Running, data: bytes, mock_clock: trio.testing.MockClock) -> int:
    """Send a byte each second until the server hangs up; return the seconds."""
    client = await server.connect()
    dripped = 0
    while server.counters.status().connections or dripped == 0:
        await client.send_all(data[dripped : dripped + 1])
        dripped += 1
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1.0)
        await trio.testing.wait_all_tasks_blocked()
    return dripped


@pytest.mark.parametrize("data", [GET, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000])
async def test_a_request_that_drips_is_given_up(
    data: bytes, mock_clock: trio.testing.MockClock
) -> None:
    async with running() as server:
        assert await drip(server, data, mock_clock) < Limits().request_time + 3


def test_a_request_that_no_limit_applies_to_changes_no_holder() -> None:
    caller = Parts().caller("192.0.2.7")
    assert caller.hold(None)
    assert caller.holder is None
    caller.leave()  # it has never entered
    assert caller.holder is None


def test_a_long_ipv6_prefix_is_an_ipv4_network_only_if_it_is_a_mapped_one() -> None:
    assert str(network("2001:db8::1")) == "2001:db8::1/128"
    assert str(network("::ffff:192.0.2.0/120")) == "192.0.2.0/24"
