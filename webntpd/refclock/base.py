"""The interface and the parameters of the outputs that ntpd, NTPsec, chrony and ntpd-rs read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

from annotated_types import Ge, Le

from webntpd.keys import Form, Help
from webntpd.ntp.estimates import Publication
from webntpd.status.snapshot import RefclockStatus


@dataclass(frozen=True, slots=True)
class ShmParameters:
    """A shared memory segment, by its unit: NTPsec, ntpd and chrony read it.

    `owners` are numbers of users: besides root's segment and our own, theirs are used.
    """

    unit: Annotated[
        int, Ge(0), Le(255), Help("Units 0 and 1 need a daemon with root's rights.")
    ] = 2
    owners: Annotated[
        frozenset[Annotated[int, Form.USER]],
        Help(
            "More users, by name or number, whose segment is used: for a consumer that makes it as"
            " its own user. Root's and our own are always used. Any other is refused: its user"
            " could write a wrong time."
        ),
    ] = frozenset()


@dataclass(frozen=True, slots=True)
class SockParameters:
    """A Unix datagram socket that the consumer, chrony or ntpd-rs, has made."""

    path: Annotated[
        Path, Form.SOCKET, Help("The path of the socket, as the consumer's configuration has it.")
    ] = Path("/run/chrony.webntpd.sock")  # /run/chrony is closed to all users but chrony's own


RefclockParameters = ShmParameters | SockParameters


class RefclockError(Exception):
    """A refclock that cannot be opened, with what to do about it in the message."""


class Refclock(Protocol):
    """An output. Publishing never raises: what goes wrong is counted, logged once, and shown.

    A sample after close() is dropped: a reload closes an output while a sample may be on its way.
    """

    @property
    def status(self) -> RefclockStatus: ...

    def open(self) -> None:
        """Raises RefclockError if the output can never be used.

        A failure that may end, such as another user's segment, is shown in the status. Then each
        sample tries again.
        """
        ...

    def publish(self, publication: Publication) -> None: ...

    def close(self) -> None: ...
