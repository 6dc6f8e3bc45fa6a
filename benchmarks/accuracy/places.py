"""Where client and server run: on loopback, or in two network namespaces joined by a veth pair."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.common.namespaces import (
    CLIENT,
    DIE_WITH_US,
    SERVER,
    held_namespaces,
    require_root,
    run_ip,
)

DEVICE = "veth0"


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
    """Make the pair of namespaces. Raises Unavailable."""
    require_root()
    with ExitStack() as stack:
        server, client = (stack.enter_context(held_namespaces("net")) for _ in range(2))
        run_ip("link", "add", DEVICE, "netns", str(server), "type", "veth",
               "peer", "name", DEVICE, "netns", str(client))  # fmt: skip
        for holder, address in ((server, SERVER), (client, CLIENT)):
            enter = _enter(holder)
            run_ip("address", "add", f"{address}/30", "dev", DEVICE, enter=enter)
            run_ip("link", "set", DEVICE, "up", enter=enter)
        yield Place("veth", SERVER, _enter(server) + DIE_WITH_US, _enter(client) + DIE_WITH_US)


def _enter(holder: int) -> tuple[str, ...]:
    return ("nsenter", f"--net=/proc/{holder}/ns/net")
