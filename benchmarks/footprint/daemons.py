"""The daemons that are measured, with their configurations, each ended with its block."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from benchmarks.common.chronyd import chronyd_command
from benchmarks.common.process import Process, ProcessError, free_port, running
from benchmarks.footprint.mailbox import Mailbox, mailbox
from webntpd.cli.controlclient import request_view

HOST = "127.0.0.1"
PATIENCE = 60.0
"""How long a daemon may take to start, s: the machine may have other work to do."""
COMMAND = (sys.executable, "-c", "import sys; from webntpd.cli.main import main; sys.exit(main())")
"""What the script `webntpd` is."""
WATCHDOG_US = 30_000_000
"""That of the systemd unit."""

POLL = 4
"""log2 s: 16 s."""
NEVER = 17
"""The longest poll of webntpd: a day and a half."""
SOURCES = 4
BURST = 4
"""Samples that webntpd takes of a poll."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that was ready `started` seconds after it was executed."""

    process: Process
    started: float


@dataclass(frozen=True, slots=True)
class Webntpd(Daemon):
    """webntpd with its control socket, and what it says to its service manager."""

    control: Path
    manager: Mailbox

    def samples(self) -> int:
        """The samples that it has had of all its peers so far."""
        return sum(peer["samples"] for peer in request_view(self.control, "json")["peers"])


@contextmanager
def webntpd(configuration: str) -> Iterator[Webntpd]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        file, control = directory / "webntpd.toml", directory / "control"
        file.write_text(f'{configuration}\n[control]\nsocket = "{control}"\n[leap]\nurl = ""\n')
        with mailbox(directory / "notify") as manager:
            environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": str(WATCHDOG_US)}
            began = time.monotonic()
            command = (*COMMAND, "run", "--config", file)
            with running(command, environment=environment) as process:
                _await_ready(process, manager)
                yield Webntpd(process, time.monotonic() - began, control, manager)


def _await_ready(process: Process, manager: Mailbox) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        said = b"\n".join(manager.wait(1.0))
        process.check()
        if b"READY=1" in said.splitlines():
            return
    raise ProcessError("webntpd did not become ready")


@contextmanager
def webntpd_server(directory: Path) -> Iterator[tuple[Webntpd, str]]:
    """An embedded server, and the peers that ask it, with {poll} to fill in."""
    ca_file, certificate = directory / "ca.pem", directory / "server.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    issued = authority.issue_cert(HOST).private_key_and_cert_chain_pem
    issued.write_to_path(str(certificate))
    plain, tls = (f"{HOST}:{free_port()}" for _ in range(2))
    server = (
        f'[server]\nlisten = ["{plain}"]\nlisten_tls = ["{tls}"]\n'
        f'certificate = "{certificate}"\nlocal = true\n'
    )
    urls = (f"ws://{plain}/", f"wss://{tls}/", f"http://{plain}/", f"https://{tls}/")
    peers = (PEER.format(url=url, ca_file=ca_file, poll="{poll}", burst=BURST) for url in urls)
    with webntpd(server) as daemon:
        yield daemon, "\n".join(peers)


PEER = """\
[[peer]]
url = "{url}"
ca_file = "{ca_file}"
minpoll = {poll}
maxpoll = {poll}
burst = {burst}
"""


def metrics(address: str) -> str:
    return f'[metrics]\nlisten = "{address}"\n'


def refclock(consumer: Path) -> str:
    return f'[[refclock]]\ntype = "sock"\npath = "{consumer}"\n'


@dataclass(frozen=True, slots=True)
class Chronyd(Daemon):
    """chronyd with its command socket."""

    command: Path

    def received(self) -> int:
        """The NTP requests that it has had as a server so far."""
        line = subprocess.run(
            ["chronyc", "-c", "-h", self.command, "serverstats"],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        ).stdout
        return int(line.split(",")[0])


@contextmanager
def chronyd(program: str, configuration: str) -> Iterator[Chronyd]:
    with tempfile.TemporaryDirectory() as name:
        command = Path(name, "command")
        whole = f"{configuration}bindcmdaddress {command}\n"
        argv = chronyd_command(program, Path(name), whole)
        began = time.monotonic()
        with running(argv) as process:
            _await_socket(process, command)
            yield Chronyd(process, time.monotonic() - began, command)


def _await_socket(process: Process, path: Path) -> None:
    """Wait until someone takes datagrams at a path: a daemon that does so is ready."""
    deadline = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        while time.monotonic() < deadline:
            process.check()
            try:
                probe.connect(str(path))
            except OSError:
                time.sleep(0.001)
            else:
                return
    raise ProcessError(f"nobody takes datagrams at {path}")


@contextmanager
def chronyd_server(program: str) -> Iterator[tuple[Chronyd, str]]:
    """A server, and the sources that ask it, with {poll} to fill in."""
    port = free_port()
    # No two sources may have one address; it has to listen on all of loopback's, and so on others'.
    server = f"port {port}\nlocal stratum 1\nallow 127.0.0.0/8\n"
    sources = (
        f"server 127.0.0.{number} port {port} iburst xleave minpoll {{poll}} maxpoll {{poll}}\n"
        for number in range(1, SOURCES + 1)
    )
    with chronyd(program, server) as daemon:
        yield daemon, "".join(sources) + "port 0\n"
