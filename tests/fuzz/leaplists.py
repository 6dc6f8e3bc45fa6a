"""Leap-second lists: a list that tells one history, or a LeapError."""

import hashlib
import re

from webntpd.leap.list import LeapError, parse_leap_list
from webntpd.leap.smear import smear_ns
from webntpd.ntp.readings import NS_PER_S

_HASHED = re.compile(rb"^#[$@][ \t]+(.*?)[ \t\r]*$|^([0-9]+)[ \t]+([0-9]+)", re.MULTILINE)


def test_one(data: bytes) -> None:
    if data[:1] == b"\x01":
        data = with_hash(data[1:])
    try:
        leaps = parse_leap_list(data)
    except LeapError:
        return
    instants = [each.next_ns for each in leaps.leaps]
    assert instants == sorted(set(instants))
    assert 0 <= leaps.updated_ns < leaps.expires_ns
    for each in leaps.leaps:
        assert each.step in {-1, 1}
        for at_ns in (each.next_ns - 1, each.next_ns, each.next_ns + 1):
            leaps.notice(at_ns)
            leaps.warning(at_ns)
            assert abs(smear_ns(leaps, at_ns)) <= NS_PER_S


def with_hash(data: bytes) -> bytes:
    """The list with the hash that belongs to it: chance would never find one."""
    special = {b"$": b"", b"@": b""}
    digits = b""
    for match in _HASHED.finditer(data):
        if match[1] is not None:
            special[match[0][1:2]] = match[1]
        else:
            digits += match[2] + match[3]
    digest = hashlib.sha1(special[b"$"] + special[b"@"] + digits, usedforsecurity=False).hexdigest()
    words = " ".join(digest[start : start + 8] for start in range(0, 40, 8))
    return data + f"\n#h {words}\n".encode()
