"""How many requests a second each server answers, and how long it lets them wait.

The servers take turns, round after round, so that whatever disturbs the machine hits all alike, and
each round has new processes, since how one's memory happens to lie moves its rate by some percent;
each figure is the median of its rounds. Beside what the clock on the wall says stands what the
server's core says: on a machine with other work to do, a server does not get all of its core, and
replies per second of time on that core compare better. Where the load's own core is busy and the
server's is not, the load was the limit.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.common.figures import median
from benchmarks.common.process import Process
from benchmarks.server.contenders import Contender
from benchmarks.server.load import Load, Outcome, Transport
from benchmarks.server.wrk import wrk

BUSY = 0.75
"""The share of its core that what limits the rate has at least, if left alone."""

Progress = Callable[[str], None]
"""Is told in words how far the work is."""


@dataclass(frozen=True, slots=True)
class Round:
    """An outcome, and the shares of their cores that the server and the load had."""

    outcome: Outcome
    busy: float
    load_busy: float


@dataclass(frozen=True, slots=True)
class Case:
    """A server under a kind of load, with the medians of its rounds."""

    contender: str
    transport: str
    connections: int
    rounds: list[Round] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Replies per second."""
        return median([each.outcome.rate for each in self.rounds])

    @property
    def core_rate(self) -> float:
        """Replies per second of the server's time on its core."""
        return median([each.outcome.rate / each.busy for each in self.rounds])

    @property
    def busy(self) -> float:
        return median([each.busy for each in self.rounds])

    @property
    def load_busy(self) -> float:
        return median([each.load_busy for each in self.rounds])

    @property
    def hindered(self) -> bool:
        """Whether neither server nor load had its core: something else on the machine did."""
        return max(self.busy, self.load_busy) < BUSY

    @property
    def p50(self) -> float:
        return median([each.outcome.p50 for each in self.rounds])

    @property
    def p99(self) -> float:
        return median([each.outcome.p99 for each in self.rounds])

    def __str__(self) -> str:
        return f"{self.contender}, {self.transport}, {self.connections} connections"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure: rounds, and whole seconds of each case in each of them."""

    rounds: int
    seconds: int


Entry = tuple[Contender, Transport, int]
"""A running server, how to ask it, and over how many connections."""


def measure_throughput(
    start: Callable[[ExitStack], Sequence[Entry]], plan: Plan, directory: Path, progress: Progress
) -> list[Case]:
    """Load the servers in turn; `start` starts those of a round."""
    cases: dict[tuple[str, str, int], Case] = {}
    for number in range(1, plan.rounds + 1):
        with ExitStack() as stack:
            entries = start(stack)
            loads = [_prepare(entry, plan, directory, stack) for entry in entries]
            for (server, transport, count), load in zip(entries, loads, strict=True):
                key = (server.name, transport.label, count)
                case = cases.setdefault(key, Case(*key))
                progress(f"round {number} of {plan.rounds}: {case}")
                case.rounds.append(_timed(server.process, load))
    return list(cases.values())


def _prepare(entry: Entry, plan: Plan, directory: Path, stack: ExitStack) -> Callable[[], Outcome]:
    server, transport, count = entry
    if transport is Transport.HTTP:
        return partial(wrk, server.port, count, plan.seconds, directory)
    load = stack.enter_context(Load(server.port, transport, count))
    return partial(load.saturate, plan.seconds)


def _timed(process: Process, load: Callable[[], Outcome]) -> Round:
    start, server, own = time.monotonic(), process.cpu(), _own_cpu()
    outcome = load()
    elapsed = time.monotonic() - start
    return Round(outcome, (process.cpu() - server) / elapsed, (_own_cpu() - own) / elapsed)


def _own_cpu() -> float:
    """Our time on a core, and that of programs that we ran and that have ended, s."""
    return sum(os.times()[:4])
