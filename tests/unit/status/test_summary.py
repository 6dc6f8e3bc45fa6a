from dataclasses import replace

import pytest

from tests.unit.builders import report
from tests.unit.status.test_snapshot import ESTIMATE, status
from webntpd.ntp.estimates import NoEstimate
from webntpd.status.snapshot import ServerStatus
from webntpd.status.summary import summary, why_none


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


@pytest.mark.parametrize("reason", NoEstimate)
def test_the_summary_says_why_there_is_no_estimate(reason: NoEstimate) -> None:
    made = status(reason, report("a", reach=0))
    assert summary(made) == f"{reason.value}; 0 of 1 peers reachable"
