from dataclasses import replace

import pytest

from tests.unit.builders import STEADY, WALL_NS, estimate, ns, report, track, x_ns
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Estimate, Frequency, NoEstimate, Tally, Verdict
from webntpd.status.snapshot import PeerStatus, ServerStatus, Status
from webntpd.status.summary import summary

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


def test_a_peer_is_reachable_if_any_of_the_last_eight_polls_was_answered() -> None:
    assert status(ESTIMATE, report("a", reach=0o200), report("b", reach=0)).reachable == 1


def test_a_daemon_that_only_serves_has_a_server_but_no_peer_and_no_estimate() -> None:
    serving = replace(status(NoEstimate.NO_PEER), server=ServerStatus())
    assert serving.serves_only
    assert not replace(serving, server=None).serves_only
    assert not replace(serving, verdict=status(ESTIMATE).verdict).serves_only
