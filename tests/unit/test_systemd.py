"""The unit files, without systemd; tests/boot has them do their work."""

import os
import subprocess
from pathlib import Path

import pytest

from webntpd import __version__
from webntpd.config.document import DEFAULT_SOCK

ROOT = Path(__file__).parent.parent.parent
UNITS = ROOT / "systemd"
SERVICES = ("webntpd.service", "webntpd-server.service")
SANDBOX = "MemoryHigh="
READS_THE_CLOCK = {"adjtimex", "clock_adjtime"}

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
        f"hand-over-socket {DEFAULT_SOCK} " in (UNITS / "chrony.service.d/webntpd.conf").read_text()
    )


def test_the_package_has_the_programs_version() -> None:
    changelog = (ROOT / "debian/changelog").read_text()
    assert changelog.startswith(f"webntpd ({__version__}) ")


# -- hand-over-socket ------------------------------------------------------------------------


def hand_over(
    socket: Path, *configuration: Path, consumer: int
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [UNITS / "hand-over-socket", socket, *configuration],
        env={**os.environ, "MAINPID": str(consumer)},
        check=False,
        capture_output=True,
        text=True,
    )


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
    socket = tmp_path / "sock"
    (tmp_path / "chrony.conf").write_text(f"refclock SOCK {socket} refid WEB\n")
    done = hand_over(socket, tmp_path, consumer=ended)
    assert done.returncode == 1
    assert f"{socket}: the configuration names it, but there is no such socket" in done.stderr
