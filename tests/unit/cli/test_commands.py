"""The commands that change the machine or run for ever, with small fakes of both."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.unit.status.snapshots import SYNCHRONISED
from webntpd.cli import commands, compat, units
from webntpd.cli.arguments import Exit
from webntpd.cli.main import main
from webntpd.clock.clocks import SystemClock
from webntpd.config import Config
from webntpd.refclock.shm import ShmRefclock
from webntpd.server import ServerError
from webntpd.status.snapshot import Status


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only directory with programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def add_program(path: Path, name: str, script: str) -> None:
    program = path / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


# -- the demo ----------------------------------------------------------------------------------


def test_the_demo_shows_what_the_daemon_sees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def daemon(load: Callable[[], Config], _: object, observe: Callable[[Status], None]) -> int:
        assert len(load().peers) == 2
        observe(SYNCHRONISED)
        return Exit.OK

    monkeypatch.setattr(commands, "daemon", daemon)
    assert main(["run", "--demo"]) == Exit.OK
    assert "webntpd demo; Ctrl-C ends it." in capsys.readouterr().out


# -- ntpd-rs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "version"),
    [("echo ntp-ctl 1.4.12", (1, 4, 12)), ("echo unknown", None), ("exec sleep 1000", None)],
)
def test_the_version_of_ntpd_rs_is_what_its_program_says(
    path: Path, monkeypatch: pytest.MonkeyPatch, script: str, version: tuple[int, ...] | None
) -> None:
    add_program(path, "ntp-ctl", script.replace("sleep", "/bin/sleep"))
    real = subprocess.run

    def run(*arguments: Any, timeout: float, **named: Any) -> Any:
        return real(*arguments, timeout=0.5 if "sleep" in script else timeout, **named)

    monkeypatch.setattr(subprocess, "run", run)
    assert commands.ntpd_rs_version() == version


# -- the units ---------------------------------------------------------------------------------


def test_the_units_that_are_written_are_listed_with_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installation = units.Installation(Path("/opt"), Path("/opt/bin/webntpd"), Path("/opt/python"))
    monkeypatch.setattr(units, "this_installation", lambda: installation)
    monkeypatch.setattr(units, "install", lambda _: iter([Path("/etc/systemd/system/x.service")]))
    assert main(["install-unit"]) == Exit.OK
    said = capsys.readouterr().out
    assert said.startswith("wrote /etc/systemd/system/x.service\n")
    assert "/opt/bin/webntpd check-config" in said


def test_without_units_there_is_nothing_to_remove(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(units, "installed", list)
    monkeypatch.setattr(units, "uninstall", list)
    assert main(["uninstall-unit"]) == Exit.OK
    assert capsys.readouterr().out == f"{commands.NO_UNITS}\n"


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation with one service, on a machine that systemd has booted."""
    service = Path("/etc/systemd/system/webntpd.service")
    monkeypatch.setattr(units, "installed", lambda: [service, service.with_suffix(".conf")])
    monkeypatch.setattr(units, "uninstall", lambda: iter([service]))
    is_dir = Path.is_dir
    monkeypatch.setattr(
        Path, "is_dir", lambda self: str(self) == "/run/systemd/system" or is_dir(self)
    )


@pytest.mark.usefixtures("removed")
def test_services_are_stopped_before_their_units_are_removed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_program(path, "systemctl", f'echo "$@" >>{path}/calls')
    assert main(["uninstall-unit"]) == Exit.OK
    assert "removed /etc/systemd/system/webntpd.service\n" in capsys.readouterr().out
    assert (path / "calls").read_text() == "--quiet stop webntpd.service\n--quiet daemon-reload\n"


@pytest.mark.usefixtures("removed")
def test_a_service_that_does_not_stop_keeps_its_unit(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_program(path, "systemctl", "echo no access >&2; exit 1")
    assert main(["uninstall-unit"]) == Exit.FAILED
    assert capsys.readouterr().err == "webntpd: systemctl stop: no access\n"


@pytest.mark.usefixtures("removed", "path")
def test_without_systemctl_the_units_are_removed_all_the_same() -> None:
    assert main(["uninstall-unit"]) == Exit.OK


# -- webntp ------------------------------------------------------------------------------------


def test_webntp_serves_as_the_daemon_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configurations: list[Config] = []

    def daemon(load: Callable[[], Config], _: object) -> int:
        configurations.append(load())
        return Exit.OK

    monkeypatch.setattr(compat, "daemon", daemon)
    cache = tmp_path / "leap-seconds.list"
    words = ["-serve", "127.0.0.1:0", "-leap-second-path", str(cache), "-allow-cross-origin"]
    assert compat.main(words) == Exit.OK
    (config,) = configurations
    assert config.server is not None
    assert (config.server.listen, config.server.local) == (("127.0.0.1:0",), True)
    assert (config.leap_file, config.leap_source.cache) == (cache, cache)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), Exit.INTERRUPTED, ""),
        (ServerError("no port"), Exit.FAILED, "webntp: no port\n"),
    ],
)
def test_webntp_says_in_one_line_why_it_ends(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(compat, "daemon", fail)
    assert compat.main(["-serve", "127.0.0.1:0"]) == code
    assert capsys.readouterr().err == said


def test_an_error_that_is_not_of_the_output_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise FileNotFoundError(2, "no such file", "x")

    monkeypatch.setattr(compat, "daemon", fail)
    with pytest.raises(FileNotFoundError):
        compat.main(["-serve", "127.0.0.1:0"])
    monkeypatch.setattr(commands, "daemon", fail)
    with pytest.raises(FileNotFoundError):
        main(["run", "--demo"])


def test_webntp_closes_the_shared_memory_that_it_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(ShmRefclock, "open", lambda _: calls.append("open"))
    monkeypatch.setattr(ShmRefclock, "close", lambda _: calls.append("close"))

    def run(function: Callable[..., object], *_: object) -> None:
        calls.append(getattr(function, "__name__", ""))

    monkeypatch.setattr(compat, "run_trio", run)
    assert compat.main(["-shm", "200", "http://127.0.0.1:1/"]) == Exit.OK
    assert calls == ["open", "feed_until_stopped", "close"]


async def test_a_signal_ends_the_feeding(monkeypatch: pytest.MonkeyPatch) -> None:

    async def feed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await trio.sleep_forever()

    monkeypatch.setattr(compat, "feed", feed)
    with trio.fail_after(30):
        await compat.feed_until_stopped([], 1, SystemClock(), ShmRefclock(200))


def test_webntp_ends_in_silence_when_its_reader_is_gone() -> None:
    code = "import sys; from webntpd.cli.compat import main; sys.exit(main(['-version']))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (Exit.FAILED, b"")


# -- the schema --------------------------------------------------------------------------------


def test_the_schema_is_printed_without_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--schema"]) == Exit.OK
    assert "peer" in json.loads(capsys.readouterr().out)["properties"]
