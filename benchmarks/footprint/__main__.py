"""`make bench-footprint`: what the daemon costs, beside chronyd, on this machine."""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.common.chronyd import find_chronyd
from benchmarks.common.machine import machine
from benchmarks.common.process import ProcessError
from benchmarks.footprint.marks import marks
from benchmarks.footprint.report import report
from benchmarks.footprint.setting import Size, run

FULL = Size(polls=12, rounds=11)
QUICK = Size(polls=2, rounds=3)


def main() -> int:
    arguments = parse_arguments()
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
        document = results.as_dict() | {
            "machine": here,
            "marks": [each.as_dict() for each in found],
        }
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.picture:
        from benchmarks.footprint.picture import draw  # noqa: PLC0415  # matplotlib is an extra

        draw(results, arguments.picture)
    return 0


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-footprint", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, in two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw them (needs the extra `bench`)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
