"""Each module of the pure part must be covered, branch by branch, by its own test file alone.

Run as `make coverage`. A pure module needs no help from the rest of the program to be tested to
its last branch; where it does, it is not as pure as it looks, or its tests are in the wrong place.
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.rooms import ROOMS, source_files

ROOT = Path(__file__).parent.parent
PROCESSES = 2


def pure_modules() -> list[Path]:
    return [
        path.relative_to(ROOT)
        for room in ROOMS
        for path in source_files(room)
        if room.pure and path.name != "__init__.py"
    ]


def own_test(module: Path) -> Path:
    """webntpd/ntp/peer.py has tests/unit/ntp/test_peer.py."""
    return Path("tests/unit", *module.parts[1:-1], f"test_{module.name}")


def fault_of(module: Path) -> str | None:
    """What is wrong with the coverage of one module, or None."""
    test = own_test(module)
    if not (ROOT / test).exists():
        return f"{module}: {test} is missing"
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"COVERAGE_FILE": str(Path(directory, "data"))}
        steps = [
            [
                "run",
                "--branch",
                f"--include={module}",
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                str(test),
            ],
            ["report", "--show-missing", "--fail-under=100"],
        ]
        for step in steps:
            done = subprocess.run(
                [sys.executable, "-m", "coverage", *step],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                return f"{module} by {test}:\n{done.stdout}{done.stderr}"
    return None


def main() -> int:
    modules = pure_modules()
    with ThreadPoolExecutor(PROCESSES) as pool:
        faults = [fault for fault in pool.map(fault_of, modules) if fault]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(modules) - len(faults)} of {len(modules)} pure modules covered by their own tests")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
