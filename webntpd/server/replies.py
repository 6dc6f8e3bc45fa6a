"""The header fields of HTTP replies, and the head of the commonest one as bytes."""

Headers = tuple[tuple[str, str], ...]


def json_headers(length: int, date: str, origin_headers: Headers) -> Headers:
    """Those of every reply with JSON in it."""
    return (
        ("Content-Type", "application/json; charset=utf-8"),
        ("Cache-Control", "no-cache, no-store"),
        ("Content-Length", str(length)),
        ("Date", date),
        *origin_headers,
    )


def ok_head(headers: Headers) -> bytes:
    """The head of a 200, byte for byte as h11 would write it."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("latin-1")
