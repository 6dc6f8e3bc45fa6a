"""The samples and estimates of a run, and the part that counts. Unix time, and offsets in s."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.path.chronyc import Statistics

FEWEST = 4
"""Points from which chrony has an estimate: with fewer it would not select the source either."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A sample that webntpd published: the offset is `offset`, give or take `error`."""

    at: float
    offset: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether the true offset, zero, is within the bound."""
        return abs(self.offset) <= self.error


@dataclass(frozen=True, slots=True)
class Look:
    """chrony's estimates at one instant: `ours` from the refclock, `ntp` from its own packets."""

    at: float
    ours: Statistics
    ntp: Statistics

    @property
    def complete(self) -> bool:
        """Whether both are estimates."""
        return min(self.ours.points, self.ntp.points) >= FEWEST


@dataclass(slots=True)
class Record:
    """A run. Looks and publications are in the order of time.

    `made` counts all publications: a few of a burst may come and go between two looks.
    """

    publications: list[Publication] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    made: int = 0

    def published(self, refclock: Mapping[str, Any]) -> None:
        """Take a refclock's status, as in docs/status.md, and keep its last sample if it is new."""
        self.made = refclock["published"]
        last = refclock["last"]
        if last is None:
            return
        found = Publication(last["at"], last["offset"], last["error"])
        if not self.publications or found.at != self.publications[-1].at:
            self.publications.append(found)

    @property
    def begin(self) -> float | None:
        """The instant from which everything counts: the first with both of chrony's estimates."""
        return next((look.at for look in self.looks if look.complete), None)

    def scored(self) -> tuple[Sequence[Publication], Sequence[Look]]:
        """The publications and looks that count: those from `begin` on."""
        if (begin := self.begin) is None:
            return (), ()
        return (
            [each for each in self.publications if each.at >= begin],
            [each for each in self.looks if each.at >= begin],
        )

    def as_dict(self, started: float) -> dict[str, object]:
        """All rows, for JSON; times count from `started`."""
        return {
            "publications": [
                [round(each.at - started, 3), each.offset, each.error]
                for each in self.publications
            ],
            "looks": [
                [
                    round(look.at - started, 3),
                    look.ours.points, look.ours.offset, look.ntp.points, look.ntp.offset,
                ]
                for look in self.looks
            ],
        }  # fmt: skip
