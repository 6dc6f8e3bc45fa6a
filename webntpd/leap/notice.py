"""A server's notice of a leap second: the warning that it gives, and the days that have one."""

import calendar
from itertools import product

from webntpd.ntp.readings import NS_PER_S, Leap, LeapNotice

STEPS = {1: Leap.INSERT, -1: Leap.DELETE}
"""The warning of each step of TAI - UTC that a leap second can make, s."""

_DAY_S = 86_400
_DAY_NS = _DAY_S * NS_PER_S


def warning_from(notice: LeapNotice, now_ns: int) -> Leap:
    """The warning that a notice gives at `now_ns`: only on the last day of a month.

    A leap second is the last second of a month (ITU-R TF.460), so a notice of any other instant
    gives none.
    """
    day, within_ns = divmod(notice.next_ns, _DAY_NS)
    if not 0 < notice.next_ns - now_ns <= _DAY_NS or within_ns or month_from(day) is None:
        return Leap.NONE
    return STEPS.get(notice.step, Leap.NONE)


def month_from(day: int) -> int | None:
    """The month that begins with a day, counted from 1 January 1970; None for any other day."""
    year = 1970 + int(day // 365.2425)  # or the next: rounding may lose a day
    for candidate, month in product((year, year + 1), range(1, 13)):
        if calendar.timegm((candidate, month, 1, 0, 0, 0)) == day * _DAY_S:
            return month
    return None
