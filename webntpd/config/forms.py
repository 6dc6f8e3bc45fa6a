"""The checks behind the forms of keys.Form: each takes a value and returns it, or another one.

A check raises ValueError with the reason, as an administrator reads it.
"""

import ipaddress
import pwd
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from webntpd.exchange.tunnel import parse_proxy
from webntpd.keys import Form
from webntpd.names import Kind
from webntpd.sockets.listeners import SYSTEMD, UNIX

KINDS: dict[str, tuple[Kind, ...]] = {
    "http": (Kind.HTTP, Kind.TIME_HEADER),
    "https": (Kind.HTTP, Kind.TIME_HEADER),
    "ws": (Kind.WEBSOCKET,),
    "wss": (Kind.WEBSOCKET,),
}
"""The kinds that a URL's scheme allows; the first one is the default."""


def checked_url(text: str, schemes: tuple[str, ...]) -> str:
    """`text`, if it is the URL of a server. Raises ValueError with the reason if it is not."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"only printable ASCII without spaces is allowed, not {text!r}")
    authority = text.partition("://")[2].partition("/")[0]
    if authority.count(":") > 1 and not set(authority) & set("[@"):
        raise ValueError(f"an IPv6 address stands in brackets, as in ://[::1]:8080/, not {text!r}")
    try:
        parts = urlsplit(text)
        port = parts.port
        _ = httpx.URL(text).host  # the exchange's own reader of URLs is the stricter one
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"{error}, in {text!r}") from error
    if parts.scheme not in schemes:
        allowed = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"must begin with one of {allowed}, not {text!r}")
    if not parts.hostname:
        raise ValueError(f"names no host: {text!r}")
    if port == 0:
        raise ValueError(f"no server has port 0: {text!r}")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    return text


def peer_url(text: str) -> str:
    # The query is where the protocol puts the client's timestamp, so it cannot hold another.
    checked_url(text, tuple(KINDS))
    if "?" in text or "#" in text:
        raise ValueError(f"must not hold a query or a fragment: {text!r}")
    return text


def proxy_url(text: str) -> str:
    if text:
        parse_proxy(text)
    return text


def origin(text: str) -> str:
    checked_url(text, ("http", "https"))
    if urlsplit(text)[2:] != ("", "", ""):
        raise ValueError(f"an origin is scheme://host[:port] with nothing behind it, not {text!r}")
    return text


def listen_address(text: str) -> str:
    if text == SYSTEMD or (text.startswith(UNIX) and text.removeprefix(UNIX).startswith("/")):
        return text
    return tcp_address(text, "ADDRESS:PORT, unix:/PATH or systemd")


def tcp_address(text: str, form: str = "ADDRESS:PORT") -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 0xFFFF:
        raise ValueError(f"must be {form}, not {text!r}")
    # No address at all means all of them.
    if (":" in host) != (host.startswith("[") and host.endswith("]")):
        meant = f": did you mean '[{host}]:{port}'?" if host.count(":") > 1 else ""
        raise ValueError(f"must be ADDRESS:PORT or [ADDRESS]:PORT for IPv6, not {text!r}{meant}")
    return text


def list_url(text: str) -> str:
    if text and not text.startswith(("https://", "http://")):
        raise ValueError(f"must be an http(s):// URL, or empty, not {text!r}")
    return text


def client(text: str) -> str:
    if text != "unix":
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f'must be an address, a network or "unix", not {text!r}') from None
    return text


def existing_file(path: Path) -> Path:
    """`path`. Raises ValueError if it is missing, or is a directory.

    A path below a directory that is closed to us passes: config/access.py finds that fault.
    """
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return path
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise ValueError(f"there is no such file: {str(path)!r}") from error
    if stat.S_ISDIR(mode):
        raise ValueError(f"is a directory, and must be a file: {str(path)!r}")
    if not stat.S_ISREG(mode):
        raise ValueError(f"is no regular file: {str(path)!r}")
    return path


def socket_path(path: Path) -> Path:
    text = str(path)
    # chrony's configuration cannot quote, and sockaddr_un has room for 107 bytes.
    if not path.is_absolute() or not text.isprintable() or " " in text or len(bytes(path)) > 107:
        raise ValueError(f"must be absolute, without spaces, of at most 107 bytes, not {text!r}")
    return path


def user_number(text: str) -> int:
    """The number of the user with that name or number. Raises ValueError."""
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):  # ValueError: a null character
        raise ValueError(f"there is no user {text!r}") from None


def absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"must be absolute, not {str(path)!r}")
    return path


def path_or_none(text: str) -> str:
    if text:
        absolute(Path(text))
    return text


def socket_or_none(text: str) -> str:
    if text:
        socket_path(Path(text))
    return text


def printable_name(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(f"must be printable and not empty, not {text!r}")
    return text


CHECKS: Mapping[Form, Callable[[Any], Any]] = {
    Form.ADDRESS: tcp_address,
    Form.LISTEN_ADDRESS: listen_address,
    Form.CLIENT: client,
    Form.PEER_URL: peer_url,
    Form.PROXY_URL: proxy_url,
    Form.LIST_URL: list_url,
    Form.ORIGIN: origin,
    Form.NAME: printable_name,
    Form.USER: user_number,
    Form.FILE: existing_file,
    Form.DIRECTORY: absolute,
    Form.SOCKET: socket_path,
    Form.PATH_OR_NONE: path_or_none,
    Form.SOCKET_OR_NONE: socket_or_none,
}
