"""The Debian package: what it installs, starts and leaves behind."""

import re

from tests.boot import parts
from tests.boot.machine import Machine
from tests.boot.parts import CHRONY_SOCK, SHM

LARGEST_EXPOSURE = 1.5


def test_it_is_installed_but_not_started(machine: Machine) -> None:
    for unit in ("webntpd.service", "webntpd-server.service", "webntpd.socket"):
        assert machine.attempt("systemctl", "is-enabled", unit).stdout.strip() == "disabled"
        assert machine.property(unit, "ActiveState") == "inactive"


def test_without_a_peer_it_says_what_to_do_and_does_not_try_again(machine: Machine) -> None:
    assert machine.attempt("systemctl", "start", "webntpd").returncode != 0
    assert "/etc/webntpd.toml: [[peer]]: there is none: add one" in machine.journal("webntpd")
    assert machine.property("webntpd", "ActiveState") == "failed"
    assert machine.property("webntpd", "NRestarts") == "0"


def test_the_units_are_sound_and_leave_the_services_little(machine: Machine) -> None:
    services = ("webntpd.service", "webntpd-server.service")
    units = [f"/usr/lib/systemd/system/{unit}" for unit in (*services, "webntpd.socket")]
    assert machine.run("systemd-analyze", "verify", "--man=no", *units) == ""
    for unit in services:
        report = machine.run("systemd-analyze", "security", "--offline=true", unit)
        exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
        assert exposure is not None
        assert float(exposure[1]) <= LARGEST_EXPOSURE


def test_purging_it_leaves_nothing(machine: Machine) -> None:
    parts.start(machine, SHM, CHRONY_SOCK)
    machine.run("systemctl", "enable", "webntpd", "webntpd.socket")
    machine.run("apt-get", "-qq", "purge", "--yes", "webntpd")
    machine.run("rm", "/root/webntpd.deb")
    search = ("find", "/", "-xdev", "-name", "*webntp*", "-not", "-path", "/proc/*")
    assert machine.run(*search) == ""
    assert "webntpd" not in machine.run("cat", "/etc/passwd", "/etc/group", "/etc/shadow")
    assert "0x4e545032" not in machine.run("ipcs", "-m")
    assert machine.attempt("pgrep", "-f", "/usr/bin/webntpd").stdout == ""
