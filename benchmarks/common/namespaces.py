"""Namespaces for one end of a network, and the devices in them.

A namespace ends with the process that holds it open, and a device with its namespace, so nothing is
left behind however the benchmark ends.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PATIENCE = 10.0
"""Longest time to set up a device, s."""

SERVER = "198.18.0.1"
"""The server's address, of the network set aside for benchmarks (RFC 2544)."""
CLIENT = "198.18.0.2"
"""The client's address, of the same network."""

DIE_WITH_US = ("setpriv", "--pdeathsig=KILL")
"""Words before a command: the kernel ends the program if we die before we can end it."""


class Unavailable(Exception):  # noqa: N818  # no error: this machine lacks something
    """This machine lacks something that the benchmark needs; the text says what."""


def require_root() -> None:
    """Raise Unavailable unless we are root."""
    if os.geteuid() != 0:
        raise Unavailable("only root may make network namespaces")


@contextmanager
def held_namespaces(*kinds: str) -> Iterator[int]:
    """Hold new namespaces open, such as `net` and `ipc`; the value is the pid of their holder.

    Raises Unavailable if the kernel makes none.
    """
    flags = [f"--{kind}" for kind in kinds]
    with subprocess.Popen(
        [*DIE_WITH_US, "unshare", *flags, "sh", "-c", "echo ready && exec cat"],
        stdin=subprocess.PIPE,  # closed when the block is left, or with us: that ends the holder
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        if (line := holder.stdout.readline()) != "ready\n":
            raise Unavailable(f"no namespaces: {line.strip()}")
        yield holder.pid


def run_ip(*arguments: str, enter: Sequence[str] = ()) -> None:
    """Run ip(8) after the words `enter`, such as nsenter's. Raises Unavailable if it fails."""
    done = subprocess.run(
        [*enter, "ip", *arguments], check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    if done.returncode:
        raise Unavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
