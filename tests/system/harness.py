"""Real programs in a place of their own, where none of them can touch the machine's clock.

A sandbox is a private network (loopback alone), private System V shared memory, and no
CAP_SYS_TIME: whatever a consumer is configured to do, setting the clock is beyond it. Programs
end with the sandbox, each by its own pid, and at the latest with the process that started them.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

PATIENCE = 60.0  # s: how long a condition may take on a slow machine that runs other tests, too
POLL_INTERVAL = 0.1  # s
ROOT = Path(__file__).parent.parent.parent
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))

PACKAGES = {
    "cc": "gcc libc6-dev",
    "chronyc": "chrony",
    "chronyd": "chrony",
    "gnuplot": "gnuplot-nox",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "nsenter": "util-linux",
    "ntpshmmon": "gpsd",
    "promtool": "prometheus",
    "setpriv": "util-linux",
    "ss": "iproute2",
    "systemd-analyze": "systemd",
    "systemd-journald": "systemd",
    "systemd-nspawn": "systemd-container",
    "systemd-sysusers": "systemd",
    "systemd-tmpfiles": "systemd",
    "unshare": "util-linux",
}
"""Debian's package of a program, where it has another name."""

T = TypeVar("T")


def unavailable(what: str, remedy: str) -> NoReturn:
    """Skip the test because something is missing. With CI=true, fail it instead.

    The test run ends with a line for each `what`: see pytest_terminal_summary.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing: .ci/run must provide it")
    pytest.skip(f"{what}; {remedy}")


def require(program: str) -> str:
    """The path of an installed program."""
    found = shutil.which(program, path=SEARCH)
    return found or not_installed(program)


def not_installed(program: str) -> NoReturn:
    unavailable(program, f"apt install {PACKAGES.get(program, program)}")


def require_root() -> None:
    if os.geteuid() != 0:
        unavailable("root", "run as root")


def require_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        unavailable("matplotlib", ".venv/bin/pip install --requirement requirements/bench.txt")


def eventually(
    probe: Callable[[], T],
    what: str,
    until: Callable[[T], object] = bool,
    *,
    patience: float = PATIENCE,
) -> T:
    """The first result of `probe` that is what we wait for: one that is true, if not told else."""
    deadline = time.monotonic() + patience
    while not until(result := probe()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {patience} s, but {result!r}")
        time.sleep(POLL_INTERVAL)
    return result


class Program:
    """A running program, its output in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """The exit code, negative for a signal."""
        return self._process.wait(patience)

    def stop(self) -> int:
        """End the program, politely at first."""
        self._process.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self.wait()


class Sandbox:
    """Where a test's programs run; `path` is a directory for their files."""

    def __init__(self, holder: int, path: Path, programs: ExitStack) -> None:
        self.path = path
        self._programs = programs
        self._enter = (
            require("nsenter"),
            f"--ipc=/proc/{holder}/ns/ipc",
            f"--net=/proc/{holder}/ns/net",
            require("setpriv"),
            "--bounding-set=-sys_time",
            "--inh-caps=-sys_time",
            "--pdeathsig=KILL",
        )

    def at_end(self, action: Callable[[], object]) -> None:
        """Do this when the sandbox ends, before what was started earlier is ended."""
        self._programs.callback(action)

    def start(self, *argv: str | Path, env: Mapping[str, str] | None = None) -> Program:
        """Start a program, which is ended with the sandbox. Its output shows if the test fails."""
        log = self.path / f"{Path(argv[0]).name}-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._enter, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=ROOT,
            )
        program = Program(process, log)
        self._programs.callback(lambda: print(f"--- {log.name}\n{program.output}"))
        self._programs.callback(program.stop)
        return program

    def run(self, *argv: str | Path, env: Mapping[str, str] | None = None) -> str:
        """What a program prints, whatever its exit code."""
        return self.attempt(*argv, env=env).stdout

    def attempt(
        self, *argv: str | Path, env: Mapping[str, str] | None = None, patience: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            [*self._enter, *argv],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
            env={**os.environ, **(env or {})},
            cwd=ROOT,
        )


@contextmanager
def sandbox(path: Path) -> Iterator[Sandbox]:
    """Make a sandbox, or skip the test where the system does not let us."""
    require_root()
    command = f"{require('ip')} link set lo up && echo ready && exec cat"
    with (
        subprocess.Popen(
            [require("unshare"), "--ipc", "--net", "sh", "-c", command],
            stdin=subprocess.PIPE,  # closed with this process, which ends the holder too
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as holder,
        ExitStack() as programs,
    ):
        assert holder.stdin is not None
        assert holder.stdout is not None
        programs.callback(holder.stdin.close)
        if (line := holder.stdout.readline()) != b"ready\n":
            unavailable("namespaces", f"run where root may make them: {line.decode().strip()}")
        yield Sandbox(holder.pid, path, programs)
