"""The results as a picture: memory, time on a core, wake-ups and start-up, beside the marks."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.footprint.marks import MIB, RESIDENT, SHARE
from benchmarks.footprint.results import Results

# Okabe and Ito's colours: told apart by every eye.
OURS, OTHERS, MARK = "#0072B2", "#999999", "#D55E00"


def draw(results: Results, path: Path) -> None:
    """Write the picture; the file's name says in which format."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    memory, core, wake_ups, start_up = figure.subplots(2, 2).flat
    usages = results.usages.items()
    _bars(memory, "resident memory, MiB", {n: u.resident / MIB for n, u in usages})
    _bars(core, "share of a core, %", {n: u.share * 100 for n, u in usages})
    _bars(wake_ups, "wake-ups per second", {n: u.wake_up_rate for n, u in usages})
    _bars(start_up, "start-up, ms", {n: s * 1e3 for n, s in results.start_ups.items()})
    for axes, mark in ((memory, RESIDENT / MIB), (core, SHARE * 100)):
        axes.axvline(mark, color=MARK, linestyle="--", label="the mark for 4 peers at 16 s")
        axes.legend(loc="lower right", frameon=False)
    figure.savefig(path)


def _bars(axes: Axes, title: str, values: Mapping[str, float]) -> None:
    axes.set_title(title)
    colours = [OURS if "webntpd" in name else OTHERS for name in values]
    bars = axes.barh(list(values), list(values.values()), color=colours)
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
