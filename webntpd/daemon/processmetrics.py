"""The resources that this process uses, as metrics with Prometheus's customary names.

prometheus_client's own collector reads /proc/stat. Our unit hides that file from the service, and
the collector then shows nothing.
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
    """Collects the figures of this process, without its child processes."""

    def collect(self) -> Iterator[Metric]:
        """The present figures."""
        pages = int((PROC / "statm").read_text().split()[1])
        files = sum(1 for _ in (PROC / "fd").iterdir()) - 1  # one of them reads this directory
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
