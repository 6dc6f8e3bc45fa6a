"""The two ends of a path: each has a network and System V shared memory of its own.

No program that runs there may set the clock.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.common.namespaces import (
    CLIENT,
    DIE_WITH_US,
    SERVER,
    held_namespaces,
    require_root,
    run_ip,
)

DEVICE = "wan0"  # as in wan.c
NO_CLOCK = ("--bounding-set=-sys_time", "--inh-caps=-sys_time")


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
    require_root()
    with _end(SERVER) as server, _end(CLIENT) as client:
        yield Ends(server, client)


@contextmanager
def _end(address: str) -> Iterator[End]:
    with held_namespaces("net", "ipc") as holder:
        end = End(holder)
        for command in (
            ("link", "set", "lo", "up"),
            ("tuntap", "add", "dev", DEVICE, "mode", "tun"),
            ("address", "add", f"{address}/30", "dev", DEVICE),
            ("link", "set", DEVICE, "up"),
        ):
            run_ip(*command, enter=end.enter)
        yield end
