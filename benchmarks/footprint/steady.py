"""What daemons take of the machine over a stretch of time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.common.process import Process
from benchmarks.footprint.mailbox import Mailbox, empty_for


@dataclass(frozen=True, slots=True)
class Usage:
    """Over `seconds`: time on a core, s, and wake-ups; at their end: memory, bytes.

    `resident` is all memory of the process, `proportional` its part of what it shares.
    """

    seconds: float
    cpu: float
    wake_ups: int
    resident: int
    proportional: int

    @property
    def share(self) -> float:
        """The share of a core that it took."""
        return self.cpu / self.seconds

    @property
    def wake_up_rate(self) -> float:
        """Wake-ups per second."""
        return self.wake_ups / self.seconds


class _Counters(NamedTuple):
    at: float
    cpu: float
    wake_ups: int

    @classmethod
    def of(cls, process: Process) -> "_Counters":
        return cls(time.monotonic(), process.cpu(), process.wake_ups())


def usages(
    processes: Mapping[str, Process], seconds: float, boxes: Sequence[Mailbox]
) -> Mapping[str, Usage]:
    """Watch all processes for so long, and take what they say meanwhile."""
    before = {name: _Counters.of(process) for name, process in processes.items()}
    empty_for(seconds, boxes)
    return {name: _usage(before[name], process) for name, process in processes.items()}


def _usage(before: _Counters, process: Process) -> Usage:
    process.check()
    after = _Counters.of(process)
    return Usage(
        seconds=after.at - before.at,
        cpu=after.cpu - before.cpu,
        wake_ups=after.wake_ups - before.wake_ups,
        resident=process.resident(),
        proportional=process.proportional(),
    )
