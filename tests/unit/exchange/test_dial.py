"""The way to a server: addresses, TLS and proxies, for http and ws alike."""

import datetime
import re
import socket
import ssl
import struct
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import MockClock

from tests.fakes.proxy import refusing, tunnelling
from tests.fakes.server import FakeServer, Script, Visitor, always_right, always_right_socket, serve
from tests.unit.conftest import ExchangeTo, server_context
from webntpd.exchange import tls
from webntpd.exchange.base import Exchange
from webntpd.exchange.dial import tell_of_refusal
from webntpd.ntp.readings import NS_PER_S, Failure, Rejection
from webntpd.protocol.rejected import Rejected
from webntpd.sockets import stamps

PLAIN = [("http", always_right), ("ws", always_right_socket)]
SECURE = [("https", always_right), ("wss", always_right_socket)]


async def assert_measures(exchange: Exchange) -> None:
    [reading] = await exchange.measure(last=True)
    assert reading.first
    [reading] = await exchange.measure(last=True)
    assert not reading.first


async def failure_of(exchange: Exchange) -> Failure:
    with pytest.raises(Rejected) as caught:
        await exchange.measure(last=True)
    return caught.value.failure


class Names(trio.abc.HostnameResolver):
    """A resolver of one's own: addresses for names, and `hangs` and `unknown`."""

    def __init__(self, **addresses: list[str]) -> None:
        self._addresses = addresses

    async def getaddrinfo(  # type: ignore[override]
        self, host: bytes, port: int | str, *_: int
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        name = host.decode().partition(".")[0]
        if name == "hangs":
            await trio.sleep_forever()
        if name not in self._addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                0,
                "",
                (address, int(port)),
            )
            for address in self._addresses[name]
        ]

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


# Addresses


@pytest.mark.parametrize(("scheme", "script"), PLAIN)
async def test_ipv6_is_spoken(
    nursery: trio.Nursery, exchange_to: ExchangeTo, scheme: str, script: Script
) -> None:
    server = await serve(nursery, script, host="::1")
    await assert_measures(exchange_to(server.url(scheme)))


@pytest.mark.parametrize(("scheme", "script"), PLAIN)
async def test_a_name_whose_first_address_is_dead_is_reached_by_its_second(
    nursery: trio.Nursery, exchange_to: ExchangeTo, scheme: str, script: Script
) -> None:
    trio.socket.set_custom_hostname_resolver(Names(two=["::1", "127.0.0.1"]))
    server = await serve(nursery, script)
    await assert_measures(exchange_to(server.url(scheme, host="two.example")))


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("name", ["unknown.example", "a..b", "x" * 64 + ".example"])
async def test_a_name_without_address_is_named(
    exchange_to: ExchangeTo, scheme: str, name: str
) -> None:
    trio.socket.set_custom_hostname_resolver(Names())
    failure = await failure_of(exchange_to(f"{scheme}://{name}/"))
    assert failure.rejection is Rejection.RESOLVE
    assert failure.detail.startswith(f"{name}: ")


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_resolver_that_hangs_is_given_up_on(
    exchange_to: ExchangeTo,
    scheme: str,
    patient_clock: MockClock,
) -> None:
    trio.socket.set_custom_hostname_resolver(Names())
    failure = await failure_of(exchange_to(f"{scheme}://hangs.example/", timeout=3.0))
    assert failure == Failure(Rejection.TIMEOUT, "connecting to hangs.example took longer than 3 s")


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_port_where_no_one_listens_is_named(exchange_to: ExchangeTo, scheme: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        failure = await failure_of(exchange_to(f"{scheme}://127.0.0.1:{port}/"))
    assert failure == Failure(Rejection.CONNECT, f"127.0.0.1:{port}: Connection refused")


async def test_all_the_reasons_of_all_the_addresses_are_told_once_each(
    exchange_to: ExchangeTo,
) -> None:
    trio.socket.set_custom_hostname_resolver(Names(two=["127.0.0.1", "127.0.0.2"]))
    with socket.socket() as bound:
        bound.bind(("0.0.0.0", 0))
        port = bound.getsockname()[1]
        failure = await failure_of(exchange_to(f"http://two.example:{port}/"))
    assert failure == Failure(Rejection.CONNECT, f"two.example:{port}: Connection refused")


# TLS


@pytest.mark.parametrize(("scheme", "script"), SECURE)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_tls_is_verified_against_the_file_of_authorities(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    context: ssl.SSLContext,
    ca_file: Path,
    scheme: str,
    script: Script,
    host: str,
) -> None:
    server = await serve(nursery, script, context=context, host=host)
    exchange = exchange_to(server.url(scheme), ca_file=ca_file)
    await assert_measures(exchange)
    await exchange.aclose()
    await assert_measures(exchange)


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_an_unknown_authority_is_refused(
    nursery: trio.Nursery, exchange_to: ExchangeTo, context: ssl.SSLContext, scheme: str
) -> None:
    server = await serve(nursery, always_right, context=context)
    failure = await failure_of(exchange_to(server.url(scheme)))
    assert failure.rejection is Rejection.TLS
    assert "unable to get local issuer certificate" in failure.detail


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_a_certificate_for_another_name_is_refused(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    authority: trustme.CA,
    ca_file: Path,
    scheme: str,
) -> None:
    other = server_context(authority.issue_cert("other.example"))
    server = await serve(nursery, always_right, context=other)
    failure = await failure_of(exchange_to(server.url(scheme), ca_file=ca_file))
    assert failure.rejection is Rejection.TLS
    assert "IP address mismatch" in failure.detail


THEN = datetime.datetime(2019, 12, 1, tzinfo=datetime.UTC)
LONG_AGO = datetime.datetime(2020, 1, 1, 12, 30, tzinfo=datetime.UTC)
FAR_OFF = datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC)
LATER = datetime.datetime(2090, 2, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize("scheme", ["https", "wss"])
@pytest.mark.parametrize(
    ("begin", "end", "detail"),
    [
        (
            THEN,
            LONG_AGO,
            (
                r"certificate: certificate has expired: it is good from 2019-12-01 00:00 UTC to"
                r" 2020-01-01 12:30 UTC, and this clock shows 20\d\d-\d\d-\d\d \d\d:\d\d UTC"
            ),
        ),
        (
            FAR_OFF,
            LATER,
            (
                r"certificate: certificate is not yet valid: it is good from"
                r" 2090-01-01 00:00 UTC to 2090-02-01 00:00 UTC,"
                r" and this clock shows 20\d\d-\d\d-\d\d \d\d:\d\d UTC"
            ),
        ),
    ],
)
async def test_a_certificate_of_another_time_is_refused_with_its_dates_and_the_clocks(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    authority: trustme.CA,
    ca_file: Path,
    scheme: str,
    begin: datetime.datetime,
    end: datetime.datetime,
    detail: str,
) -> None:
    issued = authority.issue_cert("127.0.0.1", not_before=begin, not_after=end)
    server = await serve(nursery, always_right, context=server_context(issued))
    failure = await failure_of(exchange_to(server.url(scheme), ca_file=ca_file))
    assert failure.rejection is Rejection.TLS
    assert re.fullmatch(detail, failure.detail)


async def test_where_python_shows_no_dates_the_reason_stands_alone(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    authority: trustme.CA,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tls, "_unverified_chain", lambda _: [object()])
    expired = server_context(authority.issue_cert("127.0.0.1", not_before=THEN, not_after=LONG_AGO))
    server = await serve(nursery, always_right, context=expired)
    failure = await failure_of(exchange_to(server.url("https"), ca_file=ca_file))
    assert failure == Failure(Rejection.TLS, "certificate: certificate has expired")


async def test_a_certificate_that_is_good_by_our_clock_has_no_dates_in_the_reason(
    nursery: trio.Nursery, authority: trustme.CA, ca_file: Path
) -> None:
    expired = server_context(authority.issue_cert("127.0.0.1", not_before=THEN, not_after=LONG_AGO))
    server = await serve(nursery, always_right, context=expired)
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    now_ns = int(THEN.timestamp() + 1) * NS_PER_S
    with pytest.raises(Rejected) as caught:
        await tls.start_tls(stream, tls.make_context(ca_file), "127.0.0.1", now_ns)
    assert caught.value.failure.detail == "certificate: certificate has expired"
    await stream.aclose()


async def hangs_up(visitor: Visitor) -> None:
    await visitor.stream.receive_some()


async def speaks_plain_http(visitor: Visitor) -> None:
    await visitor.stream.receive_some()
    await visitor.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def resets(visitor: Visitor) -> None:
    await visitor.stream.receive_some()
    assert isinstance(visitor.stream, trio.SocketStream)
    visitor.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("scheme", ["https", "wss"])
@pytest.mark.parametrize("script", [hangs_up, resets, speaks_plain_http])
async def test_a_server_that_speaks_no_tls_is_named(
    nursery: trio.Nursery, exchange_to: ExchangeTo, ca_file: Path, scheme: str, script: Script
) -> None:
    server = await serve(nursery, script)
    failure = await failure_of(exchange_to(server.url(scheme), ca_file=ca_file))
    assert failure.rejection is Rejection.TLS


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_a_tls_handshake_must_end_in_time(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    ca_file: Path,
    scheme: str,
    patient_clock: MockClock,
) -> None:
    server = await serve(nursery, Visitor.until_closed)
    failure = await failure_of(exchange_to(server.url(scheme), ca_file=ca_file))
    assert failure == Failure(Rejection.TIMEOUT, "the TLS handshake took longer than 5 s")


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_garbage_within_tls_is_named_as_tls(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    context: ssl.SSLContext,
    ca_file: Path,
    scheme: str,
) -> None:
    async def script(visitor: Visitor) -> None:
        await visitor.request()
        assert isinstance(visitor.stream, trio.SSLStream)
        await visitor.stream.transport_stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))

    server = await serve(nursery, script, context=context)
    failure = await failure_of(exchange_to(server.url(scheme), ca_file=ca_file))
    assert failure.rejection is Rejection.TLS


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_a_name_that_no_certificate_could_have_is_named(
    nursery: trio.Nursery, exchange_to: ExchangeTo, scheme: str
) -> None:
    server = await serve(nursery, always_right)
    proxy = await serve(nursery, tunnelling(to=("127.0.0.1", server.port)))
    failure = await failure_of(exchange_to(f"{scheme}://.example/", proxy=proxy.url("http", "")))
    assert failure.rejection is Rejection.TLS
    assert "'.example'" in failure.detail


async def test_a_file_of_authorities_that_is_none_is_named(
    nursery: trio.Nursery, exchange_to: ExchangeTo, tmp_path: Path
) -> None:
    server = await serve(nursery, Visitor.until_closed)
    failure = await failure_of(exchange_to(server.url("https"), ca_file=tmp_path / "absent.pem"))
    assert failure == Failure(Rejection.TLS, f"{tmp_path}/absent.pem: No such file or directory")


# Proxies


async def both(nursery: trio.Nursery, scheme: str) -> tuple[FakeServer, FakeServer]:
    """A server for a scheme, and a proxy that leads to it."""
    script = always_right if scheme == "http" else always_right_socket
    server = await serve(nursery, script)
    return server, await serve(nursery, tunnelling())


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_configured_proxy_is_asked_for_a_tunnel(
    nursery: trio.Nursery, exchange_to: ExchangeTo, scheme: str
) -> None:
    server, proxy = await both(nursery, scheme)
    await assert_measures(exchange_to(server.url(scheme), proxy=proxy.url("http", "")))
    [request] = proxy.requests
    authority = f"{server.host}:{server.port}"
    assert request.startswith(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}")
    assert "Proxy-Authorization" not in request


async def test_a_proxy_may_say_something_before_it_says_yes(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, always_right)
    to = ("127.0.0.1", server.port)
    proxy = await serve(nursery, tunnelling(to=to, before=b"HTTP/1.1 103 Early Hints\r\n\r\n"))
    await assert_measures(exchange_to(server.url("http"), proxy=proxy.url("http", "")))


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_proxy_gets_the_credentials_in_its_url(
    nursery: trio.Nursery, exchange_to: ExchangeTo, scheme: str
) -> None:
    server, proxy = await both(nursery, scheme)
    url = proxy.url("http", "", f"me:sec%3Aret@{proxy.host}")
    await assert_measures(exchange_to(server.url(scheme), proxy=url))
    assert "Proxy-Authorization: Basic bWU6c2VjOnJldA==" in proxy.requests[0]


@pytest.mark.parametrize(("scheme", "script"), SECURE)
async def test_a_tunnel_carries_tls_to_a_name_that_only_the_proxy_knows(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    context: ssl.SSLContext,
    ca_file: Path,
    scheme: str,
    script: Script,
) -> None:
    server = await serve(nursery, script, context=context)
    proxy = await serve(nursery, tunnelling(to=("127.0.0.1", server.port)))
    url = f"{scheme}://time.example"
    await assert_measures(exchange_to(url, proxy=proxy.url("http", ""), ca_file=ca_file))
    assert proxy.requests[0].startswith("CONNECT time.example:443 HTTP/1.1\r\n")


async def test_a_tunnel_leads_to_an_ipv6_address(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    server = await serve(nursery, always_right, host="::1")
    proxy = await serve(nursery, tunnelling())
    await assert_measures(exchange_to(server.url("http"), proxy=proxy.url("http", "")))
    assert proxy.requests[0].startswith(f"CONNECT [::1]:{server.port} HTTP/1.1\r\n")


async def test_a_proxy_may_be_spoken_to_over_tls(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    context: ssl.SSLContext,
    ca_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))  # the system's store, to OpenSSL
    server = await serve(nursery, always_right, context=context)
    proxy = await serve(nursery, tunnelling(), context=context)
    exchange = exchange_to(server.url("https"), proxy=proxy.url("https", ""), ca_file=ca_file)
    await assert_measures(exchange)


@pytest.mark.parametrize(
    ("scheme", "variable"),
    [("http", "http_proxy"), ("ws", "http_proxy"), ("http", "all_proxy"), ("ws", "all_proxy")],
)
async def test_the_environment_names_a_proxy(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    variable: str,
) -> None:
    server, proxy = await both(nursery, scheme)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv(variable, f"{proxy.host}:{proxy.port}")
    await assert_measures(exchange_to(server.url(scheme), proxy=None))
    assert proxy.connections == 1
    monkeypatch.setenv("no_proxy", server.host)
    await assert_measures(exchange_to(server.url(scheme), proxy=None))
    assert proxy.connections == 1


@pytest.mark.parametrize("scheme", ["https", "wss"])
async def test_the_environments_https_proxy_is_for_both_secure_schemes(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    proxy = await serve(nursery, refusing("403 Forbidden"))
    monkeypatch.setenv("https_proxy", proxy.url("http", ""))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    failure = await failure_of(exchange_to(f"{scheme}://time.example/", proxy=None))
    assert failure.rejection is Rejection.PROXY


async def test_an_empty_proxy_overrides_the_environments(
    nursery: trio.Nursery, exchange_to: ExchangeTo, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, proxy = await both(nursery, "http")
    monkeypatch.setenv("http_proxy", proxy.url("http", ""))
    await assert_measures(exchange_to(server.url("http"), proxy=""))
    assert proxy.connections == 0


async def hangs_up_on_request(visitor: Visitor) -> None:
    await visitor.request()


async def sends_garbage(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.send(b"\x05\x00\r\n\r\n")


async def talks_into_the_tunnel(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.send(b"HTTP/1.1 200 OK\r\n\r\nwelcome")


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (refusing("403 Forbidden"), "403 Forbidden"),
        (refusing("407 Proxy Authentication Required"), "407 Proxy Authentication Required"),
        (refusing("302 Found", "Location: http://login.example"), "to http://login.example"),
        (hangs_up_on_request, "hung up"),
        (sends_garbage, "not HTTP"),
        (talks_into_the_tunnel, "sent data of its own"),
    ],
)
async def test_a_proxy_that_makes_no_tunnel_is_named(
    nursery: trio.Nursery, exchange_to: ExchangeTo, scheme: str, script: Script, detail: str
) -> None:
    proxy = await serve(nursery, script)
    failure = await failure_of(
        exchange_to(f"{scheme}://time.example/", proxy=proxy.url("http", ""))
    )
    assert failure.rejection is Rejection.PROXY
    assert detail in failure.detail
    assert f"proxy {proxy.host}:{proxy.port}" in failure.detail


@pytest.mark.parametrize(
    ("userinfo", "headers", "told"),
    [
        (
            "",
            ['Proxy-Authenticate: Basic realm="a, b c"'],
            "it offers Basic: put user and password",
        ),
        ("u:secret@", ["Proxy-Authenticate: Basic"], "it offers Basic, and refuses this user and"),
        (
            "u:secret@",
            ['Proxy-Authenticate: Negotiate, NTLM TlRMTVNTUAAC==, Digest realm="x", nonce="y"'],
            "it offers Negotiate, NTLM, Digest: webntpd speaks only Basic",
        ),
        (
            "",
            ["Proxy-Authenticate: NTLM", "Proxy-Authenticate: Basic"],
            "it offers NTLM, Basic: put",
        ),
        ("", [], "it offers nothing: webntpd speaks only Basic"),
    ],
)
async def test_a_proxy_that_wants_a_password_is_quoted_with_its_schemes(
    nursery: trio.Nursery, exchange_to: ExchangeTo, userinfo: str, headers: list[str], told: str
) -> None:
    proxy = await serve(nursery, refusing("407 Proxy Authentication Required", *headers))
    url = proxy.url("http", "", f"{userinfo}{proxy.host}")
    failure = await failure_of(exchange_to("http://time.example/", proxy=url))
    assert failure.rejection is Rejection.PROXY
    assert told in failure.detail
    assert "secret" not in failure.detail


@pytest.mark.parametrize(
    "url",
    [
        "http://u:12/secret@h:3128",
        "http://u:secret#@h",
        "u:secret?x@h",
        "http://u:secret%ter@h:3128",
        "http://u:secret%@h:3128",
        "socks5://u:secret@h",
    ],
)
async def test_a_password_in_the_environment_is_not_shown(
    exchange_to: ExchangeTo, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("http_proxy", url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    failure = await failure_of(exchange_to("http://time.example/", proxy=None))
    assert failure.rejection is Rejection.PROXY
    assert "secret" not in failure.detail
    assert "%2F" in failure.detail or "SOCKS" in failure.detail


async def test_a_busy_proxys_retry_after_is_passed_on(
    nursery: trio.Nursery, exchange_to: ExchangeTo
) -> None:
    proxy = await serve(nursery, refusing("503 Service Unavailable", "Retry-After: 30"))
    exchange = exchange_to("http://time.example/", proxy=proxy.url("http", ""))
    assert (await failure_of(exchange)).retry_after == 30


async def test_a_tunnel_must_be_made_in_time(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    patient_clock: MockClock,
) -> None:
    proxy = await serve(nursery, Visitor.until_closed)
    exchange = exchange_to("http://time.example/", proxy=proxy.url("http", ""))
    assert await failure_of(exchange) == Failure(
        Rejection.TIMEOUT,
        f"the tunnel of the proxy {proxy.host}:{proxy.port} took longer than 5 s",
    )


@pytest.mark.parametrize(
    "proxy", ["socks5://localhost:1080", "http://", "http://[::1", "http://xn--"]
)
async def test_a_proxy_url_that_makes_no_sense_is_named(
    exchange_to: ExchangeTo, proxy: str
) -> None:
    failure = await failure_of(exchange_to("http://time.example/", proxy=proxy))
    assert failure.rejection is Rejection.PROXY


# Kernel timestamps


async def test_a_kernel_that_refuses_timestamps_is_told_of_once_and_no_obstacle(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stamps, "SO_TIMESTAMPING_NEW", 9999)
    tell_of_refusal.cache_clear()
    for scheme, script in PLAIN:
        server = await serve(nursery, script)
        await assert_measures(exchange_to(server.url(scheme)))
    assert caplog.messages == ["the kernel refuses timestamps: those of user space are used"]
    tell_of_refusal.cache_clear()


async def test_stamps_that_are_not_wanted_are_not_missed(
    nursery: trio.Nursery,
    exchange_to: ExchangeTo,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stamps, "SO_TIMESTAMPING_NEW", 9999)
    tell_of_refusal.cache_clear()
    server = await serve(nursery, always_right)
    await assert_measures(exchange_to(server.url("http"), kernel_timestamps=False))
    assert not caplog.messages


# The witness: the kernel's own round trips


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel measures round trips that no server on loopback can live up to."""
    monkeypatch.setattr(stamps, "least_round_trip", lambda _: 10.0)


@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize(("scheme", "script"), PLAIN)
async def test_a_reply_that_is_quicker_than_the_kernels_round_trips_is_named(
    nursery: trio.Nursery, exchange_to: ExchangeTo, scheme: str, script: Script
) -> None:
    server = await serve(nursery, script)
    failure = await failure_of(exchange_to(server.url(scheme)))
    assert failure.rejection is Rejection.TOO_QUICK


@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_round_trips_to_a_proxy_say_nothing_of_the_server(
    nursery: trio.Nursery, exchange_to: ExchangeTo, scheme: str
) -> None:
    server, proxy = await both(nursery, scheme)
    await assert_measures(exchange_to(server.url(scheme), proxy=proxy.url("http", "")))
