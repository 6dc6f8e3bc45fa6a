"""chronyd as the yardstick: NTP in interleaved mode, with the kernel's timestamps.

Two instances, one serving the other. Neither touches the clock (-x), and the client never selects
its server, so that what it logs are offsets of the machine's clock, uncorrected.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.accuracy.places import Place
from benchmarks.common.chronyd import chronyd_command
from benchmarks.common.process import free_port, running

POLL = -4
"""log2 s: the shortest that chronyd has. The other ways of asking keep its pace."""
INTERVAL = 2.0**POLL

STAMPS = ("4I", "K", "K")
"""An interleaved reply, and the kernel's stamps of what was sent and received."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One line of the log: `at` in Unix time to the second, `offset` and `delay` in s."""

    at: int
    offset: float
    delay: float
    stamps: tuple[str, ...]


Measured = Callable[[float, float], Sequence[Measurement]]


@contextmanager
def yardstick(chronyd: str, place: Place) -> Iterator[Measured]:
    """A chronyd that measures another until the block ends.

    The value tells what was measured between two instants of Unix time, with STAMPS alone.
    """
    address, port = place.address, free_port()
    with (
        tempfile.TemporaryDirectory() as server,
        tempfile.TemporaryDirectory() as client,
        running(_command(chronyd, place.server, server, SERVER, address, port)) as first,
        running(_command(chronyd, place.client, client, CLIENT, address, port)) as second,
    ):

        def measured(begin: float, end: float) -> Sequence[Measurement]:
            first.check()
            second.check()
            lines = Path(client, "measurements.log").read_text().splitlines()
            return [
                each for each in parse(lines) if begin < each.at < end and each.stamps == STAMPS
            ]

        yield measured


def _command(
    chronyd: str, prefix: Sequence[str], directory: str, config: str, address: str, port: int
) -> Sequence[str]:
    """How to start an instance, with its configuration and all its files in a directory."""
    filled = config.format(address=address, port=port, poll=POLL, directory=directory)
    return (*prefix, *chronyd_command(chronyd, Path(directory), f"{filled}bindcmdaddress /\n"))


SERVER = """\
bindaddress {address}
port {port}
local stratum 1
allow
"""
CLIENT = """\
server {address} port {port} minpoll {poll} maxpoll {poll} xleave noselect
port 0
log rawmeasurements
logbanner 0
logdir {directory}
"""


def parse(lines: Iterable[str]) -> Iterator[Measurement]:
    """The measurements in a log of rawmeasurements; ValueError for a line that is none.

    Fields: date, time, address, leap, stratum, three of tests, local and remote poll, score,
    offset, peer delay, peer dispersion, root delay, root dispersion, reference ID, mode, and the
    sources of the transmit and the receive stamp (chrony.conf(5)).
    """
    for line in lines:
        fields = line.split()
        if len(fields) != 20:
            raise ValueError(f"not a line of rawmeasurements: {line}")
        at = datetime.strptime(f"{fields[0]} {fields[1]}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        yield Measurement(
            at=int(at.timestamp()),
            offset=float(fields[11]),
            delay=float(fields[12]),
            stamps=tuple(fields[17:]),
        )
