"""The distributions of |error| as a picture: for each run, the share of samples below an error."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy.figures import Figures
from benchmarks.accuracy.marks import MICROSECOND
from benchmarks.accuracy.modes import FOUR, INTERLEAVED, KERNEL, REFERENCE, USER, Transport
from benchmarks.accuracy.setting import Outcome
from benchmarks.accuracy.table import YARDSTICK

# Okabe and Ito's colours: told apart by every eye.
COLOURS = {
    REFERENCE: "#999999",
    USER: "#D55E00",
    KERNEL: "#E69F00",
    FOUR: "#009E73",
    INTERLEAVED: "#0072B2",
}
STYLES = {Transport.WS: "-", Transport.WSS: "--"}
LEAST, MOST = 0.05, 2000  # µs: the ends of the axis


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the picture; the file's name says in which format."""
    columns = min(len(outcomes), 2)
    rows = -(-len(outcomes) // columns)
    figure = Figure(figsize=(5.5 * columns, 3.6 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    axes: list[Axes] = list(grid.flat)
    for outcome, each in zip(outcomes, axes, strict=False):
        _panel(outcome, each)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path)


def _panel(outcome: Outcome, axes: Axes) -> None:
    axes.set_title(f"{outcome.place}, {outcome.load}")
    axes.set_xscale("log")
    axes.set_xlim(LEAST, MOST)
    axes.set_ylim(0, 1)
    axes.set_xlabel("|error|, µs")
    axes.set_ylabel("share of samples")
    axes.grid(which="major", alpha=0.3)
    for (mode, transport), figures in outcome.modes.items():
        if transport in STYLES:
            label = f"{transport} {mode.name}"
            _curve(axes, figures, label, COLOURS[mode], STYLES[transport])
    if outcome.yardstick is not None:
        _curve(axes, outcome.yardstick, YARDSTICK, "black", "-")


def _curve(axes: Axes, figures: Figures, label: str, colour: str, style: str) -> None:
    total = len(figures.errors)
    axes.step(
        [max(error / MICROSECOND, LEAST) for error in figures.errors],
        [number / total for number in range(1, total + 1)],
        where="post",
        label=label,
        color=colour,
        linestyle=style,
        linewidth=1.4,
    )
