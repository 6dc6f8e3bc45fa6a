"""What the views of many lines share: names with their values, and times."""

from collections.abc import Iterable

from webntpd.ntp.estimates import Frequency
from webntpd.ntp.readings import NS_PER_S
from webntpd.status.peers import age
from webntpd.status.snapshot import PPM, Status

Fact = tuple[str, str]
"""A name and its value."""


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


def oscillator(frequency: Frequency | None) -> str:
    """The local oscillator's frequency in chronyc's words, with its uncertainty."""
    if frequency is None:
        return "not known yet"
    # X grows where the oscillator counts less time than passes.
    sense = "slow" if frequency.value > 0 else "fast"
    value, error = abs(frequency.value) / PPM, frequency.uncertainty / PPM
    return f"{value:.3f} ppm {sense}, uncertain by {error:.3f} ppm"


def ago(then_ns: int | None, status: Status) -> str:
    """How long ago a RAW instant was."""
    if then_ns is None:
        return "never"
    return f"{lasting(then_ns, status)} ago"


def lasting(since_ns: int, status: Status) -> str:
    """The time since a RAW instant, with its unit."""
    text = age(since_ns, status.at_ns)
    return f"{text} s" if text.isdigit() else text


def ahead(at_ns: int, now_ns: int) -> float:
    """The seconds until an instant, none if it is past."""
    return max(0.0, (at_ns - now_ns) / NS_PER_S)
