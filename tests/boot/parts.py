"""What an administrator would set up on a machine: webntpd, its peer, and the consumers.

The peer is a server on the same machine. Only what keeps a consumer from failing at a clock that it
cannot set differs from a machine of one's own.
"""

import json
import re

from tests.boot.machine import Machine
from tests.system.harness import eventually

UNITS = ("webntpd.socket", "webntpd-server.service", "webntpd.service")
CONSUMER_UNITS = ("chrony.service", "ntpsec.service", "ntpd-rs.service")
CONFIG = "/etc/webntpd.toml"
SERVER_CONFIG = "/etc/webntpd-server.toml"
SERVER = """
[server]
listen = ["127.0.0.1:8080"]
local = true
"""
PEER = """
[[peer]]
url = "ws://127.0.0.1:8080/"
minpoll = 1
maxpoll = 1
burst = 2
iburst = 4
burst_interval = 0.5
"""
SHM = """
[[refclock]]
type = "shm"
"""
CHRONY_SOCK = """
[[refclock]]
type = "sock"
"""
NTPD_RS_SOCK = """
[[refclock]]
type = "sock"
path = "/run/ntpd-rs/webntpd.sock"
"""

# Every call that would read or set the clock's discipline succeeds, and does nothing.
PRETENCE = """
[Service]
SystemCallFilter=~adjtimex:0 clock_adjtime:0 clock_settime:0 settimeofday:0
"""
WITHOUT_CLOCK = """
[Service]
ExecStart=
ExecStart=!/usr/sbin/chronyd -x
"""


def undo(machine: Machine) -> None:
    """Stop and disable what a test may have started, and remove what it has configured."""
    machine.run("systemctl", "disable", "--now", *UNITS)
    machine.attempt("systemctl", "stop", *CONSUMER_UNITS)
    machine.run(
        "rm", "-rf", *(f"/etc/systemd/system/{unit}.d" for unit in (*UNITS, *CONSUMER_UNITS))
    )
    machine.run("systemctl", "daemon-reload")
    machine.attempt("systemctl", "reset-failed")
    machine.forget_journal()


def start(machine: Machine, *refclocks: str) -> None:
    """Start a server and the daemon that polls it, with these outputs."""
    configure(machine, *refclocks)
    machine.run("systemctl", "start", "webntpd-server", "webntpd")
    machine.says("webntpd", "synchronised to ws://127.0.0.1:8080/")


def configure(machine: Machine, *sections: str) -> None:
    """Write the files of the server and of the daemon that polls it."""
    machine.write(SERVER_CONFIG, SERVER)
    machine.write(CONFIG, PEER + "".join(sections))


def kill(machine: Machine) -> None:
    """Kill the daemon, and wait until systemd has started it again."""
    machine.forget_journal()
    machine.run("systemctl", "kill", "--signal=KILL", "webntpd")
    restarted(machine)
    machine.says("webntpd", "first sample published")


def restarted(machine: Machine, patience: float = 30.0) -> None:
    """Wait until systemd has started the daemon again, once."""

    def again() -> bool:
        active = machine.property("webntpd", "ActiveState") == "active"
        return active and machine.property("webntpd", "NRestarts") == "1"

    eventually(again, "webntpd is restarted", patience=patience)


def segments(machine: Machine) -> list[list[str]]:
    """The shared memory segments as ipcs lists them, but for who is attached."""
    lines = machine.run("ipcs", "-m").splitlines()
    return [line.split()[:5] for line in lines if line.startswith("0x4e54503")]


def consumed(machine: Machine) -> None:
    """Wait until the daemon sees that its last sample but one was read from shared memory."""

    def taken() -> bool:
        state = json.loads(machine.run("webntpd", "status", "--json"))
        return state["refclocks"][0]["consumed"] is True

    eventually(taken, "a sample is consumed")


def drop_in(machine: Machine, unit: str, text: str) -> None:
    """Change a unit as `systemctl edit` does."""
    machine.write(f"/etc/systemd/system/{unit}.d/override.conf", text)
    machine.run("systemctl", "daemon-reload")


def lines_for(machine: Machine, consumer: str) -> str:
    return machine.run("webntpd", "consumer-config", consumer)


def install_chrony(machine: Machine) -> None:
    """Install chrony, with the lines for what is configured now."""
    drop_in(machine, "chrony.service", WITHOUT_CLOCK)
    machine.write("/etc/chrony/conf.d/webntpd.conf", lines_for(machine, "chrony"))
    machine.install("chrony")
    machine.run("systemctl", "restart", "chrony")


def install_ntpsec(machine: Machine) -> None:
    """Install NTPsec; its own file lists servers, and asks for three that agree."""
    machine.install("ntpsec")
    config = machine.run("cat", "/etc/ntpsec/ntp.conf")
    config = re.sub("^pool .*|^tos minclock.*", "", config, flags=re.MULTILINE)
    machine.write(
        "/etc/ntpsec/ntp.conf",
        f"{config}\ntos minsane 1\ndisable ntp\n{lines_for(machine, 'ntpsec')}",
    )
    machine.run("systemctl", "restart", "ntpsec")


def install_ntpd_rs(machine: Machine) -> None:
    """Install ntpd-rs; its own file has a pool, and asks for three sources that agree."""
    drop_in(machine, "ntpd-rs.service", PRETENCE)
    machine.install("ntpd-rs")
    config = machine.run("cat", "/etc/ntpd-rs/ntp.toml")
    config = re.sub(r"^\[\[source\]\]\n(.+\n)+", "", config, flags=re.MULTILINE)
    config = re.sub(
        "^#minimum-agreeing-sources.*", "minimum-agreeing-sources = 1", config, flags=re.MULTILINE
    )
    machine.write("/etc/ntpd-rs/ntp.toml", config + lines_for(machine, "ntpd-rs"))
    machine.run("systemctl", "restart", "ntpd-rs")


def chrony_hears(machine: Machine, refid: str) -> None:
    """Wait until chrony has had a sample of the refclock, whether it follows that or not."""

    def heard() -> bool:
        sources = machine.attempt("chronyc", "-n", "sources").stdout
        return re.search(rf"^#. {refid} +\d+ +\d+ +0*[1-7]", sources, re.MULTILINE) is not None

    eventually(heard, f"chrony hears {refid}", patience=60)


def chrony_selects(machine: Machine, refid: str = "WEB") -> None:
    """Wait until chrony follows the refclock."""

    def selected() -> bool:
        return f"#* {refid} " in machine.attempt("chronyc", "-n", "sources").stdout

    eventually(selected, f"chrony selects {refid}", patience=60)


def ntpd_rs_is_synchronised(machine: Machine) -> None:
    """Wait until ntpd-rs follows the refclock, its only source."""

    def synchronised() -> bool:
        return "Stratum: 1\n" in machine.attempt("ntp-ctl", "status").stdout

    eventually(synchronised, "ntpd-rs is of stratum 1", patience=120)


def ntpsec_follows(machine: Machine, reach: str = "[1-7]+", patience: float = 60) -> None:
    """Wait until NTPsec follows the refclock, with this reach, in octal."""

    def reached() -> bool:
        peers = machine.attempt("ntpq", "-p", "-n").stdout
        return re.search(rf"^[*o]SHM\(2\) +\.WEB\. .* {reach} ", peers, re.MULTILINE) is not None

    eventually(reached, f"NTPsec follows SHM(2), reach {reach}", patience=patience)
