"""One line per change of state, and none for what stays as it is."""

from collections import Counter
from dataclasses import replace
from logging import DEBUG, INFO, WARNING

import pytest

from tests.unit.builders import STEADY, WALL_NS, x_ns
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Estimate, NoEstimate, Publication, Tally, Verdict
from webntpd.ntp.readings import Failure, Leap, Rejection
from webntpd.status.changes import changes
from webntpd.status.snapshot import PeerStatus, RefclockStatus, Status

ESTIMATE = Estimate(
    at_ns=0,
    x_ns=x_ns(0.0123),
    error=5e-4,
    growth=0.0,
    jitter=1e-4,
    frequency=STEADY,
    system_peer="one",
    leap=Leap.NONE,
)
NOTHING = Verdict(NoEstimate.NO_PEER, {})
SYNCHRONISED = Verdict(ESTIMATE, {"one": Tally.SYSTEM_PEER}, weights={"one": 1.0})
REPORT = PeerReport(name="one", reach=0, poll=4, track=None, fresh=False, at_ns=0, next_poll_ns=0)
TIMEOUT = Failure(Rejection.TIMEOUT, "no reply within 5 s")
CONNECT = Failure(Rejection.CONNECT, "refused")


def rejected(*failures: Failure) -> PeerReport:
    """The report of a peer that has never got anything but these."""
    counts = Counter(failure.rejection for failure in failures)
    return replace(REPORT, last_failure=failures[-1], rejections=counts)


def status(
    report: PeerReport = REPORT,
    verdict: Verdict = NOTHING,
    refclock: RefclockStatus | None = None,
) -> Status:
    peer = PeerStatus(report, "websocket", Tally.UNFIT)
    return Status(0, (peer,), verdict, (refclock,) if refclock else (), wall_ns=WALL_NS)


def told(before: Status | None, after: Status) -> list[tuple[int, str]]:
    return [(line.level, line.text) for line in changes(before, after)]


def fields_of(before: Status | None, after: Status) -> list[dict[str, str | float]]:
    return [dict(line.fields) for line in changes(before, after)]


def test_at_the_start_it_says_that_there_is_nothing_to_publish() -> None:
    assert told(None, status()) == [(INFO, "nothing to publish: no peer is reachable and fit")]


def test_a_server_without_peers_has_nothing_to_publish_and_does_not_say_so() -> None:
    alone = Status(0, (), NOTHING, wall_ns=WALL_NS)
    assert told(None, alone) == []
    assert told(alone, status()) == [(INFO, "nothing to publish: no peer is reachable and fit")]


def test_what_stays_as_it_is_is_not_said_again() -> None:
    failed = status(rejected(TIMEOUT))
    synchronised = status(replace(REPORT, reach=1), SYNCHRONISED, RefclockStatus("SHM 2", 1))
    for same in (status(), failed, synchronised):
        assert told(same, same) == []


def test_a_peer_that_comes_and_goes_is_told_each_time() -> None:
    up = status(replace(REPORT, reach=1))
    assert told(status(), up) == [(INFO, "peer one: reachable")]
    assert told(up, status()) == [(WARNING, "peer one: unreachable, no answer")]


def test_an_unreachable_peer_is_told_with_the_reason_even_if_it_was_told_before() -> None:
    failing = status(replace(rejected(TIMEOUT), reach=128))
    gone = status(replace(rejected(TIMEOUT), reach=0))
    line = (WARNING, "peer one: unreachable, timeout: no reply within 5 s")
    assert told(failing, gone) == [line]
    assert told(status(replace(REPORT, reach=128)), gone) == [line]
    assert told(gone, gone) == []


def test_a_new_kind_of_rejection_is_told_with_its_detail() -> None:
    timeout = status(rejected(TIMEOUT))
    line = (WARNING, "peer one: timeout: no reply within 5 s")
    assert told(status(), timeout) == [line]
    assert told(None, timeout)[0] == line
    again = status(rejected(TIMEOUT, replace(TIMEOUT, detail="no reply within 6 s")))
    assert told(timeout, again) == []
    other = status(rejected(TIMEOUT, Failure(Rejection.TLS, "expired")))
    assert told(timeout, other) == [(WARNING, "peer one: tls: expired")]


def test_a_server_that_fails_now_in_one_way_now_in_another_is_no_news() -> None:
    both = status(rejected(TIMEOUT, CONNECT))
    assert told(status(rejected(TIMEOUT)), both) == [(WARNING, "peer one: connect: refused")]
    assert told(both, status(rejected(TIMEOUT, CONNECT, TIMEOUT))) == []


def test_a_peer_that_contradicts_itself_is_told_once() -> None:
    def contradicting(*failures: Failure) -> Status:
        report = rejected(*failures) if failures else REPORT
        counts = {**report.rejections, Rejection.CONTRADICTION: 1}
        return status(replace(report, reach=1, rejections=counts))

    up = status(replace(REPORT, reach=1))
    line = (
        WARNING,
        "peer one: contradiction: its answers cannot all be true, the older ones are dropped",
    )
    assert told(up, contradicting()) == [line]
    assert fields_of(up, contradicting()) == [
        {"event": "rejection", "peer": "one", "rejection": "contradiction"}
    ]
    assert told(contradicting(), contradicting()) == []
    # It is no failure of an exchange, and does not hide one.
    both = contradicting(TIMEOUT)
    assert told(up, both) == [line, (WARNING, "peer one: timeout: no reply within 5 s")]
    assert told(contradicting(), both) == [(WARNING, "peer one: timeout: no reply within 5 s")]
    told_in_full = contradicting(Failure(Rejection.CONTRADICTION, "by 3 ms"))
    assert told(up, told_in_full) == [(WARNING, "peer one: contradiction: by 3 ms")]


def test_synchronising_says_the_peer_the_offset_and_the_bound() -> None:
    assert told(status(), status(verdict=SYNCHRONISED)) == [
        (INFO, "synchronised to one: offset +12.300 ms, error bound 500.0 µs")
    ]


def test_losing_the_majority_is_a_warning_said_once() -> None:
    lost = status(verdict=Verdict(NoEstimate.NO_MAJORITY, {}))
    assert told(status(verdict=SYNCHRONISED), lost) == [
        (WARNING, "nothing to publish: no majority of the peers agrees")
    ]
    assert told(lost, lost) == []


def test_waiting_for_samples_at_the_start_is_no_news() -> None:
    waiting = status(verdict=Verdict(NoEstimate.WAITING, {}))
    line = "nothing to publish: the peers have too few samples yet"
    assert told(status(), waiting) == [(DEBUG, line)]
    assert told(status(verdict=SYNCHRONISED), waiting) == [(WARNING, line)]


def test_a_new_system_peer_is_no_news_above_debug() -> None:
    other = Verdict(replace(ESTIMATE, system_peer="two"), {}, weights={"two": 1.0})
    lines = told(status(verdict=SYNCHRONISED), status(verdict=other))
    assert [text for _, text in lines] == ["system peer is now two"]
    assert all(level < INFO for level, _ in lines)


def test_leap_seconds_are_announced_and_withdrawn() -> None:
    def with_leap(leap: Leap) -> Status:
        return status(verdict=replace(SYNCHRONISED, estimate=replace(ESTIMATE, leap=leap)))

    none, insert, delete = map(with_leap, (Leap.NONE, Leap.INSERT, Leap.DELETE))
    end_of_day = "at the end of this day (UTC)"
    assert told(none, insert) == [(WARNING, f"a leap second will be inserted {end_of_day}")]
    assert told(none, delete) == [(WARNING, f"a leap second will be deleted {end_of_day}")]
    assert told(insert, none) == [(WARNING, "the leap second's warning is withdrawn")]


def test_a_refclocks_first_sample_is_told() -> None:
    publication = Publication(receive_ns=1, offset=0.0, error=1e-3, leap=Leap.NONE)
    silent, first = RefclockStatus("SHM 2"), RefclockStatus("SHM 2", 1, last=publication)
    line = (INFO, "refclock SHM 2: first sample published")
    assert told(status(refclock=silent), status(refclock=first)) == [line]
    assert told(status(refclock=first), status(refclock=replace(first, published=2))) == []


def test_what_happened_to_a_peer_is_in_fields_too() -> None:
    up, timeout = replace(REPORT, reach=1), rejected(TIMEOUT)
    assert fields_of(status(), status(up)) == [{"event": "reachable", "peer": "one"}]
    assert fields_of(status(up), status()) == [{"event": "unreachable", "peer": "one"}]
    reason = {"peer": "one", "rejection": "timeout"}
    assert fields_of(status(), status(timeout)) == [{"event": "rejection", **reason}]
    assert fields_of(status(up), status(timeout)) == [{"event": "unreachable", **reason}]
    back = replace(timeout, reach=1)
    assert fields_of(status(timeout), status(back)) == [{"event": "reachable", "peer": "one"}]


def test_what_happened_to_the_estimate_is_in_fields_too() -> None:
    other = replace(ESTIMATE, system_peer="two", leap=Leap.INSERT)
    synchronised, changed = status(verdict=SYNCHRONISED), status(verdict=Verdict(other, {}))
    figures = {"offset": pytest.approx(0.0123), "error": 5e-4}
    assert fields_of(status(), synchronised) == [
        {"event": "synchronised", "peer": "one", **figures}
    ]
    assert fields_of(synchronised, changed) == [
        {"event": "system_peer", "peer": "two", **figures},
        {"event": "leap_warning", "leap": "insert"},
    ]
    assert fields_of(synchronised, status()) == [{"event": "no_estimate", "reason": "no_peer"}]


def test_a_refclocks_first_sample_is_in_fields_too() -> None:
    refclock = RefclockStatus("SHM 2", 1)
    assert fields_of(status(), status(refclock=refclock)) == [
        {"event": "first_sample", "refclock": "SHM 2"}
    ]
