"""wan.c: built when it is needed, and run between two namespaces."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.namespaces import DIE_WITH_US, Unavailable
from benchmarks.common.process import ROOT, Process, running
from benchmarks.path.ends import Ends
from benchmarks.path.paths import WanPath

SOURCE = Path(__file__).with_name("wan.c")
PROGRAM = ROOT / "build" / "wan"
PATIENCE = 10.0
"""How long it may take to end, s."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The packets of a run, and how late the emulator delivered them, s: its own error."""

    delivered: int
    lost: int
    late: float
    latest: float

    @classmethod
    def parse(cls, text: str) -> "Traffic":
        """From the line that wan.c prints at its end."""
        fields = json.loads(text)
        delivered, lost = sum(fields["delivered"]), sum(fields["lost"])
        return cls(delivered, lost, fields["late"], fields["latest"])


@dataclass(slots=True)
class Emulator:
    """A running emulator."""

    process: Process

    def end(self) -> Traffic:
        """End it. Raises ProcessError if it has failed."""
        os.kill(self.process.pid, signal.SIGTERM)
        return Traffic.parse(self.process.output(PATIENCE))


def build(program: Path = PROGRAM) -> Path:
    """Compile wan.c unless that is done already. Raises Unavailable."""
    if program.exists() and program.stat().st_mtime > SOURCE.stat().st_mtime:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise Unavailable("no C compiler: cc is not installed")
    program.parent.mkdir(exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(SOURCE), "-lm"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"wan.c does not compile: {done.stderr}")
    return program


@contextmanager
def emulating(path: WanPath, ends: Ends, seed: int) -> Iterator[Emulator]:
    """Join the two ends by that path until the block ends."""
    command = (
        *DIE_WITH_US, build(), ends.client.namespace, ends.server.namespace, str(seed),
        str(path.up), str(path.down),
    )  # fmt: skip
    with running(command) as process:
        yield Emulator(process)
