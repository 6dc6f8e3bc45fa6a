"""The results as text, at most 100 columns wide."""

import textwrap
from collections.abc import Iterator

from benchmarks.path.results import Figures, Result

WIDTH = 100
LABEL = 30
CELL = 11
MS = 1e-3


def table(result: Result) -> Iterator[str]:
    """One path: a line for each estimate, its errors in ms."""
    yield result.path
    yield from (f"  {line}" for line in result.model)
    yield from textwrap.wrap(result.refclock, WIDTH, initial_indent="  ", subsequent_indent="    ")
    heads = ("RMS", "median", "p95", "max", "number")
    yield f"{'  |offset|, ms':{LABEL}}" + "".join(f"{head:>{CELL}}" for head in heads)
    yield f"{'  what webntpd publishes':{LABEL}}{_cells(result.published)}"
    yield f"{'  what chrony makes of it':{LABEL}}{_cells(result.view)}"
    yield f"{'  chrony by NTP':{LABEL}}{_cells(result.ntp)}"
    if result.ratio is not None:
        yield f"  chrony's view of us / its NTP, RMS: {result.ratio:.2f}"
    if result.coverage is not None:
        yield f"  our bound holds for {result.coverage:.2%} of our samples, {result.made} in all"
    if result.warm_up is not None:
        yield f"  both have an estimate after {result.warm_up:.0f} s: all counts from then on"
    if (traffic := result.traffic) is not None:
        yield (
            f"  {traffic.delivered} packets, {traffic.lost} lost; delivered late by"
            f" {traffic.late * 1e6:.0f} µs on average, {traffic.latest / MS:.1f} ms at most"
        )


def _cells(figures: Figures | None) -> str:
    if figures is None:
        return f"{'-':>{CELL}}" * 5
    values = (figures.rms, figures.median, figures.p95, figures.greatest)
    return "".join(f"{value / MS:{CELL}.3f}" for value in values) + f"{figures.count:{CELL}}"
