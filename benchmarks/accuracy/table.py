"""The figures for the terminal, at most 96 columns wide, and for programs."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.accuracy.cost import Cost
from benchmarks.accuracy.figures import Figures
from benchmarks.accuracy.marks import MICROSECOND, Mark
from benchmarks.accuracy.modes import MODES, Asking, Transport
from benchmarks.accuracy.setting import Outcome

LABEL = 25
CELL = 8
GROUP = 3 * CELL
YARDSTICK = "chronyd, NTP interleaved"


def outcome_lines(outcome: Outcome) -> Iterable[str]:
    """One run: a line for each mode, three figures for each transport."""
    counts = [len(each.errors) for each in outcome.modes.values()]
    number = f"{min(counts)} to {max(counts)}" if counts else "no"
    yield f"{outcome.place}, {outcome.load}: |error| and delay in µs, {number} samples each"
    yield f"{'':{LABEL}}" + "".join(f"{transport:>{GROUP}}" for transport in Transport)
    yield f"{'':{LABEL}}" + f"{'median':>{CELL}}{'99%':>{CELL}}{'delay':>{CELL}}" * len(Transport)
    for mode in MODES:
        cells = "".join(_cells(outcome.modes.get((mode, transport))) for transport in Transport)
        yield f"{mode.name:{LABEL}}{cells}"
    yield f"{YARDSTICK:{LABEL}}{_cells(outcome.yardstick)}"
    yield from _remarks(outcome)


def _cells(figures: Figures | None) -> str:
    if figures is None:
        return f"{'-':>{CELL}}" * 3
    values = (figures.median, figures.tail, figures.delay)
    return "".join(f"{value / MICROSECOND:{CELL}.1f}" for value in values)


def _remarks(outcome: Outcome) -> Iterable[str]:
    for series, made_of in outcome.provenance.items():
        wanted = {mode.provenance for mode in MODES if mode.asking is series.asking}
        if lesser := {name: count for name, count in made_of.items() if name not in wanted}:
            yield f"  {series}: {_counted(lesser)} of {sum(made_of.values())}, not counted"
    for series, names in outcome.failures.items():
        yield f"  {series}: failed with {_counted(names)}"


def _counted(names: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in names.items())


def mark_lines(marks: Sequence[Mark]) -> Iterable[str]:
    yield "Marks"
    for mark in marks:
        value = "-" if mark.value is None else _scaled(mark.value, mark.unit)
        yield f"  {mark.text:62}{value:>10} ≤ {_scaled(mark.bound, mark.unit):8}{mark.verdict}"


def _scaled(value: float, unit: str) -> str:
    return f"{value / MICROSECOND:.1f} {unit}" if unit else f"{value:.2f}"


def cost_lines(cost: Mapping[Asking, Cost]) -> Iterable[str]:
    yield f"{'Wake-ups for an exchange over ws':33}{'client':>{CELL}}{'server':>{CELL}}"
    for asking, each in cost.items():
        yield f"  {asking:31}{each.client:{CELL}.2f}{each.server:{CELL}.2f}"


def as_json(
    outcomes: Iterable[Outcome], cost: Mapping[Asking, Cost] | None, marks: Iterable[Mark]
) -> Mapping[str, object]:
    """All of it, times in seconds."""
    return {
        "settings": [
            {
                "place": outcome.place,
                "load": outcome.load,
                "modes": [
                    {"mode": mode.name, "transport": transport, **_fields(figures)}
                    for (mode, transport), figures in outcome.modes.items()
                ],
                "chronyd": outcome.yardstick and _fields(outcome.yardstick),
                "provenance": {str(series): made for series, made in outcome.provenance.items()},
                "failures": {str(series): names for series, names in outcome.failures.items()},
            }
            for outcome in outcomes
        ],
        "wake_ups": cost
        and {
            asking: {"client": each.client, "server": each.server} for asking, each in cost.items()
        },
        "marks": [
            {"text": m.text, "value": m.value, "bound": m.bound, "verdict": m.verdict}
            for m in marks
        ],
    }


def _fields(figures: Figures) -> dict[str, float]:
    return {
        "samples": len(figures.errors),
        "median": figures.median,
        "p99": figures.tail,
        "delay": figures.delay,
    }
