"""The control socket on a real Unix socket, with clients of every kind."""

import errno
import json
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.unit.status.snapshots import SYNCHRONISED
from webntpd.daemon import control
from webntpd.daemon.control import REQUEST_SIZE, ControlError, listening_at, reply_to, serve_control
from webntpd.sockets.callers import CALLERS, TIME_LIMIT
from webntpd.status.json import VERSION
from webntpd.status.snapshot import Status
from webntpd.status.views import VIEWS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
async def served(path: Path, nursery: trio.Nursery) -> Path:
    await nursery.start(serve_control, path, lambda: SYNCHRONISED)
    return path


async def receive_all(client: trio.SocketStream) -> bytes:
    """What comes until the other side hangs up, which it may do while we still talk."""
    received = b""
    with suppress(trio.BrokenResourceError):
        async for chunk in client:
            received += chunk
    return received


async def ask(path: Path, request: bytes) -> Any:
    async with await trio.open_unix_socket(path) as client:
        await client.send_all(request)
        return json.loads(await receive_all(client))


@pytest.mark.parametrize("name", VIEWS)
async def test_a_view_is_answered_as_one_line_of_json(served: Path, name: str) -> None:
    expected = json.loads(json.dumps(VIEWS[name](SYNCHRONISED)))
    assert await ask(served, json.dumps({"view": name}).encode() + b"\n") == expected


async def test_a_request_may_come_byte_by_byte_and_end_without_a_newline(served: Path) -> None:
    async with await trio.open_unix_socket(served) as client:
        for byte in b'{"view": "json"}':
            await client.send_all(bytes([byte]))
        await client.send_eof()
        assert json.loads(await receive_all(client))["version"] == VERSION


async def test_what_stands_behind_the_newline_is_a_fault(served: Path) -> None:
    assert "error" in await ask(served, b'{"view": "json"}\n{"view": "json"}\n')


@pytest.mark.parametrize(
    "request_",
    [
        b"\n",
        b"nonsense\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"7\n",
        b'"view"\n',
        b"{}\n",
        b'{"view": "nonsense"}\n',
        b'{"view": ["json"]}\n',
        b"[" * (REQUEST_SIZE - 1) + b"\n",
    ],
    ids=lambda request: request[:20],
)
async def test_garbage_is_answered_by_what_a_request_is(served: Path, request_: bytes) -> None:
    assert "status" in (await ask(served, request_))["error"]


async def test_a_client_that_says_nothing_and_goes_is_answered_in_vain(served: Path) -> None:
    async with await trio.open_unix_socket(served) as client:
        await client.send_eof()
        assert "error" in json.loads(await receive_all(client))


@given(st.binary(max_size=REQUEST_SIZE))
def test_whatever_is_asked_the_reply_is_one_line_of_json(request: bytes) -> None:
    reply = reply_to(request, SYNCHRONISED)
    assert reply.count(b"\n") == 1
    assert isinstance(json.loads(reply), dict)


def test_before_there_is_a_snapshot_the_reply_says_so() -> None:
    assert "starting" in json.loads(reply_to(b'{"view": "json"}', None))["error"]


@pytest.mark.parametrize("fault", [KeyError("peers"), ValueError("nan"), RuntimeError("broken")])
def test_a_views_own_fault_is_logged_and_not_called_the_clients(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    def broken(status: Status) -> object:
        raise fault

    monkeypatch.setattr(control, "VIEWS", {"json": broken})
    error = json.loads(reply_to(b'{"view": "json"}', SYNCHRONISED))["error"]
    assert error == "the view json failed: the daemon's log tells why"
    assert repr(fault) in repr(caplog.records[0].exc_info)


async def test_a_gigabyte_is_cut_off_after_the_first_kilobyte(served: Path) -> None:
    async with await trio.open_unix_socket(served) as client:
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(bytes(2**30))
    assert (await ask(served, b'{"view": "json"}\n'))["version"] == VERSION


async def test_a_client_that_is_silent_is_hung_up_on(
    path: Path, nursery: trio.Nursery, patient_clock: MockClock
) -> None:
    await nursery.start(serve_control, path, lambda: SYNCHRONISED)
    async with await trio.open_unix_socket(path) as client:
        began = trio.current_time()
        assert await receive_all(client) == b""
        assert trio.current_time() - began >= TIME_LIMIT - 0.1


async def test_a_client_that_never_reads_is_hung_up_on(
    path: Path, nursery: trio.Nursery, patient_clock: MockClock
) -> None:
    many = Status(0, SYNCHRONISED.peers * 5000, SYNCHRONISED.verdict)
    await nursery.start(serve_control, path, lambda: many)
    async with await trio.open_unix_socket(path) as client:
        await client.send_all(b'{"view": "json"}\n')
        await trio.sleep(TIME_LIMIT + 1)
        assert not (await receive_all(client)).endswith(b"\n")


async def test_with_as_many_clients_as_may_be_the_next_is_hung_up_on(
    path: Path, nursery: trio.Nursery, patient_clock: MockClock
) -> None:
    await nursery.start(serve_control, path, lambda: SYNCHRONISED)
    silent = [await trio.open_unix_socket(path) for _ in range(CALLERS)]
    async with await trio.open_unix_socket(path) as late:
        began = trio.current_time()
        assert await receive_all(late) == b""
        assert trio.current_time() - began < TIME_LIMIT
    await trio.sleep(TIME_LIMIT + 1)
    assert (await ask(path, b'{"view": "json"}\n'))["version"] == VERSION
    for client in silent:
        await client.aclose()


# -- the socket's file -----------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_its_group_may_ask_and_no_one_else(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with listening_at(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(before)


def test_it_is_removed_on_stop(path: Path) -> None:
    with listening_at(path):
        assert path.is_socket()
    assert not path.exists()


def test_one_that_another_daemon_made_since_is_left_alone(path: Path) -> None:
    with listening_at(path):
        path.unlink()
        path.write_text("someone else's")
    assert path.read_text() == "someone else's"


def test_one_that_is_gone_already_is_no_fault(path: Path) -> None:
    with listening_at(path):
        path.unlink()
    assert not path.exists()


def test_a_stale_one_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listening_at(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def refusal(path: Path) -> str:
    with pytest.raises(ControlError) as raised, listening_at(path):
        pass
    return str(raised.value)


def test_the_socket_of_a_living_daemon_is_not_taken(path: Path) -> None:
    with listening_at(path):
        assert refusal(path) == f"{path}: another daemon has it"
        assert path.is_socket()


def test_a_living_daemon_that_is_busy_keeps_its_socket_too(path: Path) -> None:
    with listening_at(path) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.listen(0)
        client.connect(str(path))
        assert "another daemon has it" in refusal(path)


def test_a_socket_that_may_not_listen_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket.socket, "listen", refuse)
    with pytest.raises(ControlError, match="Operation not permitted"), listening_at(path):
        pass


def test_a_file_that_is_no_socket_is_not_touched(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("important")
    assert refusal(path) == f"{path}: is there already, and is no socket"
    assert path.read_text() == "important"


def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert refusal(blocked / "control.sock").startswith(f"{blocked}")
