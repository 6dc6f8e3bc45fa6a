"""The vote puts selection, gate and average together; test_system.py has votes of whole reports."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import WALL_NS, estimate, ns, x_ns
from webntpd.ntp.estimates import Frequency
from webntpd.ntp.readings import Leap
from webntpd.ntp.selection import Candidate
from webntpd.ntp.vote import INCUMBENT_BONUS, JITTER_SHARE, agree, candidate, conclude, elect

TWO = {"a": estimate(0.25), "b": estimate(0.251, 0.002)}


def test_a_candidate_is_an_estimate_in_seconds_from_a_base() -> None:
    made = candidate("a", estimate(0.25, 0.004, jitter=0.002), WALL_NS, aged=0.5, prefer=True)
    assert made.mid == pytest.approx(0.25)
    assert made.low == pytest.approx(0.246)
    assert made.high == pytest.approx(0.254)
    spread = estimate(0.25, 0.004).spread
    assert made.distance == pytest.approx(spread + 0.5 + JITTER_SHARE * 0.002)
    assert made.prefer


def test_peers_that_agree_make_one_estimate() -> None:
    candidates = [candidate(name, each, WALL_NS) for name, each in TWO.items()]
    liar = candidate("liar", estimate(5.0), WALL_NS)
    agreement = agree([*candidates, liar], 3)
    assert agreement is not None
    assert agreement.names == ("a", "b")
    made = conclude(agreement, TWO, WALL_NS, ns(7), leaps={"a": Leap.INSERT})
    assert made.at_ns == ns(7)
    assert x_ns(0.25) <= made.x_ns <= x_ns(0.251)
    assert made.system_peer == "a"
    assert made.leap is Leap.INSERT
    assert made.frequency.value == TWO["a"].frequency.value


def test_the_common_frequency_moves_the_estimate_and_widens_its_growth() -> None:
    agreement = agree([candidate("a", TWO["a"], WALL_NS)], 1)
    assert agreement is not None
    own = conclude(agreement, TWO, WALL_NS, 0, leaps={})
    common = Frequency(TWO["a"].frequency.value + 3e-6, 1e-7, 0.0)
    moved = conclude(agreement, TWO, WALL_NS, 0, leaps={}, common=common)
    assert moved.frequency.value == common.value
    assert moved.growth == pytest.approx(own.growth + 3e-6)


def test_without_a_majority_there_is_no_agreement() -> None:
    assert agree([candidate("a", TWO["a"], WALL_NS)], 2) is None


def test_the_system_peer_stays_until_another_is_much_nearer() -> None:
    near, far = Candidate("near", 0, -1, 1, 0, 1.0), Candidate("far", 0, -1, 1, 0, 1.5)
    assert elect([far, near], None) == "near"
    assert elect([far, near], "far") == "far"
    farther = Candidate("far", 0, -1, 1, 0, 1.0 / INCUMBENT_BONUS + 0.1)
    assert elect([farther, near], "far") == "near"


@settings(max_examples=1)
@given(st.integers(0, 2**32))
def test_with_an_honest_majority_the_published_bound_holds(seed: int) -> None:
    """10^5 random electorates: liars with any interval, peers that are undecided, zero delays."""
    rng = Random(seed)
    published = 0
    for _ in range(100_000):
        size = rng.randint(1, 9)
        honest = rng.randint(size // 2 + 1, size)
        candidates, undecided = [], 0
        for place in range(size):
            if rng.random() < 0.2:
                undecided += 1  # honest or not, it has no interval yet
                continue
            half = rng.choice([0.0, 1e-6, 1.0]) + rng.random() * rng.choice([0.01, 1.0, 10.0])
            if place < honest:
                low = -half * 2 * rng.random()
                candidates.append(interval(place, low, low + 2 * half, rng))
            else:
                middle = rng.gauss(0, rng.choice([0.1, 1.0, 10.0]))
                candidates.append(interval(place, middle - half, middle + half, rng))
        rng.shuffle(candidates)
        agreement = agree(candidates, len(candidates) + undecided)
        if agreement is None:
            continue
        published += 1
        assert abs(agreement.combination.mid) <= agreement.combination.error
    assert published > 50_000


def interval(place: int, low: float, high: float, rng: Random) -> Candidate:
    mid = low + (high - low) * rng.random()
    return Candidate(str(place), mid, low, max(low, high), rng.random(), high - low + 1e-9)
