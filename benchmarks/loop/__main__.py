"""`make bench-loop`: chronyd, fed by webntpd, holds the clock of a guest; how well does it?"""

import argparse
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from benchmarks.common.command import write_figures
from benchmarks.common.machine import machine
from benchmarks.common.marks import Mark
from benchmarks.common.process import ProcessError
from benchmarks.loop.guest import KVM, TCG, GuestError, accelerators
from benchmarks.loop.image import ImageError, made_image
from benchmarks.loop.marks import marks
from benchmarks.loop.paths import PATHS
from benchmarks.loop.report import as_json, lines
from benchmarks.loop.setting import Outcome, run, say
from webntpd.protocol.rejected import Rejected

MINUTES = 15.0
FLOOR_MINUTES = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.picture and find_spec("matplotlib") is None:
        parser.error("a picture needs matplotlib: install the extra `bench`")
    # SIGTERM ends the benchmark as Ctrl-C does: no guest and no disk is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    here = machine()
    print(f"{here}, seed {options.seed}\n", flush=True)
    try:
        outcomes = measure(options)
    except (ImageError, GuestError, ProcessError, Rejected, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    judged = list(chain.from_iterable(map(_marks, outcomes)))
    print("Marks", *(f"  {mark}" for mark in judged), sep="\n")
    if options.json:
        write_figures(options.json, here, {"seed": options.seed, **as_json(outcomes)}, judged)
    if options.picture:
        from benchmarks.loop.picture import draw  # noqa: PLC0415  # matplotlib is an extra

        draw(outcomes, options.picture)
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-loop", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help=f"of each path; default: {MINUTES:g}"
    )
    parser.add_argument(
        "--floor-minutes",
        type=float,
        default=FLOOR_MINUTES,
        metavar="MINUTES",
        help=f"of the clock running free, before each; default: {FLOOR_MINUTES:g}",
    )
    parser.add_argument(
        "--path", action="append", choices=PATHS, help="only this one; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the paths' delays; default: 1")
    parser.add_argument(
        "--accelerator", choices=(KVM, TCG), help="default: kvm where it works, else tcg"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, in seconds")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="an SVG or a PNG")
    return parser


def measure(options: argparse.Namespace) -> Sequence[Outcome]:
    """Run each path and show its figures as soon as they are there."""
    outcomes = []
    choice = [options.accelerator] if options.accelerator else accelerators()
    say("making the guest's disk")
    with made_image() as image:
        for name in options.path or PATHS:
            outcome = run(
                image,
                choice,
                name,
                options.seed,
                options.minutes * 60,
                options.floor_minutes * 60,
            )
            choice = [outcome.accelerator]  # the one that works
            outcomes.append(outcome)
            print(*lines(outcome), "", sep="\n", flush=True)
    return outcomes


def _marks(outcome: Outcome) -> Sequence[Mark]:
    return list(marks(outcome.path, outcome.score, outcome.floor, outcome.seconds))


if __name__ == "__main__":
    sys.exit(main())
