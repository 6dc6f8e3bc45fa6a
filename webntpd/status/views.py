"""The views of a snapshot by their names: what can be asked for over the control socket.

All are functions of one Status, so that no two of them can disagree.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from webntpd.status.json import document
from webntpd.status.peers import peer_lines, status_lines
from webntpd.status.snapshot import Status
from webntpd.status.sources import source_lines
from webntpd.status.tracking import tracking_lines

View = Callable[[Status], dict[str, Any]]


def as_text(lines: Callable[[Status], list[str]]) -> View:
    """A view for people."""
    return lambda status: {"lines": lines(status)}


VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "status": as_text(status_lines),
        "tracking": as_text(tracking_lines),
        "sources": as_text(peer_lines),
        "sources-verbose": as_text(source_lines),
        "watch": as_text(partial(status_lines, trend=True)),
        "json": document,
    }
)
