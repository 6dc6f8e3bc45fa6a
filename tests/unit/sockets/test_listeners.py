"""Where the server listens: addresses, Unix sockets, and what systemd passes."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio

from tests.unit.exchange.test_dial import Names
from tests.unit.server.test_sockets import GET, read_all, running
from webntpd.server import ServerParameters
from webntpd.sockets.listeners import ListenError, listen

CLOSE = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def mode(path: Path) -> int | None:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


@pytest.fixture
def place() -> Iterator[Path]:
    """A path that is short enough for a Unix socket."""
    with TemporaryDirectory() as directory:
        yield Path(directory) / "socket"


async def test_a_unix_socket_is_served_and_removed_after(place: Path) -> None:
    async with running(ServerParameters((f"unix:{place}",), local=True)) as server:
        assert server.addresses == (f"unix:{place}",)
        assert mode(place) == 0o660
        stream = await trio.open_unix_socket(place)
        server.clients.append(stream)
        await stream.send_all(CLOSE)
        assert b'"sync":true' in await read_all(stream)
    assert mode(place) is None


async def test_a_socket_that_was_left_behind_is_replaced(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    (listener,) = await listen([f"unix:{place}"])
    listener.close()


async def test_a_socket_in_use_is_left_alone(place: Path) -> None:
    (listener,) = await listen([f"unix:{place}"])
    with pytest.raises(ListenError, match=f"unix:{place}: address already in use"):
        await listen([f"unix:{place}"])
    assert mode(place) == 0o660
    listener.close()


async def test_a_socket_in_use_whose_backlog_is_full_holds_up_nothing(place: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as busy,
        socket.socket(socket.AF_UNIX) as waiting,
        trio.fail_after(30),  # or a failure would never end
    ):
        busy.bind(str(place))
        busy.listen(0)
        waiting.connect(str(place))
        with pytest.raises(ListenError, match=f"unix:{place}: address already in use"):
            await trio.to_thread.run_sync(
                lambda: trio.run(listen, [f"unix:{place}"]), abandon_on_cancel=True
            )
    assert mode(place) is not None


def test_a_socket_that_cannot_be_removed_keeps_nothing_else_open(place: Path) -> None:
    other = place.with_name("other")
    listeners = trio.run(listen, [f"unix:{place}", f"unix:{other}"])
    place.unlink()
    place.mkdir()  # which unlink(2) refuses, as it does where the directory is read-only
    for listener in listeners:
        listener.close()
    assert [each.socket.fileno() for each in listeners] == [-1, -1]
    assert not other.exists()


def test_a_file_in_the_place_of_a_socket_is_left_alone(place: Path) -> None:
    place.write_text("precious")
    with pytest.raises(ListenError, match=f"unix:{place}: address already in use"):
        trio.run(listen, [f"unix:{place}"])
    assert place.read_text() == "precious"


async def test_a_directory_that_does_not_exist_is_named(place: Path) -> None:
    with pytest.raises(ListenError, match="No such file or directory"):
        await listen([f"unix:{place}/x"])


async def test_a_name_of_which_one_address_is_taken_leaves_the_others_free() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        trio.socket.set_custom_hostname_resolver(
            Names(host=["127.0.0.1", "127.0.0.2"]),
        )
        with pytest.raises(ListenError, match=r"host:.*address already in use"):
            await listen([f"host:{port}"])
        socket.create_server(("127.0.0.1", port)).close()


async def test_without_systemd_there_is_no_socket_of_its() -> None:
    with pytest.raises(ListenError, match="systemd has passed no socket"):
        await listen(["systemd"])


PASSED = """
import os, trio
from webntpd.sockets.listeners import listen
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = "2"
async def main():
    for _ in range(2):  # a restart within the process finds them again
        plain, tls = await listen(["systemd"]), await listen(["systemd"], tls=True)
        print(*[each.address for each in plain], *[each.address for each in tls], flush=True)
        for each in plain + tls:
            each.close()
trio.run(main)
"""


def test_what_systemd_passes_is_told_apart_by_name() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]

    def pass_sockets() -> None:
        copies = [os.dup2(sock.fileno(), 20 + number) for number, sock in enumerate(sockets)]
        for number, copy in enumerate(copies):
            os.dup2(copy, 3 + number)

    result = subprocess.run(
        [sys.executable, "-c", PASSED],
        env=os.environ | {"LISTEN_FDNAMES": "tls:webntpd.socket"},
        preexec_fn=pass_sockets,
        close_fds=False,
        capture_output=True,
        text=True,
        check=True,
    )
    tls, plain = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in sockets)
    for sock in sockets:
        sock.close()
    assert result.stdout.splitlines() == [f"{plain} {tls}"] * 2
