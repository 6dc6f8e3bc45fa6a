"""The warnings that a notice of a leap second gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.leap.days import DAY_NS, JUNE_1997_NS, days_of_years, utc
from webntpd.leap.notice import warning_from
from webntpd.ntp.readings import Leap, LeapNotice


@pytest.mark.parametrize(
    "notice",
    [
        LeapNotice(36, JUNE_1997_NS + 1, 1),
        LeapNotice(36, JUNE_1997_NS, 0),
        LeapNotice(36, JUNE_1997_NS, 2),
    ],
)
def test_a_notice_of_what_cannot_be_warns_of_nothing(notice: LeapNotice) -> None:
    assert warning_from(notice, JUNE_1997_NS - 5) is Leap.NONE


@given(days_of_years, st.integers(1, DAY_NS))
def test_only_the_last_day_of_a_month_has_a_warning(day: int, before_ns: int) -> None:
    notice = LeapNotice(36, day * DAY_NS, 1)
    warning = warning_from(notice, notice.next_ns - before_ns)
    expected = Leap.INSERT if utc(notice.next_ns).day == 1 else Leap.NONE
    assert warning is expected
