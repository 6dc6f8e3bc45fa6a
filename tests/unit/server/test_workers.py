"""Several processes that serve: started, told, counted, replaced, stopped."""

import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
import trio.lowlevel

from tests.unit.server.test_sockets import GET, LOOPBACK, SHIFT, read_reply, running
from tests.unit.server.test_tls import certificate_of, connect_tls, write_certificate
from webntpd.clock.clocks import ShiftedClock
from webntpd.leap.list import LeapList
from webntpd.ntp.readings import LeapNotice
from webntpd.protocol.wire import parse_reply
from webntpd.server import Counters, ServerParameters, serve, workers
from webntpd.server.messages import Task, Update, packed, unpacked
from webntpd.server.parameters import Limits
from webntpd.server.worker import Worker
from webntpd.server.workers import Supervision, Workers, divided, resting
from webntpd.sockets.listeners import Listener, listen, split_address
from webntpd.tasks.restart import Backoff

TWO = ServerParameters(listen=("127.0.0.1:0",), local=True, workers=2)
UNTIL = 60.0
"""Much longer than anything here takes: a test that fails ends."""


def children() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.add(int(path.parent.name))
    return found


async def ask(stream: trio.SocketStream) -> bytes:
    await stream.send_all(GET)
    return (await read_reply(stream)).partition(b"\r\n\r\n")[2]


async def test_workers_serve_and_are_counted_and_replaced_and_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = children()
    with trio.fail_after(UNTIL):
        async with running(TWO) as server:
            clients = [await server.connect() for _ in range(16)]
            for client in clients:
                assert parse_reply(await ask(client)).sync is True
            while server.counters.status().requests < 16:
                await trio.lowlevel.checkpoint()
            assert server.counters.status().connections == 16
            workers = children() - before
            assert len(workers) == 2
            os.kill(workers.pop(), signal.SIGKILL)
            while not caplog.records or children() - before == workers:
                await trio.lowlevel.checkpoint()
            for _ in range(16):  # whichever of the two they come to
                assert parse_reply(await ask(await server.connect())).sync is True
            while server.counters.status().requests < 32:  # with what the killed one had done
                await trio.lowlevel.checkpoint()
            assert server.counters.status().accepted == 32
            assert server.counters.status().connections < 32
        await server.stopped.wait()
    assert children() == before
    assert any("restarting it in 0.5 s" in record.getMessage() for record in caplog.records)


@asynccontextmanager
async def supervised(supervision: Supervision, **changes: Any) -> AsyncIterator[int]:
    """Run two workers under this supervision; yield the port."""
    parameters = replace(TWO, **changes)
    listeners = await listen(parameters.listen, copies=2)
    clock = ShiftedClock(SHIFT)
    workers = Workers(
        parameters,
        clock,
        lambda: None,
        lambda: None,
        Counters(),
        fast_paths=True,
        supervision=supervision,
    )
    with trio.fail_after(UNTIL):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(workers.run, listeners)
            yield split_address(listeners[0].address)[1]
            nursery.cancel_scope.cancel()


async def sync_at(port: int) -> bool:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        return parse_reply(await ask(stream)).sync is True


async def test_a_worker_that_is_stopped_is_replaced_and_no_connection_hangs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = children()
    async with supervised(Supervision(patience=3)) as port:
        for _ in range(16):  # both have started
            assert await sync_at(port)
        stopped = min(children() - before)
        os.kill(stopped, signal.SIGSTOP)
        answers = []

        async def connect() -> None:
            answers.append(await sync_at(port))

        async with trio.open_nursery() as clients:
            for _ in range(40):
                clients.start_soon(connect)
        assert answers == [True] * 40
        assert stopped not in children()
    assert [each for each in caplog.messages if "hangs, and is killed" in each]
    assert children() == before


async def test_a_worker_that_never_reports_is_killed_and_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", "import time; time.sleep(999)"))
    before = children()
    async with supervised(Supervision(Backoff(first=0.01), first_patience=1)):
        while len(caplog.messages) < 8:  # noqa: ASYNC110 - logging has no event
            await trio.sleep(0.01)
    for number in range(2):
        assert [each for each in caplog.messages if f"worker {number} " in each][:3] == [
            f"server worker {number} hangs, and is killed",
            f"server worker {number} ended (-9); restarting it in 0.01 s",
            f"server worker {number} hangs, and is killed",
        ]
    assert children() == before


async def test_a_worker_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = children()
    with monkeypatch.context() as failing:
        failing.setattr(workers, "COMMAND", ("/nowhere/python",))
        async with supervised(Supervision(Backoff(first=0.01, last=0.05))) as port:
            while len(caplog.messages) < 4:  # noqa: ASYNC110 - logging has no event
                await trio.sleep(0.01)
            failing.undo()
            served = False
            while not served:
                with suppress(OSError, trio.BrokenResourceError):
                    served = await sync_at(port)
    fault = "server worker 0 cannot be started: No such file or directory; restarting it in 0.01 s"
    assert fault in caplog.messages  # trio starts the two workers in any order
    assert children() == before


async def test_a_worker_for_which_there_is_no_thread_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio, "run_process", refuse)
    async with supervised(Supervision(Backoff(first=0.01, last=0.05))):
        while len(caplog.messages) < 2:  # noqa: ASYNC110 - logging has no event
            await trio.sleep(0.01)
    fault = "server worker 0 cannot be started: can't start new thread; restarting it in 0.01 s"
    assert fault in caplog.messages


async def test_a_worker_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = "import time; print('ready', flush=True); time.sleep(1000)"
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", deaf))
    monkeypatch.setattr(workers, "PERIOD", 0.01)
    before = children()
    async with supervised(Supervision(), grace=0.01):
        while len(children() - before) < 2:  # noqa: ASYNC110 - the kernel does not tell us
            await trio.sleep(0.01)
    assert children() == before


WITH_STRAY_LINES = r"""
import sys
from webntpd.server import worker
print("a stray line", flush=True)
sys.stdout.buffer.write(b"\0\xff" * 100_000 + b"\n{}\n[]\n7\n" + b"[" * 100_000 + b"\n")
print("half a line", end="", flush=True)
worker.main()
"""


async def test_stray_lines_of_a_worker_are_logged_and_cost_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", WITH_STRAY_LINES))
    with trio.fail_after(UNTIL):
        async with running(replace(TWO, workers=1)) as server:
            assert parse_reply(await ask(await server.connect())).sync is True
            while server.counters.status().requests < 1:
                await trio.lowlevel.checkpoint()
            assert server.counters.status().connections == 1
    assert caplog.messages[0] == "server worker 0 writes: a stray line"
    assert max(len(each) for each in caplog.messages) < 300
    assert not [each for each in caplog.messages if "ended" in each]


async def test_clients_do_not_wait_for_workers_that_fail_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr(workers, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
        async with supervised(Supervision(Backoff(first=0.01))) as port:
            while await connects(port):
                pass
            failing.undo()
            served = False
            while not served:
                with suppress(OSError, trio.BrokenResourceError):
                    served = await sync_at(port)


async def connects(port: int) -> bool:
    with suppress(OSError):
        async with await trio.open_tcp_stream("127.0.0.1", port):
            return True
    return False


def accepted(listener: Listener) -> int:
    """How many clients wait at a socket."""
    number = 0
    with suppress(BlockingIOError):
        while True:
            listener.socket.accept()[0].close()
            number += 1
    return number


async def test_clients_of_a_resting_socket_come_to_the_other() -> None:
    listeners = await listen(TWO.listen, copies=2)
    port = split_address(listeners[0].address)[1]
    for one, other in (listeners, reversed(listeners)):
        with resting([one]):
            for _ in range(40):
                assert await connects(port)
            assert accepted(other) == 40
        for _ in range(40):
            assert await connects(port)
        numbers = accepted(one), accepted(other)
        assert sum(numbers) == 40
        assert all(numbers)
    for each in listeners:
        each.close()


async def test_a_shared_socket_never_rests() -> None:
    (shared,) = await listen(TWO.listen)
    shared = replace(shared, worker=None)
    with resting([shared]):
        assert await connects(shared.socket.getsockname()[1])
    shared.close()


async def test_a_new_leap_list_reaches_the_workers() -> None:
    lists = [LeapList(0, 2**62, (LeapNotice(tai_utc, 10**18, 1),)) for tai_utc in (36, 37)]
    current = lists[0]
    with trio.fail_after(UNTIL):
        async with trio.open_nursery() as nursery:
            (address,) = await nursery.start(serve, TWO, ShiftedClock(SHIFT), lambda: current)
            stream = await trio.open_tcp_stream("127.0.0.1", split_address(address)[1])
            async with stream:
                assert parse_reply(await ask(stream)).leap == lists[0].leaps[0]
                current = lists[1]
                while parse_reply(await ask(stream)).leap != lists[1].leaps[0]:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()


async def test_a_renewed_certificate_reaches_the_workers(tmp_path: Path) -> None:
    path = write_certificate(tmp_path / "both.pem")
    parameters = replace(TWO, listen=(), listen_tls=("127.0.0.1:0",), certificate=path)
    with trio.fail_after(UNTIL):
        async with running(parameters) as server:
            before = [await connect_tls(server) for _ in range(16)]
            old = {await certificate_of(client) for client in before}
            assert len(old) == 1
            write_certificate(path)
            server.reload.unpark_all()
            while old & {await certificate_of(await connect_tls(server)) for _ in range(16)}:
                pass  # whichever of the two they come to
            for client in before:
                await client.send_all(GET)
                assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")


async def test_a_worker_that_died_comes_back_with_the_certificate_that_was_last_good(
    tmp_path: Path,
) -> None:
    path = write_certificate(tmp_path / "both.pem")
    parameters = replace(TWO, listen=(), listen_tls=("127.0.0.1:0",), certificate=path, workers=1)
    before = children()
    with trio.fail_after(UNTIL):
        async with running(parameters) as server:
            good = await certificate_of(await connect_tls(server))
            path.write_text("half a certificate")
            server.reload.unpark_all()
            (worker,) = children() - before
            os.kill(worker, signal.SIGKILL)
            assert await certificate_of(await connect_tls(server)) == good


async def test_a_new_log_level_reaches_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)  # and back again after the test
    update = Update(None, None, logging.WARNING)
    worker = Worker(Task(LOOPBACK, ShiftedClock(SHIFT), update, (), fast_paths=True))
    assert logging.getLogger().level == logging.WARNING

    async def messages() -> AsyncIterator[Update]:
        yield replace(update, log_level=logging.DEBUG)

    await worker.run(messages())
    assert logging.getLogger().level == logging.DEBUG


@pytest.mark.parametrize("workers", [1, 2, 4, 32])
def test_workers_share_the_limits_on_connections(workers: int) -> None:
    limits = Limits(connections=1000, connections_per_address=64)
    share = divided(limits, workers)
    assert share.connections == 1000 // workers
    assert 64 <= share.connections_per_address * workers <= 64 + 3 * (64 * workers) ** 0.5 + workers
    assert share.requests_per_second == limits.requests_per_second


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_who_keeps_to_the_limit_is_hardly_ever_refused_for_having_come_to_one_worker(
    workers: int,
) -> None:
    most = divided(Limits(), workers).connections_per_address
    random = Random(1)
    tries = 2000
    refused = sum(
        max(Counter(random.choices(range(workers), k=64)).values()) > most for _ in range(tries)
    )
    assert refused < tries / 100


def test_each_worker_admits_somebody() -> None:
    share = divided(Limits(connections=1, connections_per_address=1), 8)
    assert (share.connections, share.connections_per_address) == (1, 1)


async def test_messages_are_unpacked_however_they_are_cut() -> None:
    messages = [None, "text", ("a", 1), b"x" * 1000]
    data = b"".join(map(packed, messages))
    for size in (1, 3, len(data)):
        send, receive = trio.testing.memory_stream_one_way_pair()

        async def feed(size: int = size, send: trio.testing.MemorySendStream = send) -> None:
            for start in range(0, len(data), size):
                await send.send_all(data[start : start + size])
            await send.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed)
            found: AsyncIterator[object] = unpacked(receive)
            assert [message async for message in found] == messages


def test_counters_grow_by_what_another_has_grown() -> None:
    counters = Counters(connections=5, accepted=7, requests=9)
    counters.add(Counters(connections=1, requests=4), since=Counters(connections=2, requests=3))
    assert counters == Counters(connections=4, accepted=7, requests=10)
