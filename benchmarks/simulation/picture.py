"""The RMS error of each estimator, scenario by scenario, as a picture."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.simulation.scenarios import BY_NAME
from benchmarks.simulation.score import (
    BEST,
    CHRONY,
    CHRONY_POLLS,
    FIRST,
    OURS,
    REFERENCE,
    Outcome,
)

# Okabe and Ito's colours: told apart by every eye.
STYLES = {
    OURS: ("#0072B2", "o"),
    FIRST: ("#D55E00", "x"),
    CHRONY: ("#009E73", "s"),
    CHRONY_POLLS: ("#56B4E9", "D"),
    REFERENCE: ("#E69F00", "^"),
    BEST: ("#999999", "|"),
}


def draw(outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Write the picture; the ending of the file's name decides its format."""
    figure = Figure(figsize=(9, 1.5 + 0.28 * len(outcomes)), layout="constrained")
    axes = figure.subplots()
    titles = [BY_NAME[name].title for name in outcomes]
    for who, (colour, marker) in STYLES.items():
        points = [
            (found.rms, row)
            for row, outcome in enumerate(outcomes.values())
            if (found := outcome.published(who)) is not None
        ]
        axes.scatter(
            [rms for rms, _ in points],
            [row for _, row in points],
            label=who,
            color=colour,
            marker=marker,
            s=28,
        )
    axes.set_xscale("log")
    axes.set_xlabel("RMS error of the published offset, s")
    axes.set_yticks(range(len(titles)), titles)
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path)
