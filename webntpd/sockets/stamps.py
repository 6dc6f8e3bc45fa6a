"""The kernel's timestamps of the bytes that a TCP socket sends and receives (SO_TIMESTAMPING).

And the round trips that it measures itself (TCP_INFO). A server cannot make these look shorter
without changing its kernel.

A receive stamp comes with the data, in a control message: it is of the last segment that the call
returned. A transmit stamp comes later, in the socket's error queue, and names the last byte of the
send that it is of, counted from when stamps were switched on. All of them read CLOCK_REALTIME,
where the packet meets the network device: what user space waits for is not in them.

The error queue must be emptied before waiting for the socket: as long as anything is in it, the
socket counts as ready. Stamps may always be missing: the kernel switches them on with a delay the
first time, and some devices and containers have none. See the kernel's networking/timestamping.
"""

import errno
import socket
import struct
from collections.abc import Iterator

from webntpd.ntp.readings import NS_PER_S

# asm-generic/socket.h. The 64-bit form of the option: its layout is the same everywhere.
SO_TIMESTAMPING_NEW = 65
# linux/net_tstamp.h
SOF_TIMESTAMPING_TX_SOFTWARE = 1 << 1
SOF_TIMESTAMPING_RX_SOFTWARE = 1 << 3
SOF_TIMESTAMPING_SOFTWARE = 1 << 4
SOF_TIMESTAMPING_OPT_ID = 1 << 7
SOF_TIMESTAMPING_OPT_TSONLY = 1 << 11
SOF_TIMESTAMPING_OPT_ID_TCP = 1 << 16
# linux/errqueue.h, linux/in.h and linux/in6.h
SO_EE_ORIGIN_TIMESTAMPING = 4
SCM_TSTAMP_SND = 0
IP_RECVERR = 11
IPV6_RECVERR = 25

_RECEIVE = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE
_TRANSMIT = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY

# linux/tcp.h, struct tcp_info: both in us
_TCPI_RTT = 68  # smoothed; from the connection's handshake at first
_TCPI_MIN_RTT = 148  # the least of the last five minutes; since Linux 4.6
_TCP_INFO_SIZE = _TCPI_MIN_RTT + 4
_UNKNOWN_RTTS = {0, 2**32 - 1}
_US_PER_S = 1_000_000

_first_timespec = struct.Struct("=qq").unpack_from  # struct scm_timestamping64: the software's
_SOCK_EXTENDED_ERR = struct.Struct("=IBBBxII")
_EXTENDED_ERRORS = {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}
_ANCILLARY_SIZE = 256

KEY_MODULUS = 1 << 32
"""Transmit stamps count bytes modulo this."""


def enable(sock: socket.socket, *, transmit: bool) -> bool:
    """Switch receive stamps on, and transmit stamps if wanted; False if the kernel refuses.

    Transmit stamps count bytes from here on, so nothing sent before may be unacknowledged.
    """
    flags = _RECEIVE | (_TRANSMIT if transmit else 0)
    # Linux before 6.2 knows no OPT_ID_TCP. It makes the count right while data is under way.
    for extra in (SOF_TIMESTAMPING_OPT_ID_TCP, 0) if transmit else (0,):
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING_NEW, flags | extra)
        except OSError:
            continue
        return True
    return False


def receive(sock: socket.socket, size: int) -> tuple[bytes, int | None]:
    """As recv, with the kernel's stamp of the last segment in the data, ns, if there is one."""
    data, ancillary, _, _ = sock.recvmsg(size, _ANCILLARY_SIZE)
    for level, kind, content in ancillary:
        if kind == SO_TIMESTAMPING_NEW and level == socket.SOL_SOCKET:
            seconds, ns = _first_timespec(content)
            return data, (seconds * NS_PER_S + ns) or None
    return data, None


def drain(sock: socket.socket) -> Iterator[tuple[int, int]]:
    """Empty the error queue: each transmit stamp as the count of bytes up to its end, and ns."""
    while True:
        try:
            _, ancillary, _, _ = sock.recvmsg(0, _ANCILLARY_SIZE, socket.MSG_ERRQUEUE)
        except OSError:  # BlockingIOError: it is empty. Any other is for recv and send to tell.
            return
        stamp_ns = end = None
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING_NEW):
                seconds, ns = _first_timespec(content)
                stamp_ns = (seconds * NS_PER_S + ns) or None
            elif (level, kind) in _EXTENDED_ERRORS:
                end = _end(content)
        if stamp_ns is not None and end is not None:
            yield end, stamp_ns


def _end(content: bytes) -> int | None:
    """The byte count modulo KEY_MODULUS that a transmit stamp is of: the kernel names the byte."""
    fields: tuple[int, ...] = _SOCK_EXTENDED_ERR.unpack_from(content)
    error, origin, _, _, info, key = fields
    if (error, origin, info) != (errno.ENOMSG, SO_EE_ORIGIN_TIMESTAMPING, SCM_TSTAMP_SND):
        return None
    return (key + 1) % KEY_MODULUS


_round_trip = struct.Struct("=I").unpack_from


def least_round_trip(sock: socket.socket) -> float | None:
    """The least round trip that the kernel remembers, s; None if it tells none (TCP_INFO)."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:
        return None
    known = {
        _round_trip(info, offset)[0]
        for offset in (_TCPI_RTT, _TCPI_MIN_RTT)
        if offset + 4 <= len(info)
    } - _UNKNOWN_RTTS
    return min(known) / _US_PER_S if known else None
