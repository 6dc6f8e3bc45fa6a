"""The WebSocket frames that are read and written by hand (RFC 6455 §5.2).

Read: one short message, alone in what arrived. Written: replies, each one unmasked text frame.
"""

_FIN, _FINAL_TEXT, _MASKED = 0x80, 0x81, 0x80
_HEADER = 6  # bytes of a short, masked frame before its payload
_SHORT = 125

_number = int.from_bytes  # looked up once: a quarter of what unmasking takes


def is_one_short_frame(data: bytes) -> bool:
    """Whether this is exactly one final, masked frame of at most 125 bytes."""
    length = len(data) - _HEADER
    return 0 <= length <= _SHORT and data[0] >= _FIN and data[1] == _MASKED | length


def short_text(data: bytes) -> bytes:
    """The payload of `data` if that is one short frame with a whole text message, else nothing.

    It is unmasked (RFC 6455 §5.3) all its bytes at once.
    """
    size = len(data) - _HEADER
    if not 0 < size <= _SHORT or data[0] != _FINAL_TEXT or data[1] != _MASKED | size:
        return b""
    mask = (data[2:_HEADER] * (_SHORT // 4 + 1))[:size]
    return (_number(data[_HEADER:]) ^ _number(mask)).to_bytes(size)


def text_head(length: int) -> bytes:
    """The head of a final, unmasked text frame of 126 to 65535 bytes, as replies are."""
    return b"\x81\x7e" + length.to_bytes(2)
