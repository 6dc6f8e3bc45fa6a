"""The command, from its arguments to its exit code and output."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from webntpd import __version__
from webntpd.cli import commands
from webntpd.cli.arguments import LOOKS, Exit, make_parser
from webntpd.cli.main import main
from webntpd.clock.clocks import ShiftedClock
from webntpd.config import access
from webntpd.server import ServerParameters, serve

SHIFT = 0.25
COMMANDS = (*commands.COMMANDS, *LOOKS)
GOOD = '[[peer]]\nurl = "ws://a"\n[[refclock]]\ntype = "shm"\nunit = 7\n'


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("WEBNTPD_"):
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "webntpd.toml"
        path.write_text(text)
        return str(path)

    return write


# -- usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_reads_well_at_80_columns(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_a_help_that_cannot_be_written_is_one_line(option: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "webntpd", option],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )
    assert done.returncode == Exit.FAILED
    assert done.stderr == "webntpd: the output cannot be written: No space left on device\n"


def test_help_names_every_command_and_exit_code() -> None:
    text = make_parser().format_help()
    assert all(f"\n    {name}" in text for name in COMMANDS)
    assert all(f"\n  {code}  " in text for code in Exit if code < Exit.INTERRUPTED)


def test_the_tests_option_is_not_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert "shift" not in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"webntpd {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["query"],
        ["query", "-p", "0", "ws://a"],
        ["query", "-p", "x", "ws://a"],
        ["query", "--kind", "x", "ws://a"],
        ["run", "--demo", "--config", "x"],
        ["consumer-config"],
        ["consumer-config", "x"],
        ["run", "--log-format", "x"],
        ["check-config", "x"],
    ],
    ids=str,
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["query", "ftp://a"], "url: must begin with one of "),
        (["query", "ws://a", "http://a/?x"], "url: must not hold a query"),
        (["query", "--timeout", "0", "ws://a"], "timeout: should be greater than 0"),
        (["query", "--ca-file", "/nonexistent", "ws://a"], "ca_file: there is no such file"),
        (["query", "--kind", "http", "ws://a"], 'kind must be "websocket"'),
        (["serve", "8080"], "listen: must be ADDRESS:PORT"),
    ],
    ids=str,
)
def test_an_argument_that_cannot_be_ends_with_2_and_the_reason(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"webntpd: {fault}")


# -- the configuration -----------------------------------------------------------------------


def test_a_good_configuration_is_called_so(
    config: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "SERVICE_USER", "no such user")
    assert main(["check-config", "--config", config(GOOD)]) == 0
    said = capsys.readouterr().out
    assert (
        said
        == f"good: 1 peers, 1 refclocks; checked as the user {pwd.getpwuid(os.geteuid()).pw_name}\n"
    )
    assert main(["check-config", "--config", config('[server]\nlisten = [":80"]')]) == 0
    assert capsys.readouterr().out.startswith("good: 0 peers, 0 refclocks and a server; ")


def test_a_likely_mistake_is_a_note(
    config: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "SERVICE_USER", "no such user")
    path = config(GOOD.replace('"ws://a"\n', '"ws://a"\nnoselect = true\n'))
    assert main(["check-config", "--config", path]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: note: [[peer]] noselect: ")


@pytest.mark.parametrize("command", ["check-config", "run"])
@pytest.mark.parametrize("text", ["", "[sever]", '[[peer]]\nurl = "ws://a"', "nonsense"])
def test_a_fault_ends_with_2_and_a_line_that_names_the_file(
    config: Callable[[str], str], command: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(text)
    assert main([command, "--config", path]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"{path}: ")
    assert not captured.out


def test_the_variable_names_the_file_unless_an_argument_does(
    config: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WEBNTPD_CONFIG", str(tmp_path / "other.toml"))
    assert main(["check-config"]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/other.toml: there is no such file\n"
    assert main(["check-config", "--config", config(GOOD)]) == 0


def test_the_consumers_lines_are_printed(
    config: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["consumer-config", "chrony", "--config", config(GOOD)]) == 0
    assert "\nrefclock SHM 7:perm=0600 " in capsys.readouterr().out


def test_a_consumer_that_can_read_nothing_ends_with_1(
    config: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["consumer-config", "ntpd-rs", "--config", config(GOOD)]) == 1
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.startswith('webntpd: no [[refclock]] suits ntpd-rs: it needs type = "sock"')


# -- query -----------------------------------------------------------------------------------


@pytest.fixture
async def server(nursery: trio.Nursery) -> str:
    """The address of a server that is wrong by SHIFT."""
    addresses: tuple[str, ...] = await nursery.start(
        serve,
        ServerParameters(("127.0.0.1:0",), local=True),
        ShiftedClock(SHIFT),
        lambda: None,
    )
    return addresses[0]


async def run_query(*arguments: str) -> int:
    return await trio.to_thread.run_sync(main, ["query", "--proxy", "", "-p", "2", *arguments])


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_query_prints_the_offset_of_a_server(
    server: str, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run_query("--json", f"{scheme}://{server}/") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    (answer,) = result["servers"]
    assert answer["samples"] == 2
    estimate = answer["estimate"]
    assert abs(estimate["offset"] - SHIFT) <= estimate["error"]
    assert not captured.err  # progress is for terminals


async def test_a_query_of_a_time_header(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://{server}/"
    assert await run_query("--json", "--kind", "time-header", url) == 0
    (answer,) = json.loads(capsys.readouterr().out)["servers"]
    assert answer["kind"] == "time-header"
    assert abs(answer["estimate"]["offset"] - SHIFT) <= answer["estimate"]["error"]


async def test_a_query_in_which_one_server_fails_ends_with_1(
    server: str, unused_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = f"http://{unused_address}/"
    assert await run_query(f"http://{server}/", dead) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("server ")
    assert lines[1].startswith(f"http://{server}/  +2")
    assert lines[2].startswith(f"{dead}: connect: ")
    assert lines[3].startswith("together: offset +2")


async def test_the_same_server_named_twice_is_asked_once(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run_query("--json", f"http://{server}/", f"http://{server}/") == 0
    assert len(json.loads(capsys.readouterr().out)["servers"]) == 1


@pytest.fixture
def unused_address() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{port_of(taken)}"


def port_of(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


def test_a_query_that_is_interrupted_says_nothing_more() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        webntpd("query", "--proxy", "", f"ws://127.0.0.1:{port_of(silent)}/") as process,
        silent.accept()[0] as connection,
    ):
        connection.recv(1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert not error


# -- serve, as a process of its own ----------------------------------------------------------


@contextmanager
def webntpd(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    # A shell's background job, such as this run may be, hands down that SIGINT is ignored.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "webntpd", *arguments], stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, inherited)
    with process:
        try:
            yield process
        finally:
            process.kill()


def announced_address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if "serving time on " in line:
            return line.split("serving time on ")[1].split(",")[0].strip()
    pytest.fail("the server ended")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_server_needs_no_configuration_and_stops_when_asked(
    stop: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with webntpd("serve", "127.0.0.1:0", "--local", "--clock-shift", "-3") as process:
        url = f"ws://{announced_address(process)}/"
        assert main(["query", "--json", "-p", "1", url]) == 0
        (answer,) = json.loads(capsys.readouterr().out)["servers"]
        assert abs(answer["estimate"]["offset"] + 3) <= answer["estimate"]["error"]
        process.send_signal(stop)
        assert process.wait(30) == 0


def test_a_port_that_is_in_use_is_named_and_ends_with_1() -> None:
    with webntpd("serve", "127.0.0.1:0") as first:
        address = announced_address(first)
        with webntpd("serve", address) as second:
            _, error = second.communicate(timeout=30)
        assert second.returncode == 1
        last = error.splitlines()[-1]
        assert last.startswith("webntpd: ")
        assert address in last
        assert "Traceback" not in error


def test_log_lines_are_json_if_they_are_asked_for() -> None:
    with webntpd("serve", "127.0.0.1:0", "--local", "--log-format", "json") as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        assert line["level"] == "info"
        assert line["message"].startswith("serving time on 127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_failure_out_of_a_nursery_keeps_its_cause() -> None:
    cause = OSError("address in use")

    async def fail() -> None:
        raise RuntimeError("no server") from cause

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)

    with pytest.raises(RuntimeError, match="no server") as raised:
        commands.run_trio(run)
    assert raised.value.__cause__ is cause
