"""The service under an administrator's hands, and under accidents."""

from tests.boot import parts
from tests.boot.machine import Machine
from tests.boot.parts import CHRONY_SOCK, CONFIG, PEER, SERVER, SERVER_CONFIG, SHM
from tests.system.harness import eventually

SECOND_PEER = """
[[peer]]
url = "http://127.0.0.1:8080/"
minpoll = 2
maxpoll = 2
"""
WATCHDOG = 30.0  # s, as the unit has it


def segments(machine: Machine) -> list[list[str]]:
    """The shared memory segments as ipcs lists them, but for who is attached."""
    lines = machine.run("ipcs", "-m").splitlines()
    return [line.split()[:5] for line in lines if line.startswith("0x4e54503")]


def restarted(machine: Machine, patience: float) -> None:
    """Wait until systemd has started the service again, once."""

    def again() -> bool:
        active = machine.property("webntpd", "ActiveState") == "active"
        return active and machine.property("webntpd", "NRestarts") == "1"

    eventually(again, "webntpd is restarted", patience=patience)


def test_a_reload_takes_a_good_file_over_and_keeps_the_rest(machine: Machine) -> None:
    parts.start(machine, SHM)
    number = machine.property("webntpd", "MainPID")
    machine.write(CONFIG, PEER + SECOND_PEER + SHM)
    machine.run("systemctl", "reload", "webntpd")
    machine.says("webntpd", "reloaded: 2 peers, 1 refclocks")
    machine.says("webntpd", "peer http://127.0.0.1:8080/: reachable")
    assert machine.journal("webntpd").count("peer ws://127.0.0.1:8080/: reachable") == 1
    assert machine.property("webntpd", "MainPID") == number


def test_a_reload_of_a_faulty_file_fails_and_changes_nothing(machine: Machine) -> None:
    parts.start(machine, SHM)
    number = machine.property("webntpd", "MainPID")
    machine.write(CONFIG, PEER + SHM + "unti = 3\n")
    assert machine.attempt("systemctl", "reload", "webntpd").returncode != 0
    assert f"{CONFIG}: [[refclock]] #1 unti: unknown" in machine.journal("webntpd")
    assert "reloaded" not in machine.journal("webntpd")
    assert machine.property("webntpd", "MainPID") == number
    assert machine.property("webntpd", "ActiveState") == "active"


def test_after_a_kill_it_is_restarted_and_uses_the_same_memory(machine: Machine) -> None:
    parts.start(machine, SHM)
    parts.install_chrony(machine)
    parts.chrony_selects(machine)
    before = segments(machine)
    machine.run("systemctl", "kill", "--signal=KILL", "webntpd")
    restarted(machine, patience=30)
    assert segments(machine) == before
    machine.run("chronyc", "reset", "sources")
    parts.chrony_selects(machine)


def test_the_watchdog_restarts_a_daemon_that_does_nothing(machine: Machine) -> None:
    parts.start(machine, SHM)
    machine.run("systemctl", "kill", "--signal=STOP", "webntpd")
    restarted(machine, patience=WATCHDOG + 30)
    assert "Watchdog timeout" in machine.journal("webntpd")


def test_an_enabled_service_is_there_after_a_reboot_before_its_consumer(machine: Machine) -> None:
    parts.start(machine, SHM)
    parts.install_chrony(machine)
    machine.run("systemctl", "enable", "webntpd", "webntpd-server")
    machine.reboot()
    parts.chrony_selects(machine)
    # Had chrony been the first, the segment would be root's.
    assert [segment[2:4] for segment in segments(machine)] == [["webntpd", "600"]]


def test_systemd_opens_a_port_that_the_server_may_not(machine: Machine) -> None:
    machine.write(SERVER_CONFIG, SERVER.replace("127.0.0.1:8080", "systemd"))
    parts.drop_in(machine, "webntpd.socket", "[Socket]\nListenStream=\nListenStream=80\n")
    machine.run("systemctl", "start", "webntpd.socket")
    assert machine.property("webntpd-server", "ActiveState") == "inactive"
    machine.run("webntpd", "query", "--samples=1", "http://127.0.0.1/")
    machine.run("systemctl", "restart", "webntpd-server")
    machine.run("webntpd", "query", "--samples=1", "ws://[::1]/")


# -- what is wrong is said in one line -------------------------------------------------------


def fails_with(machine: Machine, line: str) -> None:
    assert machine.attempt("systemctl", "start", "webntpd").returncode != 0
    assert line in machine.journal("webntpd")


def test_an_occupied_port(machine: Machine) -> None:
    parts.start(machine, SHM)
    machine.run("systemctl", "stop", "webntpd")
    machine.write(CONFIG, PEER + SHM + SERVER)
    fails_with(machine, "webntpd: cannot listen on 127.0.0.1:8080: address already in use")


def test_shared_memory_of_somebody_else(machine: Machine) -> None:
    machine.run("ipcmk", "--shmem", "1", "--mode", "0600")  # so that identifiers do not begin at 0
    make = "import ctypes; assert ctypes.CDLL(None).shmget(0x4E545030, 96, 0o1600) > 0"
    machine.run("python3", "-c", make)
    machine.write(SERVER_CONFIG, SERVER)
    machine.write(CONFIG, PEER + SHM + "unit = 0\n")
    fails_with(machine, "key 0x4e545030")
    assert "owner root, mode 0600" in machine.journal("webntpd")
    # With the drop-in for that case it goes all the same.
    example = machine.run("cat", "/usr/share/doc/webntpd/examples/shm-root-units.conf")
    parts.drop_in(machine, "webntpd.service", example)
    machine.run("systemctl", "restart", "webntpd", "webntpd-server")
    machine.says("webntpd", "refclock SHM(0): first sample published")


def test_a_socket_that_was_not_handed_over(machine: Machine) -> None:
    parts.start(machine, CHRONY_SOCK)
    parts.install_chrony(machine)
    machine.says("webntpd", "refclock SOCK(/run/chrony.webntpd.sock): first sample published")
    machine.run("chgrp", "root", "/run/chrony.webntpd.sock")
    machine.says("webntpd", "no permission to write to /run/chrony.webntpd.sock")
    machine.run("chgrp", "webntpd", "/run/chrony.webntpd.sock")
    machine.says("webntpd", "SOCK(/run/chrony.webntpd.sock): publishing again")


def test_a_var_that_cannot_be_written(machine: Machine) -> None:
    machine.run("mount", "--bind", "/var/lib", "/var/lib")
    machine.run("mkdir", "-p", "/var/lib/webntpd")
    machine.run("chown", "webntpd:", "/var/lib/webntpd")
    machine.run("mount", "-o", "remount,bind,ro", "/var/lib")
    parts.start(machine, SHM)
    machine.says("webntpd", "first sample published")
