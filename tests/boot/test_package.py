"""The Debian package: what it installs, starts and leaves behind."""

import re

from tests.boot import parts
from tests.boot.machine import PACKAGE, WHEEL, Machine
from tests.boot.parts import CHRONY_SOCK, CONFIG, SERVER, SERVER_CONFIG, SHM, UNITS
from tests.docs.markdown import manual_files

LARGEST_EXPOSURE = 1.8
BESIDE = (
    "/usr/share/man/man1/webntp.1.gz",
    "/usr/share/man/man5/webntpd.toml.5.gz",
    "/usr/share/man/man8/webntpd.8.gz",
    "/usr/share/bash-completion/completions/webntp",
    "/usr/share/bash-completion/completions/webntpd",
    "/usr/lib/sysusers.d/webntpd.conf",
)
PIP = "/opt/webntpd/bin"


def test_it_is_installed_but_not_started(machine: Machine) -> None:
    for unit in UNITS:
        assert machine.attempt("systemctl", "is-enabled", unit).stdout.strip() == "disabled"
        assert machine.property(unit, "ActiveState") == "inactive"


def test_it_has_manual_pages_completion_and_a_user(machine: Machine) -> None:
    files = machine.run("dpkg", "--listfiles", "webntpd").splitlines()
    assert set(BESIDE) <= set(files)
    conffiles = machine.run("cat", "/var/lib/dpkg/info/webntpd.conffiles").splitlines()
    assert {CONFIG, SERVER_CONFIG} <= set(conffiles)
    assert "webntpd:" in machine.run("getent", "passwd", "webntpd")


def test_the_files_that_the_manual_pages_name_are_there(machine: Machine) -> None:
    pages = machine.run("sh", "-c", "zcat /usr/share/man/man?/webntp*")
    for path in manual_files(pages):
        assert machine.attempt("test", "-e", path).returncode == 0, path


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


def test_another_version_is_started_where_one_ran_and_writes_to_the_same_memory(
    machine: Machine,
) -> None:
    parts.start(machine, SHM)
    before = parts.segments(machine)
    config = machine.run("cat", CONFIG)
    number = machine.property("webntpd", "MainPID")
    machine.forget_journal()
    machine.install("--reinstall", PACKAGE)
    assert machine.property("webntpd", "MainPID") not in ("0", number)
    machine.says("webntpd", "first sample published")
    assert parts.segments(machine) == before
    assert machine.run("cat", CONFIG) == config
    assert machine.property("webntpd-server", "ActiveState") == "active"
    assert machine.property("webntpd.socket", "ActiveState") == "inactive"


def test_another_version_keeps_the_port_that_systemd_opened(machine: Machine) -> None:
    machine.write(SERVER_CONFIG, SERVER.replace("127.0.0.1:8080", "systemd"))
    machine.run("systemctl", "start", "webntpd.socket")
    query = ("webntpd", "query", "--samples=1", "ws://127.0.0.1:8080/")
    machine.run(*query)
    machine.install("--reinstall", PACKAGE)
    machine.run(*query)
    assert machine.property("webntpd.socket", "ActiveState") == "active"


def test_removing_it_stops_it_and_keeps_what_is_the_administrators(machine: Machine) -> None:
    parts.start(machine, SHM)
    machine.run("systemctl", "enable", "webntpd")
    before, config = parts.segments(machine), machine.run("cat", CONFIG)
    machine.run("apt-get", "-qq", "remove", "--yes", "webntpd")
    assert machine.attempt("pgrep", "-f", "/usr/bin/webntpd").stdout == ""
    assert machine.run("cat", CONFIG) == config
    assert parts.segments(machine) == before
    machine.install(PACKAGE)
    assert machine.run("cat", CONFIG) == config
    assert machine.run("systemctl", "is-enabled", "webntpd").strip() == "enabled"


def test_purging_it_leaves_nothing_but_a_locked_user(machine: Machine) -> None:
    parts.start(machine, SHM, CHRONY_SOCK)
    machine.run("systemctl", "enable", "webntpd", "webntpd.socket")
    machine.run("chpasswd", stdin="webntpd:secret\n")
    number = machine.run("id", "--user", "webntpd")
    machine.run("apt-get", "-qq", "purge", "--yes", "webntpd")
    search = ("find", "/", "-xdev", "-name", "*webntp*", "-not", "-path", "/proc/*")
    assert set(machine.run(*search).split()) == {PACKAGE, WHEEL}
    assert machine.run("find", "/", "-xdev", "-user", "webntpd", "-not", "-path", "/proc/*") == ""
    assert machine.run("getent", "shadow", "webntpd").startswith("webntpd:!")
    assert machine.run("getent", "passwd", "webntpd").endswith(":/usr/sbin/nologin\n")
    # Else the next user of the system gets the number.
    machine.run("systemd-sysusers", "-", stdin="u another - Another\n")
    assert machine.run("id", "--user", "another") != number
    machine.run("userdel", "another")
    assert "0x4e545032" not in machine.run("ipcs", "-m")
    assert machine.attempt("pgrep", "-f", "/usr/bin/webntpd").stdout == ""
    machine.install(PACKAGE)
    assert machine.run("id", "--user", "webntpd") == number
    parts.start(machine, SHM)


def test_pip_and_install_unit_make_the_same_service_and_uninstall_unit_removes_it(
    running: Machine,
) -> None:
    machine = running
    machine.attempt("apt-get", "-qq", "purge", "--yes", "webntpd")
    machine.install("python3-venv")
    machine.run("python3", "-m", "venv", "--system-site-packages", "/opt/webntpd")
    machine.run(f"{PIP}/pip", "install", "--quiet", "--no-index", WHEEL)

    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    refused = machine.attempt(*nobody, f"{PIP}/webntpd", "install-unit")
    assert refused.returncode == 1
    assert re.fullmatch(
        r"webntpd: cannot write /etc/\S+: Permission denied; install-unit is for root\n",
        refused.stdout,
    )

    installed = machine.run(f"{PIP}/webntpd", "install-unit")
    assert f"wrote {CONFIG}\n" in installed
    parts.configure(machine, CHRONY_SOCK)
    machine.run("sh", "-ec", installed.partition("/etc/webntpd.toml:\n")[2])
    units = [f"/etc/systemd/system/{unit}" for unit in UNITS]
    assert machine.run("systemd-analyze", "verify", "--man=no", *units) == ""
    machine.run("systemctl", "start", "webntpd-server")
    # The link is for the administrator.
    machine.run("ln", "-s", f"{PIP}/webntpd", "/usr/local/bin/")
    parts.install_chrony(machine)
    parts.chrony_selects(machine)

    for name in (
        "man/man5/webntpd.toml.5",
        "man/man8/webntpd.8",
        "bash-completion/completions/webntpd",
    ):
        assert "webntpd" in machine.run("cat", f"/usr/local/share/{name}")

    machine.run("systemctl", "enable", "webntpd", "webntpd.socket")
    removed = machine.run(f"{PIP}/webntpd", "uninstall-unit")
    assert "removed /etc/systemd/system/ntpd-rs.service.d/webntpd.conf\n" in removed
    search = ("find", "/etc", "/usr/local/share", "-name", "*webntp*")
    kept = {CONFIG, SERVER_CONFIG, "/etc/chrony/conf.d/webntpd.conf"}
    assert set(machine.run(*search).split()) == kept
    # What `systemctl edit` made, here for chrony, is the administrator's.
    assert machine.run("ls", "/etc/systemd/system/chrony.service.d") == "override.conf\n"
    for unit in UNITS:
        assert machine.property(unit, "LoadState") == "not-found"
    assert machine.attempt("pgrep", "-f", f"{PIP}/webntpd").stdout == ""
    assert "there are no units" in machine.run(f"{PIP}/webntpd", "uninstall-unit")
