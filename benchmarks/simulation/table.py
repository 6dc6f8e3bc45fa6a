"""The figures for the terminal and for programs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from benchmarks.simulation.scenarios import BY_NAME
from benchmarks.simulation.score import CHRONY, CHRONY_POLLS, FIRST, OURS, RIVALS, Outcome

LABEL = 24
CELL = 9
MISSES_SHOWN = 3

OURS_HEAD = (
    f"{'what webntpd publishes':{LABEL}}"
    + "".join(f"{head:>{CELL}}" for head in ("RMS", "p95", "p99", "max"))
    + "".join(f"{head:>{CELL}}" for head in ("clock", "max"))
    + f"{'holds':>{CELL}}{'gap':>7}{'first':>7}{'liars':>7}"
)
RIVALS_HEAD = (
    f"{'RMS beside rivals':{LABEL}}"
    + "".join(f"{head:>{CELL}}" for head in ("webntpd", "first v.", "clock", "chrony"))
    + "".join(f"{head:>{CELL}}" for head in ("1/poll", "mean 4", "best"))
    + "".join(f"{head:>{CELL}}" for head in ("/first", "/chrony", "/1/poll"))
)


def short(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def ours_line(outcome: Outcome) -> str:
    """Our errors, those of the steered clock, and `holds`, the share of bounds that held."""
    published, clock = outcome.published(OURS), outcome.clock(OURS)
    cells: list[float | None] = [None] * 4
    if published:
        cells = [published.rms, published.p95, published.p99, published.max]
    text = f"{outcome.scenario:{LABEL}}" + "".join(f"{short(cell):>{CELL}}" for cell in cells)
    for value in (clock.rms, clock.max) if clock else (None, None):
        text += f"{short(value):>{CELL}}"
    text += f"{_percent(outcome.coverage, 3):>{CELL}}{outcome.gap:6.0f}s"
    text += f"{'-' if outcome.first is None else f'{outcome.first:.0f}s':>7}"
    liars = BY_NAME[outcome.scenario].liars
    return text + f"{_percent(outcome.liar_share, 0) if liars else '':>7}"


def _percent(share: float | None, digits: int) -> str:
    """A share in percent, rounded down, so that 100 % means all."""
    if share is None:
        return "-"
    scale = 10**digits
    return f"{int(share * 100 * scale) / scale:.{digits if share < 1 else 0}f}%"


def rivals_line(outcome: Outcome) -> str:
    text = f"{outcome.scenario:{LABEL}}"
    for who in (OURS, FIRST):
        found = outcome.published(who)
        text += f"{short(found.rms if found else None):>{CELL}}"
    clock = outcome.clock(FIRST)
    text += f"{short(clock.rms if clock else None):>{CELL}}"
    for who in RIVALS[1:]:
        found = outcome.published(who)
        text += f"{short(found.rms if found else None):>{CELL}}"
    for who in (FIRST, CHRONY, CHRONY_POLLS):
        ratio = outcome.ratio(who)
        text += f"{'-' if ratio is None else f'{ratio:.3g}':>{CELL}}"
    return text


def lines(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    """Both tables, and the first publications whose bounds did not hold."""
    yield OURS_HEAD
    yield from map(ours_line, outcomes.values())
    yield ""
    yield RIVALS_HEAD
    yield from map(rivals_line, outcomes.values())
    for outcome in outcomes.values():
        for miss in outcome.misses[:MISSES_SHOWN]:
            yield (
                f"  {outcome.scenario}, seed {miss.seed}, at {miss.true:.3f} s:"
                f" off by {short(abs(miss.error))} with a bound of {short(miss.bound)}"
            )


def as_dict(outcome: Outcome) -> Mapping[str, object]:
    """All figures, times in seconds."""
    return {
        "scenario": outcome.scenario,
        "title": BY_NAME[outcome.scenario].title,
        "coverage": outcome.coverage,
        "longest_gap": outcome.gap,
        "first_sample": outcome.first,
        "liar_share": outcome.liar_share,
        "misses": [asdict(miss) for miss in outcome.misses[:MISSES_SHOWN]],
        "published": {who: _fields(outcome, who) for who in (OURS, *RIVALS)},
        "clock": {
            who: (asdict(found) if (found := outcome.clock(who)) else None) for who in (OURS, FIRST)
        },
        "ratios": {who: outcome.ratio(who) for who in RIVALS},
    }


def _fields(outcome: Outcome, who: str) -> Mapping[str, float] | None:
    found = outcome.published(who)
    return asdict(found) if found else None
