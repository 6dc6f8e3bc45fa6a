import logging

import pytest

from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import NS_PER_S, Leap
from webntpd.refclock.record import NOT_CONSUMED, Record
from webntpd.status.snapshot import RefclockStatus


def sample(poll: float) -> Publication:
    """The sample of a poll; polls are 16 s apart."""
    receive_ns = round(poll * 16 * NS_PER_S)
    return Publication(receive_ns=receive_ns, offset=0.25, error=1e-3, leap=Leap.NONE)


def test_a_success_counts_and_is_remembered() -> None:
    record = Record("SHM(2)")
    record.succeeded(sample(1))
    record.succeeded(sample(2))
    assert record.status == RefclockStatus("SHM(2)", published=2, last=sample(2))


def test_the_sample_before_is_consumed_unread_or_nobody_knows() -> None:
    record = Record("SHM(2)")
    record.succeeded(sample(1), unread=False)
    assert record.status.consumed is None  # there was none before
    record.succeeded(sample(2), unread=False)
    assert record.status.consumed is True
    record.succeeded(sample(3), unread=True)
    assert record.status.consumed is False
    record.succeeded(sample(4))
    assert record.status.consumed is None


def test_nothing_is_known_of_a_sample_that_was_replaced_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two peers ended their polls within the same second: the consumer could not look."""
    record = Record("SHM(2)")
    record.succeeded(sample(1), unread=False)
    record.succeeded(sample(1.05), unread=True)
    assert record.status.consumed is None
    assert record.status.not_consumed == 0
    assert not caplog.messages


def test_only_the_last_published_receive_time_is_a_repeat() -> None:
    record = Record("SHM(2)")
    assert not record.repeats(sample(1))
    record.failed("gone")
    assert not record.repeats(sample(1))
    record.succeeded(sample(1))
    assert record.repeats(sample(1))
    assert not record.repeats(sample(2))


def test_a_problem_is_logged_when_it_comes_changes_and_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    record = Record("SHM(2)")
    for problem in ("gone", "gone", "forbidden", "forbidden"):
        record.failed(problem)
    assert record.status.failures == 4
    assert record.status.problem == "forbidden"
    record.succeeded(sample(1))
    record.succeeded(sample(2))
    assert record.status.problem is None
    assert caplog.messages == ["SHM(2): gone", "SHM(2): forbidden", "SHM(2): publishing again"]


def test_unread_samples_are_counted_each_time_and_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    record = Record("SHM(2)")
    record.succeeded(sample(1))
    record.succeeded(sample(2), unread=True)
    assert record.status.problem == NOT_CONSUMED
    record.succeeded(sample(3))
    assert record.status.problem is None
    record.succeeded(sample(4), unread=True)
    assert record.status.not_consumed == 2
    assert record.status.published == 4
    assert len(caplog.messages) == 1
    assert "not consumed" in caplog.messages[0]
