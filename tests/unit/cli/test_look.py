"""The commands that show a running daemon, against its control socket."""

import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from tests.unit.status.snapshots import SYNCHRONISED
from webntpd.cli.controlclient import PATIENCE, AskError, request_view, socket_path
from webntpd.cli.main import main
from webntpd.daemon.control import serve_control
from webntpd.names import CONTROL_VARIABLE, DEFAULT_CONTROL
from webntpd.sockets.callers import CALLERS
from webntpd.status.json import VERSION
from webntpd.status.snapshot import Status
from webntpd.status.views import VIEWS

NOBODY = 65534
HEAVY = {"asyncio", "httpcore", "httpx", "pydantic", "ssl", "trio", "trio_websocket"}


@pytest.fixture
async def daemon(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[str]:
    """Where a daemon in the state SYNCHRONISED can be asked."""
    path = tmp_path / "control.sock"
    await nursery.start(serve_control, path, lambda: SYNCHRONISED)
    yield str(path)
    nursery.cancel_scope.cancel()


async def run(*arguments: str) -> int:
    return await trio.to_thread.run_sync(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "view"),
    [
        (["status"], "status"),
        (["tracking"], "tracking"),
        (["sources"], "sources"),
        (["sources", "-v"], "sources-verbose"),
        (["sources", "--verbose"], "sources-verbose"),
    ],
    ids=" ".join,
)
async def test_a_command_prints_its_view(
    daemon: str, arguments: list[str], view: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(*arguments, "--socket", daemon) == 0
    assert capsys.readouterr().out.splitlines() == VIEWS[view](SYNCHRONISED)["lines"]


@pytest.mark.parametrize("command", ["status", "tracking", "sources"])
async def test_every_command_prints_the_same_json(
    daemon: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(command, "--json", "--socket", daemon) == 0
    assert json.loads(capsys.readouterr().out) == VIEWS["json"](SYNCHRONISED)


class EnoughError(Exception):
    """Ends a watch."""


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lets a watch show two states, and has the times that it would have slept."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise EnoughError

    monkeypatch.setattr(time, "sleep", sleep)
    return slept


async def test_a_watch_shows_the_trends_again_and_again(
    daemon: str, naps: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EnoughError):
        await run("watch", "-n", "0.5", "--socket", daemon)
    # Without a terminal a line that has not changed is not printed again.
    assert capsys.readouterr().out.splitlines() == VIEWS["watch"](SYNCHRONISED)["lines"]
    assert naps == [0.5, 0.5]


async def test_a_watch_prints_an_object_a_line(
    daemon: str, naps: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EnoughError):
        await run("watch", "--json", "--socket", daemon)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [VIEWS["json"](SYNCHRONISED)] * 2


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "x", "1e9"])
def test_a_watch_is_neither_too_fast_nor_endless(
    interval: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["watch", "-n", interval])
    assert ended.value.code == 2
    assert "-n" in capsys.readouterr().err


# -- what can go wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "tracking", "sources", "watch"])
def test_a_daemon_that_does_not_run_is_one_line_and_exit_code_3(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "control.sock"
    assert main([command, "--socket", str(path)]) == 3
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err == f"webntpd: the daemon is not running: nobody listens at {path}\n"


def test_a_daemon_that_died_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert main(["status", "--socket", str(path)]) == 3


@contextmanager
def without_rights() -> Iterator[None]:
    """As a user who is not root: root may do everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_who_may_not_ask_is_told_who_may(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "closed"
    directory.mkdir(mode=0)
    with without_rights():
        code = main(["status", "--socket", str(directory / "control.sock")])
    assert code == 1
    assert "only root and the socket's group may" in capsys.readouterr().err


async def test_a_daemon_that_is_only_starting_says_so(
    tmp_path: Path, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing: Callable[[], Status | None] = lambda: None  # noqa: E731 - its type is the point
    await nursery.start(serve_control, tmp_path / "control.sock", nothing)
    assert await run("status", "--socket", str(tmp_path / "control.sock")) == 1
    assert "starting" in capsys.readouterr().err


@contextmanager
def answering(path: Path, *answers: bytes) -> Iterator[None]:
    """Somebody who gives one client after the other an answer."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer_all() -> None:
            for answer in answers:
                with listener.accept()[0] as connection:
                    connection.recv(1024)
                    connection.sendall(answer)

        thread = threading.Thread(target=answer_all)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize("answer", [b"nonsense\n", b'{"lines": ['])
def test_an_answer_that_is_none_is_a_failure(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "control.sock"
    with answering(path, answer), pytest.raises(AskError, match="no answer from"):
        request_view(path, "json")


def test_who_is_hung_up_on_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with answering(path, b"", b"", b'{"lines": []}\n'):
        assert request_view(path, "status") == {"lines": []}


async def test_many_silent_clients_keep_nobody_from_asking(
    daemon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = [await trio.open_unix_socket(daemon) for _ in range(CALLERS)]

    def give_way(_: float) -> None:
        trio.from_thread.run(silent.pop().aclose)

    monkeypatch.setattr(time, "sleep", give_way)
    assert await run("status", "--socket", daemon) == 0
    assert len(silent) < CALLERS
    for client in silent:
        await client.aclose()


def test_a_daemon_that_hangs_up_for_ever_is_left_alone_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "control.sock"
    times = itertools.count(0.0, PATIENCE / 2)
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    with answering(path, b""), pytest.raises(AskError, match="too many ask at once"):
        request_view(path, "json")


def test_where_to_ask_is_given_or_in_the_environment_or_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(CONTROL_VARIABLE, raising=False)
    assert socket_path(None) == DEFAULT_CONTROL
    monkeypatch.setenv(CONTROL_VARIABLE, "/run/other.sock")
    assert socket_path(None) == Path("/run/other.sock")
    assert socket_path(Path("/run/given.sock")) == Path("/run/given.sock")


# -- what it costs ---------------------------------------------------------------------------


def test_nothing_that_takes_long_is_imported_to_ask() -> None:
    code = "import sys, webntpd.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


async def test_a_reader_that_has_had_enough_is_no_fault_of_ours(daemon: str) -> None:
    watch = f"{sys.executable} -m webntpd watch --json -n 0.1 --socket {daemon} | head -n 1"
    done = await trio.run_process(watch, shell=True, capture_stdout=True, capture_stderr=True)
    assert json.loads(done.stdout)["version"] == VERSION
    assert not done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
async def test_an_output_that_cannot_be_written_is_one_line(daemon: str, unbuffered: str) -> None:
    status = f"{sys.executable} -m webntpd status --socket {daemon} >/dev/full"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = await trio.run_process(
        status, shell=True, capture_stderr=True, check=False, env=environment
    )
    assert done.returncode == 1
    assert done.stderr == b"webntpd: the output cannot be written: No space left on device\n"
