"""One path at work: both ends, the emulator between them, and the daemons."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common.namespaces import SERVER
from benchmarks.path.daemons import Clients, clients, servers
from benchmarks.path.emulator import Emulator, Traffic, emulating
from benchmarks.path.ends import ends
from benchmarks.path.paths import WanPath
from benchmarks.path.record import Look, Record
from benchmarks.path.results import Result, summarise

REFID = "WEB"
"""chrony's name of our refclock."""


@dataclass(slots=True)
class Setting:
    """A path at work, and the record of it since `started`, in Unix time."""

    path: WanPath
    emulator: Emulator
    clients: Clients
    started: float
    record: Record = field(default_factory=Record)
    traffic: Traffic | None = None

    def look(self) -> None:
        """Read all estimates once. Raises ProcessError if something has ended."""
        self.emulator.process.check()
        (refclock,) = self.clients.webntpd.status()["refclocks"]
        self.record.published(refclock)
        found = self.clients.chronyd.statistics()
        self.record.looks.append(Look(time.time(), found[REFID], found[SERVER]))

    def result(self) -> Result:
        """The figures of the record so far."""
        return summarise(
            self.record,
            path=self.path.name,
            model=list(self.path.lines()),
            refclock=self.clients.refclock,
            started=self.started,
            traffic=self.traffic,
        )


@contextmanager
def setting(path: WanPath, seed: int, chronyd: str, poll: int | None) -> Iterator[Setting]:
    """Run everything until the block ends. Raises Unavailable and ProcessError."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        both = stack.enter_context(ends())
        emulator = stack.enter_context(emulating(path, both, seed))
        ca_file = stack.enter_context(servers(both.server, directory / "server", chronyd))
        asking = clients(both.client, directory / "client", chronyd, ca_file, poll)
        started = time.time()
        yield Setting(path, emulator, stack.enter_context(asking), started)
