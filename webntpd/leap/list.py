"""The leap-seconds list that IERS and NIST publish: its parser, and its answers.

    #$  3960835200                      when the list was updated
    #@  3991593600                      when it expires
    2272060800      10      # 1 Jan 1972    from this instant on, TAI - UTC is 10 s
    2287785600      11      # 1 Jul 1972
    #h  49db2447 571e5e1b 2f002a53 9c8da8e4 39b8e49e

Instants are seconds since 1900, as NTP counts them. The `#h` line is the SHA-1 of the digits of
the update, the expiry, and the two fields of each data line, in this order with nothing between;
comments are free to change. The hash finds a damaged file and no forged one: that it came from the
right place is for its transport to say.

Each data line after the first is kept as the notice that servers send of it: TAI - UTC before the
instant, the instant, and the sign of the step.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from webntpd.leap.notice import STEPS, warning_from
from webntpd.ntp.readings import NS_PER_S, Leap, LeapNotice

_NTP_TO_UNIX = 2_208_988_800  # s from 1900-01-01 to 1970-01-01 (RFC 5905 §6)
_DAY_NS = 86_400 * NS_PER_S
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
    if step not in STEPS:
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
