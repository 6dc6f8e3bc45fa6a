"""What the process itself uses, as metrics under the names that are customary.

prometheus_client has a collector for it, which wants to read /proc/stat, and shows nothing where a
service has no more of /proc than the processes, as ours does.
"""

import resource
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from webntpd.status.prometheus import counter, gauge

PROC = Path("/proc/self")


class Process(Collector):
    """Collects from this process, without those that it started."""

    def collect(self) -> Iterator[Metric]:
        """What it uses now."""
        pages = int((PROC / "statm").read_text().split()[1])
        files = sum(1 for _ in (PROC / "fd").iterdir()) - 1  # one of them is that of this look
        may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield counter(
            "process_cpu_seconds_total",
            "Processor time, in user space and in the kernel.",
            [((), time.process_time())],
        )
        yield gauge(
            "process_resident_memory_bytes",
            "Memory in use.",
            [((), pages * resource.getpagesize())],
        )
        yield gauge("process_open_fds", "Open file descriptors.", [((), files)])
        yield gauge(
            "process_max_fds", "File descriptors that may be open at once.", [((), may_open)]
        )
