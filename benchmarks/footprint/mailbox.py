"""Datagram sockets at which daemons say things: the service manager's, and a consumer's."""

import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = 65536


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where messages arrive; someone has to take them, or the senders find it full."""

    path: Path
    socket: socket.socket

    def take(self) -> list[bytes]:
        """What has arrived since the last call."""
        taken = []
        while True:
            try:
                taken.append(self.socket.recv(SIZE))
            except BlockingIOError:
                return taken

    def wait(self, seconds: float) -> list[bytes]:
        """As take(), once there is something, or the time has passed."""
        select.select([self.socket], [], [], seconds)
        return self.take()


@contextmanager
def mailbox(path: Path) -> Iterator[Mailbox]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(path))
        bound.settimeout(0)
        yield Mailbox(path, bound)


def empty_for(seconds: float, boxes: Sequence[Mailbox]) -> None:
    """Take what arrives during that time."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        select.select([box.socket for box in boxes], [], [], left)
        for box in boxes:
            box.take()
