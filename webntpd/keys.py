"""The words that define a configuration key.

A key is a field of a parameter dataclass. The field has the default; its annotation has the type,
the bounds (`annotated_types`), the form of a text, and the help. The room `config` makes the
sections of the document from these fields. This module imports no pydantic, so neither the pure
rooms nor the worker processes of the server load it.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated

from annotated_types import Ge, Gt, Le


@dataclass(frozen=True, slots=True)
class Help:
    """Makes a field a key. `text` explains the key, `example` is shown if there is no default."""

    text: str
    example: object = None


SAME = Help("")
"""For a key that the help of the key above explains, too."""


class Form(Enum):
    """The forms of a text in the file. config.forms has the check of each form."""

    ADDRESS = auto()  # ADDRESS:PORT
    LISTEN_ADDRESS = auto()  # ADDRESS:PORT, unix:/PATH or systemd
    CLIENT = auto()  # an address, a network or "unix"
    PEER_URL = auto()  # the URL of a server
    PROXY_URL = auto()  # the URL of an HTTP proxy, or empty
    LIST_URL = auto()  # the URL of a leap-seconds list, or empty
    ORIGIN = auto()  # an origin of web pages: scheme://host[:port]
    NAME = auto()  # printable and not empty
    USER = auto()  # the name or number of a user; the value is the number
    FILE = auto()  # the path of a file that exists
    DIRECTORY = auto()  # an absolute path
    SOCKET = auto()  # an absolute path, short enough for a Unix socket
    PATH_OR_NONE = auto()  # an absolute path, or empty for none
    SOCKET_OR_NONE = auto()  # as SOCKET, or empty for none


Poll = Annotated[int, Ge(0), Le(17)]
"""log2 seconds."""
Count = Annotated[int, Ge(1), Le(64)]
Positive = Annotated[int, Ge(1)]
Distance = Annotated[float, Ge(0), Le(86_400.0)]
"""At most a day, s."""
Duration = Annotated[float, Gt(0)]
"""s."""
