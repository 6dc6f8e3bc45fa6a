import logging

import pytest

from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import NS_PER_S, Leap
from webntpd.refclock.samples import NOT_CONSUMED, SampleCounts
from webntpd.status.snapshot import RefclockStatus


def sample(poll: float) -> Publication:
    """The sample of a poll; polls are 16 s apart."""
    receive_ns = round(poll * 16 * NS_PER_S)
    return Publication(receive_ns=receive_ns, offset=0.25, error=1e-3, leap=Leap.NONE)


def test_a_success_counts_and_is_remembered() -> None:
    samples = SampleCounts("SHM(2)")
    samples.succeeded(sample(1))
    samples.succeeded(sample(2))
    assert samples.status == RefclockStatus("SHM(2)", published=2, last=sample(2))


def test_the_sample_before_is_consumed_unread_or_nobody_knows() -> None:
    samples = SampleCounts("SHM(2)")
    samples.succeeded(sample(1), unread=False)
    assert samples.status.consumed is None  # there was none before
    samples.succeeded(sample(2), unread=False)
    assert samples.status.consumed is True
    samples.succeeded(sample(3), unread=True)
    assert samples.status.consumed is False
    samples.succeeded(sample(4))
    assert samples.status.consumed is None


def test_nothing_is_known_of_a_sample_that_was_replaced_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two peers ended their polls within the same second: the consumer could not look."""
    samples = SampleCounts("SHM(2)")
    samples.succeeded(sample(1), unread=False)
    samples.succeeded(sample(1.05), unread=True)
    assert samples.status.consumed is None
    assert samples.status.not_consumed == 0
    assert not caplog.messages


def test_only_the_last_published_receive_time_is_a_repeat() -> None:
    samples = SampleCounts("SHM(2)")
    assert not samples.repeats(sample(1))
    samples.failed("gone")
    assert not samples.repeats(sample(1))
    samples.succeeded(sample(1))
    assert samples.repeats(sample(1))
    assert not samples.repeats(sample(2))


def test_a_problem_is_logged_when_it_comes_changes_and_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    samples = SampleCounts("SHM(2)")
    for problem in ("gone", "gone", "forbidden", "forbidden"):
        samples.failed(problem)
    assert samples.status.failures == 4
    assert samples.status.problem == "forbidden"
    samples.succeeded(sample(1))
    samples.succeeded(sample(2))
    assert samples.status.problem is None
    assert caplog.messages == ["SHM(2): gone", "SHM(2): forbidden", "SHM(2): publishing again"]


def test_unread_samples_are_counted_each_time_and_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    samples = SampleCounts("SHM(2)")
    samples.succeeded(sample(1))
    samples.succeeded(sample(2), unread=True)
    assert samples.status.problem == NOT_CONSUMED
    samples.succeeded(sample(3))
    assert samples.status.problem is None
    samples.succeeded(sample(4), unread=True)
    assert samples.status.not_consumed == 2
    assert samples.status.published == 4
    assert len(caplog.messages) == 1
    assert "not consumed" in caplog.messages[0]
