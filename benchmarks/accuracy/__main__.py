"""`make bench-accuracy`: offsets that ought to be zero, by every way of asking."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import trio

from benchmarks.accuracy.cost import Cost, costs
from benchmarks.accuracy.marks import marks
from benchmarks.accuracy.modes import Asking, Transport
from benchmarks.accuracy.places import LOOPBACK, Place, veth
from benchmarks.accuracy.server import serving
from benchmarks.accuracy.setting import Load, Outcome, run
from benchmarks.accuracy.table import as_json, cost_lines, mark_lines, outcome_lines
from benchmarks.common.chronyd import find_chronyd
from benchmarks.common.machine import machine
from benchmarks.common.namespaces import Unavailable
from benchmarks.common.process import ProcessError

SECONDS = 45.0
QUICK = 4.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-accuracy", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each run")
    parser.add_argument(
        "--quick", action="store_const", const=QUICK, dest="seconds", help=f"runs of {QUICK:g} s"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures in seconds")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="an SVG or a PNG")
    arguments = parser.parse_args()
    if arguments.picture and find_spec("matplotlib") is None:
        parser.error("a picture needs matplotlib: install the extra `bench`")
    here = machine()
    print(f"{here}\n")
    try:
        outcomes, cost = measure(arguments.seconds)
    except (ProcessError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    judged = marks(outcomes, cost)
    show([*cost_lines(cost), ""])
    show(mark_lines(judged))
    if arguments.json:
        found = {"machine": here, **as_json(outcomes, cost, judged)}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    if arguments.picture:
        from benchmarks.accuracy.picture import draw  # noqa: PLC0415  # matplotlib is an extra

        draw(outcomes, arguments.picture)
    return 0


def measure(seconds: float) -> tuple[Sequence[Outcome], Mapping[Asking, Cost]]:
    """All runs, each shown as soon as it is done."""
    chronyd = find_chronyd()
    if chronyd is None:
        print("chronyd is not installed: no yardstick", file=sys.stderr)
    outcomes = []
    with places() as available:
        for place in available:
            for load in Load:
                print(f"{place.name}, {load}: {seconds:g} s", file=sys.stderr)
                outcomes.append(run(place, load, seconds, chronyd))
                show([*outcome_lines(outcomes[-1]), ""])
    return outcomes, cost_over_loopback()


@contextmanager
def places() -> Iterator[Sequence[Place]]:
    """Loopback, and veth where it can be had."""
    with ExitStack() as stack:
        available = [LOOPBACK]
        try:
            available.append(stack.enter_context(veth()))
        except (Unavailable, FileNotFoundError) as error:
            print(f"no veth pair: {error}", file=sys.stderr)
        yield available


def cost_over_loopback() -> Mapping[Asking, Cost]:
    with serving(LOOPBACK) as server:
        return trio.run(costs, server.urls[Transport.WS], server.pid)


def show(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
