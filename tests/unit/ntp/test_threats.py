"""The claims of docs/security.md on who can move the clock, and by how much."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.unit.ntp.world import MS, Server, World
from webntpd.ntp.estimates import Estimate, PeerEstimate
from webntpd.ntp.readings import NS_PER_S

HONEST_ERROR = 0.01
"""An honest server's path in this world shifts the time by less than this, s."""
ATTACK = 3600.0
"""The time at which a late attacker begins, s."""


@dataclass(frozen=True)
class Outcome:
    """One vote with an estimate: its time, its error and bound, s, and each peer's estimate."""

    at: float
    error: float
    bound: float
    peers: Mapping[str, PeerEstimate]


def outcomes(servers: Mapping[str, Server], duration: float = 1500.0) -> Iterator[Outcome]:
    """All votes of two worlds that gave an estimate."""
    for seed in range(2):
        world = World(seed, dict(servers), duration=duration)
        for seen in world.run():
            estimate = seen.verdict.estimate
            if isinstance(estimate, Estimate):
                error_ns = estimate.x_ns - world.oscillator.x_ns(seen.raw_ns)
                yield Outcome(
                    seen.raw_ns / NS_PER_S,
                    abs(error_ns) / NS_PER_S,
                    estimate.error,
                    seen.verdict.estimates,
                )


def on_the_path(delay: float, begin: float = 0.0) -> Server:
    """An honest server behind an attacker that delays each reply by `delay` s."""

    def held(raw_ns: int) -> float:
        return delay if raw_ns >= begin * NS_PER_S else 0.0

    return Server(held=held)


def liar(milliseconds: int) -> Server:
    return Server(error_ns=lambda _: milliseconds * MS, honest=False)


@pytest.mark.parametrize("delay", [0.1, 1.0, 2.9])
def test_a_delay_of_one_direction_shifts_the_time_by_half_of_it(delay: float) -> None:
    seen = list(outcomes({"only": on_the_path(delay)}))
    assert max(each.error for each in seen) == pytest.approx(delay / 2, abs=HONEST_ERROR)
    assert all(each.error <= each.bound for each in seen)


def test_a_peer_that_is_delayed_by_more_than_3_s_does_not_count() -> None:
    assert not list(outcomes({"only": on_the_path(3.1)}))


def test_earlier_packets_count_for_20_minutes() -> None:
    early = ATTACK + 1190.0
    seen = list(outcomes({"only": on_the_path(1.0, ATTACK)}, duration=ATTACK + 2100))
    assert max(each.error for each in seen if each.at < early) < HONEST_ERROR
    assert max(each.error for each in seen) == pytest.approx(0.5, abs=HONEST_ERROR)
    assert all(each.error <= each.bound for each in seen)


@pytest.mark.parametrize("attacked", [on_the_path(0.1), on_the_path(1.0), liar(5), liar(300)])
def test_a_minority_shifts_the_time_by_no_more_than_honest_peers_disagree(attacked: Server) -> None:
    seen = list(outcomes({"a": Server(), "b": Server(), "c": attacked}))
    assert seen
    assert max(each.error for each in seen) < HONEST_ERROR
    assert all(each.error <= each.bound for each in seen)


@pytest.mark.parametrize("milliseconds", [5, 10, 15, 50])
def test_one_of_two_stays_within_the_bounds_of_the_other(milliseconds: int) -> None:
    for each in outcomes({"honest": Server(), "liar": liar(milliseconds)}):
        assert each.error <= 2 * each.peers["honest"].half_width


def test_a_delay_of_one_of_two_stays_within_the_bounds_of_the_other() -> None:
    seen = list(outcomes({"a": Server(), "b": on_the_path(1.0)}))
    assert max(each.error for each in seen) < HONEST_ERROR
    assert all(each.error <= each.bound for each in seen)


def test_the_bound_does_not_hold_against_one_of_two() -> None:
    assert any(each.error > each.bound for each in outcomes({"a": Server(), "b": liar(10)}))


@pytest.mark.parametrize(
    ("servers", "error"),
    [
        ({"a": liar(300)}, 0.3),
        ({"a": Server(), "b": liar(300), "c": liar(300)}, 0.3),
        ({"a": Server(), "b": on_the_path(1.0), "c": on_the_path(1.0)}, 0.5),
    ],
)
def test_a_majority_is_followed(servers: dict[str, Server], error: float) -> None:
    late = [each for each in outcomes(servers) if each.at > 300]
    assert max(each.error for each in late) == pytest.approx(error, abs=HONEST_ERROR)


def test_half_of_the_servers_is_no_majority() -> None:
    wide = list(outcomes({"a": Server(), "b": Server(), "c": liar(300), "d": liar(300)}))
    assert not wide
