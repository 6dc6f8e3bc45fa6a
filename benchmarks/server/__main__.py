"""`make bench-server`: the embedded server beside others, under load, on this machine."""

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.command import parse_arguments, write_figures
from benchmarks.common.machine import machine
from benchmarks.common.process import ProcessError
from benchmarks.server import contenders
from benchmarks.server.churn import measure_churn
from benchmarks.server.clockerror import measure_clock_error
from benchmarks.server.load import LoadError, Transport
from benchmarks.server.marks import IDLE_CONNECTIONS, marks
from benchmarks.server.memory import measure_memory, raise_limits
from benchmarks.server.report import report
from benchmarks.server.results import Results
from benchmarks.server.throughput import Case, Entry, Plan, measure_throughput

PROGRAMS = ("wrk", "nginx")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything: `clock` is rounds and seconds of each load, `churn` clients."""

    throughput: Plan
    polled: float
    clock: tuple[int, float]
    churn: int


FULL = Size(Plan(rounds=7, seconds=1), polled=8.0, clock=(2, 6.0), churn=100_000)
QUICK = Size(Plan(rounds=1, seconds=1), polled=2.0, clock=(1, 3.0), churn=10_000)


def main() -> int:
    arguments = parse_arguments("make bench-server", __doc__, "less of everything, within 45 s")
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 1
    here = machine()
    print(f"{here}\n", flush=True)
    try:
        results = run(QUICK if arguments.quick else FULL)
    except (LoadError, ProcessError) as error:
        print(f"bench-server: {error}", file=sys.stderr)
        return 1
    found = list(marks(results))
    print("\n".join(report(results, found)))
    if arguments.json:
        write_figures(arguments.json, here, results.as_dict(), found)
    if arguments.picture:
        from benchmarks.server.picture import draw  # noqa: PLC0415  # needs the extra `bench`

        draw(results, arguments.picture)
    return 0


def run(size: Size) -> Results:
    """Every phase with servers of its own, on one core; we and the load are on another."""
    cores = sorted(os.sched_getaffinity(0))
    server, ours = {cores[0]}, {cores[-1]}
    os.sched_setaffinity(0, ours)
    connections = min(IDLE_CONNECTIONS, raise_limits())
    with contenders.webntpd(server) as contender:
        progress(f"{connections} idle WebSockets")
        memory = measure_memory(contender, connections, size.polled)
    with contenders.webntpd(server) as contender:
        clock_error = measure_clock_error(contender, *size.clock, progress)
    with contenders.webntpd(server) as contender:
        progress(f"{size.churn} clients come and go")
        churn = measure_churn(contender, size.churn)
    throughput = compare(server, set(cores[:2]), size.throughput)
    progress("")
    return Results(len(cores), tuple(throughput), memory, tuple(clock_error), churn)


def compare(server: set[int], pair: set[int], plan: Plan) -> list[Case]:
    """All servers beside each other, on one core, and those with workers on a pair."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)

        def start(stack: ExitStack) -> list[Entry]:
            webntpd = stack.enter_context(contenders.webntpd(server))
            slow = stack.enter_context(contenders.slow_paths(server))
            plain = stack.enter_context(contenders.trio_websocket(server))
            fixed = stack.enter_context(contenders.echo(server))
            one = stack.enter_context(contenders.workers(pair, 1))
            two = stack.enter_context(contenders.workers(pair, 2))
            nginx = stack.enter_context(contenders.nginx(server, directory))
            http, websocket = Transport.HTTP, Transport.WEBSOCKET
            return [
                (webntpd, http, 32),
                (nginx, http, 32),
                (slow, http, 32),
                (webntpd, http, 1000),
                (nginx, http, 1000),
                (webntpd, websocket, 32),
                (slow, websocket, 32),
                (plain, websocket, 32),
                (fixed, websocket, 32),
                (webntpd, websocket, 1000),
                (one, http, 1000),
                (two, http, 1000),
            ]

        return measure_throughput(start, plan, directory, progress)


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:79}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
