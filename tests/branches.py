"""The unit tests cover every branch of every module.

`make coverage` runs tests/unit once, measures the processes that the tests start as well, and then
runs this module on the result. A module of a pure room needs no help from the rest of the
program, so its own test file alone must cover it. tests/conftest.py labels the result with the
running test file.
"""

import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage

from tests.conftest import COLLECTION
from tests.rooms import PACKAGE, PROJECT, ROOMS

STILL_MISSING = {
    "webntpd/config/faults.py": 1,  # a key with one reason twice
    "webntpd/daemon/supervisor.py": 2,  # a peer that joins once the frequency is known
}
"""Lines and branches of a module that may be missing still. A figure may only become smaller."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The lines and branches of one module that no test reached."""

    lines: tuple[int, ...]
    branches: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.lines) + len(self.branches)

    def __str__(self) -> str:
        lines = [str(line) for line in self.lines]
        # Coverage.py writes a jump out of a function as one to a negative line.
        jumps = [f"{start}->{'exit' if end < 0 else end}" for start, end in self.branches]
        return ", ".join([*lines, *jumps])


def own_test(module: Path) -> Path:
    """The test file of a module: webntpd/ntp/peer.py has tests/unit/ntp/test_peer.py."""
    return Path("tests/unit", *module.parts[1:-1], f"test_{module.name}")


def modules(*, pure: bool) -> list[Path]:
    """The modules of the pure rooms, or all others, as paths in the project."""
    rooms = {room.name for room in ROOMS if room.pure}
    return sorted(
        path
        for found in PACKAGE.rglob("*.py")
        if ((path := found.relative_to(PROJECT)).parts[1] in rooms) == pure
    )


def missing(measured: coverage.Coverage, paths: list[Path], *labels: str) -> dict[Path, Missing]:
    """The unreached lines and branches of each module, under these `labels` or any label."""
    contexts = [f"^{re.escape(label)}$" for label in labels]
    with tempfile.NamedTemporaryFile("r") as report:
        # A module that no test imports is in the report, too: `source` in pyproject.toml.
        measured.json_report([*map(str, paths)], outfile=report.name, contexts=contexts)
        files: dict[str, Any] = json.load(report)["files"]
    return {
        path: Missing(
            tuple(files[str(path)]["missing_lines"]),
            tuple(map(tuple, files[str(path)]["missing_branches"])),
        )
        for path in paths
    }


def faults(measured: coverage.Coverage) -> list[str]:
    """A line for each module that is not covered."""
    found = []
    for path, missed in missing(measured, modules(pure=False)).items():
        allowed = STILL_MISSING.get(str(path), 0)
        if len(missed) > allowed:
            found.append(f"{path}: the unit tests miss {missed}")
        elif len(missed) < allowed:
            found.append(f"{path}: STILL_MISSING has {allowed}, which is {len(missed)} now")
    for path in modules(pure=True):
        test = own_test(path)
        missed = missing(measured, [path], COLLECTION, str(test))[path]
        if missed:
            found.append(f"{path}: {test} misses {missed}")
    return found


def main() -> int:
    measured = coverage.Coverage()
    measured.load()
    found = faults(measured)
    print("\n".join(found), file=sys.stderr)
    count = sum(len(modules(pure=pure)) for pure in (True, False))
    print(f"{count - len(found)} of {count} modules are covered")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
