"""benchmarks.common.process: what the kernel knows of a process."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from benchmarks.common.process import Process, ProcessError, field

STATUS = "Name:\tpython\nvoluntary_ctxt_switches:\t1234\nVmRSS:\t  5 kB\n"

WORK_THEN_ECHO = """
import sys, time
while time.process_time() < 0.1:
    pass
for line in sys.stdin:
    time.sleep(0.001)  # or it may never have to wait: the next line is there already
    print(line, end="", flush=True)
"""

Talk = Callable[[], None]
"""Makes the child wait for a line, and answer it."""


def test_a_field_is_a_number_whatever_its_unit() -> None:
    assert field(STATUS, "voluntary_ctxt_switches") == 1234
    assert field(STATUS, "VmRSS") == 5
    with pytest.raises(ProcessError, match="ctxt_switches"):
        field(STATUS, "ctxt_switches")


@pytest.fixture
def child() -> Iterator[tuple[Process, Talk]]:
    command = [sys.executable, "-c", WORK_THEN_ECHO]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as popen:
        assert popen.stdin is not None
        assert popen.stdout is not None
        to_it, from_it = popen.stdin, popen.stdout

        def talk() -> None:
            to_it.write("a line\n")
            to_it.flush()
            assert from_it.readline() == "a line\n"

        yield Process(popen, sys.stderr), talk


def test_work_and_memory_are_those_of_the_process(child: tuple[Process, Talk]) -> None:
    process, talk = child
    talk()
    assert process.cpu() >= 0.1
    assert 0 < process.proportional() <= process.resident()


def test_waiting_counts_as_wake_ups(child: tuple[Process, Talk]) -> None:
    process, talk = child
    talk()
    before = process.wake_ups()
    for _ in range(3):
        talk()
    assert process.wake_ups() >= before + 3
