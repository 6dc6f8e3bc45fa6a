"""The marks of the simulation: ratios to rivals on the same packets, coverage, and gaps."""

from collections.abc import Iterator, Mapping

from benchmarks.common.marks import Mark
from benchmarks.simulation.network import TIMEOUT
from benchmarks.simulation.scenarios import BY_NAME, Scenario
from benchmarks.simulation.score import CHRONY, CHRONY_POLLS, FIRST, OURS, Outcome
from benchmarks.simulation.table import short

TO_CHRONY: Mapping[str, float] = {
    "lan": 0.8,
    "broadband": 0.65,
    "mobile": 0.75,
    "liar-walking": 0.1,
    "liar-oscillating": 0.05,
    "liars-3-of-7": 0.06,
}
"""The greatest ratio of our RMS to that of chrony's estimator."""
TO_FIRST: Mapping[str, float] = {"broadband": 0.5}
"""The greatest ratio of our RMS to the first version's."""
EXPECTED: Mapping[str, float] = {
    "lan": 7.2e-6,
    "broadband": 64e-6,
    "bufferbloat": 90e-6,
    "mobile": 0.54e-3,
    "handovers": 10.1e-3,
    "liar-walking": 0.09e-3,
    "liar-oscillating": 0.08e-3,
    "liar-rate": 0.08e-3,
    "liars-3-of-7": 0.07e-3,
    "local-step": 60e-6,
    "date-only": 43e-3,
    "hourly": 5e-3,
}
"""The RMS of the prototype, s. Some of its paths differed from these."""
TOLERANCE = 1.25
MOSTS: Mapping[str, float] = {"poll-10": 3e-3, "poll-10-temperature": 3e-3}
"""The greatest RMS, s."""


def marks(outcomes: Mapping[str, Outcome]) -> Iterator[Mark]:
    """The marks of the scenarios that were simulated."""
    yield from _ratios(outcomes)
    yield from _mosts(outcomes)
    for name, outcome in outcomes.items():
        scenario = BY_NAME[name]
        yield _coverage(outcome)
        if scenario.judge_gaps:
            yield _gap(outcome, scenario)


def _ratios(outcomes: Mapping[str, Outcome]) -> Iterator[Mark]:
    for name, most in TO_CHRONY.items():
        if outcome := outcomes.get(name):
            yield _ratio(outcome, CHRONY_POLLS, most, aside=CHRONY)
    for name, most in TO_FIRST.items():
        if outcome := outcomes.get(name):
            yield _ratio(outcome, FIRST, most)


def _mosts(outcomes: Mapping[str, Outcome]) -> Iterator[Mark]:
    for name, expected in EXPECTED.items():
        if outcome := outcomes.get(name):
            yield _most(outcome, expected * TOLERANCE, f"within 25 % of {short(expected)}")
    for name, most in MOSTS.items():
        if outcome := outcomes.get(name):
            yield _most(outcome, most, f"at most {short(most)}")


def _ratio(outcome: Outcome, rival: str, most: float, aside: str | None = None) -> Mark:
    """The mark of a ratio. That to the rival `aside` is shown beside it, and not judged."""
    ratio = outcome.ratio(rival)
    found = "-" if ratio is None else f"{ratio:.3f}"
    if aside is not None and (other := outcome.ratio(aside)) is not None:
        found += f" (with bursts {other:.3f})"
    return Mark(
        f"{outcome.scenario}: RMS / {rival} <= {most}",
        found,
        None if ratio is None else ratio <= most,
    )


def _most(outcome: Outcome, most: float, wanted: str) -> Mark:
    found = outcome.published(OURS)
    return Mark(
        f"{outcome.scenario}: RMS {wanted}",
        short(found.rms) if found else "-",
        found.rms <= most if found else None,
    )


def _coverage(outcome: Outcome) -> Mark:
    coverage = outcome.coverage
    count = len(outcome.ours.published)
    return Mark(
        f"{outcome.scenario}: the bound holds always",
        "-" if coverage is None else f"{len(outcome.misses)} of {count} outside",
        None if coverage is None else not outcome.misses,
    )


def most_gap(scenario: Scenario) -> float:
    """The longest time that may pass between two publications, s."""
    return 2.0 ** (scenario.poll[1] + 1) + TIMEOUT + scenario.silence


def _gap(outcome: Outcome, scenario: Scenario) -> Mark:
    most = most_gap(scenario)
    return Mark(
        f"{outcome.scenario}: no gap above {most:.0f} s",
        f"{outcome.gap:.0f} s",
        None if outcome.first is None else outcome.gap <= most,
    )
