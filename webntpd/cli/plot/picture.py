"""Draws offset with its error bound, delay and jitter of each peer over time.

matplotlib is an optional extra: this module is imported only when a picture is asked for.
"""

from collections.abc import Sequence
from datetime import UTC
from itertools import cycle, product
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from webntpd.cli.plot.series import Series, error_bound, offset_range
from webntpd.statistics.lines import SECONDS_PER_DAY, PeerLine

# Okabe and Ito's colours: told apart by every eye. More peers than that go round again, dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":")
BAND_OPACITY = 0.1
"""Where several bands overlap, each still shows."""
SIZE = (11, 9)
"""Inches."""
DOTS_PER_INCH = 120
PANELS = {
    "offset": "offset (above 0: the local clock is behind)\nand the bound of its error",
    "delay": "delay",
    "jitter": "jitter",
}
HEIGHTS = (3, 2, 2)


def draw(series: Series, path: Path) -> None:
    """Write the picture; the file's name says in which format. Raises OSError."""
    figure = Figure(figsize=SIZE, layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(PANELS), sharex=True, height_ratios=HEIGHTS))
    for axes, label in zip(panels, PANELS.values(), strict=True):
        axes.set_ylabel(label)
        axes.yaxis.set_major_formatter(EngFormatter("s"))
        axes.grid(alpha=0.3)
    for (source, records), (style, colour) in zip(
        series.items(), cycle(product(STYLES, COLOURS)), strict=False
    ):
        _draw_peer(panels, source, records, style, colour)
    panels[0].set_ylim(*offset_range(series))
    _label_time(panels[-1])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _draw_peer(
    panels: Sequence[Axes], source: str, records: Sequence[PeerLine], style: str, colour: str
) -> None:
    times = [record.at / SECONDS_PER_DAY for record in records]  # as matplotlib counts
    for axes, figure in zip(panels, PANELS, strict=True):
        values = [getattr(record, figure) for record in records]
        axes.plot(times, values, color=colour, linestyle=style, linewidth=1, label=source)
    panels[0].fill_between(
        times,
        [record.offset - error_bound(record) for record in records],
        [record.offset + error_bound(record) for record in records],
        color=colour,
        alpha=BAND_OPACITY,
        linewidth=0,
    )


def _label_time(axes: Axes) -> None:
    locator = AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    axes.set_xlabel("time (UTC)")
