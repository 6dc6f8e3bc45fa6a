"""Where client and server run: loopback, or two network namespaces with a veth pair between them.

A namespace ends with the process that holds it open, and the veth pair with its namespaces, so
that nothing is left behind however the benchmark ends.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

PATIENCE = 10.0  # s, for setting a device up

SERVER = "198.18.0.1"  # of the network set aside for benchmarks (RFC 2544)
CLIENT = "198.18.0.2"
DEVICE = "veth0"

DIE_WITH_US = ("setpriv", "--pdeathsig=KILL")
"""Before a command: should we have no time to end it, the kernel does."""


class Unavailable(Exception):  # noqa: N818  # no error: this machine lacks something
    """A place that cannot be had here, and why."""


@dataclass(frozen=True, slots=True)
class Place:
    """`server` and `client` are what to put before a command to run it at that end."""

    name: str
    address: str
    server: Sequence[str] = DIE_WITH_US
    client: Sequence[str] = DIE_WITH_US


LOOPBACK = Place("loopback", "127.0.0.1")


@contextmanager
def veth() -> Iterator[Place]:
    """The pair of namespaces. Raises Unavailable."""
    if os.geteuid() != 0:
        raise Unavailable("only root may make network namespaces")
    with ExitStack() as stack:
        server, client = (stack.enter_context(_namespace()) for _ in range(2))
        _ip("link", "add", DEVICE, "netns", str(server), "type", "veth",
            "peer", "name", DEVICE, "netns", str(client))  # fmt: skip
        for holder, address in ((server, SERVER), (client, CLIENT)):
            _ip("address", "add", f"{address}/30", "dev", DEVICE, inside=holder)
            _ip("link", "set", DEVICE, "up", inside=holder)
        yield Place("veth", SERVER, _enter(server) + DIE_WITH_US, _enter(client) + DIE_WITH_US)


@contextmanager
def _namespace() -> Iterator[int]:
    """The pid of a process in a network namespace of its own, which lives as long as it does."""
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo ready && exec cat"],
        stdin=subprocess.PIPE,  # closed when the block is left, or with us: that ends it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        if (line := holder.stdout.readline()) != "ready\n":
            raise Unavailable(f"no network namespace: {line.strip()}")
        yield holder.pid


def _enter(holder: int) -> tuple[str, ...]:
    return ("nsenter", f"--net=/proc/{holder}/ns/net")


def _ip(*arguments: str, inside: int | None = None) -> None:
    prefix = _enter(inside) if inside else ()
    done = subprocess.run(
        [*prefix, "ip", *arguments], check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    if done.returncode:
        raise Unavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
