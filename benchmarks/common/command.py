"""What the commands of the benchmarks have in common: their options, and the file of figures."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.common.marks import Mark


def parse_arguments(
    name: str, description: str | None, quick: str, arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """The options of the command `name`; `quick` says what --quick does."""
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw them (needs the extra `bench`)"
    )
    return parser.parse_args(arguments)


def write_figures(
    path: Path, machine: str, figures: Mapping[str, object], marks: Iterable[Mark]
) -> None:
    """Write all figures as JSON, with what machine they are of and which marks they met."""
    document = {**figures, "machine": machine, "marks": [each.as_dict() for each in marks]}
    path.write_text(json.dumps(document, indent=1) + "\n")
