from dataclasses import replace

import pytest

from tests.unit.builders import report
from webntpd.ntp.types import NS_PER_S, Estimate, NoEstimate, PeerReport, Tally, Verdict
from webntpd.status import (
    PeerStatus,
    Status,
    error_bound,
    printable,
    seconds,
    signed_seconds,
    summary,
)

ESTIMATE = Estimate(offset=-0.0012344, jitter=1e-4, root_distance=0.0251, at_ns=0, system_peer="a")


def status(estimate: Estimate | NoEstimate, *peers: PeerReport) -> Status:
    return Status(
        at_ns=0,
        peers=tuple(PeerStatus(peer, kind="http", tally=Tally.UNFIT) for peer in peers),
        verdict=Verdict(estimate, {}, survivors=("a", "b")),
    )


def test_the_summary_says_to_whom_the_offset_the_error_and_how_many() -> None:
    made = status(ESTIMATE, report("a"), report("b"), report("c", reach=0))
    assert summary(made) == (
        "synchronised to a, offset -1.234 ms ± 25.100 ms, 2 survivors, 2 of 3 peers reachable"
    )


def test_the_bound_of_the_error_grows_with_the_age_of_the_estimate() -> None:
    assert error_bound(ESTIMATE, 0) == 0.0251
    assert error_bound(ESTIMATE, 1000 * NS_PER_S) == pytest.approx(0.0251 + 0.015)
    later = replace(status(ESTIMATE), at_ns=1000 * NS_PER_S)
    assert "± 40.100 ms" in summary(later)


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


def test_what_a_remote_said_is_shown_without_what_a_terminal_would_obey() -> None:
    assert printable("µ ok") == "µ ok"
    assert printable("a\n\x1b[2Jb\x9b\u202e") == "a��[2Jb��"
