"""The figures for the terminal and for programs."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from benchmarks.loop.marks import LARGEST_FLOOR, MS
from benchmarks.loop.scoring import without_floor
from benchmarks.loop.setting import Outcome

PPM = 1e-6
LABEL = 44


def lines(outcome: Outcome) -> Iterable[str]:
    """One run's figures, and the last answers of the guest's programs."""
    floor, score = outcome.floor, outcome.score
    yield f"{outcome.path}: {outcome.seconds / 60:g} minutes, {score.samples} samples scored"
    yield _line("guest's clock: RMS, max, mean, ms", score.rms, score.worst, score.mean)
    yield _line("floor, clock running free: RMS, max, ms", floor.rms, floor.worst)
    if floor.rms > LARGEST_FLOOR:
        yield _line("RMS without the floor's share, ms", without_floor(score.rms, floor.rms))
    yield _line("half of the clean port's median delay, ms", floor.bound)
    yield f"  {'rate of the free clock against ours, ppm':{LABEL}}{floor.frequency / PPM:10.3f}"
    verdict = "a swing" if score.swings else "no swing"
    yield f"  {'turns from side to side':{LABEL}}{score.turns:10}  {verdict}"
    if outcome.failures:
        yield f"  {'truth samples without an answer':{LABEL}}{outcome.failures:10}"
    for title, text in {"chrony's configuration": outcome.lines, **outcome.answers}.items():
        yield ""
        yield f"  -- {title}"
        yield from (f"  {line}" for line in text.splitlines())


def _line(label: str, *values: float) -> str:
    return f"  {label:{LABEL}}" + "".join(f"{value / MS:10.3f}" for value in values)


def as_json(outcomes: Iterable[Outcome]) -> Mapping[str, object]:
    """All outcomes, times in seconds; a sample is [at, error, delay]."""
    return {"runs": [asdict(outcome) for outcome in outcomes]}
