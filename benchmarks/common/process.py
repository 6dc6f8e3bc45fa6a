"""Programs that a benchmark runs beside itself: pinned, measured, and ended by their own pid."""

import ctypes
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
"""The tree that this file is in: programs import their modules from the same one."""

START = 10.0
"""How long a program may take to start, s,"""
END = 10.0
"""and to end once told to."""

_libc = ctypes.CDLL(None)


class ProcessError(Exception):
    """A program that did not start or end as it should."""


class Process:
    """A running program, with what the kernel knows of it and of its children."""

    def __init__(self, popen: "subprocess.Popen[str]", complaints: IO[str]) -> None:
        self._popen = popen
        self._complaints = complaints

    @property
    def pid(self) -> int:
        return self._popen.pid

    def pids(self) -> list[int]:
        """The program's processes: its own and all below it."""
        found = [self.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            found += map(int, children.split())
        return found

    def cpu(self) -> float:
        """The time that it has spent on a core so far, s."""
        return sum(map(_cpu, self.pids()))

    def resident(self) -> int:
        """Its memory, bytes. What processes share counts for each."""
        return sum(_memory(pid, "Rss") for pid in self.pids())

    def proportional(self) -> int:
        """Its memory, bytes. What processes share counts for each in part."""
        return sum(_memory(pid, "Pss") for pid in self.pids())

    def wake_ups(self) -> int:
        """How often it has waited for something that then came: voluntary context switches."""
        return sum(map(wake_ups, self.pids()))

    def descriptors(self) -> int:
        """The files and sockets that it has open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.pids())

    def check(self) -> None:
        """Raise ProcessError if it is not running any more."""
        if self._popen.poll() is not None:
            raise self._failed()

    def output(self, timeout: float) -> str:
        """Wait for its end and return what it printed. Raises ProcessError if it failed."""
        try:
            output, _ = self._popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise ProcessError(f"{self._popen.args!r} did not end in time") from error
        if self._popen.returncode:
            raise self._failed()
        return output

    def _failed(self) -> ProcessError:
        self._complaints.seek(0)
        return ProcessError(
            f"{self._popen.args!r} ended with {self._popen.returncode}: {self._complaints.read()}"
        )

    def end(self) -> None:
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(END)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        if self._popen.stdout is not None:
            self._popen.stdout.close()


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    cores: set[int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run a program on those cores, or on ours, until the block ends. What it prints is kept."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = Process(_start(command, cores, environment or {}, complaints), complaints)
        try:
            yield process
        finally:
            process.end()


def _start(
    command: Sequence[str | Path],
    cores: set[int] | None,
    environment: Mapping[str, str],
    complaints: IO[str],
) -> "subprocess.Popen[str]":
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or own)  # inherited, so that no thread of it starts elsewhere
    try:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=variables
        )
    finally:
        os.sched_setaffinity(0, own)


def free_port() -> int:
    """A port of loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def await_listener(process: Process, port: int) -> None:
    """Wait until the program takes connections on loopback. Raises ProcessError if it does not."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        process.check()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise ProcessError(f"nothing listens on port {port}")


def _cpu(pid: int) -> float:
    # To the nanosecond, while /proc/PID/stat has ticks; ended threads are in it, too.
    clock = ctypes.c_int()
    if error := _libc.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessError(f"process {pid} has no clock: {os.strerror(error)}")
    return time.clock_gettime(clock.value)


def _memory(pid: int, name: str) -> int:
    return field(Path(f"/proc/{pid}/smaps_rollup").read_text(), name) * 1024


def wake_ups(pid: int) -> int:
    """The voluntary context switches of a process's threads so far."""
    statuses = Path(f"/proc/{pid}/task").glob("*/status")
    return sum(field(status.read_text(), "voluntary_ctxt_switches") for status in statuses)


def field(text: str, name: str) -> int:
    """A number from one of the kernel's files of names and values. Raises ProcessError."""
    for line in text.splitlines():
        found, _, value = line.partition(":")
        if found == name:
            return int(value.split()[0])
    raise ProcessError(f"the kernel does not tell {name}")
