"""From a run to figures, in s."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.common.figures import median, quantile
from benchmarks.path.emulator import Traffic
from benchmarks.path.record import Record


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the absolute offsets of a series whose true offset is zero."""

    count: int
    rms: float
    median: float
    p95: float
    greatest: float


def figures(offsets: Iterable[float]) -> Figures | None:
    """The figures of a series; None of an empty one."""
    errors = [abs(offset) for offset in offsets]
    if not errors:
        return None
    return Figures(
        count=len(errors),
        rms=math.sqrt(sum(error * error for error in errors) / len(errors)),
        median=median(errors),
        p95=quantile(errors, 0.95),
        greatest=max(errors),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one path; those without data are None.

    `warm_up` is the time from the start to the instant from which everything counts, s.
    `coverage` is the share of all publications, from the first on, whose bound holds.
    """

    path: str
    model: Sequence[str]
    refclock: str
    warm_up: float | None
    made: int
    published: Figures | None
    view: Figures | None
    ntp: Figures | None
    coverage: float | None
    traffic: Traffic | None

    @property
    def ratio(self) -> float | None:
        """The RMS of chrony's view of us over that of its own NTP."""
        if self.view is None or self.ntp is None or not self.ntp.rms:
            return None
        return self.view.rms / self.ntp.rms

    def as_dict(self) -> dict[str, object]:
        """All figures, for JSON."""
        return {**asdict(self), "ratio": self.ratio}


def summarise(
    record: Record,
    *,
    path: str,
    model: Sequence[str],
    refclock: str,
    started: float,
    traffic: Traffic | None,
) -> Result:
    """The figures of a run that started at that Unix time."""
    publications, looks = record.scored()
    held = [each.holds for each in record.publications]
    return Result(
        path=path,
        model=model,
        refclock=refclock,
        warm_up=None if record.begin is None else record.begin - started,
        made=record.made,
        published=figures(each.offset for each in publications),
        view=figures(look.ours.offset for look in looks),
        ntp=figures(look.ntp.offset for look in looks),
        coverage=sum(held) / len(held) if held else None,
        traffic=traffic,
    )
