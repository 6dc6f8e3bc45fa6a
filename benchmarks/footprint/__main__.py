"""`make bench-footprint`: what the daemon costs, beside chronyd, on this machine."""

import sys
from importlib.util import find_spec

from benchmarks.common.chronyd import find_chronyd
from benchmarks.common.command import parse_arguments, write_figures
from benchmarks.common.machine import machine
from benchmarks.common.process import ProcessError
from benchmarks.footprint.marks import marks
from benchmarks.footprint.report import report
from benchmarks.footprint.setting import Size, run

FULL = Size(polls=12, rounds=11)
QUICK = Size(polls=2, rounds=3)


def main() -> int:
    arguments = parse_arguments(
        "make bench-footprint", __doc__, "less of everything, in two minutes"
    )
    if arguments.picture and find_spec("matplotlib") is None:
        print("a picture needs matplotlib: install the extra `bench`", file=sys.stderr)
        return 1
    here = machine()
    print(f"{here}\n", flush=True)
    try:
        results = run(QUICK if arguments.quick else FULL, find_chronyd())
    except (ProcessError, OSError) as error:
        print(f"bench-footprint: {error}", file=sys.stderr)
        return 1
    found = list(marks(results))
    print("\n".join(report(results, found)))
    if arguments.json:
        write_figures(arguments.json, here, results.as_dict(), found)
    if arguments.picture:
        from benchmarks.footprint.picture import draw  # noqa: PLC0415  # matplotlib is an extra

        draw(results, arguments.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
