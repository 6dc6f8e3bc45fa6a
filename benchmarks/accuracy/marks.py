"""What the figures are held against: each mark is met, missed, or could not be measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.accuracy.cost import Cost
from benchmarks.accuracy.figures import Figures
from benchmarks.accuracy.modes import INTERLEAVED, USER, Asking, Transport
from benchmarks.accuracy.setting import Load, Outcome

MICROSECOND = 1e-6


@dataclass(frozen=True, slots=True)
class Mark:
    """`value` is None if it could not be measured; `unit` scales both for the reader."""

    text: str
    value: float | None
    bound: float
    unit: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        return "met" if self.value <= self.bound else "missed"


def marks(outcomes: Iterable[Outcome], cost: Mapping[Asking, Cost] | None) -> Sequence[Mark]:
    by_setting = {(each.place, each.load): each for each in outcomes}
    found: list[Mark] = []
    if (idle := by_setting.get(("loopback", Load.IDLE))) is not None:
        found += _loopback_idle(idle)
    if (busy := by_setting.get(("loopback", Load.BUSY))) is not None:
        text = "loopback, a core busy: ws interleaved / user, two stamps"
        ours, user = _medians(busy)
        found.append(Mark(text, _ratio(ours, user), 1 / 4))
    for load in Load:
        if (outcome := by_setting.get(("veth", load))) is not None:
            ours, _ = _medians(outcome)
            text = f"veth, {load}: ws interleaved / chronyd"
            found.append(Mark(text, _ratio(ours, _median(outcome.yardstick)), 1.5))
    if cost is not None:
        plain, interleaved = cost[Asking.KERNEL], cost[Asking.INTERLEAVED]
        extra = interleaved.client + interleaved.server - plain.client - plain.server
        found.append(Mark("wake-ups of both ends that interleaving adds", extra, 1))
    return found


def _loopback_idle(outcome: Outcome) -> Iterable[Mark]:
    ws = outcome.modes.get((INTERLEAVED, Transport.WS))
    ours, user = _medians(outcome)
    wss = _median(outcome.modes.get((INTERLEAVED, Transport.WSS)))
    place = "loopback, idle"
    yield Mark(f"{place}: ws interleaved, median", ours, 3 * MICROSECOND, "µs")
    yield Mark(
        f"{place}: ws interleaved, 99th percentile",
        None if ws is None else ws.tail,
        10 * MICROSECOND,
        "µs",
    )
    yield Mark(f"{place}: ws interleaved / user, two stamps", _ratio(ours, user), 1 / 15)
    yield Mark(f"{place}: wss / ws, interleaved", _ratio(wss, ours), 2)


def _medians(outcome: Outcome) -> tuple[float | None, float | None]:
    """Over ws, interleaved and with the two stamps of user space, both on kept connections."""
    ours, user = (outcome.modes.get((mode, Transport.WS)) for mode in (INTERLEAVED, USER))
    return _median(ours), _median(user)


def _median(figures: Figures | None) -> float | None:
    return None if figures is None else figures.median


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other
