"""How values look in every text: durations, offsets, ages, frequencies, tables."""

from collections.abc import Iterable, Sequence

from webntpd.ntp.estimates import Frequency
from webntpd.ntp.readings import NS_PER_S
from webntpd.status.snapshot import PPM, Status

NOTHING = "-"
BARS = "▁▂▃▄▅▆▇█"
NUMERIC = {"reach", "poll", "when", "delay", "offset", "jitter", "error", "samples"}
"""The columns that are set flush right."""

Fact = tuple[str, str]
"""A name and its value."""


def seconds(value: float) -> str:
    """A duration with the unit that suits it, to three or four figures: 12.34 ms."""
    magnitude = abs(value)
    if magnitude >= 1:
        return f"{value:.3f} s"
    if magnitude >= 1e-3:
        return f"{value * 1e3:.3f} ms"
    return f"{value * 1e6:.1f} \N{MICRO SIGN}s"


def signed_seconds(value: float) -> str:
    """A duration as seconds() shows it, always with its sign."""
    text = seconds(value)
    return text if text.startswith("-") else f"+{text}"


def bounded(offset: float, error: float) -> str:
    """An offset with the bound of its error."""
    return f"{signed_seconds(offset)} \N{PLUS-MINUS SIGN} {seconds(error)}"


def age(then_ns: int | None, now_ns: int) -> str:
    """The time since a RAW instant, in seconds, or in the unit that ntpq would use."""
    if then_ns is None:
        return NOTHING
    elapsed = (now_ns - then_ns) // NS_PER_S
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if elapsed >= 5 * length:
            return f"{elapsed // length}{unit}"
    return str(elapsed)


def lasting(since_ns: int, status: Status) -> str:
    """The time since a RAW instant, with its unit."""
    text = age(since_ns, status.at_ns)
    return f"{text} s" if text.isdigit() else text


def ago(then_ns: int | None, status: Status) -> str:
    """How long ago a RAW instant was."""
    if then_ns is None:
        return "never"
    return f"{lasting(then_ns, status)} ago"


def ahead(at_ns: int, now_ns: int) -> float:
    """The seconds until an instant, none if it is past."""
    return max(0.0, (at_ns - now_ns) / NS_PER_S)


def oscillator(frequency: Frequency | None) -> str:
    """The local oscillator's frequency in chronyc's words, with its uncertainty."""
    if frequency is None:
        return "not known yet"
    # X grows where the oscillator counts less time than passes.
    sense = "slow" if frequency.value > 0 else "fast"
    value, error = abs(frequency.value) / PPM, frequency.uncertainty / PPM
    return f"{value:.3f} ppm {sense}, uncertain by {error:.3f} ppm"


def printable(text: str) -> str:
    """A remote's text without control characters, safe for a terminal and a log."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def fact_lines(facts: Iterable[Fact]) -> list[str]:
    """One fact a line, the values below each other."""
    return [f"{name:<15}: {value}" for name, value in facts]


def paragraphs(blocks: Iterable[Iterable[Fact]]) -> list[str]:
    """The lines of several blocks of facts, with an empty line between two."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] if lines else []
        lines += fact_lines(block)
    return lines


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A heading and the rows, each column as wide as it must be."""
    rows = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if name in NUMERIC else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        )
        return "  ".join(cells).rstrip()

    return [line(row) for row in rows]


def sparkline(values: Sequence[float]) -> str:
    """The values as columns of text, each between the least and the greatest of them."""
    if not values:
        return NOTHING
    least, greatest = min(values), max(values)
    if least == greatest:
        return BARS[len(BARS) // 2] * len(values)
    # Divided before it is multiplied: the range may be too small to be divided into steps.
    heights = ((value - least) / (greatest - least) for value in values)
    return "".join(BARS[round(height * (len(BARS) - 1))] for height in heights)
