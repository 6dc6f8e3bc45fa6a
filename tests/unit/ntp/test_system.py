from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.builders import STEADY, WALL_NS, ns, report, track, x_ns
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.bounds import MIN_HALF_WIDTH, PROOF_RATE
from webntpd.ntp.estimates import Entry, Estimate, Frequency, NoEstimate, Tally, Verdict
from webntpd.ntp.oscillator import MEMORY
from webntpd.ntp.parameters import MAXDIST, SystemParameters
from webntpd.ntp.readings import NS_PER_S, Failure, Leap, Rejection
from webntpd.ntp.system import STALE_TIME, UNDECIDED_TIME, System, calls_for_publication


def verdict_of(
    *reports: PeerReport,
    minimum_agreeing: int = 1,
    now: float = 0.0,
    **votes: Any,
) -> Verdict:
    system = system_of(*reports, minimum_agreeing=minimum_agreeing)
    return system.vote(ns(now), **votes)


def system_of(*reports: PeerReport, **parameters: Any) -> System:
    system = System(SystemParameters(**parameters), [each.name for each in reports])
    for each in reports:
        system.on_report(each)
    return system


def estimate_of(verdict: Verdict) -> Estimate:
    assert isinstance(verdict.estimate, Estimate)
    return verdict.estimate


def offset_of(verdict: Verdict) -> float:
    return (estimate_of(verdict).x_ns - WALL_NS) / NS_PER_S


def tallies(verdict: Verdict) -> str:
    return "".join(verdict.tallies.values())


WRONG = 0.3
A, B, C, D = (report(name) for name in "abcd")
LIAR = report("liar", WRONG)
DEAD = report("dead", offset=None, reach=0, last_failure=Failure(Rejection.TIMEOUT, "late"))
FILLING = replace(report("filling", first_reply_ns=0), track=track(exchanges=3))
UNTRIED = report("untried", offset=None, reach=0)
REFUSED = Failure(Rejection.CONNECT, "refused")


# Fitness


def test_one_fit_peer_is_enough() -> None:
    verdict = verdict_of(report("a", 0.25), now=100)
    assert tallies(verdict) == "*"
    assert verdict.speakers == ("a",)
    assert verdict.weights == {"a": 1.0}
    made = estimate_of(verdict)
    assert offset_of(verdict) == 0.25
    assert made.system_peer == "a"
    assert made.at_ns == ns(100)
    rate = PROOF_RATE + 3 * STEADY.uncertainty
    assert made.error == pytest.approx(0.001 + MIN_HALF_WIDTH + 100 * rate + 1e-5, rel=1e-4)
    assert made.error_bound(ns(101)) > made.error


@pytest.mark.parametrize(
    "unfit",
    [
        pytest.param(report("a", noselect=True), id="noselect"),
        pytest.param(report("a", noselect=True, offset=None), id="noselect without a track"),
        pytest.param(replace(A, track=track(delay=2 * MAXDIST)), id="too wide"),
        pytest.param(replace(A, track=track(at=-STALE_TIME - 1)), id="stale"),
        pytest.param(replace(UNTRIED, name="a", last_failure=REFUSED), id="never answered"),
    ],
)
def test_an_unfit_peer_has_no_vote_but_is_shown(unfit: PeerReport) -> None:
    verdict = verdict_of(unfit)
    assert verdict.estimate is NoEstimate.NO_PEER
    assert tallies(verdict) == " "
    assert set(verdict.estimates) == ({"a"} if unfit.track else set())
    assert tallies(verdict_of(unfit, B)) == " *"


def test_a_peer_that_is_polled_seldom_is_stale_later() -> None:
    old = track(at=-STALE_TIME - 1)
    assert tallies(verdict_of(replace(A, track=old, poll=8))) == " "
    assert tallies(verdict_of(replace(A, track=old, poll=9))) == "*"


def test_a_barred_peer_has_no_vote() -> None:
    verdict = verdict_of(A, B, LIAR, barred=frozenset({"a", "b"}))
    assert tallies(verdict) == "  *"
    assert set(verdict.estimates) == {"a", "b", "liar"}


def test_without_any_peer_there_is_no_peer() -> None:
    assert verdict_of() == Verdict(NoEstimate.NO_PEER, {})


def test_reports_of_peers_that_are_not_configured_are_ignored() -> None:
    system = system_of(A)
    system.on_report(B)
    assert system.reports == (A,)


def test_a_peer_that_is_no_longer_configured_is_forgotten() -> None:
    system = system_of(A, B)
    system.configure(SystemParameters(minimum_agreeing=2), ["b", "c"])
    assert system.reports == (B,)
    assert system.vote(0).estimate is NoEstimate.TOO_FEW


def test_after_a_suspend_nothing_is_known() -> None:
    system = system_of(A, B)
    system.forget()
    assert system.vote(0) == Verdict(NoEstimate.NO_PEER, {})


# Those who have too few samples yet


@pytest.mark.parametrize("newcomer", [FILLING, UNTRIED])
def test_a_peer_that_may_soon_have_a_vote_is_waited_for(newcomer: PeerReport) -> None:
    assert verdict_of(newcomer).estimate is NoEstimate.WAITING
    assert verdict_of(LIAR, newcomer).estimate is NoEstimate.WAITING
    assert tallies(verdict_of(A, newcomer)) == "  "


def test_an_undecided_vote_outvotes_no_peer() -> None:
    assert tallies(verdict_of(A, LIAR, FILLING)) == "   "


# Newcomers


NEW, NEWER = (replace(FILLING, name=name) for name in ("new", "newer"))


def joined(system: System, *reports: PeerReport) -> Verdict:
    """The vote after a reload to these peers, of which those without samples are new."""
    system.configure(SystemParameters(), [each.name for each in reports])
    for each in reports:
        system.on_report(each)
    return system.vote(0)


def voted(*reports: PeerReport) -> System:
    system = system_of(*reports)
    assert isinstance(system.vote(0).estimate, Estimate)
    return system


@pytest.mark.parametrize("newcomer", [NEW, replace(UNTRIED, name="new")])
def test_a_newcomer_does_not_count_until_it_is_fit(newcomer: PeerReport) -> None:
    system = voted(A)
    assert tallies(joined(system, A, newcomer, NEWER)) == "*  "
    system.on_report(replace(LIAR, name="new"))
    assert system.vote(0).estimate is NoEstimate.NO_MAJORITY
    system.on_report(replace(A, name="newer"))
    assert tallies(system.vote(0)) == "*x+"


def test_a_newcomer_does_not_narrow_what_those_from_the_start_say() -> None:
    """FILLING may be honest, so one of A and B may lie: the ends allow for that as before."""
    wide = report("b", track=track(delay=0.1))
    system = system_of(A, wide, FILLING)
    before = estimate_of(system.vote(0)).error
    after = joined(system, A, wide, FILLING, NEW)
    assert estimate_of(after).error == before > 0.04


def test_newcomers_count_when_there_was_no_estimate() -> None:
    system = system_of(LIAR, FILLING)
    assert system.vote(0).estimate is NoEstimate.WAITING
    assert joined(system, LIAR, FILLING, NEW).estimate is NoEstimate.WAITING
    gone = replace(FILLING, first_reply_ns=ns(-UNDECIDED_TIME))
    assert joined(system, LIAR, gone, NEW).estimate is NoEstimate.WAITING


@pytest.mark.parametrize("staying", [A, LIAR])
def test_newcomers_count_when_they_replace_most_of_those_that_agreed(staying: PeerReport) -> None:
    system = voted(A, B, LIAR)
    assert joined(system, staying, NEW, NEWER).estimate is NoEstimate.WAITING


def test_newcomers_count_once_those_that_agreed_are_no_longer_fit() -> None:
    system = voted(A)
    joined(system, A, NEW, NEWER)
    system.on_report(replace(A, track=track(at=-STALE_TIME - 1)))
    assert system.vote(0).estimate is NoEstimate.WAITING
    system.on_report(replace(LIAR, name="new"))
    assert system.vote(0).estimate is NoEstimate.WAITING


def test_after_a_suspend_newcomers_count_as_all_do() -> None:
    system = voted(A)
    joined(system, A, NEW)
    system.forget()
    for each in (A, NEW):
        system.on_report(each)
    assert system.vote(0).estimate is NoEstimate.WAITING


@pytest.mark.parametrize("seed", range(300))
def test_while_newcomers_join_the_truth_stays_inside(seed: int) -> None:
    """While a majority of the counting peers is honest, it does not matter which is fit first."""
    rng = Random(seed)

    def drawn(name: str, *, honest: bool) -> PeerReport:
        delay = rng.uniform(0.001, 0.1)
        error = rng.uniform(-delay / 2, delay / 2) if honest else rng.uniform(-0.3, 0.3)
        return report(name, track=track(error, delay))

    def electorate(size: int, prefix: str) -> dict[str, tuple[bool, PeerReport]]:
        drawing = {f"{prefix}{number}": rng.random() < 0.7 for number in range(size)}
        return {name: (honest, drawn(name, honest=honest)) for name, honest in drawing.items()}

    old = electorate(rng.randrange(1, 6), "old")
    system = system_of(*(each for _, each in old.values()))
    system.vote(0)
    new = electorate(rng.randrange(1, 4), "new")
    every = old | new
    system.configure(SystemParameters(), every)
    for name in new:
        system.on_report(replace(FILLING, name=name))
    fit = dict(old)
    order = rng.sample(list(new), len(new))
    for name in ("", *order):
        if name:
            fit[name] = new[name]
            system.on_report(new[name][1])
        verdict = system.vote(0)
        honest = sum(each for each, _ in fit.values())
        if 2 * honest > len(fit) and isinstance(verdict.estimate, Estimate):
            assert abs(offset_of(verdict)) <= verdict.estimate.error


def test_a_flaky_peer_holds_the_vote_up_for_a_limited_time() -> None:
    assert tallies(verdict_of(A, FILLING, now=UNDECIDED_TIME - 0.1)) == "  "
    assert tallies(verdict_of(A, FILLING, now=UNDECIDED_TIME)) == "* "


def test_a_peer_that_was_asked_and_is_silent_holds_nothing_up() -> None:
    assert tallies(verdict_of(A, replace(UNTRIED, last_failure=REFUSED))) == "* "


def test_a_peer_that_is_never_asked_holds_the_vote_up_for_a_limited_time() -> None:
    """After a suspend a Retry-After may still hold for a day."""
    assert tallies(verdict_of(A, UNTRIED, now=UNDECIDED_TIME - 0.1)) == "  "
    assert tallies(verdict_of(A, UNTRIED, now=UNDECIDED_TIME)) == "* "


def test_a_majority_does_not_wait_for_the_rest() -> None:
    assert tallies(verdict_of(A, B, FILLING)) == "*+ "


def test_nobody_waits_for_a_peer_that_is_not_to_be_selected() -> None:
    assert tallies(verdict_of(A, replace(FILLING, noselect=True))) == "* "


# The vote


def test_one_liar_of_four_and_one_dead_do_not_matter() -> None:
    verdict = verdict_of(LIAR, A, DEAD, B)
    assert tallies(verdict) == "x* +"
    assert offset_of(verdict) == 0.0


def test_two_liars_of_four_leave_nothing() -> None:
    verdict = verdict_of(LIAR, A, replace(LIAR, name="liar2"), B)
    assert verdict.estimate is NoEstimate.NO_MAJORITY
    assert tallies(verdict) == "xxxx"
    assert verdict.speakers == ()


def test_two_that_disagree_leave_nothing() -> None:
    assert verdict_of(A, LIAR).estimate is NoEstimate.NO_MAJORITY


def test_fewer_than_the_minimum_agreeing_leave_nothing_but_keep_their_tallies() -> None:
    verdict = verdict_of(A, B, LIAR, minimum_agreeing=3)
    assert verdict.estimate is NoEstimate.TOO_FEW
    assert tallies(verdict) == "--x"
    assert isinstance(verdict_of(A, B, LIAR, minimum_agreeing=2).estimate, Estimate)


def test_an_outlier_agrees_though_it_does_not_speak() -> None:
    several = [report(str(place), track=track(place * 1e-5, sigma=1e-6)) for place in range(3)]
    several = [
        replace(each, track=replace(each.track, sigma=1e-6)) for each in several if each.track
    ]
    outlier = report("outlier", 0.0018)
    verdict = verdict_of(*several, outlier, minimum_agreeing=4)
    assert tallies(verdict)[-1] == Tally.OUTLIER
    assert isinstance(verdict.estimate, Estimate)
    assert "outlier" not in verdict.speakers


def test_a_preferred_peer_becomes_system_peer_and_speaks_alone() -> None:
    preferred = report("b", 0.0005, prefer=True)
    verdict = verdict_of(A, preferred, C)
    assert tallies(verdict) == "-*-"
    assert offset_of(verdict) == 0.0005
    assert verdict.weights == {"b": 1.0}


def test_a_preferred_liar_is_a_liar() -> None:
    assert tallies(verdict_of(A, B, replace(LIAR, prefer=True))) == "*+x"


def test_the_system_peer_is_the_nearest_speaker() -> None:
    near = replace(B, track=track(delay=0.0005))
    assert estimate_of(verdict_of(A, near)).system_peer == "b"


def test_the_system_peer_stays_until_another_is_twice_as_near() -> None:
    def elected(delay: float) -> str:
        system = system_of(A, replace(B, track=track(delay=0.004)))
        system.vote(0)
        system.on_report(replace(B, track=track(delay=delay)))
        return estimate_of(system.vote(0)).system_peer

    assert elected(0.0012) == "a"
    assert elected(0.0009) == "b"


def test_a_system_peer_that_lies_is_succeeded() -> None:
    system = system_of(report("liar"), A, B)
    assert estimate_of(system.vote(0)).system_peer == "liar"
    system.on_report(LIAR)
    assert estimate_of(system.vote(0)).system_peer == "a"


def test_a_far_peer_does_not_drag_the_offset_of_a_near_one_away() -> None:
    """A peer on the LAN was polled 16 s ago, one that tells the time in a header just now."""
    near = replace(
        A, track=track(2e-7, delay=2e-6, at=-16, sigma=1e-6, frequency=Frequency(0, 2e-8, 1e-11))
    )
    far = replace(B, track=track(101e-6, delay=300e-6, sigma=1e-5), last_reply_ns=0)
    assert offset_of(verdict_of(near, far)) == pytest.approx(2e-7, abs=1e-6)


def test_a_peer_that_was_not_heard_for_long_weighs_less() -> None:
    late = replace(B, last_reply_ns=ns(-2000))
    verdict = verdict_of(replace(A, last_reply_ns=0), late)
    assert verdict.weights["b"] < verdict.weights["a"]


intervals = st.tuples(st.floats(-0.01, 0.01), st.floats(0.0, 0.01), st.booleans())


AT_THE_GATE = [(0.0, 2**-7, False), (2**-7, 0.0, False), (1.5e-5, 0.0, False), (0.0, 1.5e-5, False)]
"""A guess that is exactly as far from the median as the gate reaches."""


@example(AT_THE_GATE, Random(1))
@example(AT_THE_GATE, Random(2))
@example(AT_THE_GATE, Random(3))
@given(st.lists(intervals, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_reports_does_not_matter(
    drawn: list[tuple[float, float, bool]], random: Random
) -> None:
    reports = [
        replace(report(str(place), prefer=prefer), track=track(offset, delay=delay))
        for place, (offset, delay, prefer) in enumerate(drawn)
    ]
    shuffled = list(reports)
    random.shuffle(shuffled)
    one, other = verdict_of(*shuffled), verdict_of(*reports)
    if isinstance(one.estimate, Estimate) and isinstance(other.estimate, Estimate):
        # The order of the sums differs, and with it the last digit.
        assert abs(one.estimate.x_ns - other.estimate.x_ns) <= 1
        assert one.weights == pytest.approx(other.weights)
    else:
        assert one == other


# The frequency


def lined(name: str, ppm: float, offset: float = 0.0, at: float = 0.0, **fields: Any) -> PeerReport:
    """A peer with a line that began 1000 s before."""
    made = track(
        offset,
        at=at,
        frequency=Frequency(ppm * 1e-6, 0.1e-6, 1e-10),
        sigma=1e-5,
        line_start_ns=ns(at - 1000),
        **fields,
    )
    return report(name, track=made)


def frequency_of(verdict: Verdict) -> float | None:
    return None if verdict.frequency is None else round(verdict.frequency.value * 1e6, 6)


def test_without_a_line_there_is_no_frequency() -> None:
    verdict = verdict_of(A, B)
    assert verdict.frequency is None
    assert estimate_of(verdict).frequency.value == 0.0


def second_vote(*reports: PeerReport, **parameters: Any) -> Verdict:
    """The first vote finds the peers that agree: in the second their frequencies count."""
    system = system_of(*reports, **parameters)
    assert system.vote(0).frequency is None
    return system.vote(0)


def test_the_frequency_is_that_of_all_peers_with_a_line() -> None:
    verdict = second_vote(A, lined("b", 10), lined("c", 20))
    assert frequency_of(verdict) == 15
    assert estimate_of(verdict).frequency.value == pytest.approx(15e-6)


def test_a_peer_that_is_silent_for_long_does_not_count() -> None:
    silent = replace(lined("b", 10, at=-MEMORY - 1), poll=17)
    verdict = second_vote(silent)
    assert tallies(verdict) == "*"
    assert verdict.frequency is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lined("liar", 50, WRONG), id="a falseticker"),
        pytest.param(replace(lined("noselect", 50), noselect=True), id="noselect"),
        pytest.param(lined("stale", 50, at=-STALE_TIME - 1), id="a stale peer"),
    ],
)
def test_a_peer_that_has_no_vote_or_lost_it_does_not_count(other: PeerReport) -> None:
    assert frequency_of(second_vote(lined("a", 10), lined("b", 12), other)) == 11
    assert frequency_of(second_vote(A, B, other)) is None


def test_without_a_majority_there_is_no_frequency() -> None:
    verdict = second_vote(lined("a", 10), lined("liar", 20, WRONG))
    assert verdict.estimate is NoEstimate.NO_MAJORITY
    assert verdict.frequency is None


def test_the_bound_grows_by_the_difference_of_the_frequencies() -> None:
    """The guess moves by the common frequency, each peer's bounds by its own."""
    far = lined("b", 300)
    assert far.track is not None
    unsure = replace(far, track=replace(far.track, frequency=Frequency(300e-6, 100e-6, 1e-10)))
    estimate = estimate_of(second_vote(lined("a", 10), unsure))
    apart = abs(estimate.frequency.value - 300e-6)
    assert estimate.growth >= apart + 3 * 100e-6 + PROOF_RATE


def test_after_a_shock_entries_older_than_the_lines_do_not_count() -> None:
    def entries(*times: float) -> tuple[Entry, ...]:
        return tuple(Entry(x_ns(0.05), ns(at), x_ns(-0.05), ns(at), 0.1) for at in times)

    old, new = entries(*range(-900, -400, 100)), entries(*range(-400, 0, 100))
    narrow = replace(old[0], ceiling_ns=x_ns(0.0001), floor_ns=x_ns(-0.0001))
    before = lined("a", 0, entries=(narrow, *old, *new))
    system = system_of(before, B)
    system.vote(0)
    assert system.vote(0).estimates["a"].half_width < 0.006
    assert before.track is not None
    bent = replace(before.track, frequency=Frequency(7e-6, 1e-7, 1e-10), line_start_ns=ns(-400))
    system.on_report(replace(before, track=bent))
    assert system.vote(0).estimates["a"].half_width > 0.04


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
def test_a_leap_second_is_announced_by_the_majority_that_agrees(
    warnings: dict[str, Leap], expected: Leap
) -> None:
    known = dict.fromkeys("abc", Leap.NONE) | warnings
    assert estimate_of(verdict_of(A, B, C, LIAR, leaps=known)).leap is expected


def test_half_of_those_that_know_is_no_majority() -> None:
    verdict = verdict_of(A, B, leaps={"a": Leap.INSERT, "b": Leap.NONE})
    assert estimate_of(verdict).leap is Leap.NONE


def test_those_that_cannot_know_are_not_counted() -> None:
    verdict = verdict_of(A, B, C, leaps={"a": Leap.INSERT})
    assert estimate_of(verdict).leap is Leap.INSERT


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
