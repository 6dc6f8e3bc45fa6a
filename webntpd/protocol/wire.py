"""WebNTP's messages: text and bytes on one side, integer nanoseconds on the other.

A timestamp is a decimal number of Unix seconds, and a float cannot hold one: at today's date its
last bit is worth 0.2 us. So numbers are read and printed digit by digit. JSON numbers reach this
module as the digits that were received, which also lets a server echo a client's timestamp digit
for digit, and a client tell how many digits an echo really has.

Every parser here returns a result or raises Rejected, for any input. Its work is bounded by the
size of the input, which MAX_REPLY or MAX_MESSAGE bounds.
"""

import calendar
import email.utils
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from webntpd.ntp.readings import NS_PER_S, LeapNotice, Rejection
from webntpd.protocol.rejected import Rejected

SUBPROTOCOL = "webntp.shogo82148.com"
"""The WebSocket subprotocol of every WebNTP server."""
INTERLEAVED_SUBPROTOCOL = "webntp-interleaved.v1"
"""Ours: replies also tell when the previous one really left. Offered before SUBPROTOCOL."""

MAX_REPLY = 4096
"""Largest reply that a client reads, bytes. Real ones have about 250."""
MAX_MESSAGE = 1024
"""Largest timestamp that a server reads, bytes."""
MAX_NS = 2**63 - 1
"""The last instant that signed 64-bit nanoseconds hold, in April 2262."""

_FRACTION_DIGITS = 9
_MAX_DIGITS = len(str(MAX_NS))

# The fewest fraction digits of an echo: a server may echo milliseconds.
_LEAST_ECHOED_DIGITS = 3

_TIMESTAMP = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_SMALL_INTEGER = re.compile(r"-?[0-9]{1,4}")
_WHITE_SPACE = " \t\r\n"

# In the last half microsecond of a second the Go reference rounds a fraction up to 1000000 and
# prints that behind the second which is just ending. Nothing else prints seven digits like these.
_ROUNDING_FAULT = ".1000000"

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_IMF_FIXDATE = re.compile(
    rf"[A-Z][a-z][a-z], ([0-9][0-9]) ({'|'.join(_MONTHS)}) ([0-9]{{4}}) "
    r"([0-9][0-9]):([0-9][0-9]):([0-9][0-9]) GMT"
)


# Timestamps


def parse_timestamp(text: str) -> int:
    """A decimal number of Unix seconds as nanoseconds; finer digits are dropped.

    Takes a sign, any number of fraction digits, and an exponent. Raises Rejected for all else,
    and for instants that are negative or above MAX_NS.
    """
    negative, digits, point = _scan(text)
    significant = digits.lstrip("0")
    size = point - (len(digits) - len(significant)) + _FRACTION_DIGITS  # digits of the result
    if not significant or size <= 0:
        return 0
    if negative or size > _MAX_DIGITS:
        raise _malformed(f"{_shown(text)} is out of range")
    ns = int(significant[:size].ljust(size, "0"))
    if ns > MAX_NS:
        raise _malformed(f"{_shown(text)} is out of range")
    return ns


def parse_server_timestamp(text: str) -> int:
    """As parse_timestamp(), for a server's time: rejects the reference's rounding fault, too."""
    if text.endswith(_ROUNDING_FAULT):
        raise _malformed(f"{_shown(text)} has the fraction of a rounding fault")
    return parse_timestamp(text)


def resolution_ns(text: str) -> int:
    """The worth of a timestamp's last digit, from 1 ns to 1 s. Raises Rejected.

    A server may print milliseconds only. It may also leave trailing zeros out, so its times may be
    finer than one text shows.
    """
    return int(10 ** (_FRACTION_DIGITS - max(0, _fraction_digits(text))))


def format_timestamp(ns: int) -> str:
    """Nanoseconds, not negative, as seconds with nine fraction digits."""
    digits = str(ns).zfill(10)
    return f"{digits[:-9]}.{digits[-9:]}"


def format_token(ns: int) -> str:
    """A client's `it`: six fraction digits, because the reference echoes no more."""
    return format_timestamp(ns)[:-3]


def plain_number(text: str) -> bool:
    """Whether a text is a JSON number without an exponent: such a one is echoed as it is."""
    return _PLAIN.fullmatch(text) is not None


def echoes(sent: str, it: str | None) -> bool:
    """Whether a reply's `it` belongs to the request that sent `sent`.

    A server may have echoed fewer digits, cut or rounded, down to milliseconds, and may have left
    out trailing zeros; within the digits it has, it must be equal.
    """
    if it is None:
        return False
    if it == sent:
        return True
    try:
        difference_ns = abs(parse_timestamp(it) - parse_timestamp(sent))
    except Rejected:
        return False
    echoed_digits = max(_fraction_digits(it), _LEAST_ECHOED_DIGITS)
    return difference_ns < int(10 ** (_FRACTION_DIGITS - echoed_digits))


def is_no_echo(it: str | None) -> bool:
    """Whether a reply's `it`, missing or 0, says that the server echoes nothing."""
    try:
        return it is None or parse_timestamp(it) == 0
    except Rejected:
        return False


def _fraction_digits(text: str) -> int:
    """How many digits behind the point count, at most nine; negative where an exponent is large."""
    _, digits, point = _scan(text)
    return min(len(digits) - point, _FRACTION_DIGITS)


def _scan(text: str) -> tuple[bool, str, int]:
    """Whether a number is negative, its digits, and how many of them are before the point."""
    match = _TIMESTAMP.fullmatch(text) if len(text) <= MAX_MESSAGE else None
    if match is None:
        raise _malformed(f"{_shown(text)} is not a timestamp")
    sign, whole, fraction, exponent = match.groups(default="")
    return sign == "-", whole + fraction, len(whole) + int(exponent or 0)


def _malformed(detail: str) -> Rejected:
    return Rejected(Rejection.MALFORMED, detail)


def _shown(text: str) -> str:
    """A server's text, cut and quoted for an error message."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


# Replies: a client's side


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer. Members that it left out are None; PROTOCOL explains each.

    `it` and `pit` are the digits as received. `leap` is None too where the server has no list
    (step 0). `max_error` is in seconds. `resolution_ns` is the worth of the last digit of the time
    at which the request came: of `rt`, or where there is none of `st`.
    """

    st_ns: int
    it: str | None = None
    rt_ns: int | None = None
    sync: bool | None = None
    max_error: float | None = None
    leap: LeapNotice | None = None
    pit: str | None = None
    pst_ns: int | None = None
    resolution_ns: int = 1


def parse_reply(body: bytes) -> Reply:
    """A reply from its JSON. Raises Rejected; unknown members are ignored."""
    members = _json_object(body)
    told = [
        (text, _instant(text, name))
        for name in ("st", "time")
        if (text := _number(members, name)) is not None
    ]
    if not told:
        raise _malformed("neither st nor time in the reply")
    st, st_ns = told[0]
    return Reply(
        st_ns=st_ns,
        it=_number(members, "it"),
        rt_ns=_timestamp(members, "rt"),
        sync=_boolean(members, "sync"),
        max_error=_duration(members, "maxerr"),
        leap=_leap(members),
        pit=_number(members, "pit"),
        pst_ns=_timestamp(members, "pst"),
        resolution_ns=resolution_ns(_number(members, "rt") or st),
    )


class _Digits(str):
    """A JSON number as it was received, told apart from a JSON string."""

    __slots__ = ()


def _json_object(body: bytes) -> Mapping[str, object]:
    if len(body) > MAX_REPLY:
        raise _malformed(f"a reply of {len(body)} bytes")
    try:
        members = json.loads(
            body.decode(),
            parse_int=_Digits,
            parse_float=_Digits,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError) as error:
        raise _malformed(f"not JSON: {error}") from error
    if not isinstance(members, dict):
        raise _malformed("the reply is not a JSON object")
    return members


def _refuse_constant(name: str) -> object:
    raise _malformed(f"{name} is not a number")  # Python's json lets NaN and Infinity pass


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):  # it is unclear which of the two counts
        raise _malformed("a member occurs twice")
    return members


def _number(members: Mapping[str, object], name: str) -> str | None:
    if name not in members:
        return None
    value = members[name]
    if not isinstance(value, _Digits):
        raise _malformed(f"{name} is not a number")
    return str(value)


def _instant(text: str, name: str) -> int:
    try:
        return parse_server_timestamp(text)
    except Rejected as error:
        raise _malformed(f"{name}: {error.detail}") from error


def _timestamp(members: Mapping[str, object], name: str) -> int | None:
    text = _number(members, name)
    return None if text is None else _instant(text, name)


def _boolean(members: Mapping[str, object], name: str) -> bool | None:
    value = members.get(name, False)
    if not isinstance(value, bool):
        raise _malformed(f"{name} is neither true nor false")
    return value if name in members else None


def _duration(members: Mapping[str, object], name: str) -> float | None:
    text = _number(members, name)
    value = None if text is None else float(text)
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise _malformed(f"{name} is not a duration")
    return value


def _small_integer(text: str, name: str) -> int:
    if not _SMALL_INTEGER.fullmatch(text):
        raise _malformed(f"{name} is not a small integer")
    return int(text)


def _leap(members: Mapping[str, object]) -> LeapNotice | None:
    tai_utc, instant, sign = (_number(members, name) for name in ("leap", "next", "step"))
    if tai_utc is None or instant is None or sign is None:
        return None
    step = _small_integer(sign, "step")
    if step == 0:
        return None
    if step not in {-1, 1}:
        raise _malformed(f"a step of {step} s")
    return LeapNotice(_small_integer(tai_utc, "leap"), parse_timestamp(instant), step)


# Requests and replies: a server's side


def parse_request(text: str) -> str:
    """The `it` that answers a query string or a message: the timestamp digit for digit.

    One that is not a plain JSON number (1.48e9, +5, 007) is printed anew, and no timestamp at all
    is 0. Raises Rejected if the text is anything else.
    """
    text = text.strip(_WHITE_SPACE)
    if not text:
        return "0"
    ns = parse_timestamp(text)
    return text if plain_number(text) else format_timestamp(ns)


class ReplyTemplate:
    """All of a reply that does not change from one request to the next, rendered once.

    `server_id` is the Host that the client asked for, `max_error` the server clock's maximum
    error in seconds. Without a leap notice the reply says so by a step of 0, as the reference's.
    """

    __slots__ = ("_beginning", "_leap", "_tail")

    def __init__(
        self, server_id: str, leap: LeapNotice | None, *, sync: bool, max_error: float | None
    ) -> None:
        leap = leap or LeapNotice(tai_utc=0, next_ns=0, step=0)
        self._beginning = f'{{"id":{json.dumps(server_id)},"it":'
        self._leap = (
            f',"leap":{leap.tai_utc},"next":{format_timestamp(leap.next_ns)},"step":{leap.step}'
        )
        self._tail = f',"sync":{json.dumps(sync)}'
        if max_error is not None:
            self._tail += f',"maxerr":{max_error:.9f}'

    def render(
        self, it: str, st_ns: int, rt_ns: int, pit: str | None = None, pst_ns: int | None = None
    ) -> bytes:
        """The reply to one request: `it` from parse_request; `pit` and `pst_ns` go together."""
        st = format_timestamp(st_ns)
        reply = (
            f'{self._beginning}{it},"st":{st},"time":{st}{self._leap}'
            f',"rt":{format_timestamp(rt_ns)}{self._tail}'
        )
        if pit is not None and pst_ns is not None:
            reply += f',"pit":{pit},"pst":{format_timestamp(pst_ns)}'
        return f"{reply}}}".encode()

    def pattern(self, second: int) -> bytes:
        """The reply of that second as a pattern for the % of bytes.

        It takes `it` as bytes, and st, st once more, and rt in ns since the second began.
        """
        parts = (
            f"{self._beginning}",
            f',"st":{second}.',
            f',"time":{second}.',
            f'{self._leap},"rt":{second}.',
            f"{self._tail}}}",
        )
        first, *others = (part.replace("%", "%%") for part in parts)
        return f"{first}%b{'%09d'.join(others)}".encode()


# Header fields


def parse_http_date(value: str) -> int:
    """An HTTP date (RFC 9110 §5.6.7, IMF-fixdate) as nanoseconds. Raises Rejected.

    The two obsolete forms are not taken: no server of this protocol has ever sent them.
    """
    match = _IMF_FIXDATE.fullmatch(value)
    if match is None:
        raise _malformed(f"{_shown(value)} is not an HTTP date")
    day, month, year, hour, minute, second = match.groups()
    if int(year) < 1970:
        raise _malformed(f"{_shown(value)} is out of range")
    seconds = calendar.timegm(
        (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    )
    if seconds * NS_PER_S > MAX_NS:
        raise _malformed(f"{_shown(value)} is out of range")
    # timegm carries the 31st of June over to July: only a real date prints back as it was.
    if email.utils.formatdate(seconds, usegmt=True) != value:
        raise _malformed(f"{_shown(value)} is not in the calendar")
    return seconds * NS_PER_S
