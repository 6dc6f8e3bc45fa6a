"""Each of the clock's daemons, as its package installs it, takes its time from webntpd."""

import re

from tests.boot import parts
from tests.boot.machine import Machine
from tests.boot.parts import CHRONY_SOCK, NTPD_RS_SOCK, SHM


def test_nobody_on_the_machine_can_set_the_clock(machine: Machine) -> None:
    assert "Operation not permitted" in machine.attempt("date", "--set=now").stdout
    mapped = machine.run("cat", "/proc/self/uid_map").split()
    assert mapped[:2] != ["0", "0"]


def test_ntpsec_follows_shared_memory_without_a_gap(machine: Machine) -> None:
    parts.start(machine, SHM)
    parts.install_ntpsec(machine)
    parts.ntpsec_follows(machine, reach="377", patience=120)
    # It has given up root by then, and the segment is webntpd's alone.
    assert "ntpsec" in machine.run("ps", "-o", "user=", "-C", "ntpd")
    assert re.search(
        r"^0x4e545032 \S+ +webntpd +600 .* 2 *$", machine.run("ipcs", "-m"), re.MULTILINE
    )
    # What it is attached to stays when the daemon is killed, and the next one writes to it.
    before = parts.segments(machine)
    parts.kill(machine)
    assert parts.segments(machine) == before
    parts.consumed(machine)
    parts.ntpsec_follows(machine)


def test_ntpsec_may_come_and_go_before_and_after_webntpd(machine: Machine) -> None:
    parts.start(machine, SHM)
    parts.install_ntpsec(machine)
    parts.ntpsec_follows(machine)
    machine.run("systemctl", "stop", "ntpsec")
    machine.run("systemctl", "restart", "webntpd")
    machine.run("systemctl", "start", "ntpsec")
    parts.ntpsec_follows(machine)
    machine.run("systemctl", "stop", "webntpd", "ntpsec")
    machine.run("systemctl", "start", "ntpsec")
    machine.run("systemctl", "start", "webntpd")
    parts.ntpsec_follows(machine)


def test_chrony_selects_shared_memory(machine: Machine) -> None:
    parts.start(machine, SHM)
    parts.install_chrony(machine)
    parts.chrony_selects(machine)
    before = parts.segments(machine)
    parts.kill(machine)
    assert parts.segments(machine) == before
    machine.run("chronyc", "reset", "sources")
    parts.chrony_selects(machine)


def test_chrony_selects_its_socket_in_whatever_order_they_start(machine: Machine) -> None:
    parts.start(machine, CHRONY_SOCK)
    machine.says("webntpd", "there is no socket /run/chrony.webntpd.sock")
    parts.install_chrony(machine)
    parts.chrony_selects(machine)
    machine.run("systemctl", "stop", "chrony")
    machine.says("webntpd", "nobody receives on /run/chrony.webntpd.sock")
    machine.run("systemctl", "start", "chrony")
    parts.chrony_selects(machine)
    machine.run("systemctl", "stop", "webntpd", "chrony")
    machine.run("systemctl", "start", "chrony")
    machine.run("systemctl", "start", "webntpd")
    parts.chrony_selects(machine)
    parts.kill(machine)
    machine.run("chronyc", "reset", "sources")
    parts.chrony_selects(machine)


def test_ntpd_rs_follows_its_socket_in_whatever_order_they_start(machine: Machine) -> None:
    parts.start(machine, NTPD_RS_SOCK)
    machine.says("webntpd", "there is no socket /run/ntpd-rs/webntpd.sock")
    parts.install_ntpd_rs(machine)
    parts.ntpd_rs_is_synchronised(machine)
    parts.kill(machine)
    machine.run("systemctl", "restart", "ntpd-rs")
    parts.ntpd_rs_is_synchronised(machine)
    machine.run("systemctl", "stop", "webntpd", "ntpd-rs")
    machine.run("systemctl", "start", "ntpd-rs")
    machine.run("systemctl", "start", "webntpd")
    parts.ntpd_rs_is_synchronised(machine)
