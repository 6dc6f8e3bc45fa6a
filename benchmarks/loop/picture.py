"""The guest's clock over time, a panel for each path."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.loop.marks import MS, RMS
from benchmarks.loop.scoring import settled_from
from benchmarks.loop.setting import Outcome

# Okabe and Ito's colours: told apart by every eye.
CLOCK, MARK, UNSCORED = "#0072B2", "#009E73", "#999999"
LINEAR = 0.1
"""Errors below this are drawn to scale, ms; larger ones by their logarithm."""


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the picture; the ending of the file's name decides its format."""
    figure = Figure(figsize=(9, 3.2 * len(outcomes) + 0.6), layout="constrained")
    grid = figure.subplots(len(outcomes), 1, squeeze=False)
    for outcome, axes in zip(outcomes, grid.flat, strict=True):
        _panel(outcome, axes)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path)


def _panel(outcome: Outcome, axes: Axes) -> None:
    mark = RMS[outcome.path] / MS
    axes.set_title(f"{outcome.path}: RMS {outcome.score.rms / MS:.3f} ms")
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.set_xlabel("minutes since chronyd's start")
    axes.set_ylabel("error of the guest's clock, ms")
    axes.grid(which="major", alpha=0.3)
    axes.axhspan(-mark, mark, color=MARK, alpha=0.15, label="the mark for the RMS")
    axes.axvspan(0, settled_from(outcome.seconds) / 60, color=UNSCORED, alpha=0.2, label="unscored")
    axes.plot(
        [each.at / 60 for each in outcome.steered],
        [each.error / MS for each in outcome.steered],
        color=CLOCK,
        linewidth=1.2,
        label="guest's clock",
    )
