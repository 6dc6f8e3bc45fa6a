"""The leap-seconds list that IERS and NIST publish: parse, check, query.

    #$  3960835200                      when the list was updated
    #@  3991593600                      when it expires
    2272060800      10      # 1 Jan 1972    from this instant on, TAI - UTC is 10 s
    2287785600      11      # 1 Jul 1972
    #h  49db2447 571e5e1b 2f002a53 9c8da8e4 39b8e49e

Instants are seconds since 1900, as NTP counts them. The `#h` line is the SHA-1 of the digits of
the update, the expiry, and the two fields of each data line, in this order with nothing between;
comments are free to change. The hash finds a damaged file and no forged one: that it came from the
right place is for its transport to say.

Each data line after the first ends what the one before began, so it is kept as the notice that
servers send of it: TAI - UTC before the instant, the instant, and the sign of the step.

Some servers smear a leap second: their clock shows neither a step nor a repeated second, but runs
slow or fast for a day. The public servers that do so agree on the linear smear from noon to noon
(https://developers.google.com/time/smear), which a list of leap seconds can take out again.
"""

import calendar
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product

from webntpd.ntp.readings import NS_PER_S, Leap, LeapNotice, Reading

_NTP_TO_UNIX = 2_208_988_800  # s from 1900-01-01 to 1970-01-01 (RFC 5905 §6)
_DAY_S = 86_400
_DAY_NS = _DAY_S * NS_PER_S
_HALF_DAY_NS = _DAY_NS // 2
_SMEAR_REACH_NS = _HALF_DAY_NS + 3_600 * NS_PER_S
"""Half of a smear, and an hour, since the wall clock may be wrong by so much."""
_USUAL_MONTHS = {1, 7}
"""Leap seconds come right before these months; other months are a second choice."""

_WARNINGS = {1: Leap.INSERT, -1: Leap.DELETE}
_NAMES = {"$": "update", "@": "expiry", "h": "hash"}

# Ten digits reach to the year 2216: within what a reply's timestamps can tell.
_SECONDS = re.compile(r"[0-9]{1,10}")
_DATA = re.compile(r"([0-9]{1,10})[ \t]+([0-9]{1,3})[ \t]*(?:#.*)?")
_SPECIAL = re.compile(r"#([$@h])[ \t]+(.*)")
# Some editions leave out the leading zeros of a word.
_HASH = re.compile(r"[0-9a-fA-F]{1,8}(?:[ \t]+[0-9a-fA-F]{1,8}){4}")


class LeapError(ValueError):
    """What is wrong with a leap-seconds list, and on which line; 0 is the file as a whole."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class LeapList:
    """All leap seconds that have been announced, oldest first; there is at least one.

    `expires_ns` is the instant up to which the list is known to hold them all.
    """

    updated_ns: int
    expires_ns: int
    leaps: tuple[LeapNotice, ...]

    def notice(self, now_ns: int) -> LeapNotice:
        """What a server tells at `now_ns`: the next leap second, or else the latest."""
        return next((leap for leap in self.leaps if leap.next_ns > now_ns), self.leaps[-1])

    def warning(self, now_ns: int) -> Leap:
        """The warning that is due at `now_ns`. A list that has expired gives none."""
        return warning_from(self.notice(now_ns), now_ns) if now_ns < self.expires_ns else Leap.NONE


def warning_from(notice: LeapNotice, now_ns: int) -> Leap:
    """The warning that a notice gives at `now_ns`: only on the last day of a month.

    A leap second is the last second of a month (ITU-R TF.460), so a notice of any other instant
    gives none.
    """
    day, within_ns = divmod(notice.next_ns, _DAY_NS)
    if not 0 < notice.next_ns - now_ns <= _DAY_NS or within_ns or _month_from(day) is None:
        return Leap.NONE
    return _WARNINGS.get(notice.step, Leap.NONE)


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
    instants = {notice.next_ns for notice in known if notice.step in _WARNINGS}
    if instants:
        return any(abs(at_ns - instant) < _SMEAR_REACH_NS for instant in instants)
    first, last = (at_ns - _SMEAR_REACH_NS) // _DAY_NS + 1, (at_ns + _SMEAR_REACH_NS - 1) // _DAY_NS
    return any(_month_from(day) in _USUAL_MONTHS for day in range(first, last + 1))


def _month_from(day: int) -> int | None:
    """The month that begins with a day, counted from 1 January 1970; None for any other day."""
    year = 1970 + int(day // 365.2425)  # or the next: rounding may lose a day
    for candidate, month in product((year, year + 1), range(1, 13)):
        if calendar.timegm((candidate, month, 1, 0, 0, 0)) == day * _DAY_S:
            return month
    return None


def parse_leap_list(data: bytes) -> LeapList:
    """A leap-seconds list from its file. Raises LeapError unless it is whole and consistent.

    Whether it has expired is for the caller to ask: an old list still tells history.
    """
    text = data.decode("latin-1")  # what is not ASCII can only stand in a comment
    lines = [_Line(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    special = _special_lines(lines)
    entries = [_entry(line) for line in lines if line.text and not line.text.startswith("#")]
    updated_ns, expires_ns = _instant_ns(special["$"]), _instant_ns(special["@"])
    if expires_ns <= updated_ns:
        raise LeapError(special["@"].number, "the list expires before its update")
    leaps = tuple(_leap(earlier, later) for earlier, later in pairwise(entries))
    if not leaps:
        raise LeapError(0, "the list holds no leap second")
    _check_hash(special, entries)
    return LeapList(updated_ns, expires_ns, leaps)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A data line: from `instant_ns` on, TAI - UTC is `tai_utc`. `hashed` are its digits."""

    number: int
    instant_ns: int
    tai_utc: int
    hashed: str


def _special_lines(lines: Iterable[_Line]) -> Mapping[str, _Line]:
    """The values of the lines #$, #@ and #h, each of which occurs once."""
    found: dict[str, _Line] = {}
    for line in lines:
        match = _SPECIAL.fullmatch(line.text)
        if match is None:
            continue
        kind, value = match.groups()
        if kind in found:
            raise LeapError(line.number, f"a second #{kind} line ({_NAMES[kind]})")
        found[kind] = _Line(line.number, value)
    for kind, name in _NAMES.items():
        if kind not in found:
            raise LeapError(0, f"the list has no #{kind} line ({name})")
    return found


def _instant_ns(line: _Line) -> int:
    """A line's seconds since 1900 as Unix time."""
    seconds = int(line.text) - _NTP_TO_UNIX if _SECONDS.fullmatch(line.text) else -1
    if seconds < 0:
        raise LeapError(line.number, "not a time in seconds since 1900, or before 1970")
    return seconds * NS_PER_S


def _entry(line: _Line) -> _Entry:
    match = _DATA.fullmatch(line.text)
    if match is None:
        raise LeapError(line.number, "neither a comment nor a time and a TAI - UTC")
    seconds, tai_utc = match.groups()
    instant_ns = _instant_ns(_Line(line.number, seconds))
    if instant_ns % _DAY_NS:
        raise LeapError(line.number, "a leap second that is not at a UTC midnight")
    return _Entry(line.number, instant_ns, int(tai_utc), seconds + tai_utc)


def _leap(earlier: _Entry, later: _Entry) -> LeapNotice:
    if later.instant_ns <= earlier.instant_ns:
        raise LeapError(later.number, "not later than the line of data before it")
    step = later.tai_utc - earlier.tai_utc
    if step not in _WARNINGS:
        raise LeapError(later.number, f"TAI - UTC steps by {step} s, not by one")
    return LeapNotice(earlier.tai_utc, later.instant_ns, step)


def _check_hash(special: Mapping[str, _Line], entries: Iterable[_Entry]) -> None:
    stated = special["h"]
    if not _HASH.fullmatch(stated.text):
        raise LeapError(stated.number, "a hash is five words of up to eight hexadecimal digits")
    digits = special["$"].text + special["@"].text + "".join(entry.hashed for entry in entries)
    digest = hashlib.sha1(digits.encode(), usedforsecurity=False).hexdigest()
    if digest != "".join(word.rjust(8, "0") for word in stated.text.lower().split()):
        raise LeapError(stated.number, "the hash does not fit: the list was damaged or changed")
