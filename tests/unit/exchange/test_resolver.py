"""Lookups of names with a resolver that hangs."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from webntpd.cli import commands
from webntpd.exchange.resolver import Resolver

PEERS = 50
"""More names than trio's limit of threads."""
LIMIT = 30.0
"""A test that waits longer than this, s, has failed."""


class Hanging:
    """A system's resolver that answers one good name at once, and the others when it is let."""

    def __init__(self) -> None:
        self.asked: Counter[bytes] = Counter()
        self.answers = threading.Event()
        self._system = socket.getaddrinfo

    def __call__(self, host: bytes | str, port: int, *hints: int) -> object:
        if host == b"good.example":
            host = "127.0.0.1"
        elif isinstance(host, bytes):
            self.asked[host] += 1
            self.answers.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._system(host, port, *hints)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    resolver = Hanging()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.answers.set()


async def give_up_on(*names: str) -> None:
    """Look up all names at once, and give up once they all wait."""
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(trio.socket.getaddrinfo, name, 80)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


def test_peers_whose_lookups_hang_leave_threads_and_lookups_to_others(hanging: Hanging) -> None:
    async def run() -> None:
        await give_up_on(*(f"peer{number}.example" for number in range(PEERS)))
        with trio.fail_after(LIMIT):
            await trio.to_thread.run_sync(threading.get_ident, abandon_on_cancel=True)
            ((*_, address),) = await trio.socket.getaddrinfo(
                "good.example", 80, type=socket.SOCK_STREAM
            )
        assert address == ("127.0.0.1", 80)

    commands.run_trio(run)


async def test_a_name_that_hangs_has_one_thread_however_often_it_is_asked_for(
    hanging: Hanging,
) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    for _ in range(3):
        await give_up_on("peer.example", "peer.example")
    hanging.answers.set()
    with trio.fail_after(LIMIT), pytest.raises(socket.gaierror, match="Temporary failure"):
        await trio.socket.getaddrinfo("peer.example", 80)
    assert hanging.asked == {b"peer.example": 2}


async def test_a_lookup_for_which_there_is_no_thread_fails_as_one_that_gets_no_answer(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    trio.socket.set_custom_hostname_resolver(Resolver())
    await give_up_on(*(f"peer{number}.example" for number in range(3 * PEERS)))  # no thread is idle
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(socket.gaierror, match="can't start new thread"):
        await trio.socket.getaddrinfo("good.example", 80)
