"""The actions that a peer asks of its task: measure, wait, disconnect, pass on a report.

Every answer of a peer ends with exactly one Measure or Wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from webntpd.ntp.estimates import Track
from webntpd.ntp.readings import Failure, Provenance, Reading, Rejection


@dataclass(frozen=True, slots=True)
class PeerReport:
    """A peer's state after an event, for the system process and for every view.

    `track` is None until there is a sample. `fresh` says that `track` has new samples to publish,
    and at least MIN_EXCHANGES in all. Reports with new samples come at the end of a poll, and after
    each exchange of an iburst. `reach` is the 8-bit register, `poll` log2 seconds, `next_poll_ns`
    RAW. The peer began, or began anew after a suspend, at `began_ns`; `first_reply_ns` is of the
    first answer since. `readings` are the new samples: each is in one report only. `stamps` counts
    the good samples since the start by their provenance.
    """

    name: str
    reach: int
    poll: int
    track: Track | None
    fresh: bool
    at_ns: int
    next_poll_ns: int
    readings: tuple[Reading, ...] = ()
    began_ns: int = 0
    first_reply_ns: int | None = None
    last_reply_ns: int | None = None
    last_failure: Failure | None = None
    rejections: Mapping[Rejection, int] = field(default_factory=dict)
    stamps: Mapping[Provenance, int] = field(default_factory=dict)
    prefer: bool = False
    noselect: bool = False

    @property
    def samples(self) -> int:
        """The number of good samples since the start."""
        return sum(self.stamps.values())


@dataclass(frozen=True, slots=True)
class Measure:
    """Make one exchange; answer with on_readings or on_failure. `last` ends a burst."""

    last: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Call on_timer at RAW `until_ns`, or on_suspend when that comes first."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection; the next Measure opens a new one."""


@dataclass(frozen=True, slots=True)
class Report:
    """Pass the report on to the system process."""

    report: PeerReport


Action = Measure | Wait | Disconnect | Report
