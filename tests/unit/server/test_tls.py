"""TLS: without sockets against OpenSSL's own client, and on sockets with httpx and others."""

import errno
import json
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
import trustme
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.server.parts import T0, Parts, answer
from tests.unit.server.test_limits import drip
from tests.unit.server.test_sockets import GET, LOOPBACK, Running, running
from tests.unit.server.test_websocket import UPGRADE, close_code, frame
from webntpd.clock.clocks import SystemClock
from webntpd.protocol.wire import INTERLEAVED_SUBPROTOCOL, parse_reply
from webntpd.server import Counters, ServerError, ServerParameters, serve
from webntpd.server.credentials import TICKET_KEY_LIFE, Credentials, Pem
from webntpd.server.parameters import Limits
from webntpd.server.server import Server
from webntpd.server.tls import TlsConnection

CA = trustme.CA()


def write_certificate(path: Path, name: str = "localhost") -> Path:
    CA.issue_cert(name, "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "both.pem")


@pytest.fixture(scope="module")
def credentials(certificate: Path) -> Credentials:
    return Credentials(certificate, None)


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data] if data else []


def byte_by_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


class Peer:
    """OpenSSL's client side of a conversation with the server's, which gets the bytes cut."""

    def __init__(
        self,
        credentials: Credentials,
        parts: Parts | None = None,
        *,
        cut: Cut = whole,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.connection = TlsConnection((parts or Parts()).connection(), credentials.context)
        self.position = 0
        self.largest = 0
        self._cut = cut
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost", session=session
        )
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange()
            else:
                break
        self.exchange()

    @property
    def certificate(self) -> bytes | None:
        return self.tls.getpeercert(binary_form=True)

    def exchange(self) -> None:
        for piece in self._cut(self._outgoing.read()):
            self.take(self.connection.receive(piece, T0))
            while self.connection.paused:
                self.take(self.connection.resume(T0))

    def encrypted(self, data: bytes) -> bytes:
        self.tls.write(data)
        return self._outgoing.read()

    def take(self, output: bytes) -> None:
        self.largest = max(self.largest, len(output))
        if self.connection.interleaved:
            self.position += len(output)
        self._incoming.write(output)

    def ask(self, request: bytes) -> bytes:
        self.tls.write(request)
        self.exchange()
        return self.read()

    def read(self) -> bytes:
        data = b""
        try:
            while piece := self.tls.read(65536):
                data += piece
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return data


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_request_is_answered(credentials: Credentials, cut: Cut, version: ssl.TLSVersion) -> None:
    context = client_context()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    peer = Peer(credentials, cut=cut, context=context)
    assert peer.tls.selected_alpn_protocol() == "http/1.1"
    for _ in range(2):
        assert parse_reply(answer(peer.ask(GET)).body).rt_ns == T0
    assert not peer.connection.closing


def test_a_client_that_speaks_only_http_2_is_told(credentials: Credentials) -> None:
    context = client_context()
    context.set_alpn_protocols(["h2"])
    peer = Peer(credentials, context=context)
    assert peer.tls.selected_alpn_protocol() is None
    assert peer.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").startswith(b"HTTP/1.1 505 ")
    assert peer.connection.closing


def test_the_end_is_said_when_the_conversation_ends(credentials: Credentials) -> None:
    peer = Peer(credentials)
    found = answer(peer.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
    assert found.status == 200
    assert peer.connection.closing
    assert peer.tls.read(1) == b""


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
def test_more_replies_than_are_sent_at_once_wait(credentials: Credentials, cut: Cut) -> None:
    peer = Peer(credentials, cut=cut)
    host = b"Host: " + b"a" * 255 + b":65535"
    peer.ask(UPGRADE.replace(b"Host: time.example", host) + b"\r\n")
    messages = 16384 // len(frame(b"1"))
    assert peer.ask(frame(b"1") * messages).count(b'"it":1,') == messages
    assert peer.largest <= 65536


def test_a_clients_own_end_is_answered(credentials: Credentials) -> None:
    peer = Peer(credentials)
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    peer.exchange()
    peer.tls.unwrap()
    assert peer.connection.closing


def test_a_stop_closes_the_websocket_and_tls(credentials: Credentials) -> None:
    peer = Peer(credentials)
    assert peer.ask(UPGRADE + b"\r\n").startswith(b"HTTP/1.1 101 ")
    peer.take(peer.connection.shutdown())
    assert close_code(peer.read()) == 1001
    assert peer.connection.shutdown() == b""
    assert peer.tls.read(1) == b""


def test_a_stop_that_openssl_dislikes_raises_nothing(credentials: Credentials) -> None:
    class Disliking:
        def write(self, *_: object) -> int:
            raise ssl.SSLError("bad length")

        unwrap = write

    peer = Peer(credentials)
    assert peer.ask(UPGRADE + b"\r\n").startswith(b"HTTP/1.1 101 ")
    peer.connection._tls = Disliking()  # type: ignore[assignment]
    assert peer.connection.shutdown() == b""
    assert peer.connection.closing


def test_a_stop_during_the_handshake_says_nothing(credentials: Credentials) -> None:
    connection = TlsConnection(Parts().connection(), credentials.context)
    assert connection.requesting
    assert connection.shutdown() == b""
    assert connection.closing


def test_departures_are_those_of_the_encrypted_bytes(credentials: Credentials) -> None:
    peer = Peer(credentials)
    subprotocol = f"Sec-WebSocket-Protocol: {INTERLEAVED_SUBPROTOCOL}\r\n\r\n".encode()
    peer.ask(UPGRADE + subprotocol)
    assert peer.connection.interleaved
    peer.ask(frame(b"1489217288.1"))
    peer.connection.transmitted(peer.position - 1, 5)
    peer.connection.transmitted(peer.position, 1_500_000_000_123_456_789)
    members = json.loads(peer.ask(frame(b"1489217288.2"))[4:], parse_float=str)
    assert (members["pit"], members["pst"]) == ("1489217288.1", "1500000000.123456789")


@pytest.mark.parametrize("data", [GET, b"\x16\x03\x01\x00\x05hello", b"\x80" * 5, bytes(100)])
def test_what_is_no_tls_ends_the_connection(credentials: Credentials, data: bytes) -> None:
    connection = TlsConnection(Parts().connection(), credentials.context)
    connection.receive(data, T0)
    assert connection.closing
    assert connection.receive(data, T0) == b""


def test_old_versions_are_refused(credentials: Credentials) -> None:
    context = client_context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        Peer(credentials, context=context)


@given(pieces=st.lists(st.binary(max_size=300), max_size=5), flipped=st.integers(0, 2**16))
def test_garbage_in_the_stream_raises_nothing(
    credentials: Credentials, pieces: list[bytes], flipped: int
) -> None:
    peer = Peer(credentials)
    record = bytearray(peer.encrypted(GET))
    record[flipped % len(record)] ^= 0x55
    for piece in [bytes(record), *pieces]:
        peer.connection.receive(piece, T0)


def test_files_are_read_anew_when_that_is_wanted(tmp_path: Path) -> None:
    path = write_certificate(tmp_path / "both.pem")
    credentials = Credentials(path, None)
    first = Peer(credentials)
    write_certificate(path)
    assert Peer(credentials).certificate == first.certificate
    assert credentials.renew()
    second = Peer(credentials)
    assert second.certificate != first.certificate
    for peer in (first, second):
        assert peer.ask(GET).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_keys_of_session_tickets_are_used_for_a_day(
    tmp_path: Path, version: ssl.TLSVersion, autojump_clock: trio.testing.MockClock
) -> None:
    credentials = Credentials(write_certificate(tmp_path / "both.pem"), None)
    context = client_context()
    context.minimum_version = context.maximum_version = version

    def ticket(peer: Peer) -> ssl.SSLSession:
        assert peer.ask(GET).startswith(b"HTTP/1.1 200 ")  # a ticket comes after the handshake
        assert peer.tls.session is not None
        return peer.tls.session

    def resumes(session: ssl.SSLSession) -> bool | None:
        return Peer(credentials, context=context, session=session).tls.session_reused

    async with trio.open_nursery() as nursery:
        nursery.start_soon(credentials.keep_renewing_ticket_keys)
        before = Peer(credentials, context=context)
        old = ticket(before)
        await trio.sleep(TICKET_KEY_LIFE - 1)
        assert resumes(old)
        await trio.sleep(2)
        assert not resumes(old)
        assert resumes(ticket(Peer(credentials, context=context)))
        assert before.ask(GET).startswith(b"HTTP/1.1 200 ")
        nursery.cancel_scope.cancel()


async def test_ticket_keys_that_cannot_be_renewed_stay_for_another_day(
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_: str) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    credentials = Credentials(certificate, None)
    first = credentials.context
    async with trio.open_nursery() as nursery:
        nursery.start_soon(credentials.keep_renewing_ticket_keys)
        with monkeypatch.context() as full:
            full.setattr(os, "memfd_create", refuse)
            await trio.sleep(TICKET_KEY_LIFE + 1)
        assert credentials.context is first
        await trio.sleep(TICKET_KEY_LIFE)
        assert credentials.context is not first
        nursery.cancel_scope.cancel()
    assert caplog.messages == [
        "the keys of session tickets stay in use for another day: Too many open files"
    ]


async def test_a_server_renews_the_keys_of_its_session_tickets(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    path = write_certificate(tmp_path / "both.pem")
    parameters = replace(LOOPBACK, listen=(), listen_tls=("127.0.0.1:0",), certificate=path)
    context = client_context()
    async with running(parameters) as server:

        async def connect(session: ssl.SSLSession | None) -> trio.SSLStream[trio.SocketStream]:
            client = trio.SSLStream(await server.connect(), context, server_hostname="localhost")
            if session is not None:
                client.session = session
            await client.send_all(GET)
            assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
            return client

        ticket = (await connect(None)).session
        assert (await connect(ticket)).session_reused
        mock_clock.jump(TICKET_KEY_LIFE + 1)
        await trio.testing.wait_all_tasks_blocked()
        assert not (await connect(ticket)).session_reused


@pytest.mark.parametrize("fault", ["nonsense", "half", "another's key", "no file"])
def test_files_that_are_bad_leave_the_old_certificate_in_use(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, key = write_certificate(tmp_path / "both.pem"), tmp_path / "key.pem"
    key.write_bytes(path.read_bytes())
    credentials = Credentials(path, key)
    before = Peer(credentials).certificate
    match fault:
        case "nonsense":
            path.write_text("nonsense")
        case "half":
            path.write_bytes(path.read_bytes()[:-900])
            key.write_bytes(path.read_bytes()[:200])
        case "another's key":  # as between the two writes of a renewal
            write_certificate(path)
        case "no file":
            key.unlink()
    assert not credentials.renew()
    assert Peer(credentials).certificate == before
    (record,) = caplog.records
    assert f"certificate {path} is not read anew" in record.getMessage()


@pytest.mark.parametrize("content", [None, "nonsense"])
async def test_a_certificate_that_is_none_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "certificate.pem"
    if content is not None:
        path.write_text(content)
    parameters = ServerParameters(listen_tls=("127.0.0.1:0",), certificate=path)
    with pytest.raises(ServerError, match=f"cannot use certificate {path}: "):
        await serve(parameters, Parts().clock, lambda: None)


async def test_tls_without_a_certificate_is_refused() -> None:
    with pytest.raises(ServerError, match="TLS needs a certificate"):
        await serve(ServerParameters(listen_tls=("127.0.0.1:0",)), Parts().clock, lambda: None)


async def test_httpx_gets_the_time_over_tls_and_others_theirs_without(certificate: Path) -> None:
    parameters = replace(LOOPBACK, listen_tls=("127.0.0.1:0",), certificate=certificate)
    async with (
        running(parameters) as server,
        httpx.AsyncClient(verify=client_context(), trust_env=False) as client,
    ):
        plain, encrypted = server.addresses
        for url in (f"http://{plain}/", f"https://{encrypted}/", f"https://{encrypted}/json"):
            assert parse_reply((await client.get(url)).content).sync is True


async def connect_tls(server: Running) -> trio.SSLStream[trio.SocketStream]:
    return trio.SSLStream(await server.connect(), client_context(), server_hostname="localhost")


async def certificate_of(client: trio.SSLStream[trio.SocketStream]) -> bytes:
    await client.do_handshake()
    found = client.getpeercert(binary_form=True)
    assert isinstance(found, bytes)
    return found


async def test_a_handshake_that_stalls_holds_up_nobody(certificate: Path) -> None:
    parameters = replace(LOOPBACK, listen_tls=("127.0.0.1:0",), certificate=certificate)
    async with running(parameters) as server:
        host, _, port = server.addresses[1].rpartition(":")
        stalled = await trio.open_tcp_stream(host, int(port))
        server.clients.append(stalled)
        await stalled.send_all(b"\x16\x03\x01\x02\x00")
        async with httpx.AsyncClient(verify=client_context(), trust_env=False) as client:
            assert (await client.get(f"https://{server.addresses[1]}/")).status_code == 200


async def test_a_reload_changes_the_certificate_and_ends_no_connection(tmp_path: Path) -> None:
    path = write_certificate(tmp_path / "both.pem")
    parameters = replace(LOOPBACK, listen=(), listen_tls=("127.0.0.1:0",), certificate=path)
    async with running(parameters) as server:
        before = await connect_tls(server)
        old = await certificate_of(before)
        write_certificate(path)
        server.reload.unpark_all()
        await trio.testing.wait_all_tasks_blocked()
        after = await connect_tls(server)
        new = await certificate_of(after)
        assert new != old
        path.write_text("nonsense")
        server.reload.unpark_all()
        await trio.testing.wait_all_tasks_blocked()
        assert await certificate_of(await connect_tls(server)) == new
        for client in (before, after):
            await client.send_all(GET)
            assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_a_handshake_that_drips_is_given_up(
    certificate: Path, mock_clock: trio.testing.MockClock
) -> None:
    parameters = replace(LOOPBACK, listen=(), listen_tls=("127.0.0.1:0",), certificate=certificate)
    outgoing = ssl.MemoryBIO()
    half = client_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    hello = outgoing.read()
    async with running(parameters) as server:
        patience = await drip(server, hello, mock_clock)
    assert patience < min(len(hello), Limits().request_time + 3)


def test_half_a_request_is_answered_once_the_other_half_has_come(credentials: Credentials) -> None:
    peer = Peer(credentials)
    assert peer.ask(GET[:20]) == b""
    assert peer.ask(GET[20:]).startswith(b"HTTP/1.1 200 OK")


def test_a_server_without_tls_has_no_certificate_to_renew() -> None:
    server = Server(LOOPBACK, SystemClock(), lambda: None, counters=Counters())
    server.use(Pem(b"", None))
    assert server.pem is None
    assert not server.renew()


async def test_a_port_that_is_taken_leaves_the_other_ports_free(certificate: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        busy, port = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        parameters = replace(
            LOOPBACK,
            listen=(f"127.0.0.1:{port}",),
            listen_tls=(f"127.0.0.1:{busy}",),
            certificate=certificate,
        )
        with pytest.raises(ServerError, match="address already in use"):
            await serve(parameters, SystemClock(), lambda: None, counters=Counters())
        socket.create_server(("127.0.0.1", port)).close()
