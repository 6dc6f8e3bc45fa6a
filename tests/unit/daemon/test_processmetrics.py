"""What the process uses, from the real /proc."""

import mmap
import os

from webntpd.daemon.processmetrics import Process


def figures() -> dict[str, float]:
    return {
        sample.name: sample.value for family in Process().collect() for sample in family.samples
    }


def test_open_files_are_counted() -> None:
    before = figures()["process_open_fds"]
    with open(os.devnull, "rb"), open(os.devnull, "rb"):  # noqa: PTH123 - what is to be counted
        assert figures()["process_open_fds"] == before + 2
    assert before == len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - without a generator
    assert figures()["process_max_fds"] >= before


def test_memory_is_counted_in_bytes() -> None:
    size = 64 * 2**20
    before = figures()["process_resident_memory_bytes"]
    with mmap.mmap(-1, size) as memory:
        memory.write(b"x" * size)
        grown = figures()["process_resident_memory_bytes"] - before
    assert 0.9 * size < grown < 4 * size


def test_processor_time_grows_with_what_is_done() -> None:
    before = figures()["process_cpu_seconds_total"]
    sum(range(10**6))
    assert figures()["process_cpu_seconds_total"] > before
