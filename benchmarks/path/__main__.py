"""`make bench-path`: our estimate beside chrony's NTP, over emulated wide-area paths."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from benchmarks.common.chronyd import find_chronyd
from benchmarks.common.command import write_figures
from benchmarks.common.machine import machine
from benchmarks.common.namespaces import Unavailable
from benchmarks.common.process import ProcessError
from benchmarks.path.marks import marks
from benchmarks.path.paths import PATHS
from benchmarks.path.report import table
from benchmarks.path.setting import Setting, setting

MINUTES = 30.0
INTERVAL = 2.0
"""Between two looks, s: as short as the time between two samples of an iburst."""


def main() -> int:
    arguments = parse_arguments()
    here = machine()
    print(f"{here}, seed {arguments.seed}, {arguments.minutes:g} min a path\n", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends everything as Ctrl-C does
    seen: list[Setting] = []
    problem = ""
    try:
        measure(arguments, seen.append)
    except KeyboardInterrupt:
        problem = "interrupted"
    except (ProcessError, Unavailable, OSError) as error:
        problem = str(error)
    if problem:
        print(f"bench-path: {problem}", file=sys.stderr)
    if seen:  # a run that was cut short still has figures
        report(arguments, here, seen)
    return 1 if problem else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-path", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="length of each run")
    parser.add_argument(
        "--paths", nargs="+", choices=PATHS, default=list(PATHS), help="all if not given"
    )
    parser.add_argument("--jobs", type=int, default=1, help="paths at once")
    parser.add_argument("--seed", type=int, default=1, help="of the paths' chance")
    parser.add_argument(
        "--consumer-poll",
        type=int,
        metavar="N",
        help="chrony's poll of our refclock, log2 s, if not that of `webntpd consumer-config`",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, in seconds")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="an SVG or a PNG")
    arguments = parser.parse_args()
    if arguments.picture and find_spec("matplotlib") is None:
        parser.error("a picture needs matplotlib: install the extra `bench`")
    return arguments


def measure(arguments: argparse.Namespace, keep: Callable[[Setting], None]) -> None:
    """Run all paths, some at once; `keep` gets each as soon as it runs."""
    chronyd = find_chronyd()
    if chronyd is None:
        raise Unavailable("chronyd is not installed")
    jobs = max(1, arguments.jobs)
    for first in range(0, len(arguments.paths), jobs):
        names = arguments.paths[first : first + jobs]
        print(f"{', '.join(names)}: {arguments.minutes:g} min", file=sys.stderr, flush=True)
        running: list[Setting] = []
        try:
            with ExitStack() as stack:
                for name in names:
                    begun = setting(PATHS[name], arguments.seed, chronyd, arguments.consumer_poll)
                    running.append(stack.enter_context(begun))
                    keep(running[-1])
                watch(running, arguments.minutes * 60)
        finally:
            for each in running:
                show([*table(each.result()), ""])


def watch(running: Sequence[Setting], seconds: float) -> None:
    """Look at all of them until that time has passed, then end their emulators."""
    begin = due = time.monotonic()
    while due < begin + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        for each in running:
            each.look()
        due = max(due + INTERVAL, time.monotonic())
    for each in running:
        each.traffic = each.emulator.end()


def report(arguments: argparse.Namespace, here: str, seen: Sequence[Setting]) -> None:
    results = [each.result() for each in seen]
    found = list(marks(results))
    show(map(str, found))
    if arguments.json:
        document = {
            "seed": arguments.seed,
            "minutes": arguments.minutes,
            "paths": [result.as_dict() for result in results],
            "records": {each.path.name: each.record.as_dict(each.started) for each in seen},
        }
        write_figures(arguments.json, here, document, found)
    if arguments.picture:
        from benchmarks.path.picture import draw  # noqa: PLC0415  # matplotlib is an extra

        draw({each.path.name: each.record for each in seen}, arguments.picture)


def show(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
