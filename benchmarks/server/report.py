"""The results as text."""

from collections.abc import Iterable, Iterator

from benchmarks.common.marks import Mark
from benchmarks.server.results import Results
from benchmarks.server.throughput import Case
from webntpd.status.text import seconds


def report(results: Results, found: Iterable[Mark]) -> Iterator[str]:
    """The lines of all tables, at most 100 columns wide."""
    yield f"{'':34}{'replies':>9}{'per core':>10}{'server':>9}{'load':>7}{'wait':>12}"
    yield f"{'':34}{'per s':>9}{'second':>10}{'busy':>9}{'busy':>7}{'p50':>12}{'p99':>12}"
    yield from map(_case, results.throughput)
    if any(case.hindered for case in results.throughput):
        yield "* other work on this machine held the server and the load up"
    yield ""
    yield from _memory(results)
    yield ""
    yield f"{'clock error of a client; server':34}{'p50':>13}{'p99':>13}  readings"
    for error in results.clock_error:
        made = ", ".join(f"{count} {name}" for name, count in error.made.items())
        name = f"{error.load:10}{error.way}"
        yield f"{name:34}{seconds(error.p50):>13}{seconds(error.p99):>13}  {made}"
    yield ""
    yield from map(str, found)


def _case(case: Case) -> str:
    name = f"{case.contender:16}{case.transport:11}{case.connections}"
    return (
        f"{name:34}{case.rate:9.0f}{case.core_rate:10.0f}{case.busy:9.0%}{case.load_busy:7.0%}"
        f"{seconds(case.p50):>12}{seconds(case.p99):>12}{' *' if case.hindered else ''}"
    )


def _memory(results: Results) -> Iterator[str]:
    memory, churn = results.memory, results.churn
    yield (
        f"{memory.connections} idle WebSockets: {memory.each:.0f} bytes each; polled"
        f" {memory.polled.rate:.0f} times a second: p50 {seconds(memory.polled.p50)},"
        f" p99 {seconds(memory.polled.p99)}"
    )
    yield (
        f"{churn.clients} clients came and went in {churn.seconds:.1f} s: memory"
        f" {churn.resident[0] / 1024:.0f} KiB, then {churn.resident[1] / 1024:.0f} KiB;"
        f" descriptors {churn.descriptors[0]}, then {churn.descriptors[1]}"
    )
