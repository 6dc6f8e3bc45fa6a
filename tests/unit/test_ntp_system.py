from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import estimate, ns, report
from webntpd.ntp.system import calls_for_publication, vote
from webntpd.ntp.types import (
    MAXDIST,
    PHI,
    Estimate,
    Failure,
    Leap,
    NoEstimate,
    PeerReport,
    Rejection,
    SystemParameters,
    Tally,
    Verdict,
)


def verdict_of(*reports: PeerReport, minimum_agreeing: int = 1, now: float = 0.0) -> Verdict:
    return vote(reports, SystemParameters(minimum_agreeing=minimum_agreeing), ns(now))


def estimate_of(verdict: Verdict) -> Estimate:
    assert isinstance(verdict.estimate, Estimate)
    return verdict.estimate


def tallies(verdict: Verdict) -> str:
    return "".join(verdict.tallies.values())


WRONG = 0.3
A, B, C, D = (report(name) for name in "abcd")
LIAR = report("liar", WRONG)
DEAD = report("dead", reach=0)
FILLING = replace(report("filling"), estimate=estimate(stages=3))
UNTRIED = report("untried", offset=None, reach=0)
REFUSED = Failure(Rejection.CONNECT, "refused")


# Fitness


def test_one_fit_peer_is_enough() -> None:
    verdict = verdict_of(report("a", 0.25), now=100)
    assert tallies(verdict) == "*"
    assert verdict.survivors == ("a",)
    assert verdict.weights == {"a": 1.0}
    made = estimate_of(verdict)
    assert made.offset == 0.25
    assert made.system_peer == "a"
    assert made.at_ns == ns(100)
    assert made.root_distance == pytest.approx(0.001 + 100 * PHI)


@pytest.mark.parametrize(
    "unfit",
    [
        pytest.param(report("a", reach=0), id="unreachable"),
        pytest.param(report("a", noselect=True), id="noselect"),
        pytest.param(report("a", noselect=True, offset=None), id="noselect without estimate"),
        pytest.param(replace(A, estimate=estimate(delay=2 * MAXDIST + 0.1)), id="too far"),
        pytest.param(replace(UNTRIED, name="a", last_failure=REFUSED), id="never answered"),
    ],
)
def test_an_unfit_peer_has_no_vote_but_is_shown(unfit: PeerReport) -> None:
    assert verdict_of(unfit) == Verdict(NoEstimate.NO_PEER, {"a": Tally.UNFIT})
    assert tallies(verdict_of(unfit, B)) == " *"


def test_the_threshold_of_the_distance_grows_with_the_poll_interval() -> None:
    made = estimate(delay=2 * MAXDIST)
    assert verdict_of(replace(A, estimate=made, poll=4), now=16).survivors
    assert not verdict_of(replace(A, estimate=made, poll=4), now=17).survivors
    assert verdict_of(replace(A, estimate=made, poll=5), now=17).survivors


def test_the_minimum_dispersion_is_a_parameter() -> None:
    near = replace(A, estimate=estimate(delay=0.0))
    verdict = vote([near], SystemParameters(min_dispersion=0.01), 0)
    assert estimate_of(verdict).root_distance == pytest.approx(0.005)


def test_without_any_peer_there_is_no_peer() -> None:
    assert verdict_of() == Verdict(NoEstimate.NO_PEER, {})


# Those who have too few samples yet


@pytest.mark.parametrize("newcomer", [FILLING, report("filling", offset=None), UNTRIED])
def test_a_peer_that_may_soon_have_a_vote_is_waited_for(newcomer: PeerReport) -> None:
    assert verdict_of(newcomer).estimate is NoEstimate.WAITING
    assert verdict_of(LIAR, newcomer).estimate is NoEstimate.WAITING
    assert tallies(verdict_of(A, newcomer)) == "x "


@pytest.mark.parametrize("heard", [{"last_failure": REFUSED}, {"last_reply_ns": ns(1)}])
def test_nobody_waits_for_a_peer_that_was_asked_and_is_silent(heard: dict[str, Any]) -> None:
    assert tallies(verdict_of(A, replace(UNTRIED, **heard))) == "* "


def test_a_majority_does_not_wait_for_the_rest() -> None:
    assert tallies(verdict_of(A, B, FILLING)) == "*+ "


def test_nobody_waits_for_a_peer_that_is_not_to_be_selected() -> None:
    assert tallies(verdict_of(A, replace(FILLING, noselect=True))) == "* "


# The vote


def test_one_liar_of_four_and_one_dead_do_not_matter() -> None:
    verdict = verdict_of(LIAR, A, DEAD, B)
    assert tallies(verdict) == "x* +"
    assert estimate_of(verdict).offset == 0.0


def test_two_liars_of_four_leave_nothing() -> None:
    verdict = verdict_of(LIAR, A, replace(LIAR, name="liar2"), B)
    assert verdict.estimate is NoEstimate.NO_MAJORITY
    assert tallies(verdict) == "xxxx"
    assert verdict.survivors == ()


def test_two_that_disagree_leave_nothing() -> None:
    assert verdict_of(A, LIAR).estimate is NoEstimate.NO_MAJORITY


def test_fewer_than_the_minimum_agreeing_leave_nothing_but_keep_their_tallies() -> None:
    verdict = verdict_of(A, B, LIAR, minimum_agreeing=3)
    assert verdict.estimate is NoEstimate.TOO_FEW
    assert tallies(verdict) == "++x"
    assert verdict.survivors == ("a", "b")
    assert isinstance(verdict_of(A, B, LIAR, minimum_agreeing=2).estimate, Estimate)


def test_outliers_agree_though_they_do_not_survive() -> None:
    far = [report(str(place), place * 1e-4) for place in range(3)]
    outlier = report("outlier", 0.0018)
    verdict = verdict_of(*far, outlier, minimum_agreeing=4)
    assert tallies(verdict)[-1] == Tally.OUTLIER
    assert isinstance(verdict.estimate, Estimate)


def test_a_preferred_peer_becomes_system_peer_and_speaks_alone() -> None:
    preferred = report("b", 0.0005, prefer=True)
    verdict = verdict_of(A, preferred, C)
    assert tallies(verdict) == "+*+"
    assert estimate_of(verdict).offset == 0.0005
    assert verdict.weights == {"b": 1.0}


def test_a_preferred_liar_is_a_liar() -> None:
    assert tallies(verdict_of(A, B, replace(LIAR, prefer=True))) == "*+x"


def test_the_system_peer_is_the_nearest_survivor() -> None:
    near = replace(B, estimate=estimate(delay=0.0005))
    assert estimate_of(verdict_of(A, near)).system_peer == "b"


def test_the_system_peer_stays_until_another_is_twice_as_near() -> None:
    def elected(delay: float) -> str:
        near = replace(B, estimate=estimate(delay=delay))
        return estimate_of(vote([A, near], SystemParameters(), 0, incumbent="a")).system_peer

    assert elected(0.0011) == "a"
    assert elected(0.0009) == "b"


def test_an_incumbent_that_does_not_survive_is_succeeded() -> None:
    verdict = vote([A, B, LIAR], SystemParameters(), 0, incumbent="liar")
    assert estimate_of(verdict).system_peer == "a"


intervals = st.tuples(st.floats(-0.01, 0.01), st.floats(0.0, 0.01), st.booleans())


@given(st.lists(intervals, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_reports_does_not_matter(
    drawn: list[tuple[float, float, bool]], random: Random
) -> None:
    reports = [
        replace(report(str(place), prefer=prefer), estimate=estimate(offset, delay=delay))
        for place, (offset, delay, prefer) in enumerate(drawn)
    ]
    shuffled = list(reports)
    random.shuffle(shuffled)
    assert verdict_of(*shuffled) == verdict_of(*reports)


# The leap warning


@pytest.mark.parametrize(
    ("warnings", "expected"),
    [
        ({}, Leap.NONE),
        ({"a": Leap.INSERT}, Leap.NONE),
        ({"a": Leap.INSERT, "b": Leap.INSERT}, Leap.INSERT),
        ({"a": Leap.DELETE, "b": Leap.DELETE, "c": Leap.INSERT}, Leap.DELETE),
        ({"a": Leap.INSERT, "b": Leap.DELETE}, Leap.NONE),
        ({"a": Leap.INSERT, "liar": Leap.INSERT}, Leap.NONE),
    ],
)
def test_a_leap_second_is_announced_by_the_majority_of_the_survivors(
    warnings: dict[str, Leap], expected: Leap
) -> None:
    verdict = vote([A, B, C, LIAR], SystemParameters(), 0, leaps=warnings)
    assert estimate_of(verdict).leap is expected


def test_half_of_the_survivors_is_no_majority() -> None:
    verdict = vote([A, B], SystemParameters(), 0, leaps={"a": Leap.INSERT})
    assert estimate_of(verdict).leap is Leap.NONE


# What is published


def test_a_fresh_estimate_of_one_who_has_a_share_is_published() -> None:
    fresh = replace(A, fresh=True)
    assert calls_for_publication(verdict_of(fresh, B), fresh)


@pytest.mark.parametrize(
    ("news", "others"),
    [
        pytest.param(A, [B], id="not fresh"),
        pytest.param(replace(LIAR, fresh=True), [A, B], id="falseticker"),
        pytest.param(replace(A, fresh=True), [LIAR], id="no majority"),
        pytest.param(replace(A, fresh=True), [replace(B, prefer=True)], id="another preferred"),
    ],
)
def test_nothing_else_is_published(news: PeerReport, others: list[PeerReport]) -> None:
    assert not calls_for_publication(verdict_of(news, *others), news)
