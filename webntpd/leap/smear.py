"""Leap seconds that a server smears, and what to do about them.

The clock of such a server shows neither a step nor a repeated second, but runs slow or fast for a
day. The public servers that smear agree on the linear smear from noon to noon
(https://developers.google.com/time/smear), which a list of leap seconds can take out again.
"""

from collections.abc import Iterable
from dataclasses import replace

from webntpd.leap.list import LeapList
from webntpd.leap.notice import STEPS, month_from
from webntpd.ntp.readings import NS_PER_S, LeapNotice, Reading

_DAY_S = 86_400
_DAY_NS = _DAY_S * NS_PER_S
_HALF_DAY_NS = _DAY_NS // 2
_SMEAR_REACH_NS = _HALF_DAY_NS + 3_600 * NS_PER_S
"""Half of a smear, and an hour, since the wall clock may be wrong by so much."""
_USUAL_MONTHS = {1, 7}
"""Leap seconds come right before these months; other months are a second choice."""


def smear_ns(leap_list: LeapList, at_ns: int) -> int:
    """How far a noon-to-noon smeared clock that shows `at_ns` is ahead of UTC, ns.

    From noon before a leap second to noon after it, such a clock shows 86400 s, evenly, while
    86400 + step seconds pass. UTC is here as POSIX clocks show it: an inserted second is the last
    one shown twice. The list must not have expired.
    """
    for leap in leap_list.leaps:
        shown_ns = at_ns - (leap.next_ns - _HALF_DAY_NS)  # since the first noon
        if 0 <= shown_ns < _DAY_NS:
            return _smear_of(leap.step, shown_ns)
    return 0


def _smear_of(step: int, shown_ns: int) -> int:
    """The smear when the clock has shown `shown_ns` since the first noon.

    So far shown * (86400 + step) / 86400 have really passed. The leap comes 43200 s after noon, or
    a second earlier if a second is left out; from there on, UTC is `step` less.
    """
    until_leap_ns = _HALF_DAY_NS + min(step, 0) * NS_PER_S
    if shown_ns * (_DAY_S + step) < until_leap_ns * _DAY_S:
        return -step * shown_ns // _DAY_S
    return step * (_DAY_NS - shown_ns) // _DAY_S


def unsmeared(reading: Reading, leap_list: LeapList) -> Reading:
    """The reading with its server's noon-to-noon smear taken out; see smear_ns() for the list.

    Its notice is dropped: a server that smears a leap second must not announce it.
    """
    return replace(
        reading,
        t2_ns=reading.t2_ns - smear_ns(leap_list, reading.t2_ns),
        t3_ns=reading.t3_ns - smear_ns(leap_list, reading.t3_ns),
        leap=None,
    )


def smear_is_possible(at_ns: int, known: Iterable[LeapNotice]) -> bool:
    """Whether a smeared clock may differ from UTC at `at_ns`, for lack of a valid list.

    `known` are notices of servers that do not smear. A notice without a step is no knowledge. Where
    nothing is known, any end of June or December may have a leap second. A smeared server's
    readings from such a time are useless, for later votes too.
    """
    instants = {notice.next_ns for notice in known if notice.step in STEPS}
    if instants:
        return any(abs(at_ns - instant) < _SMEAR_REACH_NS for instant in instants)
    first, last = (at_ns - _SMEAR_REACH_NS) // _DAY_NS + 1, (at_ns + _SMEAR_REACH_NS - 1) // _DAY_NS
    return any(month_from(day) in _USUAL_MONTHS for day in range(first, last + 1))
