"""The unit files, without systemd; tests/boot has them do their work."""

import os
import subprocess
from pathlib import Path

import pytest

from webntpd import __version__
from webntpd.config.document import DEFAULT_SOCK

ROOT = Path(__file__).parent.parent.parent
UNITS = ROOT / "systemd"
SANDBOX = "CapabilityBoundingSet="


def sandbox(unit: str) -> str:
    return (UNITS / unit).read_text().split(SANDBOX)[1].split("[Install]")[0]


def test_both_services_have_the_same_sandbox() -> None:
    assert len(sandbox("webntpd.service").splitlines()) > 20
    assert sandbox("webntpd.service") == sandbox("webntpd-server.service")


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
