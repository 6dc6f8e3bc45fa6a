"""What a run has seen, and the part of it that counts. Times are Unix time; offsets are in s."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.path.chronyc import Statistics

FEWEST = 4
"""Points from which chrony has an estimate: with fewer it would not select the source either."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A sample that webntpd published: it says that the offset is within `error` of `offset`."""

    at: float
    offset: float
    error: float

    @property
    def holds(self) -> bool:
        """Whether the true offset, zero, is within the bound."""
        return abs(self.offset) <= self.error


@dataclass(frozen=True, slots=True)
class Look:
    """chrony's two estimates at one instant: `ours` by the refclock, `ntp` by its own packets."""

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
        """What counts: all that is not before `begin`."""
        if (begin := self.begin) is None:
            return (), ()
        return (
            [each for each in self.publications if each.at >= begin],
            [each for each in self.looks if each.at >= begin],
        )

    def as_dict(self, started: float) -> dict[str, object]:
        """All of it in rows, for JSON; times count from `started`."""
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
