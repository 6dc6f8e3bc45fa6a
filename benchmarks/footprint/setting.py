"""The run: all daemons side by side, what they take to start, and what they take to be there."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.process import Process, ProcessError, free_port
from benchmarks.footprint.daemons import (
    BURST,
    HOST,
    NEVER,
    POLL,
    chronyd,
    chronyd_server,
    metrics,
    refclock,
    webntpd,
    webntpd_server,
)
from benchmarks.footprint.mailbox import Mailbox, empty_for, mailbox
from benchmarks.footprint.results import (
    CHRONYD,
    CHRONYD_IDLE,
    IDLE,
    POLLING,
    SCRAPED,
    SERVING,
    Results,
)
from benchmarks.footprint.scraping import scraping
from benchmarks.footprint.startup import start_ups
from benchmarks.footprint.steady import usages

WARM_UP = 30.0
"""Until the bursts of the start are over and all that is made once is made, s."""


@dataclass(frozen=True, slots=True)
class Size:
    """For how many polls to watch, and how often to start things."""

    polls: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Side:
    """One program at work: its processes by name, and how many polls it has made so far.

    `configuration` is one with which to start it once more; `boxes` are to be emptied.
    """

    processes: Mapping[str, Process]
    polls: Callable[[], float]
    configuration: str
    boxes: Sequence[Mailbox] = ()


def run(size: Size, chronyd_program: str | None) -> Results:
    """Start everything, let it settle, and watch it. Raises ProcessError."""
    with ExitStack() as stack:
        began = time.monotonic()
        ours, control = _ours(stack)
        sides = {POLLING: ours}
        theirs = None
        if chronyd_program is None:
            print("chronyd is not installed: nothing to compare with", file=sys.stderr)
        else:
            sides[CHRONYD] = _theirs(stack, chronyd_program)
            theirs = (chronyd_program, sides[CHRONYD].configuration)
        _progress("start-up")
        taken = start_ups(ours.configuration, theirs, control, size.rounds)
        _progress("warming up")
        empty_for(WARM_UP - (time.monotonic() - began), ours.boxes)
        seconds = size.polls * 2.0**POLL
        _progress(f"watching for {seconds:.0f} s")
        before = {name: side.polls() for name, side in sides.items()}
        processes = {name: each for side in sides.values() for name, each in side.processes.items()}
        found = usages(processes, seconds, ours.boxes)
        polls = {name: side.polls() - before[name] for name, side in sides.items()}
        if not all(polls.values()):
            raise ProcessError(f"somebody does not poll: {polls}")
        return Results(found, polls, taken)


def _ours(stack: ExitStack) -> tuple[Side, Path]:
    """webntpd, and where to ask for its status."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    consumer = stack.enter_context(mailbox(directory / "consumer"))
    server, peers = stack.enter_context(webntpd_server(directory))
    configuration = peers + refclock(consumer.path)
    polling = stack.enter_context(webntpd(configuration.format(poll=POLL)))
    never = configuration.format(poll=NEVER)
    idle = stack.enter_context(webntpd(never))
    address = f"{HOST}:{free_port()}"
    scraped = stack.enter_context(webntpd(never + metrics(address)))
    stack.enter_context(scraping(address))
    daemons = {POLLING: polling, IDLE: idle, SCRAPED: scraped, SERVING: server}
    side = Side(
        {name: daemon.process for name, daemon in daemons.items()},
        lambda: polling.samples() / BURST,
        never,
        (consumer, *(daemon.manager for daemon in daemons.values())),
    )
    return side, polling.control


def _theirs(stack: ExitStack, program: str) -> Side:
    server, configuration = stack.enter_context(chronyd_server(program))
    polling = stack.enter_context(chronyd(program, configuration.format(poll=POLL)))
    idle = stack.enter_context(chronyd(program, configuration.format(poll=NEVER)))
    return Side(
        {CHRONYD: polling.process, CHRONYD_IDLE: idle.process},
        server.received,
        configuration.format(poll=NEVER),
    )


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
