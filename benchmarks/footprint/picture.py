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
    _bars(memory, "resident memory, MiB", {n: u.resident / MIB for n, u in usages}, RESIDENT / MIB)
    _bars(core, "share of a core, %", {n: u.share * 100 for n, u in usages}, SHARE * 100)
    _bars(wake_ups, "wake-ups per second", {n: u.wake_up_rate for n, u in usages})
    _bars(start_up, "start-up, ms", {n: s * 1e3 for n, s in results.start_ups.items()})
    figure.savefig(path)


def _bars(axes: Axes, title: str, values: Mapping[str, float], mark: float | None = None) -> None:
    """Bars with their figures; the mark is that of the first one."""
    axes.set_title(title)
    colours = [OURS if "webntpd" in name else OTHERS for name in values]
    bars = axes.barh(list(values), list(values.values()), color=colours)
    axes.bar_label(bars, fmt="%.4g", padding=3)
    if mark is not None:
        axes.plot([mark, mark], [-0.5, 0.5], color=MARK, linewidth=3)
    axes.set_xlim(0, 1.25 * max(*values.values(), mark or 0.0))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
