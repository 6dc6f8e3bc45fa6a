"""The days that are simulated: what an administrator's machine may sit behind."""

from dataclasses import dataclass

from benchmarks.simulation.network import Delay, Path, between, bloated, exponential, pareto

MS = 1e-3
US = 1e-6
LIE = 0.3


@dataclass(frozen=True)
class Scenario:
    name: str
    paths: tuple[Path, ...]


def broadband(base: float) -> Delay:
    return pareto(base, scale=1.5 * MS, shape=1.4, most=400 * MS)


def mobile(base: float) -> Delay:
    return bloated(exponential(base, 15 * MS), period=900, duty=0.3, extra=250 * MS)


def _from_the_sixth_hour(at: float) -> float:
    return LIE if at >= 6 * 3600 else 0.0


LAN = Scenario(
    "LAN",
    tuple(Path(exponential(base, 40 * US), exponential(base, 40 * US)) for base in (80 * US,) * 3),
)
BROADBAND = Scenario(
    "broadband, heavy-tailed jitter",
    tuple(Path(broadband(base), broadband(base)) for base in (8 * MS, 11 * MS, 17 * MS)),
)
ROUTE_CHANGE = Scenario(
    "asymmetric route change",
    (
        Path(
            between(8, 16, inside=broadband(38 * MS), outside=broadband(8 * MS)),
            broadband(8 * MS),
        ),
        Path(broadband(11 * MS), broadband(11 * MS)),
        Path(broadband(14 * MS), broadband(14 * MS)),
        Path(broadband(17 * MS), broadband(17 * MS)),
    ),
)
MOBILE = Scenario(
    "mobile, 10 % loss",
    tuple(Path(mobile(base), mobile(base), loss=0.1) for base in (30 * MS, 35 * MS, 45 * MS)),
)
FALSETICKER = Scenario(
    "one falseticker of four",
    (
        Path(broadband(9 * MS), broadband(9 * MS), lie=_from_the_sixth_hour),
        *(Path(broadband(base), broadband(base)) for base in (8 * MS, 11 * MS, 17 * MS)),
    ),
)
LONE_SERVER = Scenario(
    "one server only, broadband", (Path(broadband(10 * MS), broadband(10 * MS)),)
)

SCENARIOS = (LAN, BROADBAND, ROUTE_CHANGE, MOBILE, FALSETICKER, LONE_SERVER)
