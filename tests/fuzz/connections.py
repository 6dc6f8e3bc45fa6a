"""An atheris target for the server's conversations: they answer or close, and never raise.

Run it with `python -m tests.fuzz.connection -max_total_time=600 [CORPUS]`, where atheris is
installed. The first byte says how the rest is cut, and whether a WebSocket is open already.
"""

import sys

import atheris  # type: ignore[import-untyped]  # only where it is wanted

with atheris.instrument_imports(include=["h11", "webntpd.server", "webntpd.wire", "wsproto"]):
    from tests.unit.server_parts import T0, Parts

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: webntp-interleaved.v1\r\n\r\n"
)
MOST_PER_BYTE = 80
"""No client gets out more than this for each byte that it sends in,"""
LARGEST_REPLY = 32768
"""and this once: a page, with which the connection ends."""


def test_one(data: bytes) -> None:
    if not data:
        return
    how, data = data[0], data[1:]
    connection = Parts().connection()
    if how & 1:
        connection.receive(UPGRADE, T0)
    size = (how >> 1) or len(data) or 1
    sent = 0
    for start in range(0, len(data), size):
        sent += len(connection.receive(data[start : start + size], T0 + start))
        while connection.paused:
            sent += len(connection.resume(T0 + start))
        connection.transmitted(sent, T0 + start)
        if connection.closing:
            break
    assert sent <= MOST_PER_BYTE * len(data) + LARGEST_REPLY
    connection.shutdown()


def main() -> None:
    atheris.Setup(sys.argv, test_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
