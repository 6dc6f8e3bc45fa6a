"""All targets, one after another: `python -m tests.fuzz --seconds 600`.

Inputs that reach new code are kept in build/fuzz/TARGET/ from one run to the next; `--keep` takes
the few that suffice into tests/fuzz/corpus/. An input that breaks a promise is left in build/fuzz/.
"""

import argparse
import hashlib
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import webntpd
from tests.fuzz import TARGETS
from tests.fuzz.test_corpus import CORPUS, MOST_BYTES, MOST_FILES

WORK = Path("build/fuzz")
LONGEST = {"configurations": 512, "leaplists": 1000, "votes": 40}
"""Bytes of the largest input that is tried, where that is not DEFAULT_LONGEST."""
DEFAULT_LONGEST = 300
PROGRAM = str(Path(webntpd.__file__).parent)
Tracer = Callable[[FrameType, str, Any], Any]
_EXECUTIONS = re.compile(r"^stat::number_of_executed_units:\s*([0-9]+)$", re.MULTILINE)


def command(target: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tests.fuzz.run", target, *map(str, arguments)]


def fuzz(target: str, seconds: float) -> tuple[int, str]:
    """Run a target; return its number of executions, and if it failed the end of its output."""
    found = WORK / target
    found.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command(
            target,
            f"-max_total_time={max(1, round(seconds))}",
            f"-max_len={LONGEST.get(target, DEFAULT_LONGEST)}",
            f"-artifact_prefix={WORK}/{target}-",
            "-timeout=20",
            "-print_final_stats=1",
            "-verbosity=0",
            found,
            CORPUS / target,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    counts = [int(count) for count in _EXECUTIONS.findall(done.stdout)]
    return sum(counts[-1:]), done.stdout[-4000:] if done.returncode else ""


def keep(target: str) -> None:
    """Keep the inputs that reach code which no shorter input reaches, the shortest first."""
    test_one = importlib.import_module(f"tests.fuzz.{target}").test_one
    inputs = {file.read_bytes() for place in (CORPUS, WORK) for file in (place / target).iterdir()}
    test_one(b"")  # runs the code that runs once only
    reached: set[Edge] = set()
    kept: list[bytes] = []
    for data in sorted(inputs, key=lambda each: (len(each), each)):
        if len(data) <= MOST_BYTES and len(kept) < MOST_FILES:
            edges = edges_of(test_one, data)
            if not edges <= reached:
                reached |= edges
                kept.append(data)
    shutil.rmtree(CORPUS / target)
    (CORPUS / target).mkdir()
    for data in kept:
        (CORPUS / target / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)


Edge = tuple[str, int, int]


def edges_of(test_one: Callable[[bytes], None], data: bytes) -> set[Edge]:
    """Each file of the program with two lines of it that ran one after the other."""
    edges: set[Edge] = set()

    def enter(frame: FrameType, event: str, argument: object) -> Tracer | None:
        del event, argument
        name = frame.f_code.co_filename
        if not name.startswith(PROGRAM):
            return None
        before = 0

        def step(frame: FrameType, event: str, argument: object) -> Tracer:
            nonlocal before
            del argument
            if event == "line":
                edges.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return step

        return step

    sys.settrace(enter)
    try:
        test_one(data)
    finally:
        sys.settrace(None)
    return edges


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for all targets together")
    parser.add_argument("--only", nargs="+", default=list(TARGETS), choices=TARGETS)
    parser.add_argument("--keep", action="store_true", help="renew the corpus afterwards")
    arguments = parser.parse_args()
    each = arguments.seconds / len(arguments.only)
    failures = {}
    rows = []
    for target in arguments.only:
        executions, failure = fuzz(target, each)
        if failure:
            failures[target] = failure
        elif arguments.keep:
            keep(target)
        rows.append(
            f"{target:16}{executions:12}{executions / each:11.0f}  {'FAILED' * bool(failure)}"
        )
    for target, output in failures.items():
        print(f"--- {target}\n{output}")
    print(f"{'target':16}{'executions':>12}{'per second':>11}", *rows, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
