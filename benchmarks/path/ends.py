"""The two ends of a path: each has a network and System V shared memory of its own.

The namespaces end with the processes that hold them open, and the devices with the namespaces, so
nothing is left behind however the benchmark ends. No program that runs there may set the clock.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE = 10.0  # s, for setting a device up

SERVER = "198.18.0.1"  # of the network set aside for benchmarks (RFC 2544)
CLIENT = "198.18.0.2"
DEVICE = "wan0"  # as in wan.c

DIE_WITH_US = ("setpriv", "--pdeathsig=KILL")
"""Words before a command: the kernel ends it if we die before we can."""
NO_CLOCK = ("--bounding-set=-sys_time", "--inh-caps=-sys_time")


class Unavailable(Exception):  # noqa: N818  # no error: this machine lacks something
    """This machine lacks something that the benchmark needs; the text says what."""


@dataclass(frozen=True, slots=True)
class End:
    """One end; `holder` is the process that keeps its namespaces open."""

    holder: int

    @property
    def namespace(self) -> str:
        """The file of its network namespace."""
        return f"/proc/{self.holder}/ns/net"

    @property
    def enter(self) -> Sequence[str]:
        """The words before a command that make it run there."""
        inside = ("nsenter", f"--net={self.namespace}", f"--ipc=/proc/{self.holder}/ns/ipc")
        return (*inside, *DIE_WITH_US, *NO_CLOCK)


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of one path."""

    server: End
    client: End


@contextmanager
def ends() -> Iterator[Ends]:
    """Make both ends, each with a device that the emulator attaches to. Raises Unavailable."""
    if os.geteuid() != 0:
        raise Unavailable("only root may make network namespaces")
    with _end(SERVER) as server, _end(CLIENT) as client:
        yield Ends(server, client)


@contextmanager
def _end(address: str) -> Iterator[End]:
    with subprocess.Popen(
        [*DIE_WITH_US, "unshare", "--net", "--ipc", "sh", "-c", "echo ready && exec cat"],
        stdin=subprocess.PIPE,  # closed when the block is left, or with us: that ends it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        if (line := holder.stdout.readline()) != "ready\n":
            raise Unavailable(f"no namespaces: {line.strip()}")
        end = End(holder.pid)
        for command in (
            ("link", "set", "lo", "up"),
            ("tuntap", "add", "dev", DEVICE, "mode", "tun"),
            ("address", "add", f"{address}/30", "dev", DEVICE),
            ("link", "set", DEVICE, "up"),
        ):
            _ip(end, *command)
        yield end


def _ip(end: End, *arguments: str) -> None:
    command = [*end.enter, "ip", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        raise Unavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
