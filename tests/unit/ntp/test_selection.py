"""Offsets and distances are whole numbers where it can be, so that the arithmetic is exact."""

from math import sqrt
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import candidate
from webntpd.ntp.selection import Candidate, Intersection, combine, gate, select

WORLD = Intersection(-1e6, 1e6)
offsets = st.integers(-50, 50)
distances = st.integers(1, 40)


def named(intervals: list[tuple[int, int]]) -> list[Candidate]:
    return [candidate(str(place), *map(float, pair)) for place, pair in enumerate(intervals)]


crowds = st.lists(st.tuples(offsets, distances), min_size=1, max_size=9).map(named)


class Election(NamedTuple):
    """A minority of liars, a majority whose intervals hold the truth."""

    truth: int
    honest: list[Candidate]
    liars: list[Candidate]

    @property
    def everyone(self) -> list[Candidate]:
        return self.liars + self.honest


@st.composite
def elections(draw: st.DrawFn) -> Election:
    truth = draw(offsets)
    errors = st.tuples(st.integers(-1000, 1000), distances)
    drawn = draw(st.lists(errors, min_size=1, max_size=6))
    honest = [
        candidate(f"honest{place}", truth + error / 1000 * distance, distance)
        for place, (error, distance) in enumerate(drawn)
    ]
    # Rounding may push the truth out of an interval by a hair: that one would be no honest one.
    honest = [h if h.low <= truth <= h.high else candidate(h.name, truth, 1) for h in honest]
    lies = st.lists(st.tuples(offsets, distances), max_size=len(honest) - 1)
    liars = [candidate(f"liar{p}", *map(float, lie)) for p, lie in enumerate(draw(lies))]
    return Election(truth, honest, liars)


def covering(crowd: list[Candidate], point: float) -> int:
    return sum(one.low <= point <= one.high for one in crowd)


# Selection


@given(elections())
def test_with_an_honest_majority_the_intersection_holds_the_truth(election: Election) -> None:
    found = select(election.everyone, len(election.everyone))
    assert found is not None
    assert found.low <= election.truth <= found.high


@given(elections())
def test_no_minority_of_liars_moves_it_beyond_what_the_honest_ones_admit(
    election: Election,
) -> None:
    found = select(election.everyone, len(election.everyone))
    assert found is not None
    assert found.low >= min(honest.low for honest in election.honest)
    assert found.high <= max(honest.high for honest in election.honest)


@given(elections())
def test_the_combined_offset_is_as_near_to_the_truth_as_it_says(election: Election) -> None:
    found = select(election.everyone, len(election.everyone))
    assert found is not None
    combined = combine(gate([each for each in election.everyone if found.meets(each)]), found)
    assert found.low - 1e-9 <= combined.mid <= found.high + 1e-9
    assert abs(combined.mid - election.truth) <= combined.error + 1e-9


@given(crowds, st.integers(0, 4))
def test_it_exists_where_a_majority_agrees_and_ends_where_the_truth_may_still_be(
    crowd: list[Candidate], abstainers: int
) -> None:
    electorate = len(crowd) + abstainers
    liars = (electorate - 1) // 2
    ends = sorted(end for one in crowd for end in (one.low, one.high))
    agreed = any(2 * covering(crowd, end) > electorate for end in ends)
    possible = [end for end in ends if covering(crowd, end) >= len(crowd) - liars]
    expected = Intersection(possible[0], possible[-1]) if agreed else None
    assert select(crowd, electorate) == expected


@given(crowds, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(
    crowd: list[Candidate], random: Random
) -> None:
    shuffled = list(crowd)
    random.shuffle(shuffled)
    found = select(crowd, len(crowd))
    assert select(shuffled, len(crowd)) == found
    assert set(gate(shuffled)) == set(gate(crowd))


@given(crowds)
def test_those_it_meets_are_a_majority(crowd: list[Candidate]) -> None:
    found = select(crowd, len(crowd))
    if found is not None:
        assert 2 * sum(map(found.meets, crowd)) > len(crowd)


@given(crowds)
def test_it_holds_the_intersection_of_the_rfc_whenever_there_is_one(
    crowd: list[Candidate],
) -> None:
    strict = rfc_5905_intersection(crowd)
    found = select(crowd, len(crowd))
    if strict is not None:
        assert found is not None
        assert found.low <= strict.low <= strict.high <= found.high


def rfc_5905_intersection(crowd: list[Candidate]) -> Intersection | None:
    """The loop of RFC 5905 §11.2.1, steps 1 to 5, as the text has it."""
    edges = sorted(edge for one in crowd for edge in ((one.low, -1), (one.mid, 0), (one.high, 1)))
    for falsetickers in range((len(crowd) + 1) // 2):
        wanted = len(crowd) - falsetickers
        low, below = scan(edges, wanted)
        high, above = scan([(-edge, -kind) for edge, kind in reversed(edges)], wanted)
        if low is not None and high is not None and low < -high and below + above <= falsetickers:
            return Intersection(low, -high)
    return None


def scan(edges: list[tuple[float, int]], wanted: int) -> tuple[float | None, int]:
    covered = midpoints = 0
    for edge, kind in edges:
        covered -= kind
        midpoints += kind == 0
        if covered >= wanted:
            return edge, midpoints
    return None, midpoints


def test_a_liar_cannot_cut_the_truth_off_as_it_can_with_the_rule_of_the_rfc() -> None:
    honest = [candidate("a", 5, 5), candidate("b", 9, 5)]
    liar = candidate("liar", 7, 2)
    assert rfc_5905_intersection([*honest, liar]) == Intersection(5, 9)
    assert select([*honest, liar], 3) == Intersection(4, 10)  # and 4.5 may well be the truth


def test_a_near_and_a_far_peer_agree_though_the_midpoint_of_the_far_one_is_outside() -> None:
    crowd = [candidate("near", 0, 5), candidate("far", 15, 150)]
    assert rfc_5905_intersection(crowd) is None
    assert select(crowd, 2) == Intersection(-5, 5)


def test_one_peer_alone_is_its_own_majority() -> None:
    assert select([candidate("a", 3, 2)], 1) == Intersection(1, 5)


def test_two_that_disagree_have_no_majority() -> None:
    assert select([candidate("a", 0, 1), candidate("b", 3, 1)], 2) is None


def test_two_against_two_have_no_majority() -> None:
    crowd = [candidate(str(place), place // 2 * 10, 1) for place in range(4)]
    assert select(crowd, 4) is None


def test_intervals_that_touch_agree() -> None:
    crowd = [candidate("a", 0, 1), candidate("b", 2, 1)]
    assert select(crowd, 2) == Intersection(1, 1)
    assert Intersection(1, 1).meets(candidate("c", 4, 3))
    assert not Intersection(1, 1).meets(candidate("c", 4.5, 3))
    assert not Intersection(1, 1).meets(candidate("c", -2.5, 3))


def test_those_without_an_opinion_count_in_what_a_majority_is_of() -> None:
    crowd = [candidate("a", 0, 1), candidate("b", 0, 1)]
    assert select(crowd, 3) is not None
    assert select(crowd, 4) is None


def test_while_a_peer_is_undecided_the_liars_may_all_be_among_the_others() -> None:
    honest = [candidate("a", 0, 6), candidate("b", 5, 1)]
    liar = candidate("liar", 1, 4)
    assert select([*honest, liar], 3) == Intersection(-3, 6)
    assert select([*honest, liar], 4) == Intersection(-3, 6)
    assert select([*honest, liar], 5) == Intersection(-6, 6)


def test_nobody_agrees_on_nothing() -> None:
    assert select([], 0) is None


# Gate


def guesses(*mids: float, jitter: float = 0.0) -> list[Candidate]:
    return [candidate(str(mid), mid, 100, jitter=jitter) for mid in mids]


def heard(crowd: list[Candidate]) -> set[float]:
    return {each.mid for each in gate(crowd)}


def test_a_guess_far_from_the_median_is_silenced() -> None:
    assert heard(guesses(0, 1, 2, 3, 90)) == {0, 1, 2, 3}


def test_the_gate_is_no_narrower_than_two_jitters() -> None:
    assert heard(guesses(0, 0, 0, 19, jitter=10)) == {0, 19}
    assert heard(guesses(0, 0, 0, 21, jitter=10)) == {0}


def test_of_two_none_is_far_from_the_other() -> None:
    assert heard(guesses(0, 90)) == {0, 90}


def test_a_preferred_peer_passes_the_gate() -> None:
    preferred = candidate("preferred", 90, 100, prefer=True)
    assert 90 in heard([*guesses(0, 1, 2), preferred])


@given(crowds)
def test_the_gate_lets_half_of_the_crowd_or_more_through(crowd: list[Candidate]) -> None:
    passed = gate(crowd)
    assert set(passed) <= set(crowd)
    assert 2 * len(passed) >= len(crowd)


# Combine


def test_guess_and_jitter_are_weighted_by_the_inverse_square_of_the_distance() -> None:
    crowd = [candidate("a", 0, 1, jitter=3), candidate("b", 10, 3, jitter=5)]
    combined = combine(crowd, WORLD)
    assert combined.weights == pytest.approx({"a": 0.9, "b": 0.1})
    assert combined.mid == pytest.approx(1)
    assert combined.jitter == pytest.approx(sqrt(0.9 * (9 + 1) + 0.1 * (25 + 81)))


def test_the_error_reaches_to_the_farther_end_of_the_intersection() -> None:
    assert combine([candidate("a", 2, 4)], Intersection(-2, 3)).error == 4
    assert combine([candidate("a", 2, 4)], Intersection(1, 6)).error == 4


def test_the_error_is_no_less_than_the_jitter() -> None:
    crowd = [candidate("a", 0, 1), candidate("b", 2, 1)]
    combined = combine(crowd, Intersection(1, 1))
    assert combined.mid == 1
    assert combined.error == combined.jitter == 1


def test_a_guess_that_cannot_be_right_counts_with_the_nearest_point_that_can() -> None:
    crowd = [candidate("near", 0, 5), candidate("far", 15, 5)]
    assert combine(crowd, Intersection(-5, 5)).mid == pytest.approx(2.5)


def test_the_preferred_peer_speaks_alone() -> None:
    crowd = [candidate("a", 0, 1), candidate("b", 8, 3, jitter=5, prefer=True)]
    combined = combine(crowd, WORLD)
    assert combined.weights == {"b": 1.0}
    assert combined.mid == 8
    assert combined.jitter == 5


def test_where_three_speak_none_weighs_more_than_the_others_together() -> None:
    crowd = [candidate("near", 0, 1), candidate("b", 0, 100), candidate("c", 0, 300)]
    assert combine(crowd, WORLD).weights == pytest.approx({"near": 0.5, "b": 0.45, "c": 0.05})
    assert combine(crowd[:2], WORLD).weights["near"] > 0.9


def test_the_weights_sum_to_one_however_near_one_peer_is() -> None:
    crowd = [candidate("near", 0, 1e-9), candidate("far", 0, 1.0), candidate("farther", 0, 2.0)]
    weights = combine(crowd, WORLD).weights
    assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert weights["far"] == pytest.approx(0.4)


@given(crowds)
def test_the_weights_sum_to_one(crowd: list[Candidate]) -> None:
    weights = combine(crowd, WORLD).weights
    assert sum(weights.values()) == pytest.approx(1)
    assert len(weights) < 3 or max(weights.values()) <= 0.5 + 1e-9
