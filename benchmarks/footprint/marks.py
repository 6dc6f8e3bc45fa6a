"""The marks that the daemon is held to."""

from collections.abc import Iterator

from benchmarks.common.marks import Mark
from benchmarks.footprint.results import POLLING, Results
from benchmarks.footprint.startup import BARE, STATUS

MIB = 1024 * 1024
RESIDENT = 60 * MIB
SHARE = 0.002
SCRAPING = 0.01
STATUS_TIME = 0.200
"""Of `webntpd status` beyond the interpreter's own start, s."""


def marks(results: Results) -> Iterator[Mark]:
    usage = results.usages[POLLING]
    yield Mark(
        f"resident memory <= {RESIDENT / MIB:.0f} MiB",
        f"{usage.resident / MIB:.1f} MiB",
        usage.resident <= RESIDENT,
    )
    yield Mark(
        f"4 peers at 16 s: share of a core < {SHARE:.1%}",
        f"{usage.share:.3%}",
        usage.share < SHARE,
    )
    yield Mark(
        f"a scrape each second: share of a core < {SCRAPING:.0%}",
        f"{results.scraping:.3%}",
        results.scraping < SCRAPING,
    )
    beyond = results.start_ups[STATUS] - results.start_ups[BARE]
    yield Mark(
        f"webntpd status <= {STATUS_TIME * 1e3:.0f} ms beyond the interpreter",
        f"{beyond * 1e3:.0f} ms",
        beyond <= STATUS_TIME,
    )
