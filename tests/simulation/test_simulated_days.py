"""The daemon's own tasks over simulated hours: what they publish is right, and stays right.

The bounds are several times what these seeds give, and far below what a broken filter, vote or
combination gives; the seed stands in each failure's parameters.
"""

import pytest

from benchmarks.simulation.day import rms, simulate
from benchmarks.simulation.network import Path, exponential
from benchmarks.simulation.scenarios import (
    BROADBAND,
    FALSETICKER,
    LAN,
    MOBILE,
    MS,
    ROUTE_CHANGE,
    US,
    Scenario,
)

SEEDS = (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("scenario", "bound"),
    [(LAN, 50 * US), (BROADBAND, 1 * MS), (ROUTE_CHANGE, 1 * MS), (MOBILE, 8 * MS)],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_is_published_is_near_the_truth(scenario: Scenario, bound: float, seed: int) -> None:
    outcome = simulate(scenario, seed, hours=1.0)
    assert rms(outcome.ours.published) < bound
    assert rms(outcome.ours.clock) < bound


@pytest.mark.parametrize("seed", SEEDS)
def test_in_heavy_jitter_it_has_at_most_half_of_the_references_error(seed: int) -> None:
    outcome = simulate(BROADBAND, seed, hours=1.0)
    assert rms(outcome.ours.published) < rms(outcome.reference.published) / 2


def test_a_falseticker_that_begins_to_lie_is_voted_out_at_once() -> None:
    outcome = simulate(FALSETICKER, seed=3, hours=6.0)
    assert max(map(abs, outcome.ours.published)) < 30 * MS
    assert max(map(abs, outcome.reference.published)) > 100 * MS


def test_the_same_seed_gives_the_same_day() -> None:
    assert simulate(BROADBAND, 7, hours=0.2) == simulate(BROADBAND, 7, hours=0.2)


def test_an_hour_with_twenty_peers() -> None:
    path = Path(exponential(5 * MS, 1 * MS), exponential(5 * MS, 1 * MS), loss=0.01)
    outcome = simulate(Scenario("twenty", (path,) * 20), seed=4, hours=1.0)
    # The cluster algorithm leaves three of so many alike, and each publishes once a poll.
    assert len(outcome.ours.published) > 2 * 3600 / 64
    assert rms(outcome.ours.published) < 1 * MS
