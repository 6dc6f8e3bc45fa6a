"""The unit files, without systemd; tests/boot has them do their work."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from webntpd.config.access import HIDDEN
from webntpd.refclock.base import SockParameters

ROOT = Path(__file__).parent.parent.parent
UNITS = ROOT / "systemd"
SERVICES = ("webntpd.service", "webntpd-server.service")
SANDBOX = "MemoryHigh="
READS_THE_CLOCK = {"adjtimex", "clock_adjtime", "clock_adjtime64"}

services = pytest.mark.parametrize("unit", SERVICES)


def settings(unit: str, key: str) -> list[str]:
    """The values of a key, in the order of the file."""
    lines = (UNITS / unit).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def sandbox(unit: str) -> list[str]:
    """The lines from the limits on, without comments."""
    lines = (SANDBOX + (UNITS / unit).read_text().split(SANDBOX)[1]).splitlines()
    return [line for line in lines[: lines.index("[Install]")] if line and line[0] != "#"]


def test_both_services_have_the_same_limits_and_sandbox() -> None:
    assert len(sandbox(SERVICES[0])) > 20
    assert sandbox(SERVICES[0]) == sandbox(SERVICES[1])


@services
def test_the_last_word_on_system_calls_allows_to_read_the_clocks_state(unit: str) -> None:
    """Later lines overrule earlier ones, and @privileged contains @clock."""
    allowed, denied, last = settings(unit, "SystemCallFilter")
    assert allowed == "@system-service"
    assert set(denied.split()) == {"~@privileged", "@resources"}
    assert set(last.split()) == READS_THE_CLOCK


@services
def test_check_config_knows_the_directories_that_a_unit_hides(unit: str) -> None:
    """As systemd.exec(5) has it."""
    hides = {
        "ProtectHome": {"/home", "/root", "/run/user"},
        "PrivateTmp": {"/tmp", "/var/tmp"},
    }
    hidden = [each for key, each in hides.items() if settings(unit, key) == ["yes"]]
    assert set(map(str, HIDDEN)) == set().union(*hidden)


@services
def test_no_systemd_restarts_a_failing_service_more_than_once_in_ten_seconds(unit: str) -> None:
    """Before version 254 RestartSec is the interval for ever; later it is the first one."""
    (first,) = settings(unit, "RestartSec")
    assert int(first) >= 10  # seconds where no unit stands
    assert settings(unit, "RestartSteps")
    assert settings(unit, "RestartMaxDelaySec")


@services
def test_memory_and_tasks_are_bounded(unit: str) -> None:
    for key in ("MemoryHigh", "MemoryMax", "TasksMax"):
        (value,) = settings(unit, key)
        assert value not in ("", "infinity")


def test_the_drop_in_for_chrony_hands_the_default_socket_over() -> None:
    assert (
        f"hand-over-socket {SockParameters().path} "
        in (UNITS / "chrony.service.d/webntpd.conf").read_text()
    )


# -- hand-over-socket ------------------------------------------------------------------------


def hand_over(
    target: Path, *configuration: Path, consumer: int
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", UNITS / "hand-over-socket", target, *configuration],
        env={**os.environ, "MAINPID": str(consumer)},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """hand-over-socket as a module that gives the socket to the user's own group."""
    path = str(UNITS / "hand-over-socket")
    loader = SourceFileLoader("hand_over_socket", path)
    spec = spec_from_file_location("hand_over_socket", path, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Path]:
    """A socket of mode 0755, as chrony makes it."""
    path = tmp_path / "bound"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as consumer:
        consumer.bind(str(path))
        path.chmod(0o755)
        yield path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_socket_is_handed_over(bound: Path, script: ModuleType) -> None:
    assert script.hand_over(str(bound), os.getgid())
    assert mode(bound) == 0o660


def test_no_link_to_a_socket_is_followed(bound: Path, script: ModuleType) -> None:
    link = bound.with_name("link")
    link.symlink_to(bound)
    assert not script.hand_over(str(link), os.getgid())
    assert mode(bound) == 0o755


def test_no_other_file_is_handed_over(tmp_path: Path, script: ModuleType) -> None:
    file = tmp_path / "file"
    file.write_text("")
    file.chmod(0o755)
    assert not script.hand_over(str(file), os.getgid())
    assert mode(file) == 0o755


def test_the_opened_socket_is_handed_over_although_the_path_becomes_a_link(
    bound: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change comes between the look at the file and the change of its group."""
    other = bound.with_name("other")
    other.write_text("")
    other.chmod(0o600)
    moved = bound.with_name("moved")

    def swap(path: str, group: int) -> None:
        bound.rename(moved)
        bound.symlink_to(other)
        chown(path, group=group)

    chown = shutil.chown
    monkeypatch.setattr(shutil, "chown", swap)
    assert script.hand_over(str(bound), os.getgid())
    assert mode(other) == 0o600
    assert mode(moved) == 0o660


@pytest.fixture
def ended() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_socket_that_nobody_asked_for_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "chrony.conf").write_text("refclock SHM 2 refid WEB\n")
    done = hand_over(tmp_path / "sock", tmp_path, tmp_path / "missing", consumer=os.getpid())
    assert (done.returncode, done.stderr) == (0, "")


def test_a_consumer_that_ended_is_not_waited_for(tmp_path: Path, ended: int) -> None:
    target = tmp_path / "sock"
    (tmp_path / "chrony.conf").write_text(f"refclock SOCK {target} refid WEB\n")
    done = hand_over(target, tmp_path, consumer=ended)
    assert done.returncode == 1
    assert f"{target}: the configuration names it, but there is no such socket" in done.stderr
