"""The memory, descriptors and CPU time of the daemon's processes, from /proc, and its log lines."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_VARYING = re.compile(r"[0-9a-fA-F.:\[\]/]*[0-9][0-9a-fA-F.:\[\]/]*")


@dataclass
class Usage:
    """The memory of one process over time, bytes, and its descriptors, second by second."""

    name: str
    rss: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def figures(self) -> dict[str, object]:
        return {
            "name": self.name,
            "rss_mib": {
                "first": _mib(self.rss[0]),
                "greatest": _mib(max(self.rss)),
                "last": _mib(self.rss[-1]),
            },
            "descriptors": {
                "first": self.descriptors[0],
                "greatest": max(self.descriptors),
                "last": self.descriptors[-1],
            },
            "rss_mib_each_minute": [_mib(each) for each in self.rss[::60]],
        }


def _mib(size: int) -> float:
    return round(size / 2**20, 1)


class Watch:
    """Watches a process and its children. `restarts` counts the children that others replaced."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.usages: dict[int, Usage] = {pid: Usage("daemon")}
        self._alive: set[int] = set()
        self.restarts = 0

    def look(self) -> None:
        """Take one sample of each process. A process that has ended is passed over."""
        children = children_of(self._pid)
        self.restarts += len(self._alive - children)
        self._alive = children
        for pid in (self._pid, *sorted(children)):
            usage = self.usages.setdefault(pid, Usage(f"worker {len(self.usages)}"))
            try:
                rss, descriptors = rss_of(pid), descriptors_of(pid)
            except (FileNotFoundError, ProcessLookupError, ValueError):
                continue
            usage.rss.append(rss)
            usage.descriptors.append(descriptors)

    def figures(self) -> list[dict[str, object]]:
        return [usage.figures() for usage in self.usages.values() if usage.rss]


def children_of(pid: int) -> set[int]:
    """The processes that a process has started and that run."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        found.update(int(child) for child in children.read_text().split())
    return found


def rss_of(pid: int) -> int:
    """The memory that a process holds, bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s*([0-9]+) kB$", status, re.MULTILINE)
    if found is None:  # it has ended
        raise ProcessLookupError(pid)
    return int(found[1]) * 1024


def descriptors_of(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def cpu_of(pid: int) -> float:
    """The time that a process has had on a core, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def kinds_of_lines(log: Path) -> Counter[str]:
    """How often each line of a log occurs, with numbers and addresses taken as equal."""
    counts: Counter[str] = Counter()
    with log.open(errors="replace") as lines:
        for line in lines:
            counts[_VARYING.sub("N", line.rstrip())[:160]] += 1
    return counts
