"""The daemons of both ends: how they are configured, started and asked."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from benchmarks.common.chronyd import chronyd_command
from benchmarks.common.namespaces import SERVER
from benchmarks.common.process import Process, ProcessError, running
from benchmarks.path.chronyc import Statistics, parse, with_poll
from benchmarks.path.ends import End
from webntpd.cli.controlclient import AskError, NotRunningError, request_view

PATIENCE = 60.0
"""How long a daemon may take to start or answer, s: the machine may have other work to do."""
PAUSE = 0.1
COMMAND = (sys.executable, "-m", "webntpd")

TLS = """\
[server]
listen_tls = ["{address}:443"]
certificate = "{certificate}"
local = true
# The server's clock is the client's own: only the path may widen the bound.
max_error = 1e-6
"""
PEER = """\
[[peer]]
url = "wss://{address}/"
ca_file = "{ca_file}"
proxy = ""

[[refclock]]
type = "shm"
"""
COMMON = """
[control]
socket = "{directory}/control"
[leap]
url = ""
# Each run begins without the frequency that an earlier one has learnt.
[state]
file = ""
"""

NTP_SERVER = """\
local stratum 1
allow
"""
NTP_CLIENT = """\
server {address} xleave minpoll 4 maxpoll 6 noselect
port 0
"""
"""The polls are webntpd's own defaults."""


@dataclass(frozen=True, slots=True)
class Webntpd:
    """A running webntpd, with its files in a directory."""

    process: Process
    directory: Path

    def status(self) -> Mapping[str, Any]:
        """Its status as JSON. Raises ProcessError if it has ended or does not answer."""
        self.process.check()
        try:
            return request_view(self.directory / "control", "json")
        except (AskError, NotRunningError) as error:
            raise ProcessError(str(error)) from error

    def consumer_line(self, end: End, poll: int | None) -> str:
        """The line for chrony that `webntpd consumer-config` prints, with `poll` if it is given."""
        command = (*COMMAND, "consumer-config", "chrony", "--config", self.directory / "toml")
        with running((*end.enter, *command)) as process:
            lines = process.output(PATIENCE).splitlines()
        (line,) = (line for line in lines if line.startswith("refclock "))
        return f"{with_poll(line, poll)} noselect"


@dataclass(frozen=True, slots=True)
class Chronyd:
    """A running chronyd, with its files in a directory."""

    process: Process
    directory: Path

    def statistics(self) -> Mapping[str, Statistics]:
        """Its estimates of its sources, by name. Raises ProcessError."""
        self.process.check()
        command = ["chronyc", "-n", "-c", "-h", f"{self.directory}/command", "sourcestats"]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        if done.returncode:
            raise ProcessError(f"chronyc: {done.stdout}{done.stderr}")
        return parse(done.stdout)


@contextmanager
def webntpd(end: End, directory: Path, configuration: str) -> Iterator[Webntpd]:
    """Run webntpd until the block ends; it answers from the start on."""
    directory.mkdir()
    file = directory / "toml"
    file.write_text(configuration + COMMON.format(directory=directory))
    with running((*end.enter, *COMMAND, "run", "--config", file)) as process:
        daemon = Webntpd(process, directory)
        _await(process, directory / "control")
        yield daemon


@contextmanager
def chronyd(end: End, directory: Path, program: str, configuration: str) -> Iterator[Chronyd]:
    """Run chronyd until the block ends; it answers from the start on."""
    directory.mkdir(mode=0o700)  # or it makes no socket there
    whole = f"{configuration}bindcmdaddress {directory}/command\n"
    with running((*end.enter, *chronyd_command(program, directory, whole))) as process:
        _await(process, directory / "command")
        yield Chronyd(process, directory)


@contextmanager
def servers(end: End, directory: Path, program: str) -> Iterator[Path]:
    """Run both servers until the block ends. The value is the certificate to trust."""
    directory.mkdir()
    ca_file, certificate = directory / "ca.pem", directory / "server.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    issued = authority.issue_cert(SERVER).private_key_and_cert_chain_pem
    issued.write_to_path(str(certificate))
    tls = TLS.format(address=SERVER, certificate=certificate)
    with (
        webntpd(end, directory / "webntpd", tls),
        chronyd(end, directory / "chronyd", program, NTP_SERVER),
    ):
        yield ca_file


@dataclass(frozen=True, slots=True)
class Clients:
    """Both clients. `refclock` is chronyd's line for webntpd's samples."""

    webntpd: Webntpd
    chronyd: Chronyd
    refclock: str


@contextmanager
def clients(
    end: End, directory: Path, program: str, ca_file: Path, poll: int | None
) -> Iterator[Clients]:
    """Run both clients until the block ends."""
    directory.mkdir()
    with ExitStack() as stack:
        peer = PEER.format(address=SERVER, ca_file=ca_file)
        ours = stack.enter_context(webntpd(end, directory / "webntpd", peer))
        refclock = ours.consumer_line(end, poll)
        sources = f"{NTP_CLIENT.format(address=SERVER)}{refclock}\n"
        theirs = stack.enter_context(chronyd(end, directory / "chronyd", program, sources))
        yield Clients(ours, theirs, refclock)


def _await(process: Process, path: Path) -> None:
    """Wait until a daemon has made its socket. Raises ProcessError if it does not."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        process.check()
        if time.monotonic() > deadline:
            raise ProcessError(f"there is no {path}")
        time.sleep(PAUSE)
