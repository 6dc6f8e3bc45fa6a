from dataclasses import replace

import pytest

from tests.unit.builders import STEADY, WALL_NS, estimate, ns, report, track, x_ns
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Estimate, Frequency, NoEstimate, Tally, Verdict
from webntpd.status.snapshot import (
    PeerStatus,
    ServerStatus,
    Status,
    bounded,
    printable,
    seconds,
    signed_seconds,
    summary,
    why_none,
)

ESTIMATE = Estimate(
    at_ns=0,
    x_ns=x_ns(-0.0012344),
    error=0.0251,
    growth=15e-6,
    jitter=1e-4,
    frequency=STEADY,
    system_peer="a",
)


def status(estimate: Estimate | NoEstimate, *peers: PeerReport, at: float = 0.0) -> Status:
    """The daemon at RAW `at`, where the wall clock runs as RAW does."""
    return Status(
        at_ns=ns(at),
        wall_ns=WALL_NS + ns(at),
        peers=tuple(PeerStatus(peer, kind="http", tally=Tally.UNFIT) for peer in peers),
        verdict=Verdict(estimate, {}, weights={"a": 0.5, "b": 0.5}),
    )


def test_the_summary_says_to_whom_the_offset_the_error_and_how_many() -> None:
    made = status(ESTIMATE, report("a"), report("b"), report("c", reach=0))
    assert summary(made) == (
        "synchronised to a, offset -1.234 ms ± 25.100 ms, 2 survivors, 2 of 3 peers reachable"
    )


def test_the_summary_of_a_server_without_peers_is_about_the_server() -> None:
    made = replace(status(NoEstimate.NO_PEER), server=ServerStatus(1, 2, 3, 4, 5))
    assert summary(made) == "serving time: 1 connections open, 7 answers, 5 refusals"
    with_peers = replace(status(NoEstimate.NO_PEER, report("a")), server=ServerStatus())
    assert summary(with_peers) == "no peer is reachable and fit; 1 of 1 peers reachable"


def test_peers_that_may_not_be_followed_are_the_reason_for_no_estimate() -> None:
    silent = report("a", noselect=True)
    assert summary(status(NoEstimate.NO_PEER, silent)) == (
        "all peers are noselect: remove that key from the peers to follow; 1 of 1 peers reachable"
    )
    assert why_none(status(NoEstimate.NO_PEER, silent, report("b")), NoEstimate.NO_PEER) == (
        "no peer is reachable and fit"
    )


def test_the_bound_of_the_error_grows_with_the_age_of_the_estimate() -> None:
    wander = STEADY.wander * 1000**2 / 2
    assert status(ESTIMATE).error_bound(ESTIMATE) == 0.0251
    later = status(ESTIMATE, at=1000)
    assert later.error_bound(ESTIMATE) == pytest.approx(0.0251 + 0.015 + wander)
    assert "± 40.150 ms" in summary(later)


def test_an_offset_is_as_of_the_snapshot_even_if_the_wall_clock_was_set() -> None:
    fast = Frequency(-20e-6, 1e-7, 0.0)
    made = estimate(0.001, frequency=fast)
    assert status(ESTIMATE).offset(made) == pytest.approx(0.001)
    assert status(ESTIMATE, at=100).offset(made) == pytest.approx(0.001 - 0.002)
    stepped = Status(ns(100), (), Verdict(ESTIMATE, {}), wall_ns=WALL_NS + ns(100.25))
    assert stepped.offset(made) == pytest.approx(0.001 - 0.002 - 0.25)


def test_the_bounds_part_around_the_offset_which_need_not_be_their_middle() -> None:
    made = estimate(0.001, 0.003, mid_ns=x_ns(0.003), frequency=Frequency(0, 0, 0), growth=1e-5)
    assert status(ESTIMATE).bounds(made) == pytest.approx((-0.002, 0.004))
    later = status(ESTIMATE, at=100)
    low, high = later.bounds(made)
    assert (low, high) == pytest.approx((-0.003, 0.005))
    assert later.error_bound(made) == pytest.approx(later.offset(made) - low)


def test_the_system_was_measured_when_a_speaker_last_answered() -> None:
    answered = [
        report(name, track=track(last_reply_ns=ns(at)))
        for name, at in [("a", 3), ("b", 5), ("c", 9)]
    ]
    assert status(ESTIMATE, *answered).measured_ns == ns(5)
    assert status(ESTIMATE, report("a", None)).measured_ns is None


def test_a_peer_sees_a_frequency_once_it_has_a_line() -> None:
    def seen(**fields: float) -> Frequency | None:
        return PeerStatus(report("a", track=track(**fields)), "http", Tally.UNFIT).frequency

    assert seen() is None
    assert seen(sigma=1e-6) == STEADY
    assert PeerStatus(report("a", None), "http", Tally.UNFIT).frequency is None


@pytest.mark.parametrize("reason", NoEstimate)
def test_the_summary_says_why_there_is_no_estimate(reason: NoEstimate) -> None:
    made = status(reason, report("a", reach=0))
    assert summary(made) == f"{reason.value}; 0 of 1 peers reachable"


def test_a_peer_is_reachable_if_any_of_the_last_eight_polls_was_answered() -> None:
    assert status(ESTIMATE, report("a", reach=0o200), report("b", reach=0)).reachable == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0 µs"),
        (4.26e-7, "0.4 µs"),
        (0.00099, "990.0 µs"),
        (0.001, "1.000 ms"),
        (0.0123456, "12.346 ms"),
        (1.0, "1.000 s"),
        (3600.25, "3600.250 s"),
        (-0.5, "-500.000 ms"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "+500.000 ms"), (-0.5, "-500.000 ms"), (0.0, "+0.0 µs")]
)
def test_a_signed_duration_always_has_its_sign(value: float, text: str) -> None:
    assert signed_seconds(value) == text


def test_an_offset_stands_with_its_bound() -> None:
    assert bounded(0.5, 0.001) == "+500.000 ms ± 1.000 ms"


def test_what_a_remote_said_is_shown_without_what_a_terminal_would_obey() -> None:
    assert printable("µ ok") == "µ ok"
    assert printable("a\n\x1b[2Jb\x9b\u202e") == "a��[2Jb��"
