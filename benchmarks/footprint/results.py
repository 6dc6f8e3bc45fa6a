"""All that one run found out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from benchmarks.footprint.steady import Usage

POLLING = "webntpd, 4 peers at 16 s"
IDLE = "webntpd, no polls"
SCRAPED = "webntpd, no polls, scraped each second"
SERVING = "webntpd as their server"
CHRONYD = "chronyd, 4 sources at 16 s"
CHRONYD_IDLE = "chronyd, no polls"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one poll of one server: time on a core, s, and wake-ups, beyond those of being there."""

    cpu: float
    wake_ups: float


def cost(polling: Usage, idle: Usage, polls: float) -> Cost:
    return Cost(
        (polling.share - idle.share) * polling.seconds / polls,
        (polling.wake_up_rate - idle.wake_up_rate) * polling.seconds / polls,
    )


@dataclass(frozen=True, slots=True)
class Results:
    """Usages and start-up times by name, s; `polls` by the name of who made them."""

    usages: Mapping[str, Usage]
    polls: Mapping[str, float]
    start_ups: Mapping[str, float]

    def cost(self, polling: str, idle: str) -> Cost | None:
        """What a poll costs; None if there were none."""
        if not self.polls.get(polling):
            return None
        return cost(self.usages[polling], self.usages[idle], self.polls[polling])

    @property
    def scraping(self) -> float:
        """The share of a core that being scraped takes."""
        return self.usages[SCRAPED].share - self.usages[IDLE].share

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        found = asdict(self)
        costs = {"webntpd": self.cost(POLLING, IDLE), "chronyd": self.cost(CHRONYD, CHRONYD_IDLE)}
        return found | {"costs": {name: each and asdict(each) for name, each in costs.items()}}
