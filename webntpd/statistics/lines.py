"""The lines of ntpd's statistics files peerstats and rawstats, from snapshots, and back.

A line is what ntpd's monitoring options describe: the Modified Julian Date, the second of the day,
and then for peerstats

    source  status word (hex)  offset  delay  dispersion  jitter

and for rawstats

    source  local  T1  T2  T3  T4  leap  version  mode  stratum  poll  precision  root delay
    root dispersion  reference

with differences in seconds and timestamps in seconds since 1900. What WebNTP does not tell has the
value by which NTP says so: the local address 0.0.0.0, stratum 0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, log2

from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import PeerEstimate, Tally
from webntpd.ntp.readings import NS_PER_S, Reading
from webntpd.status.snapshot import PeerStatus, Status

SECONDS_PER_DAY = 86_400
MJD_OF_UNIX_EPOCH = 40_587
NTP_OF_UNIX_EPOCH = 2_208_988_800
NTP_ERA = 2**32  # s

NTP_VERSION = 4
SERVER_MODE = 4
REFERENCE = ".WEB."

# The peer status word of RFC 1305 Appendix B.2.2 as ntpd has it: flags, selection, last event.
CONFIGURED_AND_REACHABLE = 0x9000
LAST_EVENT_REACHABLE = 0x0004
SELECTION = {
    Tally.UNFIT: 0,
    Tally.FALSETICKER: 1,
    Tally.OUTLIER: 3,
    Tally.SURVIVOR: 4,
    Tally.SYSTEM_PEER: 6,
}


class File(StrEnum):
    """The files' names, without the day."""

    PEERSTATS = "peerstats"
    RAWSTATS = "rawstats"


@dataclass(frozen=True, slots=True)
class Record:
    """A line for one of the files, of the wall clock's `wall_ns`."""

    file: File
    wall_ns: int
    line: str


class Recorder:
    """Makes the records of each sample once, although snapshots repeat them."""

    def __init__(self) -> None:
        self._samples_ns: dict[str, int] = {}
        self._reports_ns: dict[str, int] = {}

    def new_in(self, status: Status) -> list[Record]:
        """The records that are new in this snapshot; those of one peer are in order."""
        return [record for peer in status.peers for record in self._of_peer(peer, status)]

    def _of_peer(self, peer: PeerStatus, status: Status) -> Iterator[Record]:
        report, name = peer.report, peer.report.name
        for reading in report.readings:
            if reading.at_ns > self._samples_ns.get(name, -1):
                self._samples_ns[name] = reading.at_ns
                yield Record(File.RAWSTATS, reading.t4_ns, rawstats_line(report, reading))
        if report.fresh and peer.estimate and report.at_ns > self._reports_ns.get(name, -1):
            self._reports_ns[name] = report.at_ns
            line = peerstats_line(peer, peer.estimate, status)
            yield Record(File.PEERSTATS, status.wall_ns, line)


def peerstats_line(peer: PeerStatus, estimate: PeerEstimate, status: Status) -> str:
    """A peer's estimate as of the snapshot."""
    word = CONFIGURED_AND_REACHABLE | SELECTION[peer.tally] << 8 | LAST_EVENT_REACHABLE
    return (
        f"{when(status.wall_ns)} {source(peer.report.name)} {word:04x}"
        f" {status.offset(estimate):.9f}"
        f" {estimate.delay:.9f} {estimate.dispersion:.9f} {estimate.jitter:.9f}"
    )


def rawstats_line(report: PeerReport, reading: Reading) -> str:
    """A sample."""
    stamps = (reading.t1_ns, reading.t2_ns, reading.t3_ns, reading.t4_ns)
    return (
        f"{when(reading.t4_ns)} {source(report.name)} 0.0.0.0 {' '.join(map(ntp_time, stamps))}"
        f" 0 {NTP_VERSION} {SERVER_MODE} 0 {report.poll} {ceil(log2(reading.precision))}"
        f" 0.000000 {reading.max_error or 0.0:.6f} {REFERENCE}"
    )


def when(wall_ns: int) -> str:
    """The first fields of every line: the Modified Julian Date and the second of the day."""
    day, of_day_ns = divmod(wall_ns, SECONDS_PER_DAY * NS_PER_S)
    # Not rounded: there is no second 86400.000.
    milliseconds = of_day_ns // 1_000_000
    return f"{MJD_OF_UNIX_EPOCH + day} {milliseconds // 1000}.{milliseconds % 1000:03}"


def ntp_time(wall_ns: int) -> str:
    """Seconds since 1900, which start again in 2036 as NTP's do."""
    seconds, nanoseconds = divmod(wall_ns, NS_PER_S)
    return f"{(seconds + NTP_OF_UNIX_EPOCH) % NTP_ERA}.{nanoseconds:09}"


def source(name: str) -> str:
    """A peer's name as one field, in the form of NTPsec's names for clocks: WEB(time.example.org).

    ntpviz makes file names of it, and takes what looks like a host's name for one.
    """
    plain = re.sub(r"[^\w.:+\[\]-]+", "-", name.replace("://", ":"))
    return f"WEB({plain.strip('-')})"


@dataclass(frozen=True, slots=True)
class PeerLine:
    """A line of peerstats: seconds of Unix time, and differences in seconds."""

    at: float
    source: str
    offset: float
    delay: float
    dispersion: float
    jitter: float


def parse_peerstats(line: str) -> PeerLine | None:
    """A line of peerstats, written by any program; None if it is not one."""
    fields = line.split()
    try:
        mjd, second, name, _, *figures = fields
        offset, delay, dispersion, jitter = map(float, figures[:4])
        at = (int(mjd) - MJD_OF_UNIX_EPOCH) * SECONDS_PER_DAY + float(second)
    except ValueError:
        return None
    return PeerLine(at, name, offset, delay, dispersion, jitter)
