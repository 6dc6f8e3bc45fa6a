"""The results as text, at most 100 columns wide."""

from collections.abc import Iterable, Iterator

from benchmarks.common.marks import Mark
from benchmarks.footprint.daemons import BURST
from benchmarks.footprint.marks import MIB
from benchmarks.footprint.results import CHRONYD, CHRONYD_IDLE, IDLE, POLLING, Cost, Results
from benchmarks.footprint.steady import Usage

LABEL = 40


def report(results: Results, found: Iterable[Mark]) -> Iterator[str]:
    seconds = results.usages[POLLING].seconds
    heads = f"{'RSS':>10}{'PSS':>10}{'of a core':>12}{'wake-ups':>12}"
    yield f"{f'over {seconds:.0f} s':{LABEL}}{heads}"
    for name, usage in results.usages.items():
        yield f"{name:{LABEL}}{_usage(usage)}"
    yield ""
    yield f"{'a poll':{LABEL}}{'on a core':>20}{'wake-ups':>12}"
    for label, polling, idle in (
        (f"webntpd, a burst of {BURST} samples", POLLING, IDLE),
        ("chronyd, one sample", CHRONYD, CHRONYD_IDLE),
    ):
        if each := results.cost(polling, idle):
            yield f"{label:{LABEL}}{_cost(each)}"
    yield ""
    yield "start-up"
    for name, seconds in results.start_ups.items():
        yield f"{name:{LABEL}}{seconds * 1e3:17.1f} ms"
    yield ""
    yield from map(str, found)


def _usage(usage: Usage) -> str:
    resident, proportional = usage.resident / MIB, usage.proportional / MIB
    return (
        f"{resident:6.1f} MiB{proportional:6.1f} MiB{usage.share:12.3%}{usage.wake_up_rate:10.2f}/s"
    )


def _cost(cost: Cost) -> str:
    return f"{cost.cpu * 1e3:17.3f} ms{cost.wake_ups:12.1f}"
