"""Each path's estimates as they went, and the shares of their errors below a size."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.path.record import Record

MS = 1e-3
MINUTE = 60.0
LEAST = 1e-3  # ms: the least end of the axis of errors

# Okabe and Ito's colours: told apart by every eye.
PUBLISHED, VIEW, NTP, BOUND = "#009E73", "#0072B2", "#D55E00", "#999999"


def draw(records: Mapping[str, Record], path: Path) -> None:
    """Write the picture; the ending of the file's name decides its format."""
    figure = Figure(figsize=(5.5 * len(records), 7.5), layout="constrained")
    columns = zip(*figure.subplots(2, len(records), squeeze=False), strict=True)
    for (name, record), (above, below) in zip(records.items(), columns, strict=True):
        above.set_title(name)
        _course(record, above)
        _shares(record, below)
        handles, labels = above.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path)


def _course(record: Record, axes: Axes) -> None:
    publications, looks = record.scored()
    begin = record.begin or 0.0
    minutes = [(look.at - begin) / MINUTE for look in looks]
    axes.plot(minutes, [look.ntp.offset / MS for look in looks], color=NTP, label="chrony by NTP")
    axes.plot(
        minutes, [look.ours.offset / MS for look in looks], color=VIEW, label="chrony's view of us"
    )
    axes.plot(
        [(each.at - begin) / MINUTE for each in publications],
        [each.offset / MS for each in publications],
        ".",
        color=PUBLISHED,
        label="published",
    )
    for sign in (-1, 1):
        axes.plot(
            [(each.at - begin) / MINUTE for each in publications],
            [each.offset / MS + sign * each.error / MS for each in publications],
            color=BOUND,
            linewidth=0.8,
            label="its bound" if sign > 0 else None,
        )
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_xlabel("minutes")
    axes.set_ylabel("offset, ms")
    axes.grid(alpha=0.3)


def _shares(record: Record, axes: Axes) -> None:
    publications, looks = record.scored()
    _curve(axes, [look.ntp.offset for look in looks], NTP)
    _curve(axes, [look.ours.offset for look in looks], VIEW)
    _curve(axes, [each.offset for each in publications], PUBLISHED)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel("|offset|, ms")
    axes.set_ylabel("share below")
    axes.grid(alpha=0.3)


def _curve(axes: Axes, offsets: Sequence[float], colour: str) -> None:
    errors = sorted(max(abs(offset) / MS, LEAST) for offset in offsets)
    shares = [number / len(errors) for number in range(1, len(errors) + 1)]
    axes.step(errors, shares, where="post", color=colour)
