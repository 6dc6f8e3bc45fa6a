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
WATCHDOG = 15.0  # s
HANGING = "/run/hanging"
HANG = f"exec 3>{HANGING}; rm {HANGING}; exec sleep infinity"


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


def test_the_watchdog_restarts_a_daemon_whose_main_loop_stalls(machine: Machine) -> None:
    """A leap-seconds list that never comes to its end stands for a file system that hangs."""
    parts.drop_in(machine, "webntpd.service", f"[Service]\nWatchdogSec={WATCHDOG}\n")
    parts.start(machine, SHM)
    machine.run("mkfifo", "--mode=0644", HANGING)
    # Opens it when the daemon does, and keeps it open, while it is there for nobody else.
    machine.run("systemd-run", "--quiet", "--unit=hang", "sh", "-ec", HANG)
    machine.write(CONFIG, PEER + SHM + f'[leap]\ncache = "{HANGING}"\n')
    machine.run("systemctl", "reload", "--no-block", "webntpd")
    eventually(lambda: machine.attempt("test", "-e", HANGING).returncode, "the daemon reads it")
    assert machine.property("webntpd", "ActiveState") == "reloading"
    parts.restarted(machine, patience=WATCHDOG + 60)
    assert "Watchdog timeout" in machine.journal("webntpd")
    assert "reloaded" not in machine.journal("webntpd")
    machine.run("systemctl", "stop", "hang")


def test_an_enabled_service_is_there_after_a_reboot_before_its_consumer(machine: Machine) -> None:
    parts.start(machine, SHM, CHRONY_SOCK)
    parts.install_chrony(machine)
    machine.run("systemctl", "enable", "webntpd", "webntpd-server")
    machine.reboot()
    for refid in ("WEB", "WEB2"):
        parts.chrony_hears(machine, refid)
    # Had chrony been the first, the segment would be root's.
    assert [segment[2:4] for segment in parts.segments(machine)] == [["webntpd", "600"]]


def test_systemd_opens_a_port_that_the_server_may_not(machine: Machine) -> None:
    machine.write(SERVER_CONFIG, SERVER.replace("127.0.0.1:8080", "systemd"))
    parts.drop_in(machine, "webntpd.socket", "[Socket]\nListenStream=\nListenStream=80\n")
    machine.run("systemctl", "start", "webntpd.socket")
    assert machine.property("webntpd-server", "ActiveState") == "inactive"
    machine.run("webntpd", "query", "--samples=1", "http://127.0.0.1/")
    machine.run("systemctl", "restart", "webntpd-server")
    machine.run("webntpd", "query", "--samples=1", "ws://[::1]/")


def test_a_socket_cannot_be_started_while_its_server_runs(machine: Machine) -> None:
    machine.write(SERVER_CONFIG, SERVER.replace("127.0.0.1:8080", "127.0.0.1:8081"))
    machine.run("systemctl", "start", "webntpd-server")
    assert machine.attempt("systemctl", "start", "webntpd.socket").returncode != 0
    assert "already active, refusing" in machine.journal("webntpd.socket")
    machine.run("systemctl", "stop", "webntpd-server")
    machine.run("systemctl", "start", "webntpd.socket")


# -- what is wrong is said in one line -------------------------------------------------------


def fails_with(machine: Machine, line: str) -> None:
    assert machine.attempt("systemctl", "start", "webntpd").returncode != 0
    assert line in machine.journal("webntpd")


def test_an_occupied_port(machine: Machine) -> None:
    parts.start(machine, SHM)
    machine.run("systemctl", "stop", "webntpd")
    machine.write(CONFIG, PEER + SHM + SERVER)
    fails_with(machine, "webntpd: cannot listen on 127.0.0.1:8080: address already in use")
    # It is tried again until the port is free.
    machine.run("systemctl", "stop", "webntpd-server")
    machine.says("webntpd", "synchronised to ws://127.0.0.1:8080/", patience=60)


def test_shared_memory_that_nobody_reads(machine: Machine) -> None:
    parts.start(machine, SHM)
    machine.says("webntpd", "SHM(2): a sample was not consumed: is a consumer reading it?")
    machine.says("webntpd-server", "serving time on 127.0.0.1:8080")
    assert machine.property("webntpd", "ActiveState") == "active"


def test_shared_memory_of_somebody_else(machine: Machine) -> None:
    machine.run("ipcmk", "--shmem", "1", "--mode", "0600")  # so that identifiers do not begin at 0
    make = "import ctypes; assert ctypes.CDLL(None).shmget(0x4E545030, 96, 0o1600) > 0"
    machine.run("python3", "-c", make)
    machine.write(SERVER_CONFIG, SERVER)
    machine.write(CONFIG, PEER + SHM + "unit = 0\n")
    machine.run("systemctl", "start", "webntpd", "webntpd-server")
    machine.says("webntpd", "cannot attach to shared memory, key 0x4e545030, owner root, mode 0600")
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


def test_a_link_in_the_place_of_a_socket_is_not_followed(machine: Machine) -> None:
    bind = "import socket; socket.socket(socket.AF_UNIX).bind('/run/victim')"
    machine.run("python3", "-c", bind)
    machine.run("chmod", "0755", "/run/victim")
    machine.run("ln", "-sfn", "/run/victim", "/run/chrony.webntpd.sock")
    machine.write("/run/chrony.conf", "refclock SOCK /run/chrony.webntpd.sock refid WEB\n")
    script = "/usr/lib/webntpd/hand-over-socket"
    ended = "MAINPID=4194304"  # more than the kernel ever gives
    done = machine.attempt("env", ended, script, "/run/chrony.webntpd.sock", "/run/chrony.conf")
    assert "there is no such socket" in done.stdout
    assert machine.run("stat", "--format=%U:%G %a", "/run/victim") == "root:root 755\n"
    machine.run("rm", "/run/victim", "/run/chrony.webntpd.sock")


def test_a_var_that_cannot_be_written(machine: Machine) -> None:
    parts.start(machine, SHM)  # so that its directories are there
    machine.run("systemctl", "stop", "webntpd")
    machine.run("mount", "--bind", "/var", "/var")
    machine.run("mount", "-o", "remount,bind,ro", "/var")
    machine.forget_journal()
    parts.start(machine, SHM, '[statistics]\ndirectory = "/var/log/webntpd"\n')
    machine.says("webntpd", "no statistics in /var/log/webntpd: Read-only file system")
    machine.says("webntpd", "first sample published")
    machine.run("systemctl", "stop", "webntpd")
    machine.run("umount", "--lazy", "/var")
