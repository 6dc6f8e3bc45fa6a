"""The results as a picture: how many replies, how fast, and what load does to a client's clock."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.server.clockerror import ClockError
from benchmarks.server.results import Results
from benchmarks.server.throughput import Case

# Okabe and Ito's colours: told apart by every eye.
COLOURS = {"webntpd": "#0072B2", "nginx": "#009E73"}
OTHERS = "#999999"
LOADS = {"idle": "#009E73", "half": "#E69F00", "full": "#D55E00"}
LEAST, MOST = 0.01, 5000.0  # µs: the ends of the axis
STYLES = {"HTTP": ":", "WebSocket": "-", "interleaved": "--"}


def draw(results: Results, path: Path) -> None:
    """Write the picture; the file's name says in which format."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1.1, 1))
    rates = figure.add_subplot(grid[0, 0])
    _rates(rates, results.throughput)
    _waits(figure.add_subplot(grid[0, 1], sharey=rates), results.throughput)
    _errors(figure.add_subplot(grid[1, :]), results.clock_error)
    figure.savefig(path)


def _rates(axes: Axes, cases: Sequence[Case]) -> None:
    axes.set_title("thousand replies per second of the server's core")
    names = [f"{each.contender}, {each.transport}, {each.connections}" for each in cases]
    colours = [COLOURS.get(each.contender, OTHERS) for each in cases]
    axes.barh(names, [each.core_rate / 1000 for each in cases], color=colours)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)


def _waits(axes: Axes, cases: Sequence[Case]) -> None:
    axes.set_title("wait for a reply, median to p99, ms")
    axes.set_xscale("log")
    for row, each in enumerate(cases):
        colour = COLOURS.get(each.contender, OTHERS)
        axes.plot([each.p50 * 1e3, each.p99 * 1e3], [row, row], "o-", color=colour)
    axes.tick_params(labelleft=False)
    axes.grid(axis="x", alpha=0.3)


def _errors(axes: Axes, found: Sequence[ClockError]) -> None:
    axes.set_title("error of a client's offset while the server is loaded")
    axes.set_xscale("log")
    axes.set_xlim(LEAST, MOST)
    axes.set_xlabel("|error|, µs")
    axes.set_ylabel("share of readings")
    axes.set_ylim(0, 1)
    for each in found:
        errors = sorted(max(error * 1e6, LEAST) for error in each.errors)
        shares = [(index + 1) / len(errors) for index in range(len(errors))]
        colour, style = LOADS[each.load], STYLES[each.way]
        axes.step(
            errors, shares, style, where="post", color=colour, label=f"{each.load}, {each.way}"
        )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False)
