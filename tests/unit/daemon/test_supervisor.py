"""The daemon as a whole, within the test's process: real sockets on loopback, real signals."""

import logging
import os
import signal
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.unit.exchange.test_leaplist import ROWS, ok, serving
from tests.unit.leap.test_list import PUBLISHED, leap_file
from tests.unit.server.test_sockets import GET
from tests.unit.server.test_tls import client_context, write_certificate
from webntpd.cli.controlclient import request_view
from webntpd.clock.clocks import SystemClock
from webntpd.config import Config, ConfigError, PeerSpec, RefclockSpec
from webntpd.daemon import metrics, supervisor
from webntpd.daemon.state import State, save_state
from webntpd.daemon.supervisor import run_daemon
from webntpd.exchange import leaplist
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.leaplist import LeapSource
from webntpd.leap.list import parse_leap_list
from webntpd.names import Kind
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Estimate, Frequency
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.readings import NS_PER_S
from webntpd.protocol.wire import parse_reply
from webntpd.refclock.base import SockParameters
from webntpd.server import ServerError, ServerParameters
from webntpd.statistics.files import StatisticsParameters
from webntpd.status.snapshot import Status

LIMIT = 60.0
"""A test that waits longer than this, s, has failed."""


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "{}:{}".format(*probe.getsockname())


def peer(name: str, kind: Kind, address: str) -> PeerSpec:
    scheme = {Kind.HTTP: "http", Kind.WEBSOCKET: "ws"}[kind]
    exchange = ExchangeParameters(f"{scheme}://{address}/", kind, proxy="")
    return PeerSpec(
        exchange, PeerParameters(name, minpoll=0, maxpoll=0, iburst=4, burst_interval=0.01)
    )


def config(address: str, sock: Path) -> Config:
    return Config(
        peers=(peer("http", Kind.HTTP, address), peer("ws", Kind.WEBSOCKET, address)),
        refclocks=(RefclockSpec(SockParameters(sock)),),
        server=ServerParameters((address,), local=True, grace=0.1),
        leap_file=Path("/nonexistent"),
    )


@dataclass
class Daemon:
    """The running daemon from outside: the configuration it will load, and what it shows."""

    config: Config
    status: Status | None = None
    changed: trio.Event = field(default_factory=trio.Event)
    fault: Exception | None = None
    observer_fault: Exception | None = None
    observed: int = 0
    accepted: list[Config] = field(default_factory=list)

    def load(self) -> Config:
        if self.fault:
            raise self.fault
        return self.config

    def observe(self, status: Status) -> None:
        self.status = status
        self.observed += 1
        self.changed.set()
        self.changed = trio.Event()
        if self.observer_fault is not None:
            raise self.observer_fault

    async def until(self, condition: Callable[[Status], bool]) -> Status:
        while self.status is None or not condition(self.status):
            await self.changed.wait()
        return self.status

    async def ask_server(self) -> trio.SocketStream:
        """A connection to the server that has had one answer."""
        assert self.config.server is not None
        host, port = self.config.server.listen[0].split(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(GET)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        return stream

    async def reload(self, logged: str, caplog: pytest.LogCaptureFixture) -> None:
        """Send SIGHUP and wait for the line that ends the reload."""
        os.kill(os.getpid(), signal.SIGHUP)
        while logged not in caplog.text:
            await self.changed.wait()


@asynccontextmanager
async def running(sock: Path, **changes: Any) -> AsyncIterator[Daemon]:
    """The daemon; `changes` are to its configuration, `server` to what that says of the server."""
    with trio.fail_after(LIMIT):
        initial = config(free_address(), sock)
        assert initial.server is not None
        server = replace(initial.server, **changes.pop("server", {}))
        daemon = Daemon(replace(initial, server=server, **changes))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(
                    run_daemon,
                    daemon.load,
                    SystemClock(),
                    observe=daemon.observe,
                    accepted=daemon.accepted.append,
                )
            )
            yield daemon
            os.kill(os.getpid(), signal.SIGTERM)


async def test_peers_begin_with_the_frequency_of_an_earlier_run(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    now_ns = SystemClock().realtime_ns()
    save_state(state, State(Frequency(12e-6, 0.1e-6, 1e-10), now_ns))
    async with running(tmp_path / "sock", state=state) as daemon:
        status = await daemon.until(is_synchronised)
    for each in status.peers:
        assert each.report.track is not None
        assert each.report.track.frequency.value == 12e-6
        assert each.report.track.frequency.uncertainty == pytest.approx(5e-6, rel=0.01)


async def test_a_state_file_that_cannot_be_read_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    state.write_text("{")
    async with running(tmp_path / "sock", state=state) as daemon:
        status = await daemon.until(is_synchronised)
    assert caplog.text.count(str(state)) == 1
    track = status.peers[0].report.track
    assert track is not None
    assert track.frequency == UNKNOWN_FREQUENCY


def names(status: Status) -> list[str]:
    return [each.report.name for each in status.peers]


def polled_since(status: Status, before: Status) -> bool:
    """Whether every peer has more samples than it had then."""
    then = {each.report.name: each.report.samples for each in before.peers}
    return all(each.report.samples > then[each.report.name] for each in status.peers)


def is_synchronised(status: Status) -> bool:
    return isinstance(status.verdict.estimate, Estimate) and status.reachable == len(status.peers)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "consumer.sock"


@pytest.fixture
def consumer(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(0)
        yield sock


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that someone else listens at."""
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        yield "{}:{}".format(*squatter.getsockname())


async def test_it_synchronises_to_its_own_server_over_http_and_websocket(
    path: Path, consumer: socket.socket
) -> None:
    async with running(path) as daemon:
        status = await daemon.until(lambda s: is_synchronised(s) and s.refclocks[0].published > 0)
    assert isinstance(status.verdict.estimate, Estimate)
    assert abs(status.verdict.estimate.offset(status.at_ns, status.wall_ns)) < 0.01
    assert {each.kind for each in status.peers} == {"http", "websocket"}
    assert len(consumer.recv(4096)) == 40


async def test_a_reload_keeps_unchanged_peers_and_starts_and_stops_the_others(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(path) as daemon:
        before = await daemon.until(is_synchronised)
        address = daemon.config.peers[0].exchange.url[7:-1]
        kept = daemon.config.peers[1]
        daemon.config = replace(
            daemon.config, peers=(kept, peer("new", Kind.HTTP, address)), refclocks=()
        )
        await daemon.reload("reloaded: 2 peers, 0 refclocks", caplog)
        after = await daemon.until(lambda s: names(s) == ["ws", "new"] and is_synchronised(s))
    samples = {each.report.name: each.report.samples for each in after.peers}
    assert samples["ws"] >= before.peers[1].report.samples
    assert after.refclocks == ()


async def test_a_faulty_file_keeps_the_old_configuration(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        daemon.fault = ConfigError(["webntpd.toml: peer.0.url: no"])
        await daemon.reload("kept as it was", caplog)
        assert "webntpd.toml: peer.0.url: no" in caplog.text
        status = await daemon.until(is_synchronised)
        assert names(status) == ["http", "ws"]


async def test_a_fault_of_ours_in_a_reload_keeps_the_old_configuration(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        daemon.fault = RuntimeError("broken")
        await daemon.reload("reload: not complete", caplog)
        assert names(await daemon.until(is_synchronised)) == ["http", "ws"]


async def test_a_helper_that_fails_to_change_holds_up_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(path, metrics=free_address()) as daemon:
        await daemon.until(is_synchronised)
        monkeypatch.setattr(metrics, "listen", fail)
        daemon.config = replace(daemon.config, metrics=free_address())
        await daemon.reload("reloaded: 2 peers", caplog)
        assert "metrics: cannot be changed" in caplog.text


async def fail(*_: object) -> None:
    raise RuntimeError("broken")


async def test_the_kernels_word_that_the_clock_was_set_reaches_the_system_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []

    async def watch(notify: Callable[[], None]) -> None:
        for _ in range(200):  # more than wait for their turn
            notify()
        told.append(True)
        await trio.sleep_forever()

    monkeypatch.setattr(supervisor, "watch_for_clock_set", watch)
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
    assert told


async def test_a_server_that_cannot_move_stays_and_the_reload_changes_nothing(
    path: Path, taken: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(path) as daemon:
        before = await daemon.until(is_synchronised)
        daemon.config = replace(
            daemon.config,
            peers=daemon.config.peers[:1],
            refclocks=(),
            server=ServerParameters((taken,)),
            log_level="error",
        )
        await daemon.reload("the configuration is kept as it was", caplog)
        assert taken in caplog.text
        assert "reloaded" not in caplog.text
        after = await daemon.until(lambda s: polled_since(s, before))
        assert names(after) == ["http", "ws"]
        assert len(after.refclocks) == 1
        assert [each.log_level for each in daemon.accepted] == ["info"]


async def test_a_bad_certificate_costs_the_server_that_runs_no_connection(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        assert daemon.config.server is not None
        before = await daemon.ask_server()
        wanted = replace(daemon.config.server, listen_tls=(free_address(),), certificate=bad)
        daemon.config = replace(daemon.config, server=wanted)
        await daemon.reload("the configuration is kept as it was", caplog)
        assert str(bad) in caplog.text
        async with before:
            await before.send_all(GET)
            assert (await before.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_metrics_that_cannot_move_stay_where_they_are(
    path: Path, taken: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    address = free_address()
    async with running(path, metrics=address) as daemon:
        await daemon.until(is_synchronised)
        daemon.config = replace(daemon.config, metrics=taken)
        await daemon.reload("reloaded: 2 peers", caplog)
        assert f"metrics: cannot listen on {taken}" in caplog.text
        assert sources((await scraped(address))["ntp_source_offset_seconds"]) == {"http", "ws"}


async def test_an_observer_that_fails_affects_nothing_else(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        daemon.observer_fault = RuntimeError("broken")
        seen = daemon.observed
        while daemon.observed < seen + 3:
            await daemon.changed.wait()
        daemon.observer_fault = None
        await daemon.until(is_synchronised)
    assert "system process failed" not in caplog.text
    assert "RuntimeError: broken" in caplog.text


async def test_its_control_socket_shows_the_state_as_of_now_and_moves_with_a_reload(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = tmp_path / "first", tmp_path / "second"
    async with running(path, control=first) as daemon:
        status = await daemon.until(is_synchronised)
        shown = await trio.to_thread.run_sync(request_view, first, "json")
        assert [each["name"] for each in shown["peers"]] == names(status)
        assert shown["server"]["connections"] == 2
        assert shown["at"] > status.wall_ns / NS_PER_S
        daemon.config = replace(daemon.config, control=second)
        await daemon.reload("reloaded: 2 peers", caplog)
        assert not first.exists()
        assert (await trio.to_thread.run_sync(request_view, second, "status"))["lines"]
    assert not second.exists()


async def test_without_a_control_socket_the_daemon_works_all_the_same(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    async with running(path, control=blocked) as daemon:
        await daemon.until(is_synchronised)
    assert f"{blocked}: is there already" in caplog.text


async def test_it_keeps_statistics_where_a_reload_says(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        daemon.config = replace(daemon.config, statistics=StatisticsParameters(tmp_path))
        await daemon.reload("reloaded: 2 peers", caplog)
        await daemon.until(lambda _: len(list(tmp_path.glob("*stats.*"))) == 2)


async def test_the_first_reply_of_its_server_tells_of_leap_seconds(
    path: Path, tmp_path: Path
) -> None:
    leap_file = tmp_path / "leap-seconds.list"
    leap_file.write_bytes(PUBLISHED)
    address = free_address()
    host, port = address.split(":")
    daemon = replace(config(address, path), peers=(), refclocks=(), leap_file=leap_file)
    started = trio.Event()
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(run_daemon, lambda: daemon, SystemClock(), observe=lambda _: started.set())
            )
            await started.wait()
            stream = await trio.open_tcp_stream(host, int(port))
            async with stream:
                await stream.send_all(b"GET /json HTTP/1.1\r\nHost: here\r\n\r\n")
                reply = await stream.receive_some()
            os.kill(os.getpid(), signal.SIGTERM)
    assert parse_reply(reply.partition(b"\r\n\r\n")[2]).leap is not None


async def test_the_service_manager_is_told_of_a_server_without_peers(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(told))
    daemon = replace(config(free_address(), path), peers=(), refclocks=())
    started = trio.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, trio.fail_after(LIMIT):
        manager.bind(str(told))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(run_daemon, lambda: daemon, SystemClock(), observe=lambda _: started.set())
            )
            await started.wait()
            os.kill(os.getpid(), signal.SIGTERM)
        manager.settimeout(0)
        messages = [manager.recv(4096) for _ in range(3)]
    assert b"STATUS=serving time: 0 connections open, 0 answers, 0 refusals" in messages


async def scraped(address: str) -> Mapping[str, list[Sample]]:
    """The samples of each metric."""
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = (await client.get(f"http://{address}/metrics")).raise_for_status()
    found: dict[str, list[Sample]] = defaultdict(list)
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            found[sample.name].append(sample)
    return found


def sources(samples: Iterable[Sample]) -> set[str]:
    return {sample.labels["name"] for sample in samples}


async def test_it_is_scraped_where_a_reload_says(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        address = free_address()
        daemon.config = replace(daemon.config, metrics=address)
        await daemon.reload("reloaded: 2 peers", caplog)
        found = await scraped(address)
        assert sources(found["ntp_source_offset_seconds"]) == {"http", "ws"}
        assert found["webntpd_server_open_connections"][0].value == 2
        caplog.clear()
        daemon.config = replace(daemon.config, metrics=None)
        await daemon.reload("reloaded: 2 peers", caplog)
        with pytest.raises(httpx.ConnectError):
            await scraped(address)


async def test_a_scrape_in_the_middle_of_a_reload_is_of_one_state(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metrics = free_address()
    seen = set()

    async def keep_scraping() -> None:
        while True:
            found = await scraped(metrics)
            names = sources(found["webntpd_source_info"])
            assert sources(found["ntp_source_poll_interval_seconds"]) == names
            assert sources(found["webntpd_source_rejections_total"]) == names
            assert found["webntpd_system_sources"][0].value == len(names)
            seen.add(frozenset(names))

    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        daemon.config = replace(daemon.config, metrics=metrics)
        await daemon.reload("reloaded: 2 peers", caplog)
        http, ws = daemon.config.peers
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_scraping)
            for peers in ((http,), (ws,), (http, ws)):
                caplog.clear()
                daemon.config = replace(daemon.config, peers=peers)
                await daemon.reload(f"reloaded: {len(peers)} peers", caplog)
                wanted = {spec.name for spec in peers}
                while wanted not in seen:
                    await daemon.changed.wait()
                seen.clear()
            nursery.cancel_scope.cancel()


async def test_what_the_server_counts_goes_on_when_a_reload_replaces_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metrics = free_address()
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        daemon.config = replace(daemon.config, metrics=metrics)
        await daemon.reload("reloaded: 2 peers", caplog)
        before = await scraped(metrics)
        caplog.clear()
        assert daemon.config.server is not None
        daemon.config = replace(
            daemon.config, server=replace(daemon.config.server, require_sync=True)
        )
        await daemon.reload("reloaded: 2 peers", caplog)
        after = await scraped(metrics)
    counters = [name for name in before if name.startswith("webntpd_server_") and "_total" in name]
    assert before["webntpd_server_requests_total"][0].value >= 4
    assert all(after[name][0].value >= before[name][0].value for name in counters)


async def test_without_an_address_to_be_scraped_at_the_daemon_works_all_the_same(
    path: Path, taken: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(path) as daemon:
        await daemon.until(is_synchronised)
        daemon.config = replace(daemon.config, metrics=taken)
        await daemon.reload("reloaded: 2 peers", caplog)
        await daemon.until(is_synchronised)
    assert f"metrics: cannot listen on {taken}: address already in use" in caplog.text


async def test_a_port_in_use_keeps_the_daemon_from_starting(path: Path, taken: str) -> None:
    with pytest.raises(ServerError, match=taken):
        await run_daemon(lambda: config(taken, path), SystemClock())


class HangingResolver(trio.abc.HostnameResolver):
    """Never answers: a server that listens at a name is still starting when it is cancelled."""

    def __init__(self) -> None:
        self.asked = trio.Event()

    async def getaddrinfo(self, *_: object) -> list[Any]:
        self.asked.set()
        await trio.sleep_forever()

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


UNKNOWN_NAME = ServerParameters(("time.example.org:80",), local=True)


async def test_a_signal_ends_a_daemon_that_is_still_starting(path: Path) -> None:
    resolver = HangingResolver()
    trio.socket.set_custom_hostname_resolver(resolver)
    wanted = replace(config(free_address(), path), server=UNKNOWN_NAME)
    with trio.fail_after(LIMIT / 6):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_daemon, lambda: wanted, SystemClock())
            await resolver.asked.wait()
            os.kill(os.getpid(), signal.SIGTERM)


async def test_a_signal_ends_a_daemon_while_a_reload_waits(path: Path) -> None:
    resolver = HangingResolver()
    with trio.fail_after(LIMIT / 6):
        async with running(path) as daemon:
            await daemon.until(is_synchronised)
            trio.socket.set_custom_hostname_resolver(resolver)
            daemon.config = replace(daemon.config, server=UNKNOWN_NAME)
            os.kill(os.getpid(), signal.SIGHUP)
            await resolver.asked.wait()


def list_of_today() -> bytes:
    """A list with a leap second in the year 2030, updated yesterday."""
    yesterday = int(time.time()) + 2_208_988_800 - 86_400
    return leap_file(
        [*ROWS, "4102444800 38"], updated=str(yesterday), expires=str(yesterday + 300 * 86_400)
    )


async def test_a_leap_list_that_cannot_be_kept_outlives_a_reload_while_its_url_is_configured(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(leaplist, "FIRST_DELAY", 0.0)
    (tmp_path / "file").touch()
    data = list_of_today()
    new = parse_leap_list(data)
    async with serving(ok(data)) as url:
        wanted = LeapSource(url, tmp_path / "file" / "leap-seconds.list")
        async with running(path, leap_source=wanted) as daemon:
            status = await daemon.until(lambda s: s.leap_expires_ns == new.expires_ns)
            assert "cannot be kept" in caplog.text
            await daemon.reload("reloaded: 2 peers", caplog)
            status = await daemon.until(lambda s: s.wall_ns > status.wall_ns)
            assert status.leap_expires_ns == new.expires_ns
            daemon.config = replace(daemon.config, leap_source=LeapSource("", wanted.cache))
            await daemon.reload("reloaded: 2 peers", caplog)
            await daemon.until(lambda s: s.leap_expires_ns is None)


@pytest.mark.parametrize("workers", [0, 1])
async def test_a_leap_list_that_is_fetched_is_told_and_outlives_a_reload(
    workers: int,
    path: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(leaplist, "FIRST_DELAY", 0.0)
    data = list_of_today()
    new = parse_leap_list(data)
    async with serving(ok(data)) as url:
        wanted = LeapSource(url, tmp_path / "leap-seconds.list")
        async with running(path, leap_source=wanted, server={"workers": workers}) as daemon:
            status = await daemon.until(lambda s: s.leap_expires_ns == new.expires_ns)
            async with httpx.AsyncClient(trust_env=False) as client:
                own = daemon.config.peers[0].exchange.url
                while parse_reply((await client.get(own)).content).leap != new.leaps[-1]:
                    await daemon.changed.wait()
            assert wanted.cache.read_bytes() == data
            await daemon.reload("reloaded: 2 peers", caplog)
            status = await daemon.until(lambda s: s.wall_ns > status.wall_ns)
            assert status.leap_expires_ns == new.expires_ns


class RefusingResolver(HangingResolver):
    """Knows no name, and says so when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = trio.Event()

    async def getaddrinfo(self, *_: object) -> list[Any]:
        self.asked.set()
        await self.answer.wait()
        raise socket.gaierror(socket.EAI_NONAME, "unknown")


async def test_a_leap_list_that_comes_during_a_refused_reload_stays(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaplist, "FIRST_DELAY", 0.0)
    data = list_of_today()
    new = parse_leap_list(data)
    resolver, due = RefusingResolver(), trio.Event()

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await due.wait()
        await stream.send_all(ok(data))

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/list"
        async with running(path, leap_source=LeapSource(url, tmp_path / "list")) as daemon:
            await daemon.until(is_synchronised)
            own = daemon.config.peers[0].exchange.url
            trio.socket.set_custom_hostname_resolver(resolver)
            daemon.config = replace(daemon.config, server=UNKNOWN_NAME)
            os.kill(os.getpid(), signal.SIGHUP)
            await resolver.asked.wait()
            due.set()
            await daemon.until(lambda s: s.leap_expires_ns == new.expires_ns)
            trio.socket.set_custom_hostname_resolver(None)
            resolver.answer.set()
            while "kept as it was" not in caplog.text:
                await daemon.changed.wait()
            refused_ns = SystemClock().realtime_ns()
            async with httpx.AsyncClient(trust_env=False) as client:
                reply = parse_reply((await client.get(own)).content)
                while reply.st_ns < refused_ns + NS_PER_S:  # a server looks once a second
                    await daemon.changed.wait()
                    reply = parse_reply((await client.get(own)).content)
            assert reply.leap == new.leaps[-1]
        nursery.cancel_scope.cancel()


async def test_a_reload_reads_the_certificate_anew_and_ends_no_connection(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    address = free_address()
    file = write_certificate(tmp_path / "both.pem")

    async def connect() -> trio.SSLStream[trio.SocketStream]:
        host, _, port = address.partition(":")
        stream = await trio.open_ssl_over_tcp_stream(
            host, int(port), ssl_context=client_context(), https_compatible=True
        )
        await stream.do_handshake()
        return stream

    async with running(path, server={"listen_tls": (address,), "certificate": file}) as daemon:
        await daemon.until(is_synchronised)
        async with await connect() as before:
            write_certificate(file)
            await daemon.reload("certificate was read anew", caplog)
            async with await connect() as after:
                assert after.getpeercert(binary_form=True) != before.getpeercert(binary_form=True)
                for client in (before, after):
                    await client.send_all(GET)
                    assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
