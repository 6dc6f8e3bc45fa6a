"""`make simulate`: the table of all scenarios, beside rivals on the same packets."""

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from benchmarks.common.command import write_figures
from benchmarks.common.machine import machine
from benchmarks.common.marks import Mark
from benchmarks.simulation.consumers import CONSUMERS
from benchmarks.simulation.day import Setting, simulate
from benchmarks.simulation.marks import marks
from benchmarks.simulation.scenarios import BY_NAME
from benchmarks.simulation.score import Outcome, pooled
from benchmarks.simulation.table import as_dict, lines

SEEDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    logging.getLogger("webntpd").addHandler(logging.NullHandler())
    setting = Setting(options.consumer, options.poll, options.hours)
    names = options.only or list(BY_NAME)
    here = machine()
    print(
        f"seeds {' '.join(map(str, options.seeds))}; {options.hours:g} h a scenario;"
        f" consumer {options.consumer}, poll {options.poll}\n{here}\n",
        flush=True,
    )
    outcomes: dict[str, Outcome] = {}
    for outcome in simulated(names, options.seeds, setting, options.jobs):
        outcomes[outcome.scenario] = outcome
        print(f"{len(outcomes)} of {len(names)}: {outcome.scenario}", file=sys.stderr, flush=True)
    show(lines(outcomes))
    judged = list(marks(outcomes))
    print("\nMarks")
    show(map(str, judged))
    write(options, here, outcomes, judged)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument(
        "--seeds",
        type=seeds,
        default=seeds(str(SEEDS)),
        metavar="N",
        help=f"how many, from 1 on, or a list of them as 3,5,8 (default {SEEDS})",
    )
    parser.add_argument("--seed", type=lambda text: (int(text),), dest="seeds", help="one seed")
    parser.add_argument("--hours", type=float, default=24.0, help="length of a day (default 24)")
    parser.add_argument(
        "--only", nargs="+", choices=sorted(BY_NAME), metavar="NAME", help="these scenarios only"
    )
    parser.add_argument("--consumer", choices=sorted(CONSUMERS), default="chrony")
    parser.add_argument("--poll", type=int, default=4, help="the consumer's, log2 s (default 4)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw them (needs the extra `bench`)"
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and stop")
    options = parser.parse_args(arguments)
    if options.list:
        show(f"{name:26}{scenario.title}" for name, scenario in BY_NAME.items())
        parser.exit()
    if options.picture and find_spec("matplotlib") is None:
        parser.error("a picture needs matplotlib: install the extra `bench`")
    return options


def seeds(text: str) -> tuple[int, ...]:
    """`5` is 1 to 5, `3,5` those two."""
    if "," in text:
        return tuple(int(each) for each in text.split(",") if each)
    return tuple(range(1, int(text) + 1))


def simulated(
    names: Sequence[str], seeds: Sequence[int], setting: Setting, jobs: int
) -> Iterator[Outcome]:
    """The outcome of each scenario, all seeds together, in order."""
    days = [(name, seed, setting) for name in names for seed in seeds]
    if jobs == 1:
        yield from _grouped(map(one_day, days), len(seeds))
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from _grouped(pool.map(one_day, days), len(seeds))


def one_day(day: tuple[str, int, Setting]) -> Outcome:
    """Live through a day. Its scenario comes by name: the object cannot pass between processes."""
    name, seed, setting = day
    return simulate(BY_NAME[name], seed, setting)


def _grouped(outcomes: Iterator[Outcome], count: int) -> Iterator[Outcome]:
    """Pool every `count` outcomes in a row: they are of one scenario."""
    group: list[Outcome] = []
    for outcome in outcomes:
        group.append(outcome)
        if len(group) == count:
            yield pooled(group)
            group = []


def write(
    options: argparse.Namespace,
    here: str,
    outcomes: dict[str, Outcome],
    judged: Sequence[Mark],
) -> None:
    if options.json:
        found = {
            "seeds": options.seeds,
            "hours": options.hours,
            "consumer": options.consumer,
            "poll": options.poll,
            "scenarios": [as_dict(outcome) for outcome in outcomes.values()],
        }
        write_figures(options.json, here, found, judged)
    if options.picture:
        from benchmarks.simulation.picture import draw  # noqa: PLC0415  # matplotlib is an extra

        draw(outcomes, options.picture)


def show(texts: Iterator[str]) -> None:
    for text in texts:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
