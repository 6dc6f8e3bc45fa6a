"""The daemon and its servers as a test runs them: started, watched through sd_notify, and fed."""

import os
import re
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.harness import Sandbox, eventually, require

WATCHDOG_S = 1.0
PEER = """
[[peer]]
name = "{name}"
url = "{url}"
kind = "{kind}"
minpoll = 0
maxpoll = 0
burst = 1
iburst = 4
burst_interval = 0.1
"""


@dataclass(frozen=True)
class Peer:
    """One [[peer]] table of a configuration, with a poll each second."""

    name: str
    kind: str
    address: str

    def __str__(self) -> str:
        scheme = "ws" if self.kind == "websocket" else "http"
        return PEER.format(name=self.name, kind=self.kind, url=f"{scheme}://{self.address}/")


def datagrams(path: Path, sandbox: Sandbox) -> socket.socket:
    """A bound socket that never blocks, closed with the sandbox."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sandbox.at_end(bound.close)
    bound.bind(os.fspath(path))
    bound.setblocking(False)
    return bound


def drain(bound: socket.socket) -> list[bytes]:
    received = []
    while True:
        try:
            received.append(bound.recv(65536))
        except BlockingIOError:
            return received


class Daemon:
    """A running `webntpd`, with this test as its service manager.

    `descriptors` is how many it may have open, as `ulimit -n` sets it.
    """

    def __init__(
        self, sandbox: Sandbox, name: str, *arguments: str | Path, descriptors: int | None = None
    ) -> None:
        path = sandbox.path / f"{name}.notify"
        self._manager = datagrams(path, sandbox)
        self._said: list[str] = []
        environment = {
            "NOTIFY_SOCKET": str(path),
            "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6)),
        }
        limit = [] if descriptors is None else [require("prlimit"), f"--nofile={descriptors}"]
        command = (*limit, sys.executable, "-m", "webntpd", *arguments)
        self.program = sandbox.start(*command, env=environment)
        self.says("READY=1")

    @property
    def said(self) -> list[str]:
        """Every line of sd_notify's protocol until now."""
        for message in drain(self._manager):
            self._said += message.decode().splitlines()
        return self._said

    def says(self, pattern: str, *, after: int = 0) -> int:
        """Wait for a line that matches as a whole, and return how many there are up to it."""

        def find() -> int:
            said = self.said
            assert self.program.running, self.program.output
            return next((n for n in range(after, len(said)) if re.fullmatch(pattern, said[n])), -1)

        return eventually(lambda: find() + 1, f"sd_notify: {pattern}")


def serve(sandbox: Sandbox, port: int, shift: float) -> str:
    """Start a server whose clock is ahead by `shift` s, and return its address."""
    address = f"127.0.0.1:{port}"
    Daemon(sandbox, f"serve-{port}", "serve", address, "--local", f"--clock-shift={shift}")
    return address


def shm(unit: int) -> str:
    return f'[[refclock]]\ntype = "shm"\nunit = {unit}\n'


def sock(path: Path) -> str:
    return f'[[refclock]]\ntype = "sock"\npath = "{path}"\n'


def configure(sandbox: Sandbox, peers: Sequence[Peer], *refclocks: str) -> Path:
    """Write webntpd.toml."""
    path = sandbox.path / "webntpd.toml"
    path.write_text("\n".join((*map(str, peers), *refclocks)))
    return path


def run(sandbox: Sandbox, peers: Sequence[Peer], *refclocks: str) -> Daemon:
    return Daemon(sandbox, "run", "run", "--config", configure(sandbox, peers, *refclocks))


class SockConsumer:
    """The offsets, s, that arrive at a consumer's socket."""

    def __init__(self, sandbox: Sandbox) -> None:
        path = sandbox.path / "consumer.sock"
        self._socket = datagrams(path, sandbox)
        self.refclock = sock(path)

    def offsets(self) -> list[float]:
        """Those that have arrived since the last call."""
        return [struct.unpack("=qqdiiii", each)[2] for each in drain(self._socket)]
